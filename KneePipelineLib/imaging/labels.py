"""The label sets: which number means which structure, in which colour, under which standard code.

Two integer schemes exist. *Canonical* is ours and that of every file we write (design, section 7). *Native* is the
order in which the published networks answer. Reading one as the other paints every bone as cartilage, so the remap is
explicit and refuses what it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SegmentationError

Code = tuple[str, str, str]
"""Coding scheme designator, value and meaning, as in DICOM PS3.16."""


@dataclass(frozen=True)
class Structure:
    """One labelled structure: canonical value, short name (as in file columns), title, sRGB colour and code.

    ``code`` says of which type it is, SNOMED CT throughout; ``modifier`` is the qualifier (medial, lateral, anterior)
    or None. A cartilage's code is that of the tissue; `codes_of` adds the bone that it covers.
    """

    value: int
    name: str
    title: str
    color: tuple[int, int, int]
    code: Code
    modifier: Code | None = None


_MEDIAL = ("SCT", "255561001", "Medial")
_LATERAL = ("SCT", "49370004", "Lateral")
_ANTERIOR = ("SCT", "255549009", "Anterior")
_CARTILAGE = ("SCT", "309312004", "Cartilage")
_MENISCUS = ("SCT", "74135004", "Meniscus")
_FINER = {"61496007": _CARTILAGE, "38033009": _MENISCUS}
"""Articular cartilage and meniscus of knee, which name a tissue and its joint at once: understood, not written."""
_ANATOMICAL_STRUCTURE = ("SCT", "123037004", "Anatomical Structure")
_TISSUE = ("SCT", "85756007", "Tissue")
_KNEE = ("SCT", "72696002", "Knee")
_SIDES = {"right": ("SCT", "24028007", "Right"), "left": ("SCT", "7771000", "Left")}

BACKGROUND, FEMUR, TIBIA, PATELLA = 0, 1, 2, 3
FEMORAL_CARTILAGE, MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE, PATELLAR_CARTILAGE = 4, 5, 6, 7
MEDIAL_MENISCUS, LATERAL_MENISCUS, FIBULA = 8, 9, 10
ANTERIOR_FEMORAL, MEDIAL_WEIGHT_BEARING, LATERAL_WEIGHT_BEARING = 11, 12, 13
MEDIAL_POSTERIOR, LATERAL_POSTERIOR = 14, 15
DEEP_OFFSET, SUPERFICIAL_OFFSET = 100, 200

STRUCTURES = (
    Structure(FEMUR, "femur", "Femur", (241, 214, 145), ("SCT", "71341001", "Femur")),
    Structure(TIBIA, "tibia", "Tibia", (220, 190, 125), ("SCT", "12611008", "Tibia")),
    Structure(PATELLA, "patella", "Patella", (200, 170, 110), ("SCT", "64234005", "Patella")),
    Structure(FEMORAL_CARTILAGE, "fem_cart", "Femoral cartilage", (65, 145, 220), _CARTILAGE),
    Structure(MEDIAL_TIBIAL_CARTILAGE, "med_tib_cart", "Medial tibial cartilage", (214, 110, 170), _CARTILAGE, _MEDIAL),
    Structure(
        LATERAL_TIBIAL_CARTILAGE, "lat_tib_cart", "Lateral tibial cartilage", (140, 110, 210), _CARTILAGE, _LATERAL
    ),
    Structure(PATELLAR_CARTILAGE, "pat_cart", "Patellar cartilage", (80, 195, 215), _CARTILAGE),
    Structure(MEDIAL_MENISCUS, "med_meniscus", "Medial meniscus", (165, 90, 50), _MENISCUS, _MEDIAL),
    Structure(LATERAL_MENISCUS, "lat_meniscus", "Lateral meniscus", (105, 60, 45), _MENISCUS, _LATERAL),
    Structure(FIBULA, "fibula", "Fibula", (180, 155, 105), ("SCT", "87342007", "Fibula")),
)

SUBREGIONS = (
    Structure(ANTERIOR_FEMORAL, "ant_fem_cart", "Anterior femoral cartilage", (70, 130, 180), _CARTILAGE,
              _ANTERIOR),
    Structure(MEDIAL_WEIGHT_BEARING, "med_wb_fem_cart", "Medial weight-bearing femoral cartilage", (46, 160, 130),
              _CARTILAGE, _MEDIAL),
    Structure(LATERAL_WEIGHT_BEARING, "lat_wb_fem_cart", "Lateral weight-bearing femoral cartilage", (170, 200, 80),
              _CARTILAGE, _LATERAL),
    Structure(MEDIAL_POSTERIOR, "med_post_fem_cart", "Medial posterior femoral cartilage", (235, 170, 60),
              _CARTILAGE, _MEDIAL),
    Structure(LATERAL_POSTERIOR, "lat_post_fem_cart", "Lateral posterior femoral cartilage", (205, 95, 85),
              _CARTILAGE, _LATERAL),
)

FINE_REGIONS = tuple(Structure(*entry, _CARTILAGE, side) for side, entries in (
    (_MEDIAL, (
        (41, "cMT", "Medial tibia, central", (214, 60, 140)), (42, "eMT", "Medial tibia, external", (235, 140, 190)),
        (43, "iMT", "Medial tibia, internal", (160, 70, 120)), (44, "aMT", "Medial tibia, anterior", (240, 175, 150)),
        (45, "pMT", "Medial tibia, posterior", (185, 120, 165)),
        (51, "ccMF", "Medial weight-bearing femur, central", (30, 150, 110)),
        (52, "ecMF", "Medial weight-bearing femur, external", (120, 205, 165)),
        (53, "icMF", "Medial weight-bearing femur, internal", (20, 105, 90)),
        (57, "mTrF", "Medial trochlea", (60, 110, 200)), (59, "mP", "Medial patellar facet", (60, 175, 205)),
    )), (_LATERAL, (
        (46, "cLT", "Lateral tibia, central", (110, 70, 205)), (47, "eLT", "Lateral tibia, external", (175, 155, 235)),
        (48, "iLT", "Lateral tibia, internal", (90, 75, 150)), (49, "aLT", "Lateral tibia, anterior", (150, 175, 240)),
        (50, "pLT", "Lateral tibia, posterior", (140, 120, 190)),
        (54, "ccLF", "Lateral weight-bearing femur, central", (160, 190, 50)),
        (55, "ecLF", "Lateral weight-bearing femur, external", (210, 225, 130)),
        (56, "icLF", "Lateral weight-bearing femur, internal", (115, 140, 45)),
        (58, "lTrF", "Lateral trochlea", (110, 165, 225)), (60, "lP", "Lateral patellar facet", (135, 215, 225)),
    ))) for entry in entries)
"""The sixteen subregions of Eckstein et al. (2006) by their published names, and the halves of trochlea and patella."""

PLATES = {"MT": ("cMT", "eMT", "iMT", "aMT", "pMT"), "LT": ("cLT", "eLT", "iLT", "aLT", "pLT"),
          "cMF": ("ccMF", "ecMF", "icMF"), "cLF": ("ccLF", "ecLF", "icLF")}
"""The plates by their published names: the tibial cartilages and the weight-bearing femoral ones, with their parts."""

PLATE_TITLES = {"MT": "Medial tibia (MT)", "LT": "Lateral tibia (LT)", "cMF": "Medial weight-bearing femur (cMF)",
                "cLF": "Lateral weight-bearing femur (cLF)"}
PLATE_REGIONS = {"MT": "med_tib_cart", "LT": "lat_tib_cart", "cMF": "med_wb_fem_cart", "cLF": "lat_wb_fem_cart"}
"""The region of the tables that a plate is."""

SUMS = {"MFTC": ("MT", "cMF"), "LFTC": ("LT", "cLF"), "cMFTC": ("cMT", "ccMF"), "cLFTC": ("cLT", "ccLF")}
"""Femorotibial sums of thickness."""

BY_VALUE = {s.value: s for s in STRUCTURES + SUBREGIONS + FINE_REGIONS}
BY_NAME = {s.name: s for s in STRUCTURES + SUBREGIONS + FINE_REGIONS}
FINE_NAMES = tuple(s.name for s in sorted(FINE_REGIONS, key=lambda s: s.value))
REGION_OF = {**PLATE_REGIONS, **{part: PLATE_REGIONS[plate] for plate, parts in PLATES.items() for part in parts},
             "mTrF": "ant_fem_cart", "lTrF": "ant_fem_cart", "mP": "pat_cart", "lP": "pat_cart"}
"""Plate or fine region -> the region of the tables that it is or is a part of."""

BONES = (FEMUR, TIBIA, PATELLA)
CARTILAGES = (FEMORAL_CARTILAGE, MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE, PATELLAR_CARTILAGE)
BONE_CARTILAGES = {
    FEMUR: (FEMORAL_CARTILAGE,),
    TIBIA: (MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE),
    PATELLA: (PATELLAR_CARTILAGE,),
}
"""Which cartilages grow on which bone, in the order that mesh file names count them."""

REGIONS = (
    "fem_cart", "ant_fem_cart", "med_wb_fem_cart", "lat_wb_fem_cart", "med_post_fem_cart", "lat_post_fem_cart",
    "med_tib_cart", "lat_tib_cart", "pat_cart",
)
"""The regions of every table, in its order."""

NATIVE_TO_CANONICAL = {1: 7, 2: 4, 3: 5, 4: 6, 5: 8, 6: 9, 7: 1, 8: 2, 9: 3}
"""The published networks' order: patellar, femoral, medial, lateral tibial c., menisci, femur, tibia, patella."""


