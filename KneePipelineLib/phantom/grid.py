"""Where the voxels lie: the geometry of an acquisition, before there is an image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..imaging import Volume

SAGITTAL = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Columns run to Posterior, rows to Inferior, slices to the Right, as in the OAI's sagittal DESS."""
AXIAL = np.eye(3)
CORONAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Columns run to the Left, rows to Inferior, slices to Posterior."""
KNEE_CENTRE_MM = (0.0, -8.0, 4.0)


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels in LPS millimetres, with the conventions of :class:`~KneePipelineLib.imaging.Volume`.

    Parameters
    ----------
    size : (3,) ints
        Voxels along i (columns), j (rows), k (slices).
    spacing : (3,) floats
        Millimetres along i, j, k.
    origin : (3,) floats
        LPS position in mm of the centre of voxel (0, 0, 0).
    direction : (3, 3) floats
        Column c is the LPS unit vector along which index c grows.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray

    @classmethod
    def centred(cls, size: tuple[int, int, int], spacing: tuple[float, float, float], direction: np.ndarray,
                centre_mm: tuple[float, float, float] = KNEE_CENTRE_MM) -> Grid:
        """The grid of this size whose middle lies at ``centre_mm``."""
        half = (np.array(size) - 1) / 2 * np.array(spacing)
        origin = np.array(centre_mm) - np.asarray(direction) @ half
        return cls(tuple(int(n) for n in size), tuple(float(s) for s in spacing), tuple(origin.tolist()),
                   np.array(direction, dtype=np.float64))

    @classmethod
    def sagittal(cls, size: tuple[int, int, int] = (384, 384, 160),
                 spacing: tuple[float, float, float] = (140 / 384, 140 / 384, 0.7),
                 centre_mm: tuple[float, float, float] = KNEE_CENTRE_MM) -> Grid:
        """Sagittal slices, columns anterior to posterior, rows superior to inferior; the OAI's DESS by default."""
        return cls.centred(size, spacing, SAGITTAL, centre_mm)

    @classmethod
    def axial(cls, size: tuple[int, int, int] = (320, 320, 40), spacing: tuple[float, float, float] = (0.45, 0.45, 3.0),
              centre_mm: tuple[float, float, float] = KNEE_CENTRE_MM) -> Grid:
        """Axial slices from inferior to superior, columns to the left, rows to posterior."""
        return cls.centred(size, spacing, AXIAL, centre_mm)

    @classmethod
    def coronal(cls, size: tuple[int, int, int] = (320, 320, 40),
                spacing: tuple[float, float, float] = (0.45, 0.45, 3.0),
                centre_mm: tuple[float, float, float] = KNEE_CENTRE_MM) -> Grid:
        """Coronal slices from anterior to posterior, columns to the left, rows to inferior."""
        return cls.centred(size, spacing, CORONAL, centre_mm)

    @classmethod
    def isotropic(cls, spacing_mm: float = 1.0, extent_mm: tuple[float, float, float] = (112.0, 140.0, 140.0),
                  centre_mm: tuple[float, float, float] = KNEE_CENTRE_MM) -> Grid:
        """Cubic voxels along L, P, S over a box of ``extent_mm`` (x, y, z)."""
        size = tuple(max(1, round(e / spacing_mm)) for e in extent_mm)
        return cls.centred(size, (spacing_mm,) * 3, AXIAL, centre_mm)

    @classmethod
    def of(cls, volume: Volume) -> Grid:
        """The grid of an existing volume."""
        return cls(volume.size, tuple(volume.spacing.tolist()), tuple(volume.origin.tolist()), volume.direction)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the array, (slices, rows, columns)."""
        return self.size[::-1]

    @property
    def centre_mm(self) -> np.ndarray:
        """LPS position of the middle of the grid, mm."""
        return self.to_physical((np.array(self.size) - 1) / 2)

    def to_physical(self, indices: np.ndarray) -> np.ndarray:
        """LPS mm, shape (..., 3), of continuous indices (i, j, k), shape (..., 3)."""
        return (np.asarray(indices) * np.array(self.spacing)) @ self.direction.T + np.array(self.origin)

    def points(self) -> np.ndarray:
        """LPS mm of every voxel centre, shape (slices, rows, columns, 3). For small grids."""
        k, j, i = np.meshgrid(*[np.arange(n) for n in self.shape], indexing="ij")
        return self.to_physical(np.stack([i, j, k], axis=-1))

    def rotated(self, degrees_xyz: tuple[float, float, float]) -> Grid:
        """The same grid turned about its own centre: first about x, then y, then z (LPS axes), in degrees."""
        direction = rotation_matrix(degrees_xyz) @ self.direction
        return Grid.centred(self.size, self.spacing, direction, tuple(self.centre_mm))

    def shifted(self, offset_mm: tuple[float, float, float]) -> Grid:
        """The same grid moved by an LPS offset in mm."""
        return replace(self, origin=tuple((np.array(self.origin) + offset_mm).tolist()))

    def between(self, low_mm: float, high_mm: float) -> Grid:
        """The part of the grid whose slices, rows or columns, whichever run most up and down, lie between two heights.

        Raises
        ------
        ValueError
            If nothing of the grid lies there.
        """
        axis = int(np.abs(self.direction[2]).argmax())
        middle = (np.array(self.size) - 1) / 2
        places = np.repeat(middle[None], self.size[axis], axis=0)
        places[:, axis] = np.arange(self.size[axis])
        heights = self.to_physical(places)[:, 2]
        kept = np.flatnonzero((heights >= low_mm) & (heights <= high_mm))
        if not len(kept):
            raise ValueError(f"no part of the grid lies between {low_mm:g} and {high_mm:g} mm")
        first = np.zeros(3)
        first[axis] = kept[0]
        size = list(self.size)
        size[axis] = len(kept)
        return replace(self, size=tuple(size), origin=tuple(self.to_physical(first).tolist()))

    def volume(self, array: np.ndarray, **meta: object) -> Volume:
        """The array (slices, rows, columns) as a Volume on this grid."""
        if array.shape != self.shape:
            raise ValueError(f"the grid holds {self.shape}, the array has {array.shape}")
        return Volume(array, self.spacing, self.origin, self.direction, dict(meta))


def rotation_matrix(degrees_xyz: tuple[float, float, float]) -> np.ndarray:
    """Rotation about x, then y, then z by angles in degrees: Rz @ Ry @ Rx."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(degrees_xyz)), np.sin(np.radians(degrees_xyz))
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rz @ ry @ rx
