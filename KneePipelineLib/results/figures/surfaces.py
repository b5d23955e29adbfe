"""Thickness on a bone's surface, drawn by casting one ray a pixel (Embree, through point_cloud_utils).

Orthographic, so a millimetre is the same length everywhere in a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .colours import BONE_RGB, DENUDED_RGB, colour_of

SIZE = (440, 368)
"""Columns and rows of a picture."""
_SAMPLES = 2
"""Rays a pixel along each axis; their mean is the pixel."""
_DENUDED_LINE = 0.22
"""Half width of the line around denuded bone, in units of the interpolated mask."""


@dataclass(frozen=True)
class View:
    """From where a bone is seen.

    Attributes
    ----------
    name : str
        As a caption says it: ``from below``.
    bone : str
        Which bone.
    towards_viewer, up : (left, posterior, superior)
        Unit directions in the patient (or the bone's anatomical frame).
    """

    name: str
    bone: str
    towards_viewer: tuple[float, float, float]
    up: tuple[float, float, float]

    @property
    def right(self) -> np.ndarray:
        """Direction to the right of the picture."""
        right = np.cross(self.up, self.towards_viewer)
        return right / np.linalg.norm(right)


_ANTERIOR, _POSTERIOR, _SUPERIOR, _INFERIOR = (0, -1, 0), (0, 1, 0), (0, 0, 1), (0, 0, -1)
_FROM_BEHIND_ABOVE = (0, 0.6, 0.8)

VIEWS = (
    View("from the front", "femur", _ANTERIOR, _SUPERIOR),
    View("from below", "femur", _INFERIOR, _ANTERIOR),
    View("from behind", "femur", _POSTERIOR, _SUPERIOR),
    View("from above", "tibia", _SUPERIOR, _ANTERIOR),
    View("from behind and above", "tibia", _FROM_BEHIND_ABOVE, (0, -0.8, 0.6)),
    View("from behind", "patella", _POSTERIOR, _SUPERIOR),
    View("from below and behind", "patella", (0, 0.6, -0.8), (0, -0.8, -0.6)),
)


@dataclass(frozen=True, eq=False)
class Rendering:
    """A drawn view.

    Attributes
    ----------
    view : View
    pixels : (rows, columns, 4) uint8
        RGBA, transparent around the bone.
    mm_per_pixel : float
    """

    view: View
    pixels: np.ndarray
    mm_per_pixel: float


def render_bone(
    surface: object, view: View, *, upper_mm: float, axes: np.ndarray | None = None, size: tuple[int, int] = SIZE,
    mm_per_pixel: float | None = None,
) -> Rendering:
    """Draw one view of a bone, its cartilage coloured by thickness.

    Parameters
    ----------
    surface : BoneSurface
        Points in LPS mm, ``thickness_mm`` NaN on bare bone; ``total_region``, where it is set on bare bone, marks it as
        denuded and gets an outline.
    view : View
        From where.
    upper_mm : float
        Thickness at the top of the colour scale, which begins at 0.
    axes : (3, 3) array, optional
        Rows: the bone's own left, posterior and superior directions in LPS; the patient's by default.
    size : (columns, rows)
        Pixels.
    mm_per_pixel : float, optional
        By default the bone fills the picture.
    """
    import point_cloud_utils as pcu

    axes = np.eye(3) if axes is None else np.asarray(axes, dtype=np.float64)
    basis = np.stack([view.right, view.up, view.towards_viewer]) @ axes
    points = np.ascontiguousarray(surface.points @ basis.T, dtype=np.float32)  # x right, y up, z towards the viewer
    low, high = points.min(axis=0), points.max(axis=0)
    if mm_per_pixel is None:
        mm_per_pixel = fitting_scale([(high - low)[:2]], size)
    columns, rows = size[0] * _SAMPLES, size[1] * _SAMPLES
    step = mm_per_pixel / _SAMPLES
    x = (low[0] + high[0]) / 2 + (np.arange(columns) - (columns - 1) / 2) * step
    y = (low[1] + high[1]) / 2 - (np.arange(rows) - (rows - 1) / 2) * step
    origins = np.empty((rows, columns, 3), np.float32)
    origins[..., 0], origins[..., 1], origins[..., 2] = x, y[:, None], high[2] + 1.0
    directions = np.tile(np.float32([0, 0, -1]), (rows * columns, 1))
    triangles = np.ascontiguousarray(surface.triangles, dtype=np.int32)
    face, weights, _ = pcu.ray_mesh_intersection(points, triangles, origins.reshape(-1, 3), directions)
    hit = np.flatnonzero(face >= 0)
    corners, weights = triangles[face[hit]], weights[hit]
    colours = _surface_colours(surface, corners, weights, upper_mm) * _light(surface, basis, corners, weights)[:, None]
    samples = np.zeros((rows * columns, 4), np.float32)
    samples[hit, :3], samples[hit, 3] = np.minimum(colours, 255.0), 255.0
    return Rendering(view, _averaged(samples.reshape(rows, columns, 4)), mm_per_pixel)


def fitting_scale(extents_mm: list[np.ndarray], size: tuple[int, int]) -> float:
    """mm a pixel at which everything with these (width, height) fits into ``size`` with a margin."""
    return max(max(w / size[0], h / size[1]) for w, h in extents_mm) / 0.92


def extent_mm(surface: object, view: View, axes: np.ndarray | None = None) -> np.ndarray:
    """(width, height) of a bone in a view."""
    axes = np.eye(3) if axes is None else axes
    return np.ptp(surface.points @ (np.stack([view.right, view.up]) @ axes).T, axis=0)


def edge_words(view: View, side: str) -> dict[str, str]:
    """What lies at the ``left``, ``right``, ``top`` and ``bottom`` edge of a view of a right or left knee."""
    directions = {"right": view.right, "left": -view.right, "top": np.array(view.up), "bottom": -np.array(view.up)}
    return {edge: _word(direction, side) for edge, direction in directions.items()}


def _word(direction: np.ndarray, side: str) -> str:
    axis = int(np.abs(direction).argmax())
    grows = direction[axis] > 0
    if axis == 0:
        if side not in ("right", "left"):
            return "left" if grows else "right"
        # The medial side of a right knee faces the patient's left.
        return "medial" if grows == (side == "right") else "lateral"
    return (("anterior", "posterior"), ("inferior", "superior"))[axis - 1][int(grows)]


def _surface_colours(surface: object, corners: np.ndarray, weights: np.ndarray, upper_mm: float) -> np.ndarray:
    """Colour at each hit: cartilage where most of the interpolation weight has a thickness, bone elsewhere."""
    thickness = np.asarray(surface.thickness_mm, dtype=np.float32)
    known = np.isfinite(thickness)
    denuded = ~known & (np.asarray(surface.total_region) > 0)
    vertex = np.column_stack([known, np.where(known, thickness, 0.0), denuded]).astype(np.float32)
    share, value, bare = _interpolated(vertex, corners, weights).T
    covered = share >= 0.5
    colours = np.where(covered[:, None], colour_of(value / np.maximum(share, 1e-6), upper_mm), np.uint8(BONE_RGB))
    colours[(np.abs(bare - 0.5) < _DENUDED_LINE) & ~covered] = DENUDED_RGB
    return colours.astype(np.float32)


def _light(surface: object, basis: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Soft light from above the viewer's left shoulder; flat enough not to change how a colour reads."""
    normals = np.asarray(surface.normals, dtype=np.float32) @ basis.T.astype(np.float32)
    normal = _interpolated(normals, corners, weights)
    normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-6)[:, None]
    key = np.float32([-0.35, 0.45, 0.82])
    diffuse = np.clip(normal @ (key / np.linalg.norm(key)), 0.0, 1.0)
    facing = np.clip(normal[:, 2], 0.0, 1.0)
    return 0.50 + 0.34 * diffuse + 0.20 * np.sqrt(facing)


def _interpolated(vertex: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Barycentric interpolation, float32 (hits, channels), of values at vertices (n, channels)."""
    total = vertex[corners[:, 0]] * weights[:, :1]
    for c in (1, 2):
        total += vertex[corners[:, c]] * weights[:, c : c + 1]
    return total


def _averaged(samples: np.ndarray) -> np.ndarray:
    """Means over the samples of each pixel; colours weighted by coverage so that outlines keep the bone's hue."""
    summed = sum(samples[i::_SAMPLES, j::_SAMPLES] for i in range(_SAMPLES) for j in range(_SAMPLES))
    hits = np.maximum(summed[..., 3:] / 255.0, 1.0)
    alpha = summed[..., 3:] / _SAMPLES**2
    return np.concatenate([summed[..., :3] / hits, alpha], axis=2).round().astype(np.uint8)