@dataclass(frozen=True)
class Codes:
    """What a structure is and where: category, type and type modifier, region and region modifier; None: not said.

    From PS3.16 CID 7150 and 7166 (categories, tissues), 4031 (regions) and 244 (laterality), as the lists that Slicer
    ships have them, so that a segment means the same there, in a DICOM segmentation and here. A cartilage is the
    tissue in the region of its bone; together the five name exactly one of `STRUCTURES`.
    """

    category: Code
    type: Code
    modifier: Code | None
    region: Code | None = None
    region_modifier: Code | None = None


def codes_of(structure: Structure, side: str = "unknown") -> Codes:
    """The codes of a structure of a ``right``, ``left`` or ``unknown`` knee."""
    laterality = _SIDES.get(side)
    if structure.code == _CARTILAGE:
        return Codes(_TISSUE, _CARTILAGE, structure.modifier, BY_VALUE[_bone_below(structure.value)].code, laterality)
    if structure.code == _MENISCUS:
        return Codes(_TISSUE, _MENISCUS, structure.modifier, _KNEE, laterality)
    return Codes(_ANATOMICAL_STRUCTURE, structure.code, laterality)


def value_of_codes(kind: Code | None, modifier: Code | None = None, region: Code | None = None) -> int | None:
    """The canonical value that type, type modifier and region name, whatever the words; None if none or several.

    A bone's modifier is its side and may be any. The region may be left out only beside a code that names the joint.
    """
    fitting = [s.value for s in STRUCTURES if _fits(s, _key(kind), _key(modifier), _key(region))]
    return fitting[0] if len(fitting) == 1 else None


