"""A small shape model trained on digital femurs.

    python Testing/shape/digital_femurs.py FOLDER [--femurs 40] [--steps 2000] [--seed 0]

makes a folder in the published layout: digital knees -> label maps -> the surfaces that a run measures -> signed
distances -> a network and one latent a femur, trained together. A femur is made once and kept in FOLDER/femurs.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from KneePipelineLib.morphometry import prepare_knee
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.shape import PreparedFemur, prepare_femur
from KneePipelineLib.shape.samples import signed_distance

SPACING_MM = 1.0
POINTS = 24_000
UNSEEN = 10_000
"""Seeds from here on are never trained on."""


def femur_surfaces(seed: int, side: str = "right", spacing_mm: float = SPACING_MM, variation: float = 1.0) -> tuple:
    """(bone, cartilage) of a digital knee, as the run's surfaces step leaves them, LPS mm."""
    labels = DigitalKnee(seed, side=side, variation=variation).labels(Grid.isotropic(spacing_mm))
    prepared = prepare_knee(labels, side=side)
    return prepared.dense_bones["femur"], prepared.cartilage_surfaces["femur", 0]


def template() -> tuple:
    """The typical digital femur, clipped and normalised: what the training femurs are laid onto."""
    bone, cartilage = femur_surfaces(0, variation=0.0)
    return prepare_femur(bone, cartilage, "right", bone).surfaces[0]


def training_points(prepared: PreparedFemur, seed: int, count: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Points, most of them near the surfaces, and their signed distances to each."""
    rng = np.random.default_rng(seed)
    near = []
    for points, _ in prepared.surfaces:
        chosen = points[rng.integers(len(points), size=int(count * 0.4))]
        spread = rng.choice([0.008, 0.04, 0.12], size=(len(chosen), 1), p=[0.5, 0.3, 0.2])
        near.append(chosen + rng.normal(size=chosen.shape) * spread)
    points = np.concatenate([*near, rng.uniform(-1.1, 1.1, (count - sum(map(len, near)), 3))])
    distances = np.stack([signed_distance(points, mesh) for mesh in prepared.surfaces], 1)
    return points.astype(np.float32), distances.astype(np.float32)


def training_set(folder: Path, femurs: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (femurs, n, 3) and distances (femurs, n, 2), from the folder where they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    mean = None
    points, distances = [], []
    for seed in range(femurs):
        file = folder / f"{seed}.npz"
        if not file.is_file():
            mean = template() if mean is None else mean
            found = training_points(prepare_femur(*femur_surfaces(seed), "right", mean), seed)
            np.savez(file, points=found[0], distances=found[1])
        with np.load(file) as kept:
            points.append(kept["points"])
            distances.append(kept["distances"])
    return np.stack(points), np.stack(distances)


def train(points: np.ndarray, distances: np.ndarray, config: dict, *, steps: int, seed: int = 0, femurs_a_step: int = 6,
          points_a_step: int = 1000, rate: float = 5e-3, clamp: float = 0.2, told: object = None) -> object:
    """Network and latents together on clamped L1, with a small penalty on the latents (an auto-decoder).

    Parameters
    ----------
    points, distances : (femurs, n, 3) and (femurs, n, surfaces) arrays
    config : dict
        From `published_network.configuration`.
    """
    import torch
    from published_network import Adam, Network

    torch.manual_seed(seed)
    network = Network(config)
    latents = torch.nn.Parameter(0.01 * torch.randn(len(points), config["latent_size"]))
    all_points, all_distances = torch.as_tensor(points), torch.as_tensor(distances).clamp(-clamp, clamp)
    adam = Adam([*network.parameters(), latents])
    generator = torch.Generator().manual_seed(seed)
    femurs_a_step = min(femurs_a_step, len(points))
    began = time.perf_counter()
    for step in range(steps):
        now = rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps))) * min(1, (step + 1) / 50)
        who = torch.randperm(len(points), generator=generator)[:femurs_a_step]
        where = torch.randint(points.shape[1], (femurs_a_step, points_a_step), generator=generator)
        chosen = all_points[who[:, None], where]
        given = all_distances[who[:, None], where]
        predicted = network(latents[who], chosen).clamp(-clamp, clamp)
        loss = (predicted - given).abs().mean((0, 1)).sum() + 1e-4 * latents[who].square().sum(1).mean()
        adam.step(loss, now)
        if told and (step % 200 == 0 or step == steps - 1):
            told(f"step {step}: loss {float(loss.detach()):.5f}, {time.perf_counter() - began:.0f} s")
    network.eval()
    network.latents = latents.detach().clone()
    return network


def small_checkpoint(folder: Path, *, femurs: int = 40, steps: int = 2000, seed: int = 0, told: object = None) -> Path:
    """The folder of a trained checkpoint; made when it is not there."""
    from published_network import configuration

    if not (folder / "model" / "2000.pth").is_file():
        points, distances = training_set(folder / "femurs", femurs)
        train(points, distances, configuration(), steps=steps, seed=seed, told=told).save(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--femurs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    small_checkpoint(given.folder, femurs=given.femurs, steps=given.steps, seed=given.seed, told=print)


if __name__ == "__main__":
    main()
