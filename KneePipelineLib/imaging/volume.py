"""One 3-D image with its place in space: the only form in which images travel between rooms.

Geometry, once and for all: ``array[k, j, i]`` (slices, rows, columns, that is z, y, x) lies at the physical point
``origin + direction @ (spacing * (i, j, k))`` in millimetres of the LPS patient frame (x grows to the patient's Left,
y to Posterior, z to Superior), the convention of DICOM and ITK. Slicer shows RAS: its x and y have the opposite sign.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

AXIS_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""For each LPS axis the letter towards which it falls and the one towards which it grows."""


def _frozen(values: object, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(values, dtype=np.float64).reshape(shape)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Volume:
    """An immutable 3-D image.

    Parameters
    ----------
    array : numpy.ndarray
        Shape (slices, rows, columns) = (z, y, x), any numeric dtype. Treated as read-only by everyone.
    spacing : (3,) floats
        Millimetres between neighbours along i (columns, x), j (rows, y) and k (slices, z): **x first**, as in ITK.
    origin : (3,) floats
        LPS position in mm of the centre of voxel (i, j, k) = (0, 0, 0).
    direction : (3, 3) floats
        Column c is the LPS unit vector along which index c (i, j, k) grows.
    meta : dict
        What the reader learnt besides: echo time, modality, ... Never patient identifiers.

    Raises
    ------
    ValueError
        If the array is not 3-D, a spacing is not positive and finite, the origin is not finite, or the direction is
        not orthonormal (1e-3).
    """

    array: np.ndarray
    spacing: np.ndarray = (1.0, 1.0, 1.0)
    origin: np.ndarray = (0.0, 0.0, 0.0)
    direction: np.ndarray = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    meta: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.ndim != 3:
            raise ValueError(f"a Volume needs a 3-D array (z, y, x), got shape {array.shape}")
        object.__setattr__(self, "array", array)
        for name, shape in (("spacing", (3,)), ("origin", (3,)), ("direction", (3, 3))):
            object.__setattr__(self, name, _frozen(getattr(self, name), shape))
        if not (np.isfinite(self.spacing).all() and (self.spacing > 0).all()):
            raise ValueError(f"spacing must be positive and finite, got {tuple(self.spacing)}")
        if not np.isfinite(self.origin).all():
            raise ValueError(f"origin must be finite, got {tuple(self.origin)}")
        if not np.allclose(self.direction.T @ self.direction, np.eye(3), atol=1e-3):
            raise ValueError("direction must be orthonormal")

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along (i, j, k): the array's shape reversed."""
        return tuple(int(n) for n in self.array.shape[::-1])

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm^3."""
        return float(np.prod(self.spacing))

    @cached_property
    def affine(self) -> np.ndarray:
        """(4, 4) matrix from (i, j, k, 1) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction * self.spacing
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def orientation(self) -> str:
        """Three letters: the patient directions towards which i, j and k grow, for example ``LPS`` or ``PIR``."""
        axes, signs = _nearest_axes(self.direction)
        return "".join(AXIS_LETTERS[a][int(s > 0)] for a, s in zip(axes, signs, strict=True))

    def to_physical(self, indices: np.ndarray) -> np.ndarray:
        """LPS mm, shape (..., 3), of continuous voxel indices (i, j, k), shape (..., 3)."""
        return np.asarray(indices, dtype=np.float64) @ self.affine[:3, :3].T + self.origin

    def to_indices(self, points: np.ndarray) -> np.ndarray:
        """Continuous voxel indices (i, j, k), shape (..., 3), of LPS points in mm, shape (..., 3)."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        return (np.asarray(points, dtype=np.float64) - self.origin) @ inverse.T

    def with_array(self, array: np.ndarray, **meta: object) -> Volume:
        """The same grid carrying another array of the same shape."""
        if array.shape != self.array.shape:
            raise ValueError(f"the grid holds {self.array.shape}, the array has {array.shape}")
        return replace(self, array=array, meta={**self.meta, **meta})

    def same_grid(self, other: Volume, tolerance_mm: float = 1e-3) -> bool:
        """Whether both have the same size and every corner in the same place."""
        if self.array.shape != other.array.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.size])).reshape(3, -1).T
        return bool(np.abs(self.to_physical(corners) - other.to_physical(corners)).max() <= tolerance_mm)

    def reoriented(self, orientation: str) -> Volume:
        """The same voxels with axes permuted and flipped so that i, j, k grow nearest to ``orientation``.

        No interpolation: an oblique volume stays oblique. Every physical point keeps its value.

        Parameters
        ----------
        orientation : str
            Three letters such as ``LPS`` (i to the left, j posterior, k superior) or ``PIR``.
        """
        wanted_axes, wanted_signs = _parse_orientation(orientation)
        axes, signs = _nearest_axes(self.direction)
        order = [axes.index(a) for a in wanted_axes]
        flips = [signs[o] != s for o, s in zip(order, wanted_signs, strict=True)]
        start = np.zeros(3)
        for o, flip in zip(order, flips, strict=True):
            if flip:
                start[o] = self.size[o] - 1
        array = self.array.transpose([2 - o for o in reversed(order)])
        array = array[tuple(slice(None, None, -1) if f else slice(None) for f in reversed(flips))]
        direction = self.direction[:, order] * np.where(flips, -1.0, 1.0)
        return replace(self, array=np.ascontiguousarray(array), spacing=self.spacing[order],
                       origin=self.to_physical(start), direction=direction)

    def cropped(self, lower: tuple[int, int, int], upper: tuple[int, int, int]) -> Volume:
        """The box of voxels ``lower <= (i, j, k) < upper``; the array is a view."""
        (i0, j0, k0), (i1, j1, k1) = lower, upper
        return replace(self, array=self.array[k0:k1, j0:j1, i0:i1], origin=self.to_physical(np.array(lower)))


def _nearest_axes(direction: np.ndarray) -> tuple[list[int], list[int]]:
    """For i, j, k the nearest LPS axis (each used once) and the sign along it."""
    strength = np.abs(np.asarray(direction, dtype=float)).copy()
    axes: list[int] = [0, 0, 0]
    for _ in range(3):
        axis, index = np.unravel_index(np.argmax(strength), (3, 3))
        axes[index] = int(axis)
        strength[axis, :] = -1
        strength[:, index] = -1
    return axes, [1 if direction[a, c] > 0 else -1 for c, a in enumerate(axes)]


def _parse_orientation(orientation: str) -> tuple[list[int], list[int]]:
    axes, signs = [], []
    for letter in orientation.upper():
        for axis, pair in enumerate(AXIS_LETTERS):
            if letter in pair:
                axes.append(axis)
                signs.append(1 if letter == pair[1] else -1)
    if len(orientation) != 3 or sorted(axes) != [0, 1, 2]:
        raise ValueError(f"'{orientation}' is not an orientation such as LPS or PIR")
    return axes, signs
