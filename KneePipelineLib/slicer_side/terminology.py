"""Standard terminology of segments: what Slicer, DICOM and a colleague's software call each structure of the knee.

The codes are those of `imaging.labels.codes_of`; category, type, modifier and region together name exactly one
structure, so a segment is found again after a person renamed it. Slicer ships lists of codes, in which its terminology
dialog looks: they lack the tibia, and know no medial or lateral cartilage and meniscus. What they lack is in lists of
our own, beside the module (Resources/Terminologies), which `register` gives to Slicer.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..imaging import labels as L

SLICERS_TYPES = "Segmentation category and type - DICOM master list"
SLICERS_REGIONS = "Anatomic codes - DICOM master list"
OWN_TYPES = "Segmentation category and type - KneePipeline"
OWN_REGIONS = "Anatomic codes - KneePipeline"
STRUCTURE_TAG = "KneePipeline.structure"
"""Segment tag that holds our short name of the structure, for example ``med_tib_cart``; kept in files and bundles."""
ANSWER_TAG = "KneePipeline.answer"
"""Segment tag that holds what a person said a segment is: a canonical value, 0 for left out."""

_NOTHING = ("", "", "")
_TIBIA = L.BY_VALUE[L.TIBIA].code
_PARTS = ("category", "type", "modifier", "region", "region_modifier")


@cache
def codes(value: int, side: str = "unknown") -> dict[str, L.Code]:
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
    found = L.codes_of(L.BY_VALUE[value], side)
    return {part: getattr(found, part) or _NOTHING for part in _PARTS}


def entry(value: int, side: str = "unknown") -> str:
    """The codes of a canonical label value as Slicer stores them in a segment's ``TerminologyEntry`` tag.

    Each half names the list that its codes are in: Slicer's where it has them, ours otherwise.
    """
    own = codes(value, side)
    words = {part: "^".join(code) for part, code in own.items()}
    # A modifier that is no side says where in the knee a tissue is, which Slicer's lists do not.
    lacks = own["type"] == _TIBIA or L.codes_of(L.BY_VALUE[value]).modifier is not None
    types = OWN_TYPES if lacks else SLICERS_TYPES
    regions = SLICERS_REGIONS if own["region"] != _TIBIA else OWN_REGIONS
    kind = "~".join((types, words["category"], words["type"], words["modifier"]))
    place = "~".join((regions, words["region"], words["region_modifier"]))
    return f"{kind}~{place}"


def register(folder: Path) -> None:
    """Give our lists of codes to Slicer's terminology; where there is no such module, do nothing.

    Parameters
    ----------
    folder : Path
        The module's Resources/Terminologies.
    """
    import slicer

    module = getattr(slicer.modules, "terminologies", None)
    if module is not None:
        module.logic().LoadTerminologyFromFile(str(folder / "KneePipeline.term.json"))
        module.logic().LoadRegionContextFromFile(str(folder / "KneePipelineRegions.term.json"))


def value_of_entry(text: str) -> int | None:
    """The canonical value that a ``TerminologyEntry`` names, or None where it fits none or several.

    Whatever the lists are called and whichever side it speaks of.
    """
    parts = [tuple(part.split("^")) for part in text.split("~")]
    if len(parts) < 4:
        return None
    return L.value_of_codes(_code(parts[2]), _code(parts[3]), _code(parts[5]) if len(parts) > 5 else None)


def describe(segment: object, value: int, side: str = "unknown") -> None:
    """Give a segment the standard codes of a structure, and the tag by which it is found again."""
    segment.SetTag(segment.GetTerminologyEntryTagName(), entry(value, side))
    segment.SetTag(STRUCTURE_TAG, L.BY_VALUE[value].name)


def _code(parts: tuple[str, ...]) -> L.Code | None:
    """(scheme, value, meaning); None where nothing is said. The meaning may be missing."""
    return (parts[0].strip(), parts[1].strip(), "".join(parts[2:3])) if len(parts) >= 2 else None


def tag_of(segment: object, name: str) -> str:
    """A segment's tag; empty where it has none. (VTK hands strings out through its own reference type.)"""
    import vtk

    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
