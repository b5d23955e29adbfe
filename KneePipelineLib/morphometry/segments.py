"""What the segments of a segmentation file are, from their names and terminology codes."""

from __future__ import annotations

from ..errors import SegmentationError
from ..imaging.labels import BY_NAME, side_of_codes, value_of_codes
from ..structure_names import UNSIDED, named_structure, side_in_name, speaks_of_the_knee
from .numberings import PARTED, TITLES, UNSIDED_NAMES
from .scheme_file import example

_MOST_NAMED = 6
_LONGEST_NAME = 40


def scheme_from_segments(segments: list[dict], counts: dict[int, int]) -> dict[int, int] | None:
    """Value in the map -> canonical value or stand-in (`numberings`), from the segments' descriptions.

    Parameters
    ----------
    segments : list of dict
        ``name``, ``value`` and ``terminology`` as `imaging.read_labels` gives them.
    counts : dict
        Voxels of each value that occurs; segments without voxels say nothing.

    Returns
    -------
    dict or None
        None when no segment says anything: then the numbers may.

    Raises
    ------
    SegmentationError
        If some segments are known and others are not, name and terminology contradict each other, or two segments are
        the same structure.
    """
    held = [segment for segment in segments if int(segment["value"]) in counts]
    mapping, parts, unknown = {}, set(), []
    for segment in held:
        value, part = _value_of(segment)
        if value is None:
            unknown.append(segment)
            continue
        mapping[int(segment["value"])] = value
        if part:
            parts.add(int(segment["value"]))
    if not mapping and not any(speaks_of_the_knee(str(segment.get("name", ""))) for segment in unknown):
        return None
    if unknown:
        raise SegmentationError(
            f"The segments {_listed(unknown)} name no structure that KneePipeline knows.",
            "Name them after femur, tibia, patella, fibula, their cartilages and the menisci, take out what is none of "
            f"these, or give --label-scheme a JSON file such as {example(counts, mapping)} (0 leaves a structure out).",
            unknown=[int(segment["value"]) for segment in unknown])
    _check_doubles(held, mapping, parts)
    return mapping


def side_named(segments: list[dict], counts: dict[int, int]) -> str | None:
    """``right`` or ``left`` where names and terminology of the segments that have voxels speak of that knee alone."""
    said = set()
    for segment in segments:
        if int(segment["value"]) in counts:
            codes = segment.get("terminology") or {}
            said |= {side_in_name(str(segment.get("name", ""))),
                     side_of_codes(codes.get("modifier"), codes.get("region_modifier"))}
    said.discard(None)
    return said.pop() if len(said) == 1 else None


def _value_of(segment: dict) -> tuple[int | None, bool]:
    """A segment's canonical value or stand-in, None if unknown, and whether it is only a part of the structure."""
    name, coded = str(segment.get("name", "")), structure_of_terminology(segment.get("terminology"))
    found = named_structure(name)
    if found is None:  # "Femoral cartilage defect" is not what it was copied from, whatever its terminology still says
        return (None if speaks_of_the_knee(name) else coded), False
    named = UNSIDED_NAMES.get(found.structure) or BY_NAME[found.structure].value
    if coded is None or coded == named:
        return named, found.part
    if coded in PARTED.get(named, ()):
        return coded, False
    raise SegmentationError(
        f"The segment '{name[:_LONGEST_NAME]}' contradicts itself: its terminology says {TITLES[coded].lower()}, its "
        f"name {TITLES[named].lower()}.", "Correct the one that is wrong, in Slicer's Segment Editor for example.")


def _check_doubles(segments: list[dict], mapping: dict[int, int], parts: set[int]) -> None:
    by_structure: dict[int, list[dict]] = {}
    for segment in segments:
        by_structure.setdefault(mapping[int(segment["value"])], []).append(segment)
    stand_ins = {value: {stand_in} for stand_in, pair in PARTED.items() for value in pair}
    for structure, same in by_structure.items():
        whole = any(int(segment["value"]) not in parts for segment in same)
        if len(same) > 1 and whole:
            raise SegmentationError(f"The segments {_listed(same)} are one and the same structure, "
                                    f"{TITLES[structure].lower()}.", "Join them, rename one, or take one out.")
        if stand_ins.get(structure, set()) & set(by_structure):
            raise SegmentationError(f"The segment {_listed(same)} is a part of another one.",
                                    "Keep either both sides together or each by itself.")


def _listed(segments: list[dict]) -> str:
    names = [f"'{str(segment.get('name', ''))[:_LONGEST_NAME]}'" for segment in segments]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def structure_of_name(name: str) -> int | None:
    """The canonical value of the one structure that a name speaks of, or None; see `structure_names`.

    Femoral subregions and other parts of a cartilage are that cartilage.
    """
    found = named_structure(name)
    return None if found is None or found.structure in UNSIDED else BY_NAME[found.structure].value


def structure_of_terminology(terminology: dict | None) -> int | None:
    """The canonical value of a terminology entry whose codes fit exactly one structure, or None."""
    return value_of_codes(*map((terminology or {}).get, ("type", "modifier", "region")))
