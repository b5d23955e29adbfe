"""The footprint of a cartilage: the bone that it covers or would cover in health (total area tAB).

1. Each template's footprint is carried to the person's bone (`correspondence`), as the depth inside its edge at every
   vertex. The templates' mean says how far the footprint reaches; a vertex counts as well inside only where every
   template says so.
2. The person's own rim corrects it: where cartilage ends within ``RIM_MM`` of where it is expected to, and does so over
   a stretch, the rim is taken as healthy, and the expected edge is moved there, smoothly along the surface. Where it
   ends deeper inside, it is worn, and the edge stays where the healthy stretches put it.
3. Bare bone is denuded where it lies deeper than ``DEEP_MM`` inside, in patches that reach ``CORE_MM``, with what lies
   around that inside the footprint; so a rim that differs by a little from the expected one is not. Holes that
   cartilage encloses are denuded wherever they are (`total_area`).

The footprint is the covered and the denuded bone together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .correspondence import correspond
from .surfaces import Mesh
from .templates import PLATES, Template, joint_end, shipped_templates
from .total_area import edge_graph, enclosed_defects, geodesic_mm, sizeable

RIM_MM = 3.5
"""Cartilage that ends this much inside or outside the (moved) edge of the template ends where it may in health."""

STRETCH_MM = 6.0
"""A healthy stretch of rim holds no worn rim within this."""

RIM_SIGMA_MM = 8.0
MOST_MOVED_MM = 5.0
DEEP_MM = 2.0
CORE_MM = 4.0
"""A patch of such bone counts if some of it lies at least this deep: rims differ by less from person to person."""

SPREAD_MM = 1.0
"""How much deeper the templates' mean may be than their least for bone to count as that deep."""

REACH_MM = 4.0
"""How far around deep bare bone the shallower bare bone of the footprint is denuded with it."""

SMALLEST_MM2 = 12.0
"""Area of the smallest denuded patch at a rim."""

FAR_MM = 7.0
"""A vertex this far from the template's bone (an osteophyte, the shaft) is in no footprint."""

LEAST_COSINE = 0.3
"""Nor is one whose surface faces elsewhere than the template's there: an osteophyte's flank, the face of a cut."""

MOST_RESIDUAL_MM = 2.0
"""A worse match of the bones than this, and the template is not used."""


@dataclass(frozen=True, eq=False)
class Footprint:
    """The footprints on one bone.

    Attributes
    ----------
    plate : (n,) uint8
        Canonical label of the cartilage that covers the vertex or would in health; 0 outside.
    residual_mm : float
        Of the best match of the templates' bones; NaN where no template was tried.
    used : bool
        Whether templates took part; otherwise only enclosed bare bone is in.
    turns : tuple of (3, 3) arrays
        The rotation of the bone onto each template's.
    """

    plate: np.ndarray
    residual_mm: float
    used: bool
    turns: tuple[np.ndarray, ...]


def footprint(
    bone: str, mesh: Mesh, normals: np.ndarray, areas_mm2: np.ndarray, covered: np.ndarray, closing_mm: float,
    templates: Sequence[Template] | None = None,
) -> Footprint:
    """Find the footprints on a bone.

    Parameters
    ----------
    bone : str
    mesh : Mesh
        In the knee's frame of a right knee: medial, posterior, superior, mm.
    normals : (n, 3) floats
        In the same frame.
    areas_mm2 : (n,) floats
        The area each vertex stands for.
    covered : (n,) uint8
        Canonical label of the cartilage on each vertex, 0 where bare.
    closing_mm : float
        Radius of the closing for narrow gaps, see `total_area`.
    templates : sequence of Template, optional
        The shipped ones by default; an empty one for the enclosed rule alone.
    """
    graph = edge_graph(mesh)
    plate = covered.astype(np.uint8)
    for label in PLATES[bone]:
        hole = enclosed_defects(graph, covered == label, areas_mm2, closing_mm) & (plate == 0)
        plate[hole] = label
    templates = shipped_templates(bone) if templates is None else templates
    depths, residual, turns = {}, float("nan"), ()
    if templates:
        depths, residual, turns = _carried(bone, mesh[0].astype(np.float64), normals, templates)
    for label, (mean, least) in depths.items():
        own = plate == label
        moved = _edge_moved(graph, mesh, own, mean)
        inside, deep = mean - moved, np.minimum(mean, least + SPREAD_MM) - np.maximum(moved, 0.0)
        bare = (plate == 0) & (inside > 0)
        seeds = _cored(graph, bare & (deep > DEEP_MM), deep)
        if not seeds.any():
            continue
        near = geodesic_mm(graph, seeds, REACH_MM) <= REACH_MM
        plate[sizeable(graph, bare & near, areas_mm2, SMALLEST_MM2)] = label
    return Footprint(plate, residual, bool(depths), turns if depths else ())


