"""Thick slices: labels interpolated between them by shape, so that surfaces are not staircases.

Between two slices every label's signed in-plane distance to its outline is interpolated linearly, and the label with
the largest one wins (shape-based interpolation: Raya and Udupa, IEEE Trans Med Imaging 1990;9:32-42; Herman, Zheng and
Bucholtz, IEEE Comput Graph Appl 1992;12:69-79). A label that ends between two slices ends half-way with its full
cross-section, as a voxel count has it, so neither volumes nor areas shrink.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..imaging.slices import slice_axis
from .working import WorkingKnee

FINE_MM = 0.75
REACH_MM = 8.0
"""Signed distances are cut off here; it is more than any layer of cartilage is thick."""


def with_fine_slices(knee: WorkingKnee) -> WorkingKnee:
    """The knee on slices of about ``FINE_MM``, for surfaces; the same object where its slices are fine already.

    Its ``source`` stays the map as it came, so nothing must be pasted back from the result.
    """
    axis = slice_axis(knee.volume.spacing)
    if axis is None:
        return knee
    parts = 2 * int(np.ceil(knee.volume.spacing[axis] / FINE_MM / 2))  # even: no slice half-way, where two labels tie
    slices = np.moveaxis(knee.array, 2 - axis, 0)
    plane = np.delete(knee.volume.spacing[::-1], 2 - axis)
    fine = np.ascontiguousarray(np.moveaxis(interpolated(slices, parts, plane), 0, 2 - axis))
    spacing = knee.volume.spacing.copy()
    spacing[axis] /= parts
    first = np.zeros(3)
    first[axis] = 0.5 / parts - 0.5
    volume = replace(knee.volume, array=fine, spacing=spacing, origin=knee.volume.to_physical(first))
    return replace(knee, volume=volume)


def interpolated(slices: np.ndarray, parts: int, pixel_mm: np.ndarray) -> np.ndarray:
    """Every slice of labels divided into ``parts``, with the labels interpolated between slice centres.

    Parameters
    ----------
    slices : numpy.ndarray
        uint8 (n, rows, columns).
    parts : int
    pixel_mm : (2,) floats
        Along rows and columns' index.

    Returns
    -------
    numpy.ndarray
        uint8 (n * parts, rows, columns).
    """
    positions = (np.arange(len(slices) * parts) + 0.5) / parts - 0.5
    below = np.clip(np.floor(positions).astype(int), 0, max(len(slices) - 2, 0))
    out = np.repeat(slices, parts, axis=0)  # the outer half slices stay like this
    distances = _Distances(slices, pixel_mm)
    for first in range(len(slices) - 1):
        between = np.flatnonzero((below == first) & (positions > first) & (positions < first + 1))
        _between(out, between, positions[between] - first, distances.pair(first))
    return out


class _Distances:
    """Signed in-plane distances of the labels of one slice after the other; two slices are kept."""

    def __init__(self, slices: np.ndarray, pixel_mm: np.ndarray) -> None:
        self.slices, self.pixel_mm = slices, pixel_mm
        self.kept: dict[int, dict[int, np.ndarray]] = {}

    def of(self, index: int) -> dict[int, np.ndarray]:
        """Label -> float32 (rows, columns), positive inside; the background is label 0."""
        if index not in self.kept:
            plane = self.slices[index]
            found = {int(value): self._signed(plane == value) for value in np.flatnonzero(np.bincount(plane.ravel()))}
            self.kept = {**{k: v for k, v in self.kept.items() if k >= index - 1}, index: found}
        return self.kept[index]

    def _signed(self, inside: np.ndarray) -> np.ndarray:
        """Signed distance of one label in one slice, computed within reach of it only."""
        from scipy.ndimage import distance_transform_edt

        distance = np.full(inside.shape, -REACH_MM, np.float32)
        held = [np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0)]
        reach = np.ceil(REACH_MM / self.pixel_mm).astype(int)
        near = tuple(slice(max(0, int(h[0] - r)), int(h[-1] + r + 1)) for h, r in zip(held, reach, strict=True))
        part = inside[near]
        if part.all():
            distance[near] = REACH_MM
            return distance
        outside = distance_transform_edt(~part, sampling=self.pixel_mm)
        within = distance_transform_edt(part, sampling=self.pixel_mm)
        distance[near] = np.clip(within - outside, -REACH_MM, REACH_MM)
        return distance

    def pair(self, first: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Label -> its distances in two neighbouring slices; where one lacks it, as far outside as it is inside, and
        where one is full of it, as far inside as it is outside."""
        one, two = self.of(first), self.of(first + 1)
        return {value: (_beside(one.get(value), two.get(value)), _beside(two.get(value), one.get(value)))
                for value in sorted({*one, *two})}


def _beside(own: np.ndarray | None, other: np.ndarray | None) -> np.ndarray:
    """A label's distances in a slice; those of the neighbouring slice tell where this one shows no edge of it."""
    if own is None:
        return -np.abs(other)
    return np.abs(other) if other is not None and own.min() >= REACH_MM else own


def _between(out: np.ndarray, where: np.ndarray, weights: np.ndarray,
             pairs: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    """Fill the slices ``where`` of ``out`` between two slices, ``weights`` of the way to the second."""
    for index, weight in zip(where, weights.astype(np.float32), strict=True):
        best = np.full(out.shape[1:], -np.inf, np.float32)
        for value, (one, two) in pairs.items():
            here = one * (1 - weight) + two * weight
            better = here > best
            np.copyto(best, here, where=better)
            out[index][better] = value
