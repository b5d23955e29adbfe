"""Pictures of a shape model's fit: where it is off on the surface, both outlines in three cuts, the score's scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from .colours import error_map
from .surfaces import VIEWS, Rendering, View, render_bone
from .svg import figure

UPPER_MM = 2.0
"""Top of the scale of distances, on every report."""
Mesh = tuple[np.ndarray, np.ndarray]
FEMUR_VIEWS = tuple(view for view in VIEWS if view.bone == "femur")
SCORE_RANGE = (-4.0, 8.0)
UNLIKE_HEALTHY = 2.0
_POINT_EVERY_MM = 0.4


@dataclass(frozen=True, eq=False)
class ShapePicture:
    """One reconstructed surface.

    Attributes
    ----------
    kind : str
        ``bone_and_cart`` or ``bone_only``.
    structure : str
        ``femur`` or ``fem_cart``.
    points, triangles : arrays
        The reconstruction, LPS mm.
    distance_mm : (n,) array
        Distance of its vertices from the original surface.
    original : (points, triangles)
        What was fitted.
    """

    kind: str
    structure: str
    points: np.ndarray
    triangles: np.ndarray
    distance_mm: np.ndarray
    original: Mesh


@dataclass(frozen=True, eq=False)
class _Coloured:
    """A surface as `surfaces.render_bone` wants it."""

    points: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    thickness_mm: np.ndarray
    total_region: np.ndarray


def render_errors(picture: ShapePicture, view: View, axes: np.ndarray | None = None, mm_per_pixel: float | None = None,
                  ) -> Rendering:
    """The reconstruction from one side, coloured by its distance from the original."""
    surface = _Coloured(picture.points, picture.triangles, _normals(picture.points, picture.triangles),
                        picture.distance_mm, np.zeros(len(picture.points), np.uint8))
    return render_bone(surface, view, upper_mm=UPPER_MM, axes=axes, mm_per_pixel=mm_per_pixel, ramp=error_map())


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit vertex normals, weighted by the triangles' areas."""
    corners = points[triangles].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack([np.bincount(triangles.ravel(), np.repeat(across[:, axis], 3), len(points)) for axis in range(3)],
                     axis=1)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class Cut:
    """A plane through the femur: its title, the axis it is perpendicular to, how far along the femur's extent."""

    title: str
    axis: int
    share: float
    edges: tuple[str, str]


CUTS = (Cut("Coronal cut", 1, 0.55, ("right", "left")),
        Cut("Sagittal cut, patient's right", 0, 0.22, ("anterior", "posterior")),
        Cut("Sagittal cut, patient's left", 0, 0.78, ("anterior", "posterior")))


def cut_svg(cut: Cut, pictures: Sequence[ShapePicture], axes: np.ndarray | None, description: str) -> str:
    """Original (thin, dark) and reconstructed (coloured) outlines of all surfaces in one plane, superior up."""
    axes = np.eye(3) if axes is None else np.asarray(axes, np.float64)
    bone = pictures[0].original[0] @ axes.T
    low, high = bone.min(axis=0), bone.max(axis=0)
    level = float(low[cut.axis] + cut.share * (high - low)[cut.axis])
    across = 1 - cut.axis
    scale = 400 / max((high - low)[:2])  # one for all cuts
    corner = [(low + high)[across] / 2 - 220 / scale, high[2] + 24 / scale]
    lines = []
    for kind, meshes in (("original", [p.original for p in pictures]),
                         ("recon", [(p.points, p.triangles) for p in pictures])):
        for points, triangles in meshes:
            path = "".join(_path((loop - corner) * [scale, -scale])
                           for loop in outlines(points @ axes.T, triangles, cut.axis, level))
            lines.append(f'<path class="{kind}" d="{path}"/>')
    height = (high - low)[2] * scale + 64
    words = "".join(f'<text class="edge" text-anchor="{anchor}" x="{x}" y="16">{escape(word)}</text>'
                    for word, anchor, x in ((cut.edges[0], "start", 6), (cut.edges[1], "end", 434)))
    bar = f'<path class="bar" d="M{428 - 10 * scale:.1f} {height - 12:.1f}v4H428v-4"/>' \
          f'<text class="bar" text-anchor="middle" x="{428 - 5 * scale:.1f}" y="{height - 16:.1f}">10 mm</text>'
    return figure(440, height, description, "".join(lines) + words + bar, "cut")


