"""Latents for bodies and femurs that a model has not seen: close, repeatable, no worse than the published way."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from KneePipelineLib.errors import CancelledError, ConfigError, ShapeModelError
from KneePipelineLib.shape import (
    FitOptions,
    SurfaceSamples,
    fit_femur,
    fit_latent,
    load_model,
    mean_surface,
    prepare_femur,
    reconstruct,
    surface_samples,
)
from KneePipelineLib.shape.lbfgs import minimise
from KneePipelineLib.shape.reconstruction import distance_fields
from KneePipelineLib.shape.samples import Objective

from .conftest import body_surfaces, mirrored

SHAPE = (0.5, -0.4, 0.3)
CELLS = 128


@pytest.fixture(scope="module")
def objective(bodies: Path) -> Objective:
    """The samples of one unseen body."""
    decoder = load_model(bodies).decoder
    surfaces = prepare_femur(*body_surfaces(SHAPE), "right", mean_surface(decoder), clip=False).surfaces
    return Objective(decoder, surface_samples(surfaces), 0.1)


def samples_of(objective: Objective) -> SurfaceSamples:
    """The samples that an objective was made of, but clamped."""
    return SurfaceSamples(objective.sampling.points.numpy(), objective.given.numpy(), objective.starts)


class TestLatent:
    def test_fast_is_no_worse_than_published(self, objective: Objective) -> None:
        published = fit_latent(objective, FitOptions(method="published", samples=6_000))
        fast = fit_latent(objective, FitOptions())
        start = objective.full_loss(torch.zeros(8))
        assert published.loss < 0.5 * start
        assert fast.loss <= 1.003 * published.loss
        assert fast.evaluations * 4 < published.evaluations

    @pytest.mark.parametrize("method", ["fast", "published"])
    def test_one_seed_gives_one_latent(self, objective: Objective, method: str) -> None:
        options = FitOptions(method=method, iterations=40, seed=7)
        first, second = (fit_latent(objective, options).latent for _ in range(2))
        assert np.abs(first - second).max() <= 1e-6
        other = fit_latent(objective, replace(options, seed=8)).latent
        assert np.abs(first - other).max() > 1e-6

    def test_the_state_of_the_global_generator_does_not_matter(self, objective: Objective) -> None:
        torch.manual_seed(1)
        first = fit_latent(objective, FitOptions()).latent
        torch.manual_seed(2)
        np.random.seed(5)
        assert np.array_equal(first, fit_latent(objective, FitOptions()).latent)

    def test_the_published_schedule_is_adam_with_the_published_rates(self, objective: Objective) -> None:
        # In double precision: small differences in the order of sums grow from step to step.
        objective = Objective(objective.decoder.to("cpu", torch.float64), samples_of(objective), 0.1)
        seen: list[torch.Tensor] = []
        options = FitOptions(method="published", iterations=60, rate_updates=3, samples=400)
        fit_latent(objective, options, watch=lambda seconds, latent: seen.append(latent))
        generator = torch.Generator().manual_seed(options.seed)
        latent = torch.nn.Parameter((torch.randn(8, generator=generator) * 0.01).double())
        adam = torch.optim.Adam([latent], lr=0.005)
        for step in range(1, len(seen) + 1):
            chosen = objective.drawn(400, generator)
            assert (chosen < objective.starts[1]).sum() == 200
            loss = objective.residuals(latent, *objective.subset(chosen)).abs().mean(0).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            assert torch.allclose(latent.detach(), seen[step - 1], atol=1e-9), step
            if step % 20 == 0:
                adam.param_groups[0]["lr"] /= 1.1
        assert len(seen) > 20

    def test_it_stops_when_nothing_gets_better(self, objective: Objective) -> None:
        steps = fit_latent(objective, FitOptions(method="published", patience=5)).steps
        assert 5 < steps < 2000

    def test_l2_keeps_the_latent_small(self, objective: Objective) -> None:
        free, held = (fit_latent(objective, FitOptions(l2=l2)).latent for l2 in (0.0, 100.0))
        assert np.linalg.norm(held) < 0.5 * np.linalg.norm(free)

    def test_progress_and_cancellation(self, objective: Objective) -> None:
        fractions: list[float] = []

        def progress(fraction: float, message: str) -> None:
            fractions.append(fraction)
            if len(fractions) == 4:
                raise CancelledError("Cancelled.")

        with pytest.raises(CancelledError):
            fit_latent(objective, FitOptions(), progress=progress)
        assert fractions == sorted(fractions)
        assert 0 < fractions[0] < fractions[-1] < 1

    def test_unknown_methods_and_bad_settings(self, objective: Objective) -> None:
        with pytest.raises(ConfigError):
            fit_latent(objective, FitOptions(method="guess"))
        for bad in ({"lr_recon": -1}, {"n_samples_latent_recon": 0}, {"clamp_dist_recon": "much"}):
            with pytest.raises(ConfigError):
                FitOptions.from_config(bad)

    def test_settings_are_taken_from_the_configuration(self) -> None:
        found = FitOptions.from_config({"lr_recon": 0.01, "n_samples_latent_recon": 77, "num_iterations_recon": 5,
                                        "convergence_patience_recon": 6, "lr_update_factor_recon": 1.5,
                                        "n_lr_updates_recon": 3, "clamp_dist_recon": 0.2, "l2reg_recon": 0.5}, seed=3)
        assert (found.rate, found.samples, found.iterations, found.patience, found.rate_divisor, found.rate_updates,
                found.clamp, found.l2, found.seed) == (0.01, 77, 5, 6, 1.5, 3, 0.2, 0.5, 3)


class TestFemur:
    def test_an_unseen_body(self, bodies: Path) -> None:
        told: list[float] = []
        bone, cartilage = body_surfaces(SHAPE)
        found = fit_femur(load_model(bodies), bone, cartilage, "right", clip=False, cells=CELLS,
                          progress=lambda fraction, message: told.append(fraction))
        assert [d.assd < 0.3 for d in found.distances] == [True, True]
        assert told == sorted(told)
        record = found.to_dict()
        assert record["assd_bone_mm"] == pytest.approx(found.distances[0].assd, abs=1e-4)
        assert len(record["latent"]) == 8
        points = np.array(record["icp_transform"])[:3] @ np.append(bone[0][5], 1)
        assert np.linalg.norm((points - record["center"]) / record["scale"]) <= 1

    def test_a_left_body_is_fitted_like_the_right_one(self, bodies: Path) -> None:
        model = load_model(bodies)
        bone, cartilage = body_surfaces(SHAPE)
        right = fit_femur(model, bone, cartilage, "right", clip=False, cells=CELLS)
        left = fit_femur(model, mirrored(bone), mirrored(cartilage), "left", clip=False, cells=CELLS)
        # float32 coordinates mirrored about another plane differ in their last digit
        assert np.abs(left.fit.latent - right.fit.latent).max() < 1e-3 * np.abs(right.fit.latent).max()
        assert left.distances[0].assd == pytest.approx(right.distances[0].assd, abs=0.01)

    def test_bone_only_needs_no_cartilage(self, bodies_bone_only: Path) -> None:
        found = fit_femur(load_model(bodies_bone_only), body_surfaces(SHAPE)[0], None, "right", clip=False, cells=CELLS)
        assert len(found.reconstruction) == 1
        assert found.distances[0].assd < 0.3
        assert "assd_cartilage_mm" not in found.to_dict()

    def test_a_model_with_cartilage_needs_cartilage(self, bodies: Path) -> None:
        with pytest.raises(ShapeModelError, match="cartilage"):
            fit_femur(load_model(bodies), body_surfaces(SHAPE)[0], None, "right")


class TestReconstruction:
    def test_coarse_to_fine_misses_nothing(self, bodies: Path) -> None:
        decoder = load_model(bodies).decoder
        latent = torch.zeros(8)
        fields = distance_fields(decoder, latent, CELLS)
        axis = torch.linspace(-1.1, 1.1, CELLS + 1)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        everywhere = decoder(latent, torch.stack([x, y, z], -1).reshape(-1, 3)).numpy().T.reshape(fields.shape)
        assert ((fields < 0) == (everywhere < 0)).all()
        near = np.abs(everywhere) < 2.2 / CELLS
        assert near.sum() > 10_000
        assert np.abs(fields - everywhere)[near].max() < 1e-5

    def test_a_latent_without_a_surface_is_said(self, bodies: Path) -> None:
        decoder = load_model(bodies).decoder
        weight, bias = decoder.linear[-1]
        nowhere = replace(decoder, linear=(*decoder.linear[:-1], (weight, bias + 5)))
        with pytest.raises(ShapeModelError, match="bone"):
            reconstruct(nowhere, np.zeros(8), CELLS)


class TestMinimiser:
    def test_a_quadratic_is_solved(self) -> None:
        scales = torch.logspace(0, 2, 12, dtype=torch.float64)
        goal = torch.arange(12, dtype=torch.float64)
        found = minimise(lambda p: (float((scales * (p - goal) ** 2).sum()), 2 * scales * (p - goal)),
                         torch.zeros(12, dtype=torch.float64), steps=200, tolerance=0, patience=999)
        assert torch.allclose(found.point, goal, atol=1e-6)

    def test_a_curved_valley(self) -> None:
        def rosenbrock(p: torch.Tensor) -> tuple[float, torch.Tensor]:
            p = p.detach().requires_grad_(True)
            value = 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
            return float(value.detach()), torch.autograd.grad(value, p)[0]

        found = minimise(rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64), steps=200, tolerance=0,
                         patience=999)
        assert torch.allclose(found.point, torch.ones(2, dtype=torch.float64), atol=1e-4)

    def test_no_step_makes_it_worse_and_a_flat_start_ends_it(self) -> None:
        values: list[float] = []
        minimise(lambda p: (float(p.abs().sum()), p.sign()), torch.tensor([3.0, -2.0]), steps=30,
                 after=lambda step, p: values.append(float(p.abs().sum())))
        assert values == sorted(values, reverse=True)
        flat = minimise(lambda p: (1.0, torch.zeros(3)), torch.zeros(3), steps=9)
        assert flat.evaluations == 1
        assert math.isclose(flat.value, 1.0)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_unseen_digital_femurs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The number to reach: at most 0.5 mm on digital femurs that a small model has never seen."""
    from digital_femurs import UNSEEN, femur_surfaces, small_checkpoint

    folder = small_checkpoint(tmp_path_factory.mktemp("shape") / "model")
    model = load_model(folder)
    for number, side in enumerate(["right", "left", "right"]):
        bone, cartilage = femur_surfaces(UNSEEN + number, side, 0.8)
        found, again = (fit_femur(model, bone, cartilage, side) for _ in range(2))
        assert max(d.assd for d in found.distances) <= 0.5
        assert np.abs(found.fit.latent - again.fit.latent).max() <= 1e-6
