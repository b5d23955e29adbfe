"""A small part of the terminology that Slicer ships, because the engine's package brings none.

Nothing is in it that Slicer's lists lack: no tibia, no medial or lateral cartilage and meniscus.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from Testing.host import slicers_files

_SIDES = [("24028007", "Right"), ("7771000", "Left")]
# category -> code, [(code, meaning, colour, modifiers)]; DICOM PS3.16 CID 7150 and those it names, SNOMED CT
_CATEGORIES = {
    "Anatomical Structure": ("123037004", [
        ("71341001", "Femur", (221, 209, 175), _SIDES), ("64234005", "Patella", (221, 209, 175), _SIDES),
        ("87342007", "Fibula", (221, 209, 175), _SIDES)]),
    "Tissue": ("85756007", [
        ("309312004", "Cartilage", (111, 184, 210), []), ("74135004", "Meniscus", (178, 212, 242), []),
        ("85756007", "Tissue", (128, 174, 128), [])]),
}  # fmt: skip
_REGIONS = [("71341001", "Femur"), ("64234005", "Patella"), ("72696002", "Knee")]
_TYPES = {
    "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy":
        "Segmentation category and type - 3D Slicer General Anatomy list",
    "SegmentationCategoryTypeModifier-DICOM-Master": "Segmentation category and type - DICOM master list",
}  # fmt: skip
_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/{}-context-schema.json#"


def _coded(code: str, meaning: str, **more: Any) -> dict:
    return {"CodingSchemeDesignator": "SCT", "CodeValue": code, "CodeMeaning": meaning, **more}


def _documents() -> dict[str, dict]:
    categories = [
        _coded(code, name, showAnatomy="true", Type=[
            _coded(c, meaning, recommendedDisplayRGBValue=list(colour), **{"3dSlicerLabel": meaning.lower()},
                   **({"Modifier": [_coded(*side) for side in sides]} if sides else {}))
            for c, meaning, colour, sides in kinds])
        for name, (code, kinds) in _CATEGORIES.items()
    ]  # fmt: skip
    found = {name: {"SegmentationCategoryTypeContextName": title, "@schema": _SCHEMA.format("segment"),
                    "SegmentationCodes": {"Category": categories}} for name, title in _TYPES.items()}
    regions = [_coded(*region, Modifier=[_coded(*side) for side in _SIDES]) for region in _REGIONS]
    found["AnatomicRegionAndModifier-DICOM-Master"] = {
        "AnatomicContextName": "Anatomic codes - DICOM master list", "@schema": _SCHEMA.format("anatomic"),
        "AnatomicCodes": {"AnatomicRegion": regions}}
    return found


def write_share_folder(share: str) -> str:
    """Write the terminology where the terminology logic looks for its own; returns the folder.

    Slicer's own lists where its files are named (see `slicers_files`).
    """
    folder = os.path.join(share, "qt-loadable-modules", "Terminologies")
    os.makedirs(folder, exist_ok=True)
    tree = slicers_files.tree()
    for name, document in _documents().items():
        for suffix in (".json", ".term.json"):  # Slicer 5.10 and newer ask for the second
            target = os.path.join(folder, name + suffix)
            if tree is not None:
                shutil.copyfile(tree / "Modules/Loadable/Terminologies/Resources" / f"{name}.json", target)
            else:
                Path(target).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return folder
