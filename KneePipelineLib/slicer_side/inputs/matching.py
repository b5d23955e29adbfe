"""Which structure each segment of a segmentation is: by its terminology, then by its name, else a person says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import InvalidFormatError
from ...imaging.labels import BY_NAME, BY_VALUE, FEMORAL_CARTILAGE, STRUCTURES, SUBREGIONS
from ...structure_names import named_structure, speaks_of_the_knee
from ..terminology import STRUCTURE_TAG, tag_of, value_of_entry

LEFT_OUT = 0
"""Value that a person gives to a segment that is to be left out."""


class SegmentMappingError(InvalidFormatError):
    """Some segments could not be matched; `matches` is the mapping table to be shown, one row a segment."""

    def __init__(self, matches: list[SegmentMatch]) -> None:
        unmatched = [match for match in matches if match.value is None]
        super().__init__(
            f"{len(unmatched)} of the {len(matches)} segments of the segmentation could not be matched to a structure "
            "of the knee.",
            "Choose a structure, or 'leave out', for each of them in the table under Inputs, then press Apply.",
            unmatched=len(unmatched), segments=len(matches))
        self.matches = matches


@dataclass(frozen=True)
class SegmentMatch:
    """One row of the mapping table.

    Attributes
    ----------
    segment_id, name : str
        As in the segmentation. A name is a person's own words: for the table only, never for a log.
    value : int or None
        The canonical label (design, section 7); 0 for left out; None when it is not known.
    matched_by : str
        ``terminology``, ``name``, ``person``, or empty.
    reason : str
        Why it could not be matched.
    part : bool
        Whether it is only a part of the structure, so that others may share it.
    """

    segment_id: str
    name: str
    value: int | None
    matched_by: str = ""
    reason: str = ""
    part: bool = False

    @property
    def structure(self) -> str:
        """The structure's title, ``left out``, or empty."""
        if self.value is None:
            return ""
        return BY_VALUE[self.value].title if self.value else "left out"


def choices() -> list[tuple[int, str]]:
    """What a person may choose for a segment: (value, title), ``left out`` last."""
    return [(structure.value, structure.title) for structure in STRUCTURES] + [(LEFT_OUT, "left out")]


def match_segments(node: Any, chosen: Mapping[str, int] | None = None) -> list[SegmentMatch]:
    """One row for each segment of a segmentation node, in its order.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    chosen : mapping of segment ID -> canonical value, optional
        What a person chose; it comes before everything else.

    Raises
    ------
    InvalidFormatError
        When the segmentation has no segments.
    """
    segmentation = node.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    if not ids:
        raise InvalidFormatError("The segmentation holds no segments.", "Choose another segmentation under Inputs.")
    matches = []
    for segment_id in ids:
        segment = segmentation.GetSegment(segment_id)
        if chosen and segment_id in chosen:
            matches.append(SegmentMatch(segment_id, segment.GetName(), int(chosen[segment_id]), "person"))
        else:
            matches.append(match_one(segment, segment_id))
    return _without_doubles(matches)


def require_all(matches: list[SegmentMatch]) -> dict[str, int]:
    """Segment ID -> canonical value, without those left out.

    Raises
    ------
    SegmentMappingError
        When a segment is not matched: nothing is ever left out silently.
    InvalidFormatError
        When every segment is left out.
    """
    if any(match.value is None for match in matches):
        raise SegmentMappingError(matches)
    values = {match.segment_id: match.value for match in matches if match.value}
    if not values:
        raise InvalidFormatError("Every segment of the segmentation is left out.",
                                 "Choose a structure for at least one in the table under Inputs.")
    return values


def match_one(segment: Any, segment_id: str = "") -> SegmentMatch:
    """Match one vtkSegment.

    Terminology speaks first (or the tag that our own results carry), then the name. When they name different
    structures, a person decides: one of the two was forgotten when the segment was made from another.
    """
    name = segment.GetName() or ""
    coded, named = coded_value(segment), _named(name)
    if coded is not None and named is not None and coded != named:
        return SegmentMatch(segment_id, name, None, reason=f"Its terminology says {BY_VALUE[coded].title.lower()}, its "
                            f"name {BY_VALUE[named].title.lower()}.")
    if coded is not None and named is None and speaks_of_the_knee(name):
        return SegmentMatch(segment_id, name, None, reason=f"Its terminology says {BY_VALUE[coded].title.lower()}, but "
                            "its name holds words that are not known.")
    if coded is not None:
        return SegmentMatch(segment_id, name, coded, "terminology", part=_is_part(segment, name))
    if named is not None:
        return SegmentMatch(segment_id, name, named, "name", part=_is_part(segment, name))
    return SegmentMatch(segment_id, name, None, reason="Neither its terminology nor its name is that of a structure "
                        "of the knee.")


def _named(name: str) -> int | None:
    found = named_structure(name)
    known = None if found is None else BY_NAME.get(found.structure)
    return None if known is None else known.value


def _is_part(segment: Any, name: str) -> bool:
    found = named_structure(name)
    return BY_NAME.get(tag_of(segment, STRUCTURE_TAG)) in SUBREGIONS or (found is not None and found.part)


def coded_value(segment: Any) -> int | None:
    """The canonical value that a segment's own tag or its terminology names; None where neither does."""
    tagged = BY_NAME.get(tag_of(segment, STRUCTURE_TAG))
    if tagged is not None:
        return FEMORAL_CARTILAGE if tagged in SUBREGIONS else tagged.value
    return value_of_entry(tag_of(segment, segment.GetTerminologyEntryTagName()))


def _without_doubles(matches: list[SegmentMatch]) -> list[SegmentMatch]:
    """Two segments that are one and the same structure are left to a person, unless each is a part of it."""
    seen: dict[int, bool] = {}
    kept = []
    for match in matches:
        double = match.value in seen and match.matched_by != "person" and not (match.part and seen[match.value])
        if double and match.value:
            match = replace(match, value=None, matched_by="", reason="Another segment is the same structure.")
        elif match.value:
            seen[match.value] = match.part and seen.get(match.value, True)
        kept.append(match)
    return kept