def side_of_codes(*modifiers: Code | None) -> str | None:
    """``right`` or ``left`` if one of these codes says so, else None."""
    return next((side for side, code in _SIDES.items() if _key(code) in map(_key, modifiers)), None)


def _fits(structure: Structure, kind: tuple | None, modifier: tuple | None, region: tuple | None) -> bool:
    own = codes_of(structure)
    if own.category == _ANATOMICAL_STRUCTURE:
        return kind == _key(own.type)
    if modifier != _key(own.modifier) or kind is None:
        return False
    if kind == _key(own.type):
        return region == _key(own.region)
    return kind[0] == "SCT" and _FINER.get(kind[1]) == own.type and region in (None, _key(own.region))


def _key(code: Code | None) -> tuple[str, str] | None:
    return (code[0], code[1]) if code and code[1] else None


def _bone_below(value: int) -> int:
    """The bone that a cartilage, or a part of one, covers."""
    if BY_VALUE[value] in FINE_REGIONS:
        return TIBIA if BY_VALUE[value].name.endswith("T") else PATELLA if BY_VALUE[value].name[1:] == "P" else FEMUR
    return next((bone for bone, cartilages in BONE_CARTILAGES.items() if value in cartilages), FEMUR)


def overlap_rank(value: int | None) -> int:
    """Which structure is kept where segments overlap: 2 cartilage, 1 meniscus, 0 bones and what is not known."""
    return 2 if value in CARTILAGES else 1 if value in (MEDIAL_MENISCUS, LATERAL_MENISCUS) else 0


def remap_labels(array: np.ndarray, mapping: dict[int, int]) -> np.ndarray:
    """Replace label values by a table, as uint8, shape unchanged; 0 stays 0.

    Raises
    ------
    SegmentationError
        If a label present in the array has no entry: a structure is never dropped silently.
    """
    present = np.unique(array)
    unknown = [int(v) for v in present if int(v) not in mapping and int(v) != 0]
    if unknown:
        raise SegmentationError(
            f"The label map holds values {unknown} for which the label scheme has no structure.",
            "Give --label-scheme the scheme of this file, or a JSON file that maps every value.",
            unknown=unknown,
        )
    low = int(present.min())
    table = np.zeros(int(present.max()) - low + 1, dtype=np.uint8)
    for value in present:
        table[int(value) - low] = mapping.get(int(value), 0)
    return table[array.astype(np.int64, copy=False) - low]
