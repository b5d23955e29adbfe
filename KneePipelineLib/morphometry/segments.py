"""What the segments of a segmentation file are, from their names and terminology codes."""

from __future__ import annotations

import re

from ..imaging.labels import BY_NAME, FEMORAL_CARTILAGE, STRUCTURES, SUBREGIONS, value_of_codes

_CARTILAGE_WORDS = ("cart", "kartilage", "knorpel", "chondr")
_MEDIAL_WORDS = ("med", "medial", "inner")
_LATERAL_WORDS = ("lat", "lateral", "outer")
_STEMS = {"fem": "fem", "tib": "tib", "pat": "pat", "fib": "fibula", "men": "meniscus"}


def scheme_from_segments(segments: list[dict], counts: dict[int, int]) -> dict[int, int] | None:
    """Value in the map -> canonical value, from the segments' descriptions.

    Parameters
    ----------
    segments : list of dict
        ``name``, ``value`` and ``terminology`` as `imaging.read_labels` gives them.
    counts : dict
        Voxels of each value that occurs.

    Returns
    -------
    dict or None
        Values whose segment says nothing are left out; None when no segment says anything.
    """
    mapping = {}
    for segment in segments:
        value = structure_of_name(str(segment.get("name", "")))
        if value is None:
            value = structure_of_terminology(segment.get("terminology"))
        if value is not None:
            mapping[int(segment["value"])] = value
    return mapping if any(v in counts for v in mapping) else None


def structure_of_name(name: str) -> int | None:
    """The canonical value a segment's name speaks of, or None.

    Understands our short names and titles and the usual ways to write them ("Femoral Cartilage", "MedTibCart",
    "lateral_meniscus"). Femoral subregions are femoral cartilage.
    """
    known = BY_NAME.get(name.strip().lower())
    if known is None:
        known = next((s for s in STRUCTURES + SUBREGIONS if s.title.lower() == name.strip().lower()), None)
    if known is not None:
        return FEMORAL_CARTILAGE if known in SUBREGIONS else known.value
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.findall(r"[a-z]+", spaced.lower())
    cartilage = any(w.startswith(_CARTILAGE_WORDS) for w in words)
    medial = any(w in _MEDIAL_WORDS for w in words)
    lateral = any(w in _LATERAL_WORDS for w in words)
    parts = {part for word in words for stem, part in _STEMS.items() if word.startswith(stem)}
    side = "med" if medial and not lateral else "lat" if lateral and not medial else None
    return _value(parts, cartilage, side)


def _value(parts: set[str], cartilage: bool, side: str | None) -> int | None:
    if "meniscus" in parts:
        return BY_NAME[f"{side}_meniscus"].value if side else None
    if len(parts) != 1:
        return None
    part = parts.pop()
    if not cartilage:
        return {"fem": 1, "tib": 2, "pat": 3, "fibula": 10}[part] if side is None else None
    if part == "tib":
        return BY_NAME[f"{side}_tib_cart"].value if side else None
    return BY_NAME[f"{part}_cart"].value if part in ("fem", "pat") else None


def structure_of_terminology(terminology: dict | None) -> int | None:
    """The canonical value of a terminology entry whose codes fit exactly one structure, or None."""
    return value_of_codes(*map((terminology or {}).get, ("type", "modifier", "region")))
