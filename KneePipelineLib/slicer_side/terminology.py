"""Standard terminology of segments: what Slicer, DICOM and a colleague's software call each structure of the knee.

Codes are SNOMED CT from DICOM's master lists as Slicer ships them: category and type from "Segmentation category and
type - DICOM master list" (CID 7150, 7166), place from "Anatomic codes - DICOM master list" (CID 4031) with laterality
(CID 244). A cartilage is the tissue *Cartilage* in the region of its bone, so that category, type, modifier and region
together name exactly one structure and a segment can be found again after a person renamed it.
"""

from __future__ import annotations

from functools import cache

from ..imaging import labels as L

TYPE_CONTEXT = "Segmentation category and type - DICOM master list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
STRUCTURE_TAG = "KneePipeline.structure"
"""Segment tag that holds our short name of the structure, for example ``med_tib_cart``; kept in files and bundles."""

_STRUCTURE = ("SCT", "123037004", "Anatomical Structure")
_TISSUE = ("SCT", "85756007", "Tissue")
_CARTILAGE = ("SCT", "309312004", "Cartilage")
_MENISCUS = ("SCT", "74135004", "Meniscus")
_KNEE = ("SCT", "72696002", "Knee")
_ANTERIOR = ("SCT", "255549009", "Anterior")
_SIDES = {"right": ("SCT", "24028007", "Right"), "left": ("SCT", "7771000", "Left")}
_NOTHING = ("", "", "")
_PARTS = ("category", "type", "modifier", "region", "region_modifier")

Code = tuple[str, str, str]


@cache
def codes(value: int, side: str = "unknown") -> dict[str, Code]:
    """Category, type, modifier, region and region_modifier of a canonical label value, each (scheme, value, meaning).

    Parameters
    ----------
    value : int
        Canonical value, femoral subregions included.
    side : {"right", "left", "unknown"}
        Of the knee.

    Raises
    ------
    KeyError
        If no structure has this value.
    """
    structure = L.BY_VALUE[value]
    laterality = _SIDES.get(side, _NOTHING)

    def coded(*parts: Code) -> dict[str, Code]:
        return dict(zip(_PARTS, parts, strict=True))

    modifier = _ANTERIOR if value == L.ANTERIOR_FEMORAL else structure.modifier or _NOTHING
    if structure.name.endswith("_cart"):
        return coded(_TISSUE, _CARTILAGE, modifier, _bone_of(structure.name).code, laterality)
    if structure.name.endswith("_meniscus"):
        return coded(_TISSUE, _MENISCUS, modifier, _KNEE, laterality)
    return coded(_STRUCTURE, structure.code, laterality, _NOTHING, _NOTHING)


def entry(value: int, side: str = "unknown") -> str:
    """The codes of a canonical label value as Slicer stores them in a segment's ``TerminologyEntry`` tag."""
    words = {part: "^".join(code) for part, code in codes(value, side).items()}
    kind = "~".join((TYPE_CONTEXT, words["category"], words["type"], words["modifier"]))
    place = "~".join((REGION_CONTEXT, words["region"], words["region_modifier"]))
    return f"{kind}~{place}"


def value_of_entry(text: str) -> int | None:
    """The canonical value that a ``TerminologyEntry`` names, or None where it fits none or several.

    Whatever the lists are called and whichever side it speaks of; labels.py's own, finer codes are understood too.
    """
    parts = [tuple(part.split("^")) for part in text.split("~")]
    if len(parts) < 4:
        return None
    kind, modifier = _key(parts[2]), _key(parts[3])
    region = _key(parts[5]) if len(parts) > 5 else None
    fitting = [s.value for s in L.STRUCTURES if _fits(s, kind, modifier, region)]
    return fitting[0] if len(fitting) == 1 else None


def describe(segment: object, value: int, side: str = "unknown") -> None:
    """Give a segment the standard codes of a structure, and the tag by which it is found again."""
    segment.SetTag(segment.GetTerminologyEntryTagName(), entry(value, side))
    segment.SetTag(STRUCTURE_TAG, L.BY_VALUE[value].name)


def _bone_of(name: str) -> L.Structure:
    return L.BY_NAME["tibia" if "tib" in name else "patella" if name == "pat_cart" else "femur"]


def _fits(structure: L.Structure, kind: object, modifier: object, region: object) -> bool:
    own = codes(structure.value)
    is_bone = own["category"] == _STRUCTURE
    if is_bone:  # its modifier is the side, which may be anything
        return kind == _key(own["type"])
    if modifier != _key(own["modifier"]):
        return False
    if kind == _key(own["type"]):
        return region == _key(own["region"])
    return kind == _key(structure.code) and region in (None, _key(own["region"]))


def _key(code: tuple[str, ...]) -> tuple[str, str] | None:
    return (code[0].strip(), code[1].strip()) if len(code) >= 2 and code[1].strip() else None


def tag_of(segment: object, name: str) -> str:
    """A segment's tag; empty where it has none. (VTK hands strings out through its own reference type.)"""
    import vtk

    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
