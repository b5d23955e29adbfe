"""Numbers and words in the scene: tables for people, bar charts of regions, how the run was made, its records."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from ...errors import InvalidFormatError
from .changes import SceneChanges
from .files import checked

if TYPE_CHECKING:
    from .kinds import Kind
    from .steps import Import, Source

REGION_COLUMN = "Region"
_GREY = (160, 160, 160)
_HEADINGS = {
    "mm_mean": "Mean thickness (mm)", "mm_std": "SD (mm)", "mm_median": "Median (mm)", "VC_mm3": "Volume (mm3)",
    "tAB_mm2": "Total bone area (mm2)", "cAB_mm2": "Covered area (mm2)", "dAB_mm2": "Denuded area (mm2)",
    "dAB_percent": "Denuded (%)", "ThC_tAB_mm": "Mean over total area (mm)",
    "ThC_cAB_mm": "Mean over covered area (mm)",
    "t2_ms_mean": "T2 mean (ms)", "t2_ms_std": "T2 SD (ms)", "t2_ms_median": "T2 median (ms)",
    "deep_t2_ms_mean": "T2 deep, mean (ms)", "deep_t2_ms_std": "T2 deep, SD (ms)",
    "deep_t2_ms_median": "T2 deep, median (ms)", "superficial_t2_ms_mean": "T2 superficial, mean (ms)",
    "superficial_t2_ms_std": "T2 superficial, SD (ms)", "superficial_t2_ms_median": "T2 superficial, median (ms)",
    "volume_mm3": "Volume (mm3)", "extrusion_mm": "Extrusion (mm)", "coverage_percent": "Tibial cartilage covered (%)",
}
CHARTS = {
    "thickness_chart": ("mm_mean", "Cartilage thickness by region", "Mean thickness (mm)"),
    "t2_chart": ("t2_ms_mean", "Cartilage T2 by region", "Mean T2 (ms)"),
}
"""Role -> measure, title, axis title."""


def bring_regions(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """The table of the regions."""
    if work.make(kind.role, add_region_table, work.record.get("regions") or {}, f"{work.knee}: regions"):
        yield _("Table of the regions")


def bring_menisci(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """The table of the menisci."""
    if work.make(kind.role, add_region_table, work.record.get("menisci") or {}, f"{work.knee}: menisci"):
        yield _("Table of the menisci")


def bring_csv(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """Files of numbers as tables."""
    for source in sources:
        rows = yield from work.read(source)
        work.make(source.entry["role"], add_csv_table, rows, source.title)
        yield source.title


def bring_chart(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """A bar chart of the regions, where any has the measure."""
    regions = charted(work.record, kind.role)
    if not regions:
        return
    table = work.make(f"{kind.role}_bars", add_bar_table, kind.role, regions)
    yield _("Heights of the bars")
    bars = []
    for region in regions:
        bars.append(work.make("plot_series", add_bar, region, table))
        yield _("Bars of the chart")
    work.make(kind.role, add_chart, kind.role, bars)
    yield _("Chart of the regions")


def add_region_table(changes: SceneChanges, regions: dict[str, dict], name: str) -> Any | None:
    """One row a region, one column a measure that any region has, and the quality flag; None without regions.

    Parameters
    ----------
    regions : dict
        ``regions`` of results.json, or its ``menisci``.
    """
    if not regions:
        return None
    measures = list(dict.fromkeys(m for region in regions.values() for m in region["measures"]))
    node = changes.scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    table = vtk.vtkTable()
    table.AddColumn(_strings(REGION_COLUMN, [region["title"] for region in regions.values()]))
    for measure in measures:
        values = [region["measures"].get(measure) for region in regions.values()]
        table.AddColumn(_numbers(heading(measure), values))
    table.AddColumn(_strings("Quality", [region.get("flag", "") for region in regions.values()]))
    _show_titles(node, table)
    return node


def heading(measure: str) -> str:
    """What a column of the region table is called; a measure that is not known here keeps its name."""
    return _HEADINGS.get(measure, measure)


def read_csv(folder: Path, entry: dict) -> list[list[str]]:
    """The rows of a CSV file of a run, its header first.

    Raises
    ------
    MissingFileError, InvalidFormatError
        If there is no such file, or its rows differ in length.
    """
    path = checked(folder / entry["path"])
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or len({len(row) for row in rows}) != 1:
        raise InvalidFormatError(_("{file} is not a table: its rows differ in length.").format(file=path.name),
                                 _("Run the analysis again."))
    return rows


def add_csv_table(changes: SceneChanges, rows: list[list[str]], name: str) -> Any:
    """Rows as table node: columns whose cells are all numbers or empty become numbers (empty: NaN)."""
    node = changes.scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    table = vtk.vtkTable()
    for title, *cells in zip(*rows, strict=True):
        numbers = [_number(cell) for cell in cells]
        all_numbers = any(cells) and all(n is not None or not c for n, c in zip(numbers, cells, strict=True))
        table.AddColumn(_numbers(title, numbers) if all_numbers else _strings(title, cells))
    _show_titles(node, table)
    return node


def charted(record: dict, role: str) -> list[dict]:
    """The regions that have a bar in a chart."""
    return [region for region in record.get("regions", {}).values() if CHARTS[role][0] in region["measures"]]


def add_bar_table(changes: SceneChanges, role: str, regions: list[dict]) -> Any:
    """The heights of a chart's bars: one row, one column a region."""
    measure, title, _axis = CHARTS[role]
    node = changes.scene.AddNewNodeByClass("vtkMRMLTableNode", f"{title}: bars")
    table = vtk.vtkTable()
    for region in regions:
        table.AddColumn(_numbers(region["title"], [region["measures"][measure]]))
    _show_titles(node, table)
    return node


