"""The report's tables and its chart."""

from __future__ import annotations

from collections.abc import Mapping

from ..imaging.labels import PLATES
from .markup import MISSING, Column, flag, number, paragraph, swatch, table, text
from .quality import flag_of
from .wording import JOINT_TABLE, MEASURE_TABLE, MENISCUS_TABLE, T2_TABLE, UNIT_SIGNS

_COVERED, _AREA, _ECKSTEIN = "Thickness (mm)", "Subchondral bone", "Area-weighted (mm)"
_COLUMNS = (
    ("mm_mean", _COVERED, "Mean"), ("mm_std", _COVERED, "SD"), ("mm_median", _COVERED, "Median"),
    ("VC_mm3", "Volume", "VC mm³"),
    ("tAB_mm2", _AREA, "tAB mm²"), ("cAB_mm2", _AREA, "cAB mm²"), ("dAB_mm2", _AREA, "dAB mm²"),
    ("dAB_percent", _AREA, "dAB %"),
    ("ThC_tAB_mm", _ECKSTEIN, "ThC tAB"), ("ThC_cAB_mm", _ECKSTEIN, "ThC cAB"),
)
_FINE_COLUMNS = (
    ("VC_mm3", "Volume", "VC mm³"), ("VCtAB_mm", "Volume", "VCtAB mm"),
    ("tAB_mm2", _AREA, "tAB mm²"), ("cAB_mm2", _AREA, "cAB mm²"), ("dAB_percent", _AREA, "dAB %"),
    ("AC_mm2", "Surface", "AC mm²"), ("ThC_tAB_mm", _ECKSTEIN, "ThC tAB"), ("ThC_cAB_mm", _ECKSTEIN, "ThC cAB"),
    ("ThC_cAB_std_mm", "Over the surface", "SD mm"), ("ThC_cAB_cv_percent", "Over the surface", "CV %"),
    ("aMiv_mm", "Extremes (mm)", "aMiv"), ("aMav_mm", "Extremes (mm)", "aMav"),
)
_ALL = {**MEASURE_TABLE, **T2_TABLE}
_TRUTH_SHOWN = ("mm_mean", "VC_mm3", "tAB_mm2", "dAB_mm2", "t2_ms_mean")
_IN_PERCENT = ("VC_mm3", "tAB_mm2")
"""Compared in percent of the truth; thickness in mm; denuded area, often zero, in mm²."""


def has_thickness(record: Mapping) -> bool:
    """Whether cartilage was measured; a region may be there for its T2 alone."""
    return any(entry["measures"].get(name) is not None for entry in record["regions"].values()
               for name in MEASURE_TABLE)


def region_chart(record: Mapping) -> str:
    """Mean thickness by region as bars."""
    from .figures.svg import Bar, bar_chart_svg

    if not has_thickness(record):
        return ""
    bars = [
        Bar(e["title"], tuple(e["color"]), e["measures"].get("mm_mean"), e["measures"].get("mm_std"),
            e["measures"].get("mm_median"))
        for e in record["regions"].values()
    ]
    described = ", ".join(f"{b.title} {b.mean:.2f}" for b in bars if b.mean is not None)
    return (f"<figure>{bar_chart_svg(bars, f'Bar chart of mean cartilage thickness in mm: {described}')}"
            "<figcaption>Mean thickness over the covered area; line: one standard deviation to either side; "
            "circle: median.</figcaption></figure>")


def region_table(record: Mapping) -> str:
    """Every region with every measure."""
    if not has_thickness(record):
        return paragraph("No cartilage was measured by region.")
    columns = [Column("Region"), *(Column(heading, group) for _, group, heading in _COLUMNS), Column("Flag", " ")]
    rows, emphasised = [], []
    for index, (name, entry) in enumerate(record["regions"].items()):
        cells = [number(entry["measures"].get(m), MEASURE_TABLE[m].decimals) for m, _, _ in _COLUMNS]
        rows.append([swatch(entry.get("color")) + text(entry["title"]), *cells,
                     flag(flag_of(name, record["quality"]["checks"], "thickness"))])
        if name == "fem_cart":
            emphasised.append(index)
    return table("Cartilage by region; abbreviations are explained under Methods.", columns, rows, emphasised)


def subregion_table(record: Mapping) -> str:
    """Plates, the sixteen subregions and the halves of trochlea and patella, and the sums of thickness."""
    entries = record.get("subregions") or {}
    if not entries:
        return ""
    columns = [Column("Name"), Column("Region"), *(Column(heading, group) for _, group, heading in _FINE_COLUMNS),
               Column("Flag", " ")]
    rows, plates = [], []
    for name, entry in entries.items():
        if name in PLATES:
            plates.append(len(rows))
        cells = [number(entry["measures"].get(m), MEASURE_TABLE[m].decimals) for m, _, _ in _FINE_COLUMNS]
        rows.append([swatch(entry.get("color")) + text(name), text(entry["title"].split(" (")[0]), *cells,
                     flag(entry["flag"])])
    sums = [[text(name), text(entry["title"]), number(entry["ThC_tAB_mm"], 2)]
            for name, entry in record.get("sums", {}).items()]
    return table("Plates and their subregions, by their published names.", columns, rows, plates) + (table(
        "Femorotibial sums of thickness over tAB.", [Column("Name"), Column("Sum of"), Column("mm")], sums)
        if sums else "")


