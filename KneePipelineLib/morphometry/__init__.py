"""Labels -> cartilage subregions, surfaces, thickness, standard areas, depth layers, meniscus measures."""

from __future__ import annotations

from .knee import femoral_subregions, measure_knee, measure_prepared, prepare_knee
from .records import (
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
    "MEASURES",
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
