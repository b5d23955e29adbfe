"""Thickness on a bone's surface, drawn by casting one ray a pixel (Embree, through point_cloud_utils).

Orthographic, so a millimetre is the same length everywhere in a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .colours import BONE_RGB, DENUDED_RGB, colour_of

SIZE = (440, 368)
"""Columns and rows of a picture."""
_SUBPIXELS = np.array([(-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125)])
"""Where the rays of a pixel on an edge pass, in pixels from its middle (a rotated grid); others get one ray."""
_CONTRAST = 20.0
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
    mm_per_pixel: float | None = None, ramp: np.ndarray | None = None,
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
    ramp : (256, 3) array of uint8, optional
        Other colours than those of thickness.
    """
    axes = np.eye(3) if axes is None else np.asarray(axes, dtype=np.float64)
    scene = _Scene.of(surface, np.stack([view.right, view.up, view.towards_viewer]) @ axes, upper_mm, ramp)
    low, high = scene.points.min(axis=0), scene.points.max(axis=0)
    if mm_per_pixel is None:
        mm_per_pixel = fitting_scale([(high - low)[:2]], size)
    x = (low[0] + high[0]) / 2 + (np.arange(size[0]) - (size[0] - 1) / 2) * mm_per_pixel
    y = (low[1] + high[1]) / 2 - (np.arange(size[1]) - (size[1] - 1) / 2) * mm_per_pixel
    places = np.stack(np.meshgrid(x, y), axis=-1)
    pixels = scene.seen_from(places.reshape(-1, 2)).reshape(*places.shape[:2], 4)
    edges = _contrasting(pixels)
    samples = places[edges][:, None] + _SUBPIXELS * mm_per_pixel
    pixels[edges] = scene.seen_from(samples.reshape(-1, 2)).reshape(-1, len(_SUBPIXELS), 4).mean(axis=1)
    return Rendering(view, _straight_alpha(pixels), mm_per_pixel)


def fitting_scale(extents_mm: list[np.ndarray], size: tuple[int, int]) -> float:
    """mm a pixel at which everything with these (width, height) fits into ``size`` with a margin."""
    return max(max(w / size[0], h / size[1]) for w, h in extents_mm) / 0.88


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


@dataclass(frozen=True, eq=False)
class _Scene:
    """A bone in the viewer's coordinates (x right, y up, z towards the viewer; mm), with what colours it.

    ``vertex`` holds by vertex: normal (3), whether thickness is known, thickness (0 where not), whether denuded.
    """

    points: np.ndarray
    triangles: np.ndarray
    vertex: np.ndarray
    upper_mm: float
    ramp: np.ndarray | None

    @classmethod
    def of(cls, surface: object, basis: np.ndarray, upper_mm: float, ramp: np.ndarray | None) -> _Scene:
        thickness = np.asarray(surface.thickness_mm, dtype=np.float32)
        known = np.isfinite(thickness)
        denuded = _without_specks(~known & (np.asarray(surface.total_region) > 0), surface.triangles)
        vertex = np.column_stack([surface.normals @ basis.T, known, np.where(known, thickness, 0.0), denuded])
        return cls(np.ascontiguousarray(surface.points @ basis.T, dtype=np.float32),
                   np.ascontiguousarray(surface.triangles, dtype=np.int32), vertex.astype(np.float32), upper_mm, ramp)

    def seen_from(self, places: np.ndarray) -> np.ndarray:
        """Colour times coverage and coverage, float32 (n, 4) from 0 to 255, at (x, y) places (n, 2)."""
        import point_cloud_utils as pcu

        origins = np.column_stack([places, np.full(len(places), self.points[:, 2].max() + 1.0)]).astype(np.float32)
        down = np.tile(np.float32([0, 0, -1]), (len(places), 1))
        face, weights, _ = pcu.ray_mesh_intersection(self.points, self.triangles, origins, down)
        hit = np.flatnonzero(face >= 0)
        values = _interpolated(self.vertex, self.triangles[face[hit]], weights[hit])
        seen = np.zeros((len(places), 4), np.float32)
        seen[hit, :3] = np.minimum(self._colours(values[:, 3:]) * _light(values[:, :3])[:, None], 255.0)
        seen[hit, 3] = 255.0
        return seen

    def _colours(self, values: np.ndarray) -> np.ndarray:
        """Cartilage where most of the interpolation weight has a thickness, bone elsewhere."""
        share, thickness, bare = values.T
        covered = share >= 0.5
        cartilage = colour_of(thickness / np.maximum(share, 1e-6), self.upper_mm, self.ramp)
        colours = np.where(covered[:, None], cartilage, np.uint8(BONE_RGB))
        colours[(np.abs(bare - 0.5) < _DENUDED_LINE) & ~covered] = DENUDED_RGB
        return colours.astype(np.float32)


def _without_specks(mask: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The vertices of ``mask`` that belong to more than a rim one vertex wide (opening by one ring of neighbours)."""
    def beside(chosen: np.ndarray) -> np.ndarray:
        near = np.zeros(len(chosen), bool)
        near[triangles[chosen[triangles].any(axis=1)]] = True
        return near

    return mask & beside(mask & ~beside(~mask))


def _light(normal: np.ndarray) -> np.ndarray:
    """Soft light from above the viewer's left shoulder; flat enough not to change how a colour reads."""
    normal = normal / np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-6)[:, None]
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


def _contrasting(pixels: np.ndarray) -> np.ndarray:
    """Where a pixel differs clearly from a neighbour: only there is one ray too few."""
    edge = np.zeros(pixels.shape[:2], bool)
    down = np.abs(np.diff(pixels, axis=0)).max(axis=2) > _CONTRAST
    across = np.abs(np.diff(pixels, axis=1)).max(axis=2) > _CONTRAST
    edge[:-1] |= down
    edge[1:] |= down
    edge[:, :-1] |= across
    edge[:, 1:] |= across
    return edge


def _straight_alpha(pixels: np.ndarray) -> np.ndarray:
    """uint8 RGBA whose colours are not darkened by their coverage, as PNG wants them."""
    colours = pixels[..., :3] * (255.0 / np.maximum(pixels[..., 3:], 1.0))
    return np.concatenate([colours, pixels[..., 3:]], axis=2).round().clip(0, 255).astype(np.uint8)
