"""Finding the latent of a femur: the published schedule, and a faster way to the same or a lower loss.

``published`` is the plain loop: Adam on 20,000 fresh samples a step, its rate divided by 1.1 a hundred times over
2,000 steps, stopped when 50 steps brought no better loss. Its cost is the network over the 20,000 points; most steps
serve to average out noise that fresh samples bring.

``fast`` minimises on fixed samples with a quasi-Newton method (L-BFGS; Nocedal, Mathematics of Computation
1980;35:773-782), first on few, then on more; the absolute value is rounded off near zero, less from stage to
stage, because a quasi-Newton method needs curvature. The loss on all samples is looked at after every stage, and the
best latent wins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ShapeModelError
from .lbfgs import minimise
from .samples import Objective

if TYPE_CHECKING:
    import torch

Progress = Callable[[float, str], None]
Watch = Callable[[float, "torch.Tensor"], None]

METHODS = ("fast", "published")
_LARGEST = 1e6
"""Of every entry of a configuration: fifty times the published numbers of samples and steps."""
_COUNTS = ("samples", "iterations", "patience", "rate_updates")
_POSITIVE = ("samples", "iterations", "rate", "rate_divisor", "clamp")


@dataclass(frozen=True)
class Stage:
    """Part of the fast fit.

    Attributes
    ----------
    samples : int
    rounding : float
        |r| is rounded off below this, model units.
    steps : int
        At most so many.
    tolerance : float
        Part of the loss by which a step must lower it; the third in a row that does not ends the stage.
    """

    samples: int
    rounding: float
    steps: int
    tolerance: float = 1e-3


STAGES = (Stage(1_500, 4e-3, 40), Stage(5_000, 1e-3, 40), Stage(20_000, 3e-4, 60, 3e-4))


@dataclass(frozen=True)
class FitOptions:
    """How a latent is fitted; the defaults are the published ones (the ``*_recon`` entries of the configuration).

    Attributes
    ----------
    method : {"fast", "published"}
    seed : int
    samples, iterations, patience, rate_updates : int
    rate, rate_divisor : float
    clamp : float
        Distances are compared only up to here, in the model's units.
    start_std : float
        Standard deviation of the first latent.
    l2 : float
        Weight of the latent's mean square; 0 for none.
    stages : tuple of Stage
        Of the fast method.
    """

    method: str = "fast"
    seed: int = 42
    samples: int = 20_000
    iterations: int = 2_000
    patience: int = 50
    rate: float = 0.005
    rate_divisor: float = 1.1
    rate_updates: int = 100
    clamp: float = 0.1
    start_std: float = 0.01
    l2: float = 0.0
    stages: tuple[Stage, ...] = STAGES

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **changes: Any) -> FitOptions:
        """The options that a model's configuration asks for.

        Raises
        ------
        ConfigError
            If one is out of range.
        """
        names = {"samples": "n_samples_latent_recon", "iterations": "num_iterations_recon",
                 "patience": "convergence_patience_recon", "rate": "lr_recon",
                 "rate_divisor": "lr_update_factor_recon", "rate_updates": "n_lr_updates_recon",
                 "clamp": "clamp_dist_recon", "start_std": "latent_init_std"}
        found = {name: config[key] for name, key in names.items() if config.get(key) is not None}
        penalty = config.get("l2reg_recon") or 0.0
        try:
            found["l2"] = float(config.get("code_regularization_weight") or 1e-4) if penalty is True else float(penalty)
            bad = [names.get(name, name) for name, value in found.items() if not 0 <= float(value) <= _LARGEST]
            bad += [names[n] for n in _POSITIVE if n in found and not found[n] > 0]
            bad += [names[n] for n in _COUNTS if n in found and found[n] != int(found[n])]
        except (TypeError, ValueError, OverflowError):
            bad = ["one of the *_recon entries"]
        if bad:
            raise ConfigError(f"The shape model's configuration is not usable: {bad[0]}.",
                              "Download or import the shape model again.")
        return cls(**{**found, **{n: int(found[n]) for n in _COUNTS if n in found}, **changes})


@dataclass(frozen=True, eq=False)
class LatentFit:
    """A fitted latent.

    Attributes
    ----------
    latent : (L,) float64
    loss : float
        On all samples, in the model's units.
    steps : int
    evaluations : int
        How often the network was evaluated with its gradient.
    seconds : float
    """

    latent: object
    loss: float
    steps: int
    evaluations: int
    seconds: float


def fit_latent(objective: Objective, options: FitOptions, *, progress: Progress | None = None,
               watch: Watch | None = None) -> LatentFit:
    """Fit a latent; the same for the same seed on the same device.

    Parameters
    ----------
    objective : Objective
        The samples on a decoder; its device is where the work is done.
    options : FitOptions
    progress : callable, optional
        Told (fraction, sentence) after every step; what it raises, such as CancelledError, ends the fit.
    watch : callable, optional
        Told (seconds, latent) after every step, for benchmarks.

    Raises
    ------
    ShapeModelError
        If the loss is not finite.
    ConfigError
        If the method is unknown.
    """
    import torch

    if options.method not in METHODS:
        raise ConfigError(f"'{options.method}' is no way to fit.", f"There are {', '.join(METHODS)}.")
    generator = torch.Generator().manual_seed(options.seed)
    start = torch.randn(objective.decoder.latent_size, generator=generator) * options.start_std
    start = start.to(objective.decoder.device, objective.decoder.dtype)
    began = time.perf_counter()

    def told(fraction: float, latent: torch.Tensor) -> None:
        if watch:
            watch(time.perf_counter() - began, latent.detach().clone())
        if progress:
            progress(fraction, "Fitting the shape model")

    run = _fast if options.method == "fast" else _published
    latent, steps, evaluations = run(objective, options, start, generator, told)
    loss = objective.full_loss(latent)
    if not loss < float("inf"):
        raise ShapeModelError("The fit of the shape model did not stay finite.",
                              "Check the femur in 3D Slicer; if it looks right, please report this.")
    return LatentFit(latent.detach().cpu().double().numpy(), loss, steps, evaluations, time.perf_counter() - began)


def _published(objective: Objective, options: FitOptions, start: torch.Tensor, generator: torch.Generator,
               told: Callable) -> tuple[torch.Tensor, int, int]:
    import torch

    latent, rate = start.clone(), options.rate
    first, second = torch.zeros_like(latent), torch.zeros_like(latent)
    every = max(1, options.iterations // max(1, options.rate_updates))
    best, since, step = float("inf"), 0, 0
    for step in range(1, options.iterations + 1):
        sampling, given = objective.subset(objective.drawn(options.samples, generator))
        latent.requires_grad_(True)
        loss = objective.residuals(latent, sampling, given).abs().mean(0).sum() + _penalty(latent, options)
        (gradient,) = torch.autograd.grad(loss, latent)
        # Adam (Kingma and Ba, ICLR 2015) in four lines: torch's own first imports its compiler, which takes seconds.
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        spread = (second / (1 - 0.999**step)).sqrt() + 1e-8
        latent = latent.detach() - rate * (first / (1 - 0.9**step)) / spread
        value = float(loss.detach())
        best, since = (value, 0) if value < best else (best, since + 1)
        told(step / options.iterations, latent)
        if since >= options.patience:
            break
        if step % every == 0:
            rate /= options.rate_divisor
    return latent, step, step


def _fast(objective: Objective, options: FitOptions, start: torch.Tensor, generator: torch.Generator,
          told: Callable) -> tuple[torch.Tensor, int, int]:
    latent, best, steps, evaluations = start, None, 0, 0
    total = sum(stage.steps * stage.samples for stage in options.stages)
    done = 0
    for stage in options.stages:
        chosen = objective.drawn(min(stage.samples, options.samples), generator)
        value_and_gradient = _rounded_loss(objective, *objective.fixed(chosen), stage.rounding, options)

        def after(step: int, now: torch.Tensor, stage: Stage = stage, done: int = done) -> None:
            told((done + step * stage.samples) / total, now)

        found = minimise(value_and_gradient, latent, steps=stage.steps, tolerance=stage.tolerance, after=after)
        latent, steps, evaluations = found.point, steps + found.steps, evaluations + found.evaluations
        done += stage.steps * stage.samples
        loss = objective.full_loss(latent)
        if best is None or loss < best[0]:
            best = (loss, latent)
    return best[1], steps, evaluations


def _rounded_loss(objective: Objective, sampling: object, given: torch.Tensor, rounding: float,
                  options: FitOptions) -> Callable:
    """The loss on fixed samples with sqrt(r^2 + rounding^2) - rounding for |r|, and its gradient."""
    import torch

    def value_and_gradient(latent: torch.Tensor) -> tuple[float, torch.Tensor]:
        latent = latent.detach().requires_grad_(True)
        r = objective.residuals(latent, sampling, given)
        loss = (torch.sqrt(r.square() + rounding**2) - rounding).mean(0).sum() + _penalty(latent, options)
        (gradient,) = torch.autograd.grad(loss, latent)
        return float(loss.detach()), gradient

    return value_and_gradient


def _penalty(latent: torch.Tensor, options: FitOptions) -> torch.Tensor | float:
    return options.l2 * latent.square().mean() if options.l2 else 0.0
