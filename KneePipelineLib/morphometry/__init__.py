"""Labels -> cartilage subregions, surfaces, thickness, standard areas, depth layers, meniscus measures."""

from __future__ import annotations

from .types import (
    MEASURES,
    MENISCUS_MEASURES,
    WARNINGS,
    AnatomicalFrame,
    BoneSurface,
    KneeMorphometry,
    MorphometryOptions,
)

__all__ = [
    "MEASURES",
    "MENISCUS_MEASURES",
    "WARNINGS",
    "AnatomicalFrame",
    "BoneSurface",
    "KneeMorphometry",
    "MorphometryOptions",
]
