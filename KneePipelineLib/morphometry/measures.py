"""The regional measures of the tables, from surfaces that carry thickness and from the label map.

Every mean, standard deviation and median over vertices is weighted with the area the vertex stands for. The vertices
are spread evenly, so this changes little; it makes the numbers independent of how the triangles happen to lie.
"""

from __future__ import annotations

import numpy as np

from ..imaging.labels import BY_NAME, BY_VALUE, FINE_NAMES, PLATES, SUMS
from .records import BoneSurface
from .surfaces import gather, triangle_normals
from .thickness import BONE_REGIONS

EXTREME_SHARE = 0.01
"""The share of the covered area whose lowest and highest thickness aMiv and aMav are the means of."""

WHOLE_FEMUR = "fem_cart"


def region_names(bone: str) -> dict[str, tuple[int, ...]]:
    """The regions of a bone's tables and the labels each consists of; the whole femoral cartilage first."""
    regions = {BY_VALUE[label].name: (label,) for label in BONE_REGIONS[bone]}
    return {WHOLE_FEMUR: BONE_REGIONS[bone], **regions} if bone == "femur" else regions


def regional_measures(
    surfaces: dict[str, BoneSurface], voxels: dict[int, int], voxel_volume_mm3: float
) -> dict[str, dict[str, float]]:
    """All measures of all regions on the bones there are.

    Parameters
    ----------
    surfaces : dict
        Bone -> surface with thickness and regions.
    voxels : dict
        Voxels of each label in the subregion map.
    voxel_volume_mm3 : float

    Returns
    -------
    dict
        region -> measure -> float; see `records.MEASURES`. NaN where a mean has nothing to average.
    """
    table = {}
    for bone in ("femur", "tibia", "patella"):
        if bone in surfaces:
            articular = articular_area_mm2(surfaces[bone])
            for name, labels in region_names(bone).items():
                volume = sum(voxels.get(label, 0) for label in labels) * voxel_volume_mm3
                surface = surfaces[bone]
                table[name] = {**field_measures(surface, np.isin(surface.field_region, labels)),
                               **area_measures(surface, np.isin(surface.total_region, labels), volume, articular)}
    return table


def fine_measures(
    surfaces: dict[str, BoneSurface], voxels: dict[int, int], voxel_volume_mm3: float
) -> dict[str, dict[str, float]]:
    """The same for the plates and the fine regions, by their published names, without the field's own measures.

    ``voxels`` counts the fine regions' labels. Regions that a knee does not have are left out.
    """
    table = {}
    parts = {**PLATES, **{name: (name,) for name in FINE_NAMES}}
    for surface in surfaces.values():
        articular = articular_area_mm2(surface)
        for name, members in parts.items():
            labels = [BY_NAME[member].value for member in members]
            chosen = np.isin(surface.subregion, labels)
            if chosen.any():
                volume = sum(voxels.get(label, 0) for label in labels) * voxel_volume_mm3
                table[name] = area_measures(surface, chosen, volume, articular)
    return {name: table[name] for name in parts if name in table}