def add_bar(changes: SceneChanges, region: dict, table: Any) -> Any:
    """The bar of one region, in its segment's colour.

    Each is a series of its own, because Slicer's charts write no words on an axis: a name stands in the legend only,
    and the legend names series.
    """
    node = changes.scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", region["title"])
    node.SetName(region["title"])  # the legend says it, so no number after it
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
    node.SetXColumnName("")
    node.SetYColumnName(region["title"])
    node.SetColor(*(part / 255 for part in region.get("color", _GREY)))
    return node


def add_chart(changes: SceneChanges, role: str, bars: list[Any]) -> Any:
    """The chart around its bars. It is shown when a person asks for it."""
    _measure, title, axis = CHARTS[role]
    node = changes.scene.AddNewNodeByClass("vtkMRMLPlotChartNode", title)
    for bar in bars:
        node.AddAndObservePlotSeriesNodeID(bar.GetID())
    node.SetTitle(title)
    node.SetXAxisTitle(_("Regions, in the order of the legend"))
    node.SetYAxisTitle(axis)
    node.SetLegendVisibility(True)
    # The bars stand side by side around 0, four fifths of a unit wide together; by itself the axis would begin in their
    # midst. To the right is room for the legend.
    node.SetXAxisRangeAuto(False)
    node.SetXAxisRange(-0.5, 1.0)
    node.SetYAxisRangeAuto(True)
    return node


def _show_titles(node: Any, table: Any) -> None:
    node.SetAndObserveTable(table)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _numbers(title: str, values: list[float | None]) -> Any:
    column = vtk.vtkDoubleArray()
    column.SetName(title)
    for value in values:
        column.InsertNextValue(math.nan if value is None else value)
    return column


def _strings(title: str, values: list[str]) -> Any:
    column = vtk.vtkStringArray()
    column.SetName(title)
    for value in values:
        column.InsertNextValue(value)
    return column


LARGEST_RECORD_BYTES = 1 << 20
"""A longer file is no reading matter; it stays in the folder."""


