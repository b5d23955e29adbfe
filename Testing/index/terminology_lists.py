"""The lists of codes that the extension adds to Slicer's terminology.

``python -m Testing.index.terminology_lists --write`` renews them. Slicer's own lists know neither the tibia nor a side
of cartilage and meniscus. Ours hold every structure of the knee, as `KneePipelineLib.imaging.labels` codes them; a test
compares the files with it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from KneePipelineLib.imaging import labels as L
from KneePipelineLib.slicer_side.terminology import OWN_REGIONS, OWN_TYPES
from Testing.index import facts

FOLDER = facts.REPOSITORY / "KneePipeline" / "Resources" / "Terminologies"
_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/{}-context-schema.json#"
_SIDES = ("right", "left")


def _coded(code: L.Code, **more: Any) -> dict[str, Any]:
    return {"CodingSchemeDesignator": code[0], "CodeValue": code[1], "CodeMeaning": code[2], **more}


def _add(items: list[dict[str, Any]], code: L.Code, **more: Any) -> dict[str, Any]:
    """The item of this code in a list, made if there is none."""
    for item in items:
        if (item["CodingSchemeDesignator"], item["CodeValue"]) == code[:2]:
            return item
    items.append(_coded(code, **more))
    return items[-1]


def documents() -> dict[str, dict[str, Any]]:
    """File name -> content."""
    categories: list[dict[str, Any]] = []
    regions: list[dict[str, Any]] = []
    for structure in (*L.STRUCTURES, *L.SUBREGIONS):
        for side in _SIDES:
            codes = L.codes_of(structure, side)
            category = _add(categories, codes.category, showAnatomy="true", Type=[])
            kind = _add(category["Type"], codes.type, recommendedDisplayRGBValue=list(structure.color))
            if codes.modifier is not None:
                _add(kind.setdefault("Modifier", []), codes.modifier, recommendedDisplayRGBValue=list(structure.color))
            if codes.region is not None:
                _add(_add(regions, codes.region, Modifier=[])["Modifier"], codes.region_modifier)
    return {
        "KneePipeline.term.json": {
            "SegmentationCategoryTypeContextName": OWN_TYPES, "@schema": _SCHEMA.format("segment"),
            "SegmentationCodes": {"Category": categories}},
        "KneePipelineRegions.term.json": {
            "AnatomicContextName": OWN_REGIONS, "@schema": _SCHEMA.format("anatomic"),
            "AnatomicCodes": {"AnatomicRegion": regions}},
    }


def text_of(document: dict[str, Any]) -> str:
    """As it lies in the file."""
    return json.dumps(document, indent=1) + "\n"


if __name__ == "__main__" and "--write" in sys.argv:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        (FOLDER / name).write_text(text_of(document), encoding="utf-8")
