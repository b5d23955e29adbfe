"""Segmentation files of 3D Slicer (.seg.nrrd): which value means what, and layers merged into one label map.

Slicer stores each segment's name, label value, layer and terminology in the NRRD header (``Segment0_Name`` and so on);
segments that overlap lie in different layers, stored as the components of the image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidFormatError
from ..structure_names import UNSIDED, named_structure
from .labels import BY_NAME, overlap_rank, value_of_codes

_INDEX = re.compile(r"^Segment(\d+)_ID$")
_TERMINOLOGY = "TerminologyEntry:"
_TOLD, _LONGEST = 4, 40


def segments_of(header: dict[str, str]) -> list[dict]:
    """The segments that a .seg.nrrd header describes, in its order; empty for any other NRRD.

    Returns
    -------
    list of dict
        ``name`` (str), ``value`` (int, as stored in its layer), ``layer`` (int), ``terminology``: None or a dict with
        ``category``, ``type``, ``modifier``, ``region`` and ``region_modifier``, each None or (scheme, code, meaning).
    """
    numbers = sorted(int(m.group(1)) for key in header if (m := _INDEX.match(key)))
    segments = []
    for n in numbers:
        try:
            value = int(header.get(f"Segment{n}_LabelValue", n + 1))
            layer = int(header.get(f"Segment{n}_Layer", 0))
        except ValueError:
            raise InvalidFormatError("The segmentation file's header does not say which value a segment has.",
                                     "Save the segmentation again.") from None
        segments.append({
            "name": header.get(f"Segment{n}_Name", f"Segment_{n + 1}"),
            "value": value,
            "layer": layer,
            "terminology": parse_terminology(header.get(f"Segment{n}_Tags", "")),
        })
    return segments


def parse_terminology(tags: str) -> dict | None:
    """The terminology entry in a segment's ``Tags`` field, or None.

    The field reads ``TerminologyEntry:context~category~type~type modifier~anatomic context~region~region modifier``,
    further tags following after ``|``, where category and so on are ``scheme^code^meaning``.
    """
    for tag in tags.split("|"):
        if tag.strip().startswith(_TERMINOLOGY):
            parts = tag.strip()[len(_TERMINOLOGY):].split("~")
            places = {"category": 1, "type": 2, "modifier": 3, "region": 5, "region_modifier": 6}
            return {name: _code(parts[n]) if n < len(parts) else None for name, n in places.items()}
    return None


def _code(text: str) -> tuple[str, str, str] | None:
    parts = [p.strip() for p in text.split("^")]
    return (parts[0], parts[1], parts[2]) if len(parts) >= 3 and parts[1] else None


def is_segmentation(header: dict[str, str]) -> bool:
    """Whether an NRRD header's key/value pairs describe segments: then the file is no image, whatever its layers."""
    return any(_INDEX.match(key) for key in header)


@dataclass(frozen=True)
class Overlap:
    """Voxels that two segments both claim: ``kept`` got them, ``lost`` did not."""

    kept: str
    lost: str
    voxels: int


def merge_layers(layers: list[np.ndarray], segments: list[dict]) -> tuple[np.ndarray, list[dict], list[Overlap]]:
    """One label map of several layers.

    Where segments overlap, anatomy decides: cartilage is kept over menisci, and both over everything else, since a bone
    that was painted too large covers them in many files; among equals the later one in the list wins. Values are kept
    if no two segments share one, otherwise the segments are numbered from 1 in their order.

    Returns
    -------
    array : numpy.ndarray
        The merged labels, (z, y, x), uint8 or uint16.
    segments : list of dict
        ``name``, ``value`` (now valid in the merged map), ``terminology``.
    overlaps : list of Overlap
        By name, the largest first.
    """
    _check_that_each_has_its_own(layers, segments)
    values = [s["value"] for s in segments]
    unique = len(set(values)) == len(values) and min(values, default=1) > 0
    numbered = values if unique else list(range(1, len(segments) + 1))
    kind = np.uint8 if max(numbered, default=0) < 256 else np.uint16
    merged = np.zeros(layers[0].shape, dtype=kind)
    names = {value: segment["name"] for segment, value in zip(segments, numbered, strict=True)}
    overlaps = []
    for segment, value in sorted(zip(segments, numbered, strict=True), key=lambda pair: rank_of(pair[0])):
        if not 0 <= segment["layer"] < len(layers):
            raise InvalidFormatError("The segmentation file's header names a layer that the file does not have.",
                                     "Save the segmentation again.")
        inside = layers[segment["layer"]] == segment["value"]
        covered, counts = np.unique(merged[inside], return_counts=True)
        overlaps += [Overlap(segment["name"], names[int(v)], int(n))
                     for v, n in zip(covered, counts, strict=True) if v]
        merged[inside] = value
    kept = [{"name": s["name"], "value": v, "terminology": s["terminology"]}
            for s, v in zip(segments, numbered, strict=True)]
    return merged, kept, sorted(overlaps, key=lambda o: -o.voxels)


def _check_that_each_has_its_own(layers: list[np.ndarray], segments: list[dict]) -> None:
    """Refuse a header that gives the same voxels to two segments: they are one of them, and nobody knows which."""
    first: dict[tuple[int, int], str] = {}
    for segment in segments:
        place = (segment["layer"], segment["value"])
        if place in first and 0 <= place[0] < len(layers) and (layers[place[0]] == place[1]).any():
            raise InvalidFormatError(
                f"By the segmentation file's header the segments '{first[place][:_LONGEST]}' and "
                f"'{segment['name'][:_LONGEST]}' are the same voxels: value {place[1]} of layer {place[0]}.",
                "Give each segment a value of its own (Segment<n>_LabelValue), or save the segmentation again.")
        first[place] = segment["name"]


def rank_of(segment: Mapping) -> int:
    """`labels.overlap_rank` of a segment, by its name or else its terminology."""
    found = named_structure(str(segment.get("name", "")))
    if found is None:
        codes = segment.get("terminology") or {}
        return overlap_rank(value_of_codes(codes.get("type"), codes.get("modifier"), codes.get("region")))
    whole = UNSIDED.get(found.structure, (found.structure,))
    return overlap_rank(BY_NAME[whole[0]].value)


def overlap_sentence(overlaps: list[Overlap], voxel_mm3: float) -> str:
    """What overlapped what and by how much, the largest overlaps by name."""
    listed = [f"'{o.lost[:_LONGEST]}' lost {o.voxels * voxel_mm3 / 1000:.2g} ml to '{o.kept[:_LONGEST]}'"
              for o in overlaps[:_TOLD]]
    more = len(overlaps) - _TOLD
    return (f"Segments overlap: {'; '.join(listed)}{f'; and {more} more' if more > 0 else ''}. Cartilages and menisci "
            "were kept over bones, otherwise the later segment.")
