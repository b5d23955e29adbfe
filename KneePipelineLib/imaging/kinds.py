"""Image or label map? Told by evidence, and left open where it does not suffice.

A label map holds few values, whole ones, in large pieces: nearly every voxel equals its neighbours exactly. In an image
noise and shading make neighbours differ. Both ways of being wrong are bad (a label map that is segmented as an image
gives numbers that look real), so what lies in between is for a person to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_PLANES = 48
NEAR_WHOLE = 1e-3
MANY = 0.7


@dataclass(frozen=True)
class Evidence:
    """What the values of a volume look like, background (the most frequent value) aside.

    Attributes
    ----------
    values : int
        Different values.
    main_values : int
        How many of the most frequent values make up ``MANY`` of the voxels.
    equal : float
        Share of neighbours that are exactly equal, along the axis on which they are so least often.
    whole : float
        Share of voxels whose value is a whole number, to ``NEAR_WHOLE``.
    steps : float
        Share of unequal neighbours that are next to each other among the values that occur.
    negative : bool
        Whether anything besides the background is below 0.
    """

    values: int
    main_values: int
    equal: float
    whole: float
    steps: float
    negative: bool


def evidence(array: np.ndarray) -> Evidence:
    """Look at evenly spaced planes of a volume (z, y, x)."""
    step = max(1, array.shape[0] // MOST_PLANES)
    planes = array[::step]
    values, index, counts = np.unique(planes, return_inverse=True, return_counts=True)
    index = index.reshape(planes.shape)
    background = int(counts.argmax())
    front = np.delete(counts, background)
    if not front.sum():
        return Evidence(1, 0, 1.0, 1.0, 0.0, False)
    frequent = np.cumsum(np.sort(front)[::-1]) / front.sum()
    kept = np.delete(values, background).astype(np.float64)
    near = np.abs(kept - np.rint(kept)) <= NEAR_WHOLE
    equal, steps = _neighbours(array, planes, index, background, step)
    return Evidence(len(front), int(np.searchsorted(frequent, MANY) + 1), equal,
                    float(front[near].sum() / front.sum()), steps, bool((kept < 0).any()))


def _neighbours(array: np.ndarray, planes: np.ndarray, index: np.ndarray, background: int,
                step: int) -> tuple[float, float]:
    shares, close, apart = [], 0, 0
    for axis in (1, 2):
        one, other = (np.take(index, range(*r), axis=axis) for r in ((0, index.shape[axis] - 1),
                                                                      (1, index.shape[axis])))
        front = (one != background) & (other != background)
        difference = np.abs(one[front].astype(np.int64) - other[front])
        if difference.size:
            shares.append(float(np.count_nonzero(difference == 0) / difference.size))
            close += int(np.count_nonzero(difference == 1))
            apart += int(np.count_nonzero(difference))
    below = array[1::step][: len(planes)]
    above = planes[: len(below)]
    front = (index[: len(below)] != background) & (below != array.dtype.type(0))
    if front.any():
        shares.append(float(np.count_nonzero(above[front] == below[front]) / np.count_nonzero(front)))
    return min(shares, default=1.0), close / apart if apart else 0.0