def bring_details(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """A text that tells what was done, with what, and what to look at."""
    scores = read_scores(work.folder, work.entries()) if work.options.shape else {}
    work.make(kind.role, _add_text, f"{work.knee}: run details", details(work.record, scores))
    yield _("Run details")


def bring_record(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """Records as texts, those that are short enough to read."""
    for source in sources:
        text = yield from work.read(source)
        if text is not None:
            work.make(source.entry["role"], _add_text, source.title, text, folder=kind.folder)
            yield source.title


def read_text(folder: Path, entry: dict) -> str | None:
    """A small file of a run; None where it is too long to read."""
    path = checked(folder / entry["path"])
    return path.read_text(encoding="utf-8") if path.stat().st_size <= LARGEST_RECORD_BYTES else None


def read_scores(folder: Path, outputs: list[dict]) -> dict[str, Any]:
    """Title of each score record -> its numbers."""
    scores = {}
    for output in outputs:
        if output["role"] == "score_record" and output["path"].endswith(".json"):
            values = json.loads(checked(folder / output["path"]).read_text(encoding="utf-8"))
            if isinstance(values, dict):
                scores[output["title"]] = {k: v for k, v in values.items() if isinstance(v, (int, float, str))}
    return scores


def details(record: dict, scores: dict[str, Any] | None = None) -> str:
    """The run in plain text, from results.json; what is not there is left out."""
    run, given, side = record.get("run", {}), record.get("input", {}), record.get("side", {})
    lines = ["KneePipeline: how these results were made", ""]
    if run.get("practice"):
        lines += ["PRACTICE MODE: these are the digital knee's numbers, not those of the input.", ""]
    model = run.get("model") or {}
    facts = [
        ("Date (UTC)", record.get("created", "").replace("T", " ").rstrip("Z")),
        ("Status", record.get("status")),
        ("Side", f"{side.get('value', 'unknown')} (from: {side.get('determined_by', 'none')})"),
        ("Segmentation", _segmentation(run, model)),
        ("Licence of the model", model.get("licence")),
        ("Device", run.get("device")),
        ("Steps", ", ".join(run.get("steps", []))),
        ("Input", _input(given)),
        ("Quality", record.get("quality", {}).get("overall")),
        ("Options", run.get("options_digest", "")[:16] and f"SHA-256 {run['options_digest'][:16]}..."),
    ]
    lines += [f"{title}: {value}" for title, value in facts if value]
    for title, values in (scores or {}).items():
        lines.append(f"{title}: " + ", ".join(f"{name} {value}" for name, value in values.items()))
    lines += _section("Look at", [c["message"] for c in record.get("quality", {}).get("checks", [])
                                  if c.get("flag") != "ok"])
    lines += _section("Warnings", [w["message"] for w in record.get("warnings", [])])
    lines += _section("What failed", [" ".join(filter(None, (e["message"], e.get("hint")))) for e in
                                      record.get("errors", [])])
    lines += _section("Not done", [f"{s['part']}: {s['reason']}" for s in record.get("skipped", [])])
    lines += _section("Software", [f"{name} {version}" for name, version in run.get("versions", {}).items()])
    lines += ["", "On the models 0 mm means that there is no cartilage. A T2 of 0 ms means that none was measured.",
              "The T2 map in the scene holds cartilages and menisci; the whole map is in the results folder."]
    return "\n".join(lines) + "\n"


def _segmentation(run: dict, model: dict) -> str:
    source = {"network": "network", "given": "given labels", "truth": "the digital knee's own labels", "none": "none"}
    words = source.get(run.get("segmentation", ""), run.get("segmentation", ""))
    named = " ".join(filter(None, (model.get("title") or model.get("name"), model.get("notice") and
                                   f"({model['notice']})")))
    return f"{words}: {named}" if named else words


def _input(given: dict) -> str:
    size = " x ".join(map(str, given.get("size", [])))
    spacing = " x ".join(f"{s:g}" for s in given.get("spacing_mm", []))
    parts = [given.get("kind"), size and f"{size} voxels", spacing and f"{spacing} mm", given.get("sequence")]
    return ", ".join(part for part in parts if part)


def _section(title: str, sentences: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"- {sentence}" for sentence in sentences)] if sentences else []


def _add_text(changes: SceneChanges, name: str, text: str) -> Any:
    node = changes.scene.AddNewNodeByClass("vtkMRMLTextNode", name)
    node.SetText(text)
    return node
