"""The facts about an acquisition that may travel with a volume, and how NRRD headers carry them.

An allow-list: whatever is not named here is not kept. ``dicom_files`` is the one entry of ``Volume.meta`` that names
files; it exists in memory only, so that a DICOM SEG can refer to its source, and is never written to any result.
"""

from __future__ import annotations

import math

NUMBERS = ("echo_time_ms", "repetition_time_ms", "flip_angle_deg", "gl_area", "tg_us", "field_strength_t",
           "slice_thickness_mm", "echo_number")
WORDS = ("modality", "laterality", "body_part", "manufacturer", "acquisition", "kind", "units")
_PREFIX = "KneePipeline_"


def meta_to_header(meta: dict) -> dict[str, str]:
    """Key/value pairs of an NRRD header that keep the allow-listed facts of ``meta``."""
    header = {}
    for name in NUMBERS:
        value = meta.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            header[_PREFIX + name] = repr(value)
    for name in WORDS:
        value = meta.get(name)
        if isinstance(value, str) and value:
            header[_PREFIX + name] = " ".join(value.split())
    return header


def meta_from_header(header: dict[str, str]) -> dict:
    """The facts that :func:`meta_to_header` wrote; everything else in a header is ignored."""
    meta: dict = {}
    for name in NUMBERS:
        try:
            value = float(header[_PREFIX + name])
        except (KeyError, ValueError):
            continue
        if math.isfinite(value):
            meta[name] = int(value) if name == "echo_number" else value
    for name in WORDS:
        if header.get(_PREFIX + name):
            meta[name] = header[_PREFIX + name]
    return meta
