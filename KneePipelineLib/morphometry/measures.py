"""The regional measures of the tables, from surfaces that carry thickness and from the label map.

Every mean, standard deviation and median over vertices is weighted with the area the vertex stands for. The vertices
are spread evenly, so this changes little; it makes the numbers independent of how the triangles happen to lie.
"""

from __future__ import annotations

import numpy as np

from ..imaging.labels import BY_VALUE
from .records import BoneSurface
from .thickness import BONE_REGIONS

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
            for name, labels in region_names(bone).items():
                volume = sum(voxels.get(label, 0) for label in labels) * voxel_volume_mm3
                table[name] = region_measures(surfaces[bone], labels, volume)
    return table


def region_measures(surface: BoneSurface, labels: tuple[int, ...], volume_mm3: float) -> dict[str, float]:
    """The measures of one region that consists of these labels."""
    area = surface.vertex_area_mm2.astype(np.float64)
    in_field = np.isin(surface.field_region, labels)
    mean, std, median = weighted_statistics(surface.field_thickness_mm[in_field], area[in_field])
    covered = np.isin(surface.region, labels) & np.isfinite(surface.thickness_mm)
    total_mm2 = float(area[np.isin(surface.total_region, labels)].sum())
    covered_mm2 = float(area[covered].sum())
    summed = float((surface.thickness_mm[covered] * area[covered]).sum())
    denuded_mm2 = max(0.0, total_mm2 - covered_mm2)
    return {
        "mm_mean": mean,
        "mm_std": std,
        "mm_median": median,
        "VC_mm3": float(volume_mm3),
        "tAB_mm2": total_mm2,
        "cAB_mm2": covered_mm2,
        "dAB_mm2": denuded_mm2,
        "dAB_percent": _ratio(100 * denuded_mm2, total_mm2),
        "ThC_tAB_mm": _ratio(summed, total_mm2),
        "ThC_cAB_mm": _ratio(summed, covered_mm2),
    }


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
