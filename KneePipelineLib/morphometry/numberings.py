"""The numberings of label maps that are known by name: value in the file -> canonical value.

Our own three are told apart by the knee they show. Those of public data sets are read only when a person names them:
several agree in their first values, and a wrong guess would paint one structure as another.

Sources of the public ones: OAI-ZIB (Ambellan et al., Med Image Anal 2019;52:109-118), OAI-ZIB-CM (Yao et al., Med Image
Anal 2024;91:103035), SKI10 (Heimann et al., MICCAI 2010 Grand Challenge), SKM-TEA (Desai et al., NeurIPS Datasets 2021)
and the OAI's iMorphics set in the order of the 2019 IWOAI challenge (Desai et al., Radiol Artif Intell 2021;3:e200078).
"""

from __future__ import annotations

from ..imaging.labels import BY_VALUE, FEMORAL_CARTILAGE, FIBULA, NATIVE_TO_CANONICAL, STRUCTURES, SUBREGIONS

TIBIAL_CARTILAGE, MENISCI = 16, 17
"""Stand-ins within a mapping: both tibial cartilages, or both menisci, under one value; parted at the middle."""

PARTED = {TIBIAL_CARTILAGE: (5, 6), MENISCI: (8, 9)}
UNSIDED_NAMES = {"tib_cart": TIBIAL_CARTILAGE, "meniscus": MENISCI}
TITLES = {value: structure.title for value, structure in BY_VALUE.items()} | {
    TIBIAL_CARTILAGE: "Tibial cartilage", MENISCI: "Menisci"}

FOLDED_SUBREGIONS = {s.value: FEMORAL_CARTILAGE for s in SUBREGIONS}
"""Maps that come back with femoral subregions: 11 to 15 are femoral cartilage, where the map has no other."""

SCHEMES: dict[str, dict[int, int]] = {
    "canonical": {s.value: s.value for s in STRUCTURES},
    "native": dict(NATIVE_TO_CANONICAL),
    # 1 femoral, 2 medial tibial, 3 lateral tibial, 4 patellar cartilage, 5 femur, 6 tibia, 7 patella, 8 fibula,
    # 9 lateral, 10 medial meniscus: the order of the OAI segmentations that pyMSKT's examples carry.
    "archive": {1: 4, 2: 5, 3: 6, 4: 7, 5: 1, 6: 2, 7: 3, 8: FIBULA, 9: 9, 10: 8},
}
"""The numberings that ``auto`` chooses from."""

WITH_SUBREGIONS = ("canonical", "archive")

PUBLIC: dict[str, dict[int, int]] = {
    "oai-zib": {1: 1, 2: 4, 3: 2, 4: TIBIAL_CARTILAGE},
    "oai-zib-cm": {1: 1, 2: 4, 3: 2, 4: 5, 5: 6},
    "ski10": {1: 1, 2: 4, 3: 2, 4: TIBIAL_CARTILAGE},
    "skm-tea": {1: 7, 2: 4, 3: 5, 4: 6, 5: 8, 6: 9},
    "oai-imorphics": {1: 4, 2: 5, 3: 6, 4: 7, 5: 9, 6: 8},
}
"""Numberings of public data sets, read when they are named. The last two have no bones."""

PUBLIC_TITLES = {"oai-zib": "OAI-ZIB", "oai-zib-cm": "OAI-ZIB-CM", "ski10": "SKI10", "skm-tea": "SKM-TEA",
                 "oai-imorphics": "OAI iMorphics"}

SCHEME_TITLES = {
    "canonical": "canonical (1 femur, 2 tibia, 3 patella, 4 femoral cartilage, ...)",
    "native": "native (1 patellar cartilage, 2 femoral cartilage, ..., 7 femur, 8 tibia, 9 patella)",
    "archive": "archive (1 femoral cartilage, ..., 5 femur, 6 tibia, 7 patella)",
}


def mapping_of(name: str, counts: dict[int, int]) -> dict[int, int]:
    """A named numbering as a map of these values means it.

    Parameters
    ----------
    name : str
        A key of `SCHEMES` or `PUBLIC`.
    counts : dict
        Voxels of each value that occurs: 11 to 15 stand for femoral cartilage only where the map has no other.
    """
    mapping = SCHEMES.get(name) or PUBLIC[name]
    own = next(value for value, canonical in mapping.items() if canonical == FEMORAL_CARTILAGE)
    return mapping | FOLDED_SUBREGIONS if name in WITH_SUBREGIONS and own not in counts else mapping


def in_words(mapping: dict[int, int]) -> str:
    """A numbering as people write it: ``1 femur, 2 femoral cartilage, ...``."""
    return ", ".join(f"{value} {TITLES[canonical].lower()}" for value, canonical in sorted(mapping.items()))
