"""results.csv: every number of a knee on its own row, ready for pandas, R or a spreadsheet of a whole cohort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..imaging.labels import SUMS
from .quality import flag_of, worst
from .rules import MENISCUS, T2, THICKNESS
from .shape_record import shape_rows
from .tables import csv_text
from .wording import JOINT_TABLE, MEASURE_TABLE, MENISCUS_TABLE, REGION_BONES, T2_TABLE

TIDY_COLUMNS = (
    "subject", "side", "structure", "region", "depth", "measure", "value", "unit", "n", "quality_flag", "method",
    "measures_version",
)
_LAYERS = {"all": "", "deep": "deep_", "superficial": "superficial_"}


def tidy_csv(record: Mapping) -> str:
    """The record's measures as CSV text with `TIDY_COLUMNS`."""
    return csv_text(TIDY_COLUMNS, list(tidy_rows(record)))


def tidy_rows(record: Mapping) -> Iterator[dict]:
    """One row a measure.

    ``subject`` is the prefix; ``structure`` the bone, or ``meniscus``; ``depth`` is ``all`` for everything measured
    through the full thickness, ``deep`` or ``superficial`` for T2 of a layer; ``n`` the voxels, surface points or
    latent numbers behind the value; ``quality_flag`` the worst of the rules about this kind of number of this region;
    ``method`` by which rule it was taken and, where the network that labelled the knee has one, its notice.
    """
    notice = (record["run"].get("model") or {}).get("notice")
    common = {"subject": record["prefix"], "side": record["side"]["value"],
              "measures_version": record.get("measures_version", "1")}
    for rows in (_region_rows(record), _subregion_rows(record), _meniscus_rows(record), _joint_rows(record),
                 shape_rows(record)):
        for row in rows:
            yield {**common, **row, "method": "; ".join(filter(None, (row["method"], notice)))}


def _region_rows(record: Mapping) -> Iterator[dict]:
    t2_method = _t2_method(record.get("t2") or {})
    checks = record["quality"]["checks"]
    for name, entry in record["regions"].items():
        place = {"structure": REGION_BONES[name], "region": name}
        counts = entry.get("counts", {})
        flags = {about: flag_of(name, checks, about) for about in (THICKNESS, T2)}
        for measure, value in entry["measures"].items():
            is_t2 = measure in T2_TABLE
            depth, plain = layer_of(measure)
            about = (T2_TABLE if is_t2 else MEASURE_TABLE)[measure]
            yield {**place, "depth": depth, "measure": plain, "value": value, "unit": about.unit,
                   "n": counts.get(about.counts), "method": t2_method if is_t2 else method_of(measure),
                   "quality_flag": "missing" if value is None else flags[T2 if is_t2 else THICKNESS]}
        for depth, layer in _LAYERS.items():
            if f"{layer}t2_excluded" in counts:
                excluded, counted = counts[f"{layer}t2_excluded"], counts[f"{layer}t2_voxels"]
                yield {**place, "depth": depth, "measure": "t2_excluded_voxels", "value": excluded, "unit": "voxels",
                       "n": excluded + counted, "method": t2_method, "quality_flag": flags[T2]}


def _subregion_rows(record: Mapping) -> Iterator[dict]:
    for name, entry in record.get("subregions", {}).items():
        for measure, value in entry["measures"].items():
            yield {"structure": REGION_BONES[entry["region"]], "region": name, "depth": "all", "measure": measure,
                   "value": value, "unit": MEASURE_TABLE[measure].unit, "n": None, "method": method_of(measure),
                   "quality_flag": "missing" if value is None else entry["flag"]}
    for name, entry in record.get("sums", {}).items():
        flags = [record["subregions"][part]["flag"] for part in SUMS[name]]
        yield {"structure": "joint", "region": name, "depth": "all", "measure": "ThC_tAB_mm",
               "value": entry["ThC_tAB_mm"], "unit": "mm", "n": None, "method": method_of("ThC_tAB_mm"),
               "quality_flag": "missing" if entry["ThC_tAB_mm"] is None else worst(flags)}


def _joint_rows(record: Mapping) -> Iterator[dict]:
    for measure, value in record.get("joint", {}).items():
        yield {"structure": "joint", "region": "joint", "depth": "all", "measure": measure, "value": value,
               "unit": JOINT_TABLE[measure].unit, "n": None, "method": "surface-geometry",
               "quality_flag": "missing" if value is None else worst(
                   [c["flag"] for c in record["quality"]["checks"] if c.get("subject") in (None, "femur", "tibia")])}


def _meniscus_rows(record: Mapping) -> Iterator[dict]:
    for name, entry in record["menisci"].items():
        flag = flag_of(name, record["quality"]["checks"], MENISCUS)
        for measure, value in entry["measures"].items():
            about = MENISCUS_TABLE[measure]
            yield {"structure": "meniscus", "region": name, "depth": "all", "measure": measure, "value": value,
                   "unit": about.unit, "n": entry.get("counts", {}).get(about.counts), "method": method_of(measure),
                   "quality_flag": "missing" if value is None or entry["flag"] == "missing" else flag}


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


def _t2_method(t2: Mapping) -> str:
    return "-".join(dict.fromkeys(str(t2[key]) for key in ("sequence", "t2_method") if key in t2))
