"""results.csv: every number of a knee on its own row, ready for pandas, R or a spreadsheet of a whole cohort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .tables import csv_text
from .wording import MEASURE_TABLE, MENISCUS_TABLE, REGION_BONES, T2_TABLE

TIDY_COLUMNS = (
    "subject", "side", "structure", "region", "depth", "measure", "value", "unit", "n", "quality_flag", "method",
)


def tidy_csv(record: Mapping) -> str:
    """The record's measures as CSV text with `TIDY_COLUMNS`."""
    return csv_text(TIDY_COLUMNS, list(tidy_rows(record)))


def tidy_rows(record: Mapping) -> Iterator[dict]:
    """One row a measure: ``subject`` is the prefix, ``structure`` the bone or meniscus, ``n`` the points behind it.

    ``depth`` is ``all`` for everything measured through the full thickness, ``deep`` or ``superficial`` for T2 of a
    layer.
    """
    common = {"subject": record["prefix"], "side": record["side"]["value"]}
    t2 = record.get("t2") or {}
    parts = [(record["regions"], {**MEASURE_TABLE, **T2_TABLE}, REGION_BONES.__getitem__)]
    parts += [(record["menisci"], MENISCUS_TABLE, lambda name: "meniscus")]
    for entries, table, structure_of in parts:
        for name, entry in entries.items():
            for measure, value in entry["measures"].items():
                about = table[measure]
                depth, plain = layer_of(measure)
                method = f"{t2.get('sequence')}-{t2.get('t2_method')}" if measure in T2_TABLE else method_of(measure)
                yield {
                    **common, "structure": structure_of(name), "region": name, "depth": depth, "measure": plain,
                    "value": value, "unit": about.unit, "n": entry.get("counts", {}).get(about.counts),
                    "quality_flag": "missing" if value is None else entry["flag"], "method": method,
                }


def layer_of(measure: str) -> tuple[str, str]:
    """Depth and measure of a measure's name: ``deep_t2_ms_mean`` is ``t2_ms_mean`` of the ``deep`` layer."""
    for layer in ("deep", "superficial"):
        if measure.startswith(f"{layer}_"):
            return layer, measure[len(layer) + 1:]
    return "all", measure


def method_of(measure: str) -> str:
    """By which rule a measure was taken, in one word."""
    if measure.startswith("mm_"):
        return "ray-two-hits"
    if measure in ("VC_mm3", "volume_mm3"):
        return "voxel-count"
    if measure in MENISCUS_TABLE:
        return "label-geometry"
    return "ray-area-weighted"
