"""A small terminology for the host, because the engine's package brings none: the tissues of a knee in SNOMED CT."""

from __future__ import annotations

import json
import os

# (category, code, meaning, colour): Anatomical Structure 123037004, Tissue 85756007 (DICOM CID 7150, SNOMED CT)
_STRUCTURES = [
    ("Anatomical Structure", "71341001", "Femur", (221, 209, 175)),
    ("Anatomical Structure", "12611008", "Tibia", (221, 209, 175)),
    ("Anatomical Structure", "64234005", "Patella", (221, 209, 175)),
    ("Anatomical Structure", "87342007", "Fibula", (221, 209, 175)),
    ("Anatomical Structure", "72696002", "Knee", (177, 122, 101)),
    ("Tissue", "309312004", "Cartilage", (111, 184, 210)),
    ("Tissue", "74135004", "Meniscus", (144, 238, 144)),
    ("Tissue", "85756007", "Tissue", (128, 174, 128)),
]
_CATEGORIES = {"Anatomical Structure": "123037004", "Tissue": "85756007"}
_CONTEXTS = {
    "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy":
        "Segmentation category and type - 3D Slicer General Anatomy list",
    "SegmentationCategoryTypeModifier-DICOM-Master": "Segmentation category and type - DICOM master list",
}  # fmt: skip
_REGIONS = {
    "AnatomicRegionAndModifier-DICOM-Master": "Anatomic codes - DICOM master list",
}


def _coded(code: str, meaning: str, **more: object) -> dict:
    return {"CodingSchemeDesignator": "SCT", "CodeValue": code, "CodeMeaning": meaning, **more}


def _terminology(title: str) -> dict:
    categories = []
    for name, code in _CATEGORIES.items():
        kinds = [
            _coded(c, meaning, recommendedDisplayRGBValue=list(colour), **{"3dSlicerLabel": meaning.lower()})
            for category, c, meaning, colour in _STRUCTURES
            if category == name
        ]
        categories.append(_coded(code, name, showAnatomy="true", Type=kinds))
    return {
        "SegmentationCategoryTypeContextName": title,
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/segment-context-schema.json#",
        "SegmentationCodes": {"Category": categories},
    }


def _regions(title: str) -> dict:
    laterality = [_coded("24028007", "Right"), _coded("7771000", "Left")]
    return {
        "AnatomicContextName": title,
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/anatomic-context-schema.json#",
        "AnatomicCodes": {"AnatomicRegion": [_coded("72696002", "Knee", Modifier=laterality)]},
    }


def write_share_folder(share: str) -> str:
    """Write the terminology where the terminology logic looks for its own; returns the folder."""
    folder = os.path.join(share, "qt-loadable-modules", "Terminologies")
    os.makedirs(folder, exist_ok=True)
    documents = {name: _terminology(title) for name, title in _CONTEXTS.items()}
    documents |= {name: _regions(title) for name, title in _REGIONS.items()}
    for name, document in documents.items():
        for suffix in (".json", ".term.json"):  # Slicer 5.10 and newer ask for the second
            with open(os.path.join(folder, name + suffix), "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
    return folder
