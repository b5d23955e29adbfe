"""The true subchondral surfaces: dense triangulated points on the exact bone, with exact normals and thicknesses.

Nothing here looks at voxels of an image. A lattice of the bone's implicit function gives triangles, whose corners are
then moved onto the exact zero of the function in float64; thickness is the root along the exact normal.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from .anatomy import CARTILAGE_BONE, Anatomy, Fields
from .implicit import normals, project

BOXES_MM = {
    "femoral": ((-46, -54, -8), (46, 36, 60)),
    "medial_tibial": ((0, -32, -16), (44, 32, 14)),
    "lateral_tibial": ((-44, -32, -16), (0, 32, 14)),
    "patellar": ((-32, -66, 6), (32, -34, 64)),
}
"""Boxes (canonical mm) that hold each cartilage's bone surface for any plausible variation."""


@dataclass(frozen=True)
class TrueSurface:
    """The subchondral surface under one cartilage, covered and denuded, canonical or LPS frame as said by its maker.

    Parameters
    ----------
    points : (n, 3) float64
        Points on the bone surface, mm.
    normals : (n, 3) float64
        Outward unit normals of the bone.
    triangles : (m, 3) int32
    area_mm2 : (n,) float64
        Weights for integrals over the total bone area tAB: each point's share of the area that intact cartilage
        covers (triangles across its edge count by their part inside); 0 on the bare margin.
    covered_mm2 : (n,) float64
        The same for the area that is covered now (cAB).
    thickness_mm : (n,) float64
        Length of the normal inside the cartilage; 0 on denuded bone.
    intact_mm : (n,) float64
        The same before any defect was cut.
    region : (n,) uint8
        4 with 11 to 15 for the femur's subregions (see ``TrueRegions``), 5, 6 or 7.
    """

    points: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    area_mm2: np.ndarray
    covered_mm2: np.ndarray
    thickness_mm: np.ndarray
    intact_mm: np.ndarray
    region: np.ndarray


def bone_mesh(anatomy: Anatomy, cartilage: str, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) exactly on the bone around a cartilage, and triangles (m, 3), canonical frame."""
    from skimage.measure import marching_cubes

    low, high = (np.array(v, dtype=float) for v in BOXES_MM[cartilage])
    axes = [np.arange(a, b + step_mm, step_mm) for a, b in zip(low, high, strict=True)]
    shape = anatomy.bone(CARTILAGE_BONE[cartilage])
    values = np.empty([len(a) for a in axes], dtype=np.float32)
    gy, gz = (g.astype(np.float32) for g in np.meshgrid(axes[1], axes[2], indexing="ij"))
    for i, x in enumerate(axes[0]):
        values[i] = shape((np.full_like(gy, x), gy, gz))
    points, triangles, _, _ = marching_cubes(values, 0.0, spacing=(step_mm,) * 3)
    points = points + low
    grows = anatomy.coverage(cartilage, tuple(points.T)) > -2.5
    kept = grows[triangles].any(axis=1)
    used, inverse = np.unique(triangles[kept], return_inverse=True)
    return project(shape, points[used]), inverse.reshape(-1, 3).astype(np.int32)


def thickness_along_normals(anatomy: Anatomy, cartilage: str, points: np.ndarray, normal: np.ndarray, *,
                            intact: bool = False) -> np.ndarray:
    """Exact thickness (canonical mm) along the bone's normal at points on its surface, shape (n,).

    The outer surface is the zero of ``distance - thickness(foot point)``; the root is bracketed around the nominal
    thickness and found by the secant rule with bisection as its guard, to 1e-7 mm. 0 where nothing grows.
    """
    nominal = (anatomy.intact_thickness if intact else anatomy.thickness)(cartilage, tuple(points.T))
    result = np.zeros(len(points))
    active = np.flatnonzero(nominal > 0)
    if not len(active):
        return result
    source = copy(anatomy)
    if intact:
        source.defects = ()
    p, n, guess = points[active], normal[active], nominal[active]

    def beyond(t: np.ndarray) -> np.ndarray:
        return Fields(source, tuple((p + t[:, None] * n).T)).outer(cartilage)[0]

    low, high = np.zeros(len(active)), guess * 1.5 + 0.3
    t = guess
    f_low, f_high = beyond(low), beyond(high)
    for _ in range(40):
        f = beyond(t)
        inside = f < 0
        low, f_low = np.where(inside, t, low), np.where(inside, f, f_low)
        high, f_high = np.where(inside, high, t), np.where(inside, f_high, f)
        if np.abs(f).max() < 1e-7 or (high - low).max() < 1e-8:
            break
        step = np.clip(f_low / (f_low - f_high + 1e-300), 0.02, 0.98)
        t = np.where(np.abs(f) < 1e-7, t, low + step * (high - low))
    result[active] = t
    return result


def inner_areas(points: np.ndarray, triangles: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """The area where ``edge`` (n,) interpolates to a positive value, shared out to the positive corners, shape (n,)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    values = edge[triangles]
    positive = values > 0
    count = positive.sum(axis=1)
    # One corner differs in sign: the small triangle at that corner is cut off by a straight line.
    lone = np.where(count == 1, np.argmax(positive, axis=1), np.argmin(positive, axis=1))
    rows = np.arange(len(values))
    v, v1, v2 = (values[rows, (lone + k) % 3] for k in range(3))
    mixed = (count == 1) | (count == 2)
    tip = np.divide(v * v, (v - v1) * (v - v2), out=np.zeros_like(v), where=mixed)
    share = np.where(count == 3, 1.0, np.where(count == 1, tip, np.where(count == 2, 1 - tip, 0.0)))
    weights = positive * (area * share / np.maximum(count, 1))[:, None]
    return np.bincount(triangles.ravel(), weights=weights.ravel(), minlength=len(points))


