"""The anatomy bank: tissue maps that training pairs are deformed from, in one compressed file.

Made once in the private environment (`prepare`), read with numpy alone, so that a machine with only torch can train.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ORIENTATION = "PIR"
"""Columns to posterior, rows to inferior, slices to the right: the order in which the published networks are fed."""


@dataclass(frozen=True)
class Anatomy:
    """One knee as tissue values on an isotropic grid.

    Parameters
    ----------
    labels : numpy.ndarray
        uint8, (z, y, x), canonical labels 0 to 10 and, where ``dressed``, the soft tissues of `tissues`.
    depth_mm : numpy.ndarray
        uint8, same shape: distance to the nearest canonical structure in mm, at most 255.
    spacing_mm : float
        Edge of a voxel.
    dressed : bool
        Whether soft tissue is labelled; otherwise 0 means all of it.
    has_menisci : bool
        Whether menisci are labelled: where they are not, background next to cartilage says nothing about them.
    """

    labels: np.ndarray
    depth_mm: np.ndarray
    spacing_mm: float
    dressed: bool
    has_menisci: bool


def load(path: Path) -> list[Anatomy]:
    """Read a bank that `prepare` wrote."""
    with np.load(path) as bank:
        spacing = float(bank["spacing_mm"])
        facts = bank["facts"]
        return [Anatomy(bank[f"labels_{i}"], bank[f"depth_{i}"], spacing, bool(f[0]), bool(f[1]))
                for i, f in enumerate(facts)]


def prepare(out: Path, knees: Sequence[int], maps: Sequence[Path], spacing_mm: float = 0.8,
            report=print) -> None:
    """Write a bank of digital knees (by seed) and label maps (any label scheme that can be recognised)."""
    arrays: dict[str, np.ndarray] = {"spacing_mm": np.array(spacing_mm)}
    facts = []
    for labels, dressed in _anatomies(knees, maps, spacing_mm):
        n = len(facts)
        arrays[f"labels_{n}"], arrays[f"depth_{n}"] = labels, _depth(labels, spacing_mm)
        facts.append((dressed, bool(np.isin((8, 9), labels).all())))
        report(f"{n + 1} of {len(knees) + len(maps)}: {'digital knee' if dressed else 'label map'} {labels.shape}")
    arrays["facts"] = np.array(facts, dtype=np.uint8)
    np.savez_compressed(out, **arrays)


def _anatomies(knees: Sequence[int], maps: Sequence[Path], spacing_mm: float):
    from ...imaging import read_labels
    from ...morphometry import canonical_labels
    from ...phantom import DigitalKnee, Grid

    for path in maps:
        labels = canonical_labels(read_labels(path)).reoriented(ORIENTATION)
        yield _isotropic(labels.array, labels.spacing[::-1], spacing_mm), False
    size = tuple(round(mm / spacing_mm) for mm in (150, 150, 130))
    for seed in knees:
        knee = DigitalKnee(seed=seed, side="right", variation=1.5)
        grid = Grid.sagittal(size, (spacing_mm,) * 3)
        yield knee.tissues(grid).array.astype(np.uint8), True


def _isotropic(labels: np.ndarray, spacing_zyx_mm: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Label map on cubic voxels: each label blurred to its share of a voxel, then the largest share wins."""
    from scipy import ndimage

    zoom = np.asarray(spacing_zyx_mm) / spacing_mm
    best = share = None
    for value in np.unique(labels):
        soft = ndimage.gaussian_filter((labels == value).astype(np.float32), 0.35 / np.asarray(spacing_zyx_mm))
        soft = ndimage.zoom(soft, zoom, order=1, grid_mode=True, mode="nearest")
        if best is None:
            best, share = np.zeros(soft.shape, dtype=np.uint8), np.full(soft.shape, -1, dtype=np.float32)
        wins = soft > share
        best[wins], share[wins] = value, soft[wins]
    return best


def _depth(labels: np.ndarray, spacing_mm: float) -> np.ndarray:
    from scipy import ndimage

    outside = (labels == 0) | (labels > 10)
    return np.minimum(ndimage.distance_transform_edt(outside, sampling=spacing_mm), 255).astype(np.uint8)


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m KneePipelineLib.segmentation.bundled.bank OUT.npz --knees 60 --maps A.nrrd B.nrrd``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--knees", type=int, default=60, help="how many digital knees")
    parser.add_argument("--first-seed", type=int, default=1000, help="their first seed; tests use seeds below 1000")
    parser.add_argument("--maps", type=Path, nargs="*", default=[], help="label maps to add")
    parser.add_argument("--spacing", type=float, default=0.8, help="voxel edge in mm")
    args = parser.parse_args(argv)
    prepare(args.out, range(args.first_seed, args.first_seed + args.knees), args.maps, args.spacing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
