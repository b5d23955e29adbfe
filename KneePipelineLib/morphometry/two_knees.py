"""Two knees in one label map: the one that is meant, or a refusal. Images have `imaging.two_knees`."""

from __future__ import annotations

import numpy as np

from ..errors import SegmentationError
from ..imaging.labels import FEMUR, TIBIA
from ..imaging.volume import Volume

COARSE_MM = 2.0
COMPARABLE = 0.4
"""Least volume of the smaller of two femora or tibiae, as a share of the larger one's."""

APART_MM = 60.0
"""Least distance from side to side; the condyles of one femur, cut off from their shaft, lie about 50 mm apart."""


def one_knee(labels: Volume, side: str) -> tuple[Volume, list[tuple[str, str]]]:
    """Canonical labels of the one knee that the side names; the same object where there is only one.

    Raises
    ------
    SegmentationError
        If there are two femora and two tibiae side by side, and ``side`` does not say which are meant.
    """
    middles = [_middles(labels, bone) for bone in (FEMUR, TIBIA)]
    if None in middles:
        return labels, []
    right, left = np.mean(middles, axis=0)
    if side not in ("left", "right"):
        raise SegmentationError(f"The label map shows two knees, {left - right:.0f} mm apart.",
                                "Choose one with --side left or --side right, or take the other out of the map.")
    x_mm = sum(np.arange(n).reshape([-1 if axis == 2 - i else 1 for axis in range(3)])
               * float(labels.direction[0, i] * labels.spacing[i]) for i, n in enumerate(labels.size))
    on_the_left = x_mm + float(labels.origin[0]) > (right + left) / 2
    kept = np.where(on_the_left == (side == "left"), labels.array, 0).astype(labels.array.dtype)
    return labels.with_array(kept), [("TWO_KNEES", f"The label map shows two knees; the {side} one was measured.")]


def _middles(labels: Volume, bone: int) -> tuple[float, float] | None:
    """Where the two largest pieces of a bone lie from side to side, LPS mm, right one first; None if not two bones."""
    from scipy.ndimage import label

    steps = [max(1, int(COARSE_MM / s)) for s in labels.spacing]
    pieces, count = label(labels.array[:: steps[2], :: steps[1], :: steps[0]] == bone)
    if count < 2:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    first, second = np.argsort(sizes)[::-1][:2]
    if sizes[second] < COMPARABLE * sizes[first]:
        return None
    found = sorted(float(labels.to_physical(np.argwhere(pieces == n + 1)[:, ::-1].mean(axis=0) * steps)[0])
                   for n in (first, second))
    return (found[0], found[1]) if found[1] - found[0] >= APART_MM else None
