"""Image or label map? Told by evidence, and left open where it does not suffice.

A label map holds few values, whole ones, in large pieces: nearly every voxel equals its neighbours exactly. In an image
noise and shading make neighbours differ. Both ways of being wrong are bad (a label map that is segmented as an image
gives numbers that look real), so what lies in between is for a person to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PLANES = 12
NEAR_WHOLE = 1e-3
NEARLY, INTERPOLATED = 0.02, 0.4
"""Within structures, interpolation leaves labels nearly whole; of an image's fractions one in 25 is."""

MANY = 0.7
LABELS_EQUAL, IMAGE_EQUAL = 0.9, 0.7
"""Shares of equal neighbours: 0.93 to 1 in label maps, 0.8 when interpolated; below 0.55 in images as scanners and
exports make them, of 8 grey levels too, 0.8 when smoothed and then rounded to 16."""

MOST_MAIN_VALUES = 60
GREY_LEVELS, GREY_STEPS = 12, 0.5
"""So many values, of which neighbours that differ are mostly next to each other, are shades of grey."""


@dataclass(frozen=True)
class Evidence:
    """What the values of a volume look like, background (the most frequent value) aside.

    Attributes
    ----------
    values : int
        Different values; rounded where so many are nearly whole that they are interpolated labels.
    main_values : int
        How many of the most frequent ones make up ``MANY`` of the voxels.
    equal : float
        Share of neighbours that are exactly equal, along the axis on which they are so least often.
    steps : float
        Share of unequal neighbours that are next to each other among the values that occur.
    """

    values: int
    main_values: int
    equal: float
    steps: float


def image_or_labels(array: np.ndarray) -> str:
    """``labels``, ``image``, or ``unclear`` for what the values of a volume (z, y, x) look like."""
    seen = evidence(array)
    grey = seen.values >= GREY_LEVELS and seen.steps >= GREY_STEPS
    if seen.main_values > MOST_MAIN_VALUES or seen.equal < IMAGE_EQUAL or (grey and seen.equal < LABELS_EQUAL):
        return "image"
    return "labels" if seen.equal >= LABELS_EQUAL else "unclear"


def evidence(array: np.ndarray) -> Evidence:
    """Look at evenly spaced pairs of planes of a volume (z, y, x)."""
    first = np.unique(np.linspace(0, max(array.shape[0] - 2, 0), PLANES).astype(int))
    pairs = np.stack([array[first], array[np.minimum(first + 1, array.shape[0] - 1)]])
    if pairs.dtype.kind == "f":
        large = pairs[np.abs(pairs) >= 0.5]
        if large.size and (np.abs(large - np.rint(large)) <= NEARLY).mean() >= INTERPOLATED:
            pairs = np.rint(pairs)
    _, ranks, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    ranks = ranks.reshape(pairs.shape)
    background = int(counts.argmax())
    front = np.delete(counts, background)
    if not front.size:
        return Evidence(0, 0, 1.0, 0.0)
    share = np.cumsum(np.sort(front)[::-1]) / front.sum()
    differences = [_differences(ranks, axis, background) for axis in (0, 2, 3)]
    unequal = np.concatenate(differences)
    unequal = unequal[unequal > 0]
    return Evidence(len(front), int(np.searchsorted(share, MANY) + 1),
                    min((float((d == 0).mean()) for d in differences if d.size), default=1.0),
                    float((unequal == 1).mean()) if unequal.size else 0.0)


def _differences(ranks: np.ndarray, axis: int, background: int) -> np.ndarray:
    """How far apart neighbours along an axis are among the values that occur, where neither is background."""
    one = np.take(ranks, range(ranks.shape[axis] - 1), axis=axis)
    other = np.take(ranks, range(1, ranks.shape[axis]), axis=axis)
    front = (one != background) & (other != background)
    return np.abs(one[front].astype(np.int64) - other[front])
