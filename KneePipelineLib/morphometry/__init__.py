"""Labels -> cartilage subregions, surfaces, thickness, standard areas, depth layers, meniscus measures."""

from __future__ import annotations

from ..measures_version import MEASURES_VERSION
from .knee import femoral_subregions, measure_knee, measure_prepared, prepare_knee
from .records import (
    AREA_MEASURES,
    JOINT_MEASURES,
    MEASURES,
    MENISCUS_MEASURES,
    WARNINGS,
    AnatomicalFrame,
    BoneSurface,
    KneeMorphometry,
    MorphometryOptions,
    PreparedKnee,
)
from .schemes import canonical_labels
from .sides import laterality
from .storage import read_prepared, write_prepared

__all__ = [
    "AREA_MEASURES",
    "JOINT_MEASURES",
    "MEASURES",
    "MEASURES_VERSION",
    "MENISCUS_MEASURES",
    "WARNINGS",
    "AnatomicalFrame",
    "BoneSurface",
    "KneeMorphometry",
    "MorphometryOptions",
    "PreparedKnee",
    "canonical_labels",
    "femoral_subregions",
    "laterality",
    "measure_knee",
    "measure_prepared",
    "prepare_knee",
    "read_prepared",
    "write_prepared",
]