def _cored(graph, chosen: np.ndarray, depth_mm: np.ndarray) -> np.ndarray:
    """The connected patches of chosen vertices that reach ``CORE_MM`` deep somewhere."""
    from scipy.sparse.csgraph import connected_components

    members = np.flatnonzero(chosen)
    kept = np.zeros(len(chosen), bool)
    if len(members):
        patch = connected_components(graph[members][:, members], directed=False)[1]
        deepest = np.full(patch.max() + 1, -np.inf)
        np.maximum.at(deepest, patch, depth_mm[members])
        kept[members] = deepest[patch] >= CORE_MM
    return kept


def _carried(
    bone: str, points: np.ndarray, normals: np.ndarray, templates: Sequence[Template]
) -> tuple[dict[int, tuple[np.ndarray, np.ndarray]], float, tuple[np.ndarray, ...]]:
    """Plate -> mean and least depth (n,) over the templates that fit; the best residual; the turn onto each."""
    near = joint_end(bone, points[:, 2])
    depths: dict[int, list[np.ndarray]] = {label: [] for label in PLATES[bone]}
    residuals, turns = [], []
    for template in templates:
        match = correspond(points, normals.astype(np.float64), template, near,
                           lambda there, of=template: of.shows(bone, there), centred=bone == "patella")
        residuals.append(match.residual_mm)
        turns.append(match.turn)
        if match.residual_mm > MOST_RESIDUAL_MM:
            continue
        there = match.onto(points)
        distance, nearest = template.tree.query(there, k=3)
        weights = 1 / (distance + 0.3)
        weights /= weights.sum(axis=1)[:, None]
        facing = np.einsum("ij,ij->i", normals @ match.turn.T, template.normals[nearest[:, 0]])
        known = template.shows(bone, there) & (distance[:, 0] < FAR_MM) & (facing > LEAST_COSINE)
        for label in PLATES[bone]:
            depth = (template.depth_mm[label][nearest] * weights).sum(axis=1)
            depths[label].append(np.where(known, depth, -99.0))
    found = {label: (np.mean(d, axis=0), np.min(d, axis=0)) for label, d in depths.items() if d}
    return found, min(residuals), tuple(turns)


def _edge_moved(graph, mesh: Mesh, own: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """By how much (mm, positive inwards) the person's healthy rim lies from the template's edge, at every vertex."""
    from scipy.spatial import cKDTree

    points, triangles = mesh
    mixed = triangles[own[triangles].any(axis=1) & ~own[triangles].all(axis=1)]
    rim = np.unique(mixed)
    rim = rim[own[rim]]
    if not len(rim):
        return np.zeros(len(points))
    read = depth[rim]
    middle = 0.0
    for _ in range(4):
        likely = np.abs(read - middle) < RIM_MM
        if not likely.any():
            break
        middle = float(np.clip(np.median(read[likely]), -MOST_MOVED_MM, MOST_MOVED_MM))
    worn = read - middle > RIM_MM
    places = points[rim].astype(np.float64)
    if worn.any():
        worn |= cKDTree(places[worn]).query(places)[0] < STRETCH_MM
    healthy = places[~worn]
    if not len(healthy):
        return np.full(len(points), middle if likely.any() else 0.0)
    # smooth along the healthy rim, drawn to the plate's middle where there is none near
    moved = np.clip(read[~worn], -MOST_MOVED_MM, MOST_MOVED_MM)
    near = np.flatnonzero((depth > -8) & (depth < 99))
    distance, which = cKDTree(healthy).query(points[near], k=min(40, len(healthy)))
    distance, which = np.atleast_2d(distance.T).T, np.atleast_2d(which.T).T
    weights = np.exp(-(distance**2) / (2 * RIM_SIGMA_MM**2))
    prior = 0.15 * weights.shape[1]
    field = np.full(len(points), middle)
    field[near] = ((weights * moved[which]).sum(axis=1) + prior * middle) / (weights.sum(axis=1) + prior)
    return field


def in_right_knee(points: np.ndarray, mirrored: bool) -> np.ndarray:
    """Left, posterior, superior (mm or unit vectors) to medial, posterior, superior; ``mirrored`` for a left knee."""
    return points * np.array([-1.0 if mirrored else 1.0, 1.0, 1.0])