def outlines(points: np.ndarray, triangles: np.ndarray, axis: int, level: float) -> list[np.ndarray]:
    """Where a mesh meets the plane ``coordinate[axis] = level``: polylines (n, 2) in the two other coordinates."""
    height = points[:, axis] - level
    height = np.where(height == 0, 1e-9, height)
    above = height[triangles] > 0
    chosen = triangles[above.any(axis=1) & ~above.all(axis=1)]
    edges = np.sort(np.stack([chosen, np.roll(chosen, -1, axis=1)], axis=2), axis=2)  # (m, 3 edges, 2 ends)
    crossing = (height[edges[..., 0]] > 0) != (height[edges[..., 1]] > 0)
    pairs = edges[crossing].reshape(-1, 2, 2)  # two edges of every cut triangle
    ends, numbers = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    part = height[ends[:, 0]] / (height[ends[:, 0]] - height[ends[:, 1]])
    places = points[ends[:, 0]] + part[:, None] * (points[ends[:, 1]] - points[ends[:, 0]])
    keep = [a for a in range(3) if a != axis]
    return [places[chain][:, keep] for chain in _chains(numbers.reshape(-1, 2).tolist())]


def _chains(links: list[list[int]]) -> list[list[int]]:
    """Links between numbers, joined end to end."""
    beside: dict[int, list[int]] = {}
    for a, b in links:
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    found = []
    starts = sorted(beside, key=lambda n: len(beside[n]))  # open ends first
    for start in starts:
        chain = [start]
        while beside[chain[-1]]:
            after = beside[chain[-1]].pop()
            beside[after].remove(chain[-1])
            chain.append(after)
        if len(chain) > 2:
            found.append(chain)
    return found


def _path(points: np.ndarray) -> str:
    """A polyline as SVG, its points thinned out to what the eye can tell apart."""
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    kept = np.unique(np.concatenate([np.searchsorted(steps, np.arange(0, steps[-1], 5 * _POINT_EVERY_MM)),
                                     [len(points) - 1]]))
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points[kept])


def score_svg(scores: Sequence[tuple[str, float]], description: str) -> str:
    """BScores on their scale: 0 is the average healthy knee, one step one standard deviation of healthy knees."""
    width, left, span, top = 640, 20, 600, 26 + 20 * len(scores)
    low = min(SCORE_RANGE[0], *(np.floor(score) for _, score in scores))
    high = max(SCORE_RANGE[1], *(np.ceil(score) for _, score in scores))

    def x(value: float) -> float:
        return left + span * (value - low) / (high - low)

    parts = [f'<rect class="healthy" x="{x(-UNLIKE_HEALTHY):.1f}" y="{top}" '
             f'width="{x(UNLIKE_HEALTHY) - x(-UNLIKE_HEALTHY):.1f}" height="16"/>',
             f'<rect class="unlike" x="{x(UNLIKE_HEALTHY):.1f}" y="{top}" width="{x(high) - x(UNLIKE_HEALTHY):.1f}" '
             'height="16"/>']
    for tick in np.arange(low, high + 1):
        parts.append(f'<path class="axis" d="M{x(tick):.1f} {top + 16}v5"/><text class="tick" text-anchor="middle" '
                     f'x="{x(tick):.1f}" y="{top + 36}">{f"{tick:g}".replace("-", "−")}</text>')
    parts.append(f'<text class="tick" text-anchor="middle" x="{x(0):.1f}" y="{top + 56}">average healthy knee</text>'
                 f'<text class="tick" text-anchor="middle" x="{(x(UNLIKE_HEALTHY) + x(high)) / 2:.1f}" y="{top + 56}">'
                 "unlike healthy knees</text>")
    for row, (title, score) in enumerate(scores):
        y = 16 + 20 * row
        anchor, shift = ("end", -9) if x(score) > width / 2 else ("start", 9)
        parts.append(f'<path class="score" d="M{x(score):.1f} {y - 4}V{top + 16}"/><circle class="score" '
                     f'cx="{x(score):.1f}" cy="{y - 4}" r="5"/><text class="number" text-anchor="{anchor}" '
                     f'x="{x(score) + shift:.1f}" y="{y + 1}">{escape(title)} '
                     f'{f"{score:.1f}".replace("-", "−")}</text>')
    return figure(width, top + 62, description, "".join(parts), "scale")