def thickness_sums(fine: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """MFTC, LFTC, cMFTC and cLFTC: sums of both parts' mean thickness over tAB; left out where one is missing."""
    return {name: {"ThC_tAB_mm": sum(fine[part]["ThC_tAB_mm"] for part in parts)}
            for name, parts in SUMS.items() if all(part in fine for part in parts)}


def field_measures(surface: BoneSurface, chosen: np.ndarray) -> dict[str, float]:
    """Mean, SD and median of the thickness that pyMSKT's rule reads at the chosen vertices."""
    area = surface.vertex_area_mm2.astype(np.float64)
    mean, std, median = weighted_statistics(surface.field_thickness_mm[chosen], area[chosen])
    return {"mm_mean": mean, "mm_std": std, "mm_median": median}


def area_measures(
    surface: BoneSurface, total: np.ndarray, volume_mm3: float, articular_mm2: np.ndarray
) -> dict[str, float]:
    """The measures of Eckstein et al. for a region.

    Parameters
    ----------
    surface : BoneSurface
    total : (n,) bool
        The vertices of its total area.
    volume_mm3 : float
        Cartilage in the region, from the label map.
    articular_mm2 : (n,) floats
        From `articular_area_mm2`.
    """
    area = surface.vertex_area_mm2.astype(np.float64)
    covered = total & np.isfinite(surface.thickness_mm)
    thickness = surface.thickness_mm[covered].astype(np.float64)
    total_mm2, covered_mm2 = float(area[total].sum()), float(area[covered].sum())
    summed = float((thickness * area[covered]).sum())
    denuded_mm2 = max(0.0, total_mm2 - covered_mm2)
    mean, std, _ = weighted_statistics(thickness, area[covered])
    return {
        "VC_mm3": float(volume_mm3),
        "tAB_mm2": total_mm2,
        "cAB_mm2": covered_mm2,
        "dAB_mm2": denuded_mm2,
        "dAB_percent": _ratio(100 * denuded_mm2, total_mm2),
        "ThC_tAB_mm": _ratio(summed, total_mm2),
        "ThC_cAB_mm": mean,
        "AC_mm2": float(articular_mm2[covered].sum()),
        "VCtAB_mm": _ratio(float(volume_mm3), total_mm2),
        "ThC_cAB_std_mm": std,
        "ThC_cAB_cv_percent": _ratio(100 * std, mean) if covered_mm2 else float("nan"),
        "aMiv_mm": _tail_mean(thickness, area[covered], EXTREME_SHARE),
        "aMav_mm": _tail_mean(-thickness, area[covered], EXTREME_SHARE, -1.0),
    }


def articular_area_mm2(surface: BoneSurface) -> np.ndarray:
    """Each covered vertex's share of the articular surface's area AC, (n,) float64, 0 elsewhere.

    The articular surface is the bone's, moved outwards by the thickness; a triangle that covered and bare vertices
    share counts by its covered corners.
    """
    covered = np.isfinite(surface.thickness_mm)
    moved = surface.points.astype(np.float64)
    moved[covered] += surface.thickness_mm[covered, None] * surface.normals[covered].astype(np.float64)
    lifted = surface.triangles[covered[surface.triangles].all(axis=1)]
    areas = np.zeros(len(moved))
    areas += gather(lifted, np.linalg.norm(triangle_normals((moved, lifted)), axis=1) / 6, len(moved))[:, 0]
    mixed = surface.triangles[covered[surface.triangles].any(axis=1) & ~covered[surface.triangles].all(axis=1)]
    flat = np.linalg.norm(triangle_normals((surface.points, mixed)), axis=1) / 6
    areas += gather(mixed, flat, len(moved))[:, 0]
    return np.where(covered, areas, 0.0)


def _tail_mean(values: np.ndarray, weights: np.ndarray, share: float, sign: float = 1.0) -> float:
    """Mean of the lowest share (by weight) of the values, times ``sign``; NaN for nothing."""
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    held = np.clip(share * weights.sum() - (np.cumsum(weights[order]) - weights[order]), 0, weights[order])
    return sign * float((values[order] * held).sum() / held.sum())


def weighted_statistics(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Weighted mean, standard deviation and median; NaN for nothing."""
    total = float(weights.sum())
    if not len(values) or total <= 0:
        return float("nan"), float("nan"), float("nan")
    values = values.astype(np.float64)
    mean = float((values * weights).sum() / total)
    std = float(np.sqrt(max(0.0, ((values - mean) ** 2 * weights).sum() / total)))
    order = np.argsort(values, kind="stable")
    middle = np.cumsum(weights[order]) - weights[order] / 2
    return mean, std, float(np.interp(total / 2, middle, values[order]))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")