def prism_volumes(points: np.ndarray, normal: np.ndarray, thickness: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Volume (mm3) swept along the normals from bone to outer surface, shared out to the points, shape (n,).

    Each triangle's sweep is integrated exactly for linearly varying thickness and normal: the offset triangle at the
    fraction s of the way has corners p + s t n, and the flux of the sweep through it is a cubic polynomial in s, which
    the three-point Gauss rule integrates exactly.
    """
    volume = np.zeros(len(triangles))
    for s, weight in zip((0.5 - 0.15**0.5, 0.5, 0.5 + 0.15**0.5), (5 / 18, 8 / 18, 5 / 18), strict=True):
        sweep = (thickness[:, None] * normal)
        a, b, c = ((points + s * sweep)[triangles[:, k]] for k in range(3))
        cross = np.cross(b - a, c - a)
        mean = sweep[triangles].mean(axis=1)
        volume += weight * 0.5 * np.abs((cross * mean).sum(axis=1))
    return np.bincount(triangles.ravel(), weights=np.repeat(volume / 3, 3), minlength=len(points))


def true_surface(anatomy: Anatomy, cartilage: str, step_mm: float = 0.6) -> TrueSurface:
    """The subchondral surface under one cartilage in the canonical frame; ``region`` is filled in by the caller."""
    points, triangles = bone_mesh(anatomy, cartilage, step_mm)
    normal = normals(anatomy.bone(CARTILAGE_BONE[cartilage]), points)
    intact = thickness_along_normals(anatomy, cartilage, points, normal, intact=True)
    thickness = intact
    if any(defect.cartilage == cartilage for defect, _ in anatomy.defects):
        thickness = thickness_along_normals(anatomy, cartilage, points, normal)
    areas = [inner_areas(points, triangles, field(cartilage, tuple(points.T)))
             for field in (anatomy.coverage, anatomy.covered)]
    return TrueSurface(points, normal, triangles, *areas, thickness, intact, np.zeros(len(points), dtype=np.uint8))
