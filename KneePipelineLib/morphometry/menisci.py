"""Meniscus volume, extrusion and coverage.

- Extrusion (mm): in the middle fifth of the tibial cartilage's anterior-posterior extent, how far the meniscus reaches
  beyond the cartilage, away from the middle of the knee, along the medial-lateral axis; negative inside.
- Coverage (%): the share of the cartilage-covered area of the tibial plateau above which, along superior, the meniscus
  lies within 10 mm.
"""

from __future__ import annotations

import numpy as np

from ..imaging.labels import (
    BY_VALUE,
    LATERAL_MENISCUS,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_MENISCUS,
    MEDIAL_TIBIAL_CARTILAGE,
)
from .bones import cartilage_mesh
from .rays import crossings
from .records import AnatomicalFrame, BoneSurface
from .working import WorkingKnee

MIDDLE_SHARE = 0.2
REACH_MM = 10.0


def meniscus_measures(
    knee: WorkingKnee, tibia: BoneSurface, frame: AnatomicalFrame, variance_mm2: float
) -> dict[str, dict[str, float]]:
    """Measures of each meniscus that occurs; NaN where the tibial cartilage below it is missing.

    Returns
    -------
    dict
        ``med_meniscus``, ``lat_meniscus`` -> `records.MENISCUS_MEASURES` -> float.
    """
    table = {}
    for meniscus, cartilage, outwards in (
        (MEDIAL_MENISCUS, MEDIAL_TIBIAL_CARTILAGE, frame.medial),
        (LATERAL_MENISCUS, LATERAL_TIBIAL_CARTILAGE, -frame.medial),
    ):
        if meniscus in knee.boxes:
            table[BY_VALUE[meniscus].name] = {
                "volume_mm3": float(np.count_nonzero(knee.mask(meniscus)) * knee.volume.voxel_volume_mm3),
                "extrusion_mm": extrusion_mm(
                    knee.points(meniscus), knee.points(cartilage), outwards, frame.axes[1]
                ),
                "coverage_percent": _coverage(knee, tibia, meniscus, cartilage, frame, variance_mm2),
            }
    return table


def extrusion_mm(meniscus: np.ndarray, cartilage: np.ndarray, outwards: np.ndarray, posterior: np.ndarray) -> float:
    """How far meniscus points reach beyond cartilage points along ``outwards`` in the middle fifth; NaN if empty.

    Parameters
    ----------
    meniscus, cartilage : (n, 3) floats
        Points of each, mm.
    outwards, posterior : (3,) floats
        Unit vectors.
    """
    if not len(meniscus) or not len(cartilage):
        return float("nan")
    along = cartilage @ posterior
    middle, half = (along.max() + along.min()) / 2, (along.max() - along.min()) * MIDDLE_SHARE / 2
    edges = []
    for points in (meniscus, cartilage):
        section = points[np.abs(points @ posterior - middle) <= half]
        if not len(section):
            return float("nan")
        edges.append((section @ outwards).max())
    return float(edges[0] - edges[1])


def _coverage(
    knee: WorkingKnee, tibia: BoneSurface, meniscus: int, cartilage: int, frame: AnatomicalFrame, variance_mm2: float
) -> float:
    under = np.flatnonzero((tibia.region == cartilage) & np.isfinite(tibia.thickness_mm))
    if not len(under):
        return float("nan")
    points, triangles = cartilage_mesh(knee, meniscus, variance_mm2)
    center = tibia.points.mean(axis=0, dtype=np.float64)
    local = ((points - center).astype(np.float32), triangles)
    upwards = np.broadcast_to(frame.axes[2], (len(under), 3))
    distances, _ = crossings(local, tibia.points[under] - center, upwards, REACH_MM, most=1)
    area = tibia.vertex_area_mm2[under].astype(np.float64)
    return float(100 * area[np.isfinite(distances[:, 0])].sum() / area.sum())