def joint_table(record: Mapping) -> str:
    """Joint space, width and position."""
    values = record.get("joint") or {}
    rows = [[text(about.heading), f"{number(values.get(name), about.decimals)} {UNIT_SIGNS[about.unit]}",
             text(about.definition)] for name, about in JOINT_TABLE.items() if values.get(name) is not None]
    return table("The joint as it lay in the scanner, unloaded.",
                 [Column("Measure"), Column("Value"), Column("What it is")], rows) if rows else ""


def meniscus_table(record: Mapping) -> str:
    """Volume, extrusion and coverage of each meniscus."""
    if not record["menisci"]:
        return paragraph("No meniscus was measured.") if has_thickness(record) else ""
    columns = [Column("Meniscus"), *(Column(f"{m.heading} {UNIT_SIGNS[m.unit]}") for m in MENISCUS_TABLE.values()),
               Column("Flag")]
    rows = [
        [text(e["title"]), *(number(e["measures"].get(m.name), m.decimals) for m in MENISCUS_TABLE.values()),
         flag(e["flag"])]
        for e in record["menisci"].values()
    ]
    return table("Each meniscus; the measures are explained under Methods.", columns, rows)


def confidence_table(record: Mapping) -> str:
    """The network's own verdict, structure by structure; empty where there is none."""
    marks = (record.get("confidence") or {}).get("structures", {})
    if not marks:
        return ""
    columns = [Column("Structure"), Column("Volume ml"), Column("Margin"), Column("Pieces"), Column("Kept %"),
               Column("At border %"), Column("Flag")]
    rows = [[text(m["title"]), number(m["volume_ml"], 1), number(m["margin"], 2), number(m["pieces"], 0),
             _percent(m["kept_share"]), _percent(m["border_share"]), flag("ok" if m["level"] == "ok" else "check")]
            for m in marks.values()]
    return table("How far the network can be trusted: mean distance between the two best class "
                 "probabilities (margin, 0 to 1), separate pieces before cleaning, share kept by the cleaning, share "
                 "on the image's border.",
                 columns, rows)


def _percent(share: float | None) -> str:
    return number(None if share is None else 100 * share, 1)


def truth_table(record: Mapping) -> str:
    """What was measured beside what the digital knee really has."""
    truth = record.get("truth") or {}
    shown = [m for m in _TRUTH_SHOWN if any(t.get(m) is not None for t in truth.values()) and _has_been(m, record)]
    if not shown:
        return ""
    columns = [Column("Region")]
    for measure in shown:
        about = _ALL[measure]
        group = f"{about.heading} ({UNIT_SIGNS[about.unit]})"
        columns += [Column("measured", group), Column("true", group), Column(_difference_heading(measure), group)]
    rows = []
    for region, true in truth.items():
        entry = record["regions"].get(region)
        cells = [c for m in shown for c in _compared((entry or {}).get("measures", {}).get(m), true.get(m), m)]
        rows.append([swatch((entry or {}).get("color")) + text(entry["title"] if entry else region), *cells])
    return paragraph("This is the digital knee: the true values are those of the shapes it was made from, known "
                     "exactly, not those of another measurement.") + table(
        "Measured and true values; Δ is measured minus true, for volume and total area in percent of the truth.",
        columns, rows)


def _has_been(measure: str, record: Mapping) -> bool:
    """Whether there is something to compare: T2 that was measured, bare bone anywhere."""
    values = [entry["measures"].get(measure) for entry in record["regions"].values()]
    if measure == "dAB_mm2":
        return any(values) or any(true.get(measure) for true in record["truth"].values())
    return measure not in T2_TABLE or any(value is not None for value in values)


def _difference_heading(measure: str) -> str:
    return "Δ %" if measure in _IN_PERCENT else f"Δ {UNIT_SIGNS[_ALL[measure].unit]}"


def _compared(measured: float | None, true: float | None, measure: str) -> list[str]:
    decimals = _ALL[measure].decimals
    cells = [number(measured, decimals), number(true, decimals)]
    if measured is None or true is None:
        return [*cells, MISSING]
    if measure in _IN_PERCENT:
        return [*cells, number(100 * (measured - true) / true, 1, signed=True) if true else MISSING]
    return [*cells, number(measured - true, decimals, signed=True)]
