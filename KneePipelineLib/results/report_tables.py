"""The report's tables and its chart."""

from __future__ import annotations

from collections.abc import Mapping

from .markup import MISSING, Column, flag, number, paragraph, swatch, table, text
from .wording import MEASURE_TABLE, MENISCUS_TABLE, UNIT_SIGNS

_COVERED, _AREA, _ECKSTEIN = "Thickness (mm)", "Subchondral bone", "Area-weighted (mm)"
_COLUMNS = (
    ("mm_mean", _COVERED, "Mean"), ("mm_std", _COVERED, "SD"), ("mm_median", _COVERED, "Median"),
    ("VC_mm3", "Volume", "VC mm³"),
    ("tAB_mm2", _AREA, "tAB mm²"), ("cAB_mm2", _AREA, "cAB mm²"), ("dAB_mm2", _AREA, "dAB mm²"),
    ("dAB_percent", _AREA, "dAB %"),
    ("ThC_tAB_mm", _ECKSTEIN, "ThC tAB"), ("ThC_cAB_mm", _ECKSTEIN, "ThC cAB"),
)
_TRUTH_SHOWN = ("mm_mean", "VC_mm3", "tAB_mm2", "dAB_mm2")
_IN_PERCENT = ("VC_mm3", "tAB_mm2")
"""Compared in percent of the truth; thickness in mm; denuded area, often zero, in mm²."""


def region_chart(record: Mapping) -> str:
    """Mean thickness by region as bars."""
    from .figures.svg import Bar, bar_chart_svg

    if not record["regions"]:
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
    if not record["regions"]:
        return paragraph("No region was measured.")
    columns = [Column("Region"), *(Column(heading, group) for _, group, heading in _COLUMNS), Column("Flag", " ")]
    rows, emphasised = [], []
    for index, (name, entry) in enumerate(record["regions"].items()):
        cells = [number(entry["measures"].get(m), MEASURE_TABLE[m].decimals) for m, _, _ in _COLUMNS]
        rows.append([swatch(entry.get("color")) + text(entry["title"]), *cells, flag(entry["flag"])])
        if name == "fem_cart":
            emphasised.append(index)
    return table("Cartilage by region; abbreviations are explained under Methods.", columns, rows, emphasised)


def meniscus_table(record: Mapping) -> str:
    """Volume, extrusion and coverage of each meniscus."""
    if not record["menisci"]:
        return paragraph("No meniscus was measured.") if record["regions"] else ""
    columns = [Column("Meniscus"), *(Column(f"{m.heading} {UNIT_SIGNS[m.unit]}") for m in MENISCUS_TABLE.values()),
               Column("Flag")]
    rows = [
        [text(e["title"]), *(number(e["measures"].get(m.name), m.decimals) for m in MENISCUS_TABLE.values()),
         flag(e["flag"])]
        for e in record["menisci"].values()
    ]
    return table("Each meniscus; the measures are explained under Methods.", columns, rows)


def truth_table(record: Mapping) -> str:
    """What was measured beside what the digital knee really has."""
    truth = record.get("truth") or {}
    shown = [m for m in _TRUTH_SHOWN if any(t.get(m) is not None for t in truth.values())]
    if not shown:
        return ""
    columns = [Column("Region")]
    for measure in shown:
        about = MEASURE_TABLE[measure]
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


def _difference_heading(measure: str) -> str:
    return "Δ %" if measure in _IN_PERCENT else f"Δ {UNIT_SIGNS[MEASURE_TABLE[measure].unit]}"


def _compared(measured: float | None, true: float | None, measure: str) -> list[str]:
    decimals = MEASURE_TABLE[measure].decimals
    cells = [number(measured, decimals), number(true, decimals)]
    if measured is None or true is None:
        return [*cells, MISSING]
    if measure in _IN_PERCENT:
        return [*cells, number(100 * (measured - true) / true, 1, signed=True) if true else MISSING]
    return [*cells, number(measured - true, decimals, signed=True)]
