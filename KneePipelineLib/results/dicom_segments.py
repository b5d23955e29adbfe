"""The segments of a DICOM SEG: one structure each, with its codes, colour, place and how it was drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..imaging.labels import BY_VALUE, Code, Codes, Structure, codes_of
from .wording import BUNDLED_NOTICE

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from highdicom.sr.coding import CodedConcept

ARTIFICIAL_INTELLIGENCE: Code = ("DCM", "123110", "Artificial Intelligence")
_LONG_STRING = 64


@dataclass(frozen=True)
class Drawing:
    """How the labels came about.

    Attributes
    ----------
    model : str or None
        Name of the network (design, section 9); None for a label map that was handed in.
    version : str
        Of the network: its own, the beginning of its weights' SHA-256, or that of KneePipeline, with which it ships.
    edited : bool
        A person corrected the labels afterwards.
    """

    model: str | None = None
    version: str = __version__
    edited: bool = False

    @property
    def algorithm_type(self) -> str:
        """AUTOMATIC, or SEMIAUTOMATIC where a person had or may have had a hand in it (PS3.3 C.8.20.4)."""
        return "AUTOMATIC" if self.model and not self.edited else "SEMIAUTOMATIC"

    @property
    def algorithm_name(self) -> str:
        """What drew the labels, at most 64 characters."""
        return (self.model or "label map handed in, its origin unknown")[:_LONG_STRING]

    @property
    def notice(self) -> str:
        """What a reader has to know before using the segments, or ""."""
        return BUNDLED_NOTICE if self.model == "bundled" else ""

    def sentence(self) -> str:
        """How the labels came about, in words."""
        by = f"Drawn by the network {self.model}, version {self.version}" if self.model else "Label map handed in"
        said = f"{by}{', corrected by a person' if self.edited else ''}; KneePipeline {__version__}."
        return f"{said} {self.notice[:1].upper()}{self.notice[1:]}." if self.notice else said

    def series_description(self) -> str:
        """At most 64 characters; that of the bundled network says what it is not for."""
        if self.model == "bundled":
            return "Knee segmentation, bundled network: not validated for research"
        return f"Knee segmentation, {self.model or 'handed in'}{', corrected' if self.edited else ''}"[:_LONG_STRING]


def drawing_of(segmentation: Mapping, *, model: str | None, edited: bool) -> Drawing:
    """From what the segmentation step says of itself (``source``, ``model``) and the model's name."""
    if segmentation.get("source") != "network":
        return Drawing(edited=edited)
    about = segmentation.get("model") or {}
    own = about.get("version") or str(about.get("sha256") or "")[:16]
    return Drawing(str(model or about.get("name") or "network"), str(own or __version__)[:_LONG_STRING], edited)


def structures_in(array: np.ndarray) -> list[Structure]:
    """The structures of a canonical label map that occur in it, by value.

    Raises
    ------
    KeyError
        For a value that is no structure.
    """
    return [BY_VALUE[int(value)] for value in np.flatnonzero(np.bincount(array.ravel())) if value]


def segment_descriptions(structures: list[Structure], side: str, drawing: Drawing) -> list[SegmentDescription]:
    """One description for each structure, numbered from 1 in their order.

    Parameters
    ----------
    structures : list of Structure
    side : str
        ``right``, ``left`` or ``unknown``.
    drawing : Drawing
    """
    from highdicom import AlgorithmIdentificationSequence

    network = AlgorithmIdentificationSequence(
        name=drawing.algorithm_name, family=_coded(ARTIFICIAL_INTELLIGENCE), version=drawing.version,
        source="KneePipeline") if drawing.model else None
    return [_described(number, structure, codes_of(structure, side), drawing, network)
            for number, structure in enumerate(structures, start=1)]


def _described(number: int, structure: Structure, codes: Codes, drawing: Drawing,
               network: object) -> SegmentDescription:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    item = SegmentDescription(
        segment_number=number, segment_label=structure.title, segmented_property_category=_coded(codes.category),
        segmented_property_type=_coded(codes.type), algorithm_type="AUTOMATIC" if network else "MANUAL",
        algorithm_identification=network, anatomic_regions=[_coded(codes.region)] if codes.region else None,
        display_color=CIELabColor.from_rgb(*structure.color))
    item.SegmentAlgorithmType, item.SegmentAlgorithmName = drawing.algorithm_type, drawing.algorithm_name
    item.SegmentDescription = drawing.sentence()
    if codes.modifier:
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [_coded(codes.modifier)]
    if codes.region and codes.region_modifier:
        item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [_coded(codes.region_modifier)]
    return item


def _coded(code: Code) -> CodedConcept:
    from highdicom.sr.coding import CodedConcept

    scheme, value, meaning = code
    return CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)
