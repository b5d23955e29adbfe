"""How fast and how well a femur's latent is found, beside the published schedule.

    python Testing/Benchmarks/shape_fit.py [--checkpoint FOLDER] [--femurs 3] [--threads 1] [--only fit|step]

``fit``: on a small checkpoint trained on digital femurs (made in FOLDER when it is not there; by default in the
system's temporary folder), for femurs it has never seen. The baseline is the published schedule in plain torch: planes
by transposed convolutions, `grid_sample`, weight-normalised layers, Adam on 20,000 fresh samples a step, early stop.
Both are timed until the loss on all samples first reaches 1.01 x the baseline's final loss; looking at that loss is not
timed. ``step``: seconds for one evaluation with its gradient on a random network of the published size.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "shape")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from digital_femurs import UNSEEN, femur_surfaces, small_checkpoint  # noqa: E402
from published_network import PUBLISHED, Adam, Network, random_network  # noqa: E402

from KneePipelineLib.shape import (  # noqa: E402
    FitOptions,
    SurfaceSamples,
    fit_femur,
    fit_latent,
    load_model,
    mean_surface,
    prepare_femur,
    surface_samples,
)
from KneePipelineLib.shape.checkpoint import build_decoder  # noqa: E402
from KneePipelineLib.shape.samples import Objective  # noqa: E402

WITHIN = 1.01
SPACING_MM = 0.8


class Plain:
    """The published loop on the plain network; the whole network keeps its gradients, as it does there."""

    def __init__(self, network: Network, samples: SurfaceSamples, clamp: float = 0.1) -> None:
        self.network, self.clamp = network, clamp
        self.points, self.starts = torch.as_tensor(samples.points), samples.starts
        self.given = torch.as_tensor(samples.distances).clamp(-clamp, clamp)

    def loss(self, latent: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        predicted = self.network(latent[None], self.points[chosen][None])[0].clamp(-self.clamp, self.clamp)
        return (predicted - self.given[chosen]).abs().mean(0).sum()

    def fit(self, options: FitOptions, watch: Callable[[float, torch.Tensor], None]) -> None:
        generator = torch.Generator().manual_seed(options.seed)
        latent = (torch.randn(self.network.config["latent_size"], generator=generator) * options.start_std)
        latent.requires_grad_(True)
        adam, rate, best, since = Adam([latent]), options.rate, float("inf"), 0
        began = time.perf_counter()
        for step in range(1, options.iterations + 1):
            halves = [first + torch.randperm(end - first, generator=generator)[:options.samples // 2]
                      for first, end in zip(self.starts, self.starts[1:], strict=False)]
            loss = self.loss(latent, torch.cat(halves))
            adam.step(loss, rate)
            watch(time.perf_counter() - began, latent.detach().clone())
            best, since = (float(loss), 0) if float(loss) < best else (best, since + 1)
            if since >= options.patience:
                return
            if step % (options.iterations // options.rate_updates) == 0:
                rate /= options.rate_divisor


def first_crossing(trace: list[tuple[float, torch.Tensor]], objective: Objective, loss: float) -> tuple[float, int]:
    """Seconds and step at which the loss on all samples first was that low; (inf, 0) when never."""
    for step, (seconds, latent) in enumerate(trace, 1):
        if objective.full_loss(latent) <= loss:
            return seconds, step
    return float("inf"), 0


def compare_fits(checkpoint: Path, femurs: int) -> bool:
    """Print both methods on unseen femurs; True when every number to reach is reached."""
    model = load_model(checkpoint)
    network = Network(model.config)
    network.load_state_dict(torch.load(checkpoint / "model" / "2000.pth", weights_only=True)["model"])
    network.eval()
    mean, good, ratios = mean_surface(model.decoder), True, []
    for number in range(femurs):
        side = ("right", "left")[number % 2]
        bone, cartilage = femur_surfaces(UNSEEN + number, side, SPACING_MM)
        femur = prepare_femur(bone, cartilage, side, mean)
        samples = surface_samples(femur.surfaces)
        objective = Objective(model.decoder, samples, 0.1)
        options = FitOptions.from_config(model.config)
        slow: list = []
        Plain(network, samples).fit(options, lambda *now, trace=slow: trace.append(now))
        final = objective.full_loss(slow[-1][1])
        quick: list = []
        found = fit_latent(objective, options, watch=lambda *now, trace=quick: trace.append(now))
        again = fit_latent(objective, options)
        (slow_s, slow_steps), (quick_s, quick_steps) = (first_crossing(trace, objective, WITHIN * final)
                                                        for trace in (slow, quick))
        shape = fit_femur(model, bone, cartilage, side, options=options)
        ratios.append(slow_s / quick_s)
        same = float(np.abs(np.asarray(found.latent) - np.asarray(again.latent)).max())
        assd = [d.assd for d in shape.distances]
        good &= ratios[-1] >= 3 and same <= 1e-6 and max(assd) <= 0.5 and found.loss <= WITHIN * final
        print(f"femur {UNSEEN + number} ({side}, {len(samples.points)} vertices)")
        print(f"  plain Adam   final loss {final:.6f} in {slow[-1][0]:6.2f} s, {len(slow)} steps; "
              f"1.01 x at {slow_s:6.2f} s, step {slow_steps}")
        print(f"  ours         final loss {found.loss:.6f} in {found.seconds:6.2f} s, {found.steps} steps; "
              f"1.01 x at {quick_s:6.2f} s, step {quick_steps}")
        print(f"  {ratios[-1]:.1f} times faster; two fits differ by {same:.1e}; ASSD bone {assd[0]:.3f} mm, cartilage "
              f"{assd[1]:.3f} mm; Hausdorff 95 {shape.distances[0].hausdorff95:.2f} and "
              f"{shape.distances[1].hausdorff95:.2f} mm", flush=True)
    print(f"median {statistics.median(ratios):.1f} times faster, worst {min(ratios):.1f}")
    return good


def step_cost(repeats: int = 3) -> None:
    """Print the cost of a step for a random network of the published size."""
    network = random_network(0, **PUBLISHED)
    decoder = build_decoder(network.config, network.state_dict())
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20_000, 3))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True) * 0.8).astype(np.float32)
    samples = SurfaceSamples(points, np.zeros((20_000, 2), np.float32), (0, 10_000, 20_000))
    latent = 0.01 * torch.randn(PUBLISHED["latent_size"])
    plain, objective = Plain(network, samples), Objective(decoder, samples, 0.1)
    everything = torch.arange(20_000)
    frozen = [*network.parameters()]

    def plain_step() -> None:
        vector = latent.clone().requires_grad_(True)
        plain.loss(vector, everything).backward()

    def our_step(count: int) -> Callable[[], None]:
        sampling, given = objective.fixed(everything[:count])

        def step() -> None:
            vector = latent.clone().requires_grad_(True)
            torch.autograd.grad(objective.residuals(vector, sampling, given).abs().mean(0).sum(), vector)

        return step

    print("published size: latent 512, planes 5 x 512, distances 3 x 512; seconds a step (median of "
          f"{repeats}, {torch.get_num_threads()} thread(s))")
    print(f"  plain, 20,000 points                       {_timed(plain_step, repeats):7.2f}")
    for tensor in frozen:
        tensor.requires_grad_(False)
        tensor.grad = None
    gc.collect()
    print(f"  plain, network frozen, 20,000 points       {_timed(plain_step, repeats):7.2f}")
    for count in (20_000, 5_000, 1_500):
        print(f"  ours, {count:6,d} points                        {_timed(our_step(count), repeats):7.2f}")


def _timed(step: Callable[[], None], repeats: int) -> float:
    step()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path(tempfile.gettempdir()) / "kneepipeline_shape_model")
    parser.add_argument("--femurs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("fit", "step"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    good = True
    if given.only != "step":
        good = compare_fits(small_checkpoint(given.checkpoint, told=print), given.femurs)
    if given.only != "fit":
        step_cost()
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
