"""Numbers in the scene: the tables of a run, a table of the regions for people, and bar charts of it."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from ..errors import InvalidFormatError
from .scene_changes import SceneChanges
from .scene_files import checked

REGION_COLUMN = "Region"
_HEADINGS = {
    "mm_mean": "Mean thickness (mm)", "mm_std": "SD (mm)", "mm_median": "Median (mm)", "VC_mm3": "Volume (mm3)",
    "tAB_mm2": "Total bone area (mm2)", "cAB_mm2": "Covered area (mm2)", "dAB_mm2": "Denuded area (mm2)",
    "dAB_percent": "Denuded (%)", "ThC_tAB_mm": "Mean over total area (mm)",
    "ThC_cAB_mm": "Mean over covered area (mm)",
    "t2_ms_mean": "T2 mean (ms)", "t2_ms_std": "T2 SD (ms)", "t2_ms_median": "T2 median (ms)",
    "deep_t2_ms_mean": "T2 deep, mean (ms)", "deep_t2_ms_std": "T2 deep, SD (ms)",
    "deep_t2_ms_median": "T2 deep, median (ms)", "superficial_t2_ms_mean": "T2 superficial, mean (ms)",
    "superficial_t2_ms_std": "T2 superficial, SD (ms)", "superficial_t2_ms_median": "T2 superficial, median (ms)",
}
CHARTS = {
    "thickness_chart": ("mm_mean", "Cartilage thickness by region", "Mean thickness (mm)", (0.25, 0.53, 0.78)),
    "t2_chart": ("t2_ms_mean", "Cartilage T2 by region", "Mean T2 (ms)", (0.80, 0.47, 0.22)),
}
"""Role -> measure, title, axis title, colour of the bars."""


def add_region_table(changes: SceneChanges, record: dict, name: str) -> Any | None:
    """One row a region, one column a measure that any region has, and the quality flag; None without regions."""
    regions = record.get("regions", {})
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


def add_csv_table(changes: SceneChanges, path: Path, name: str) -> Any:
    """A CSV file as table node: columns whose cells are all numbers or empty become numbers (empty: NaN).

    Raises
    ------
    MissingFileError, InvalidFormatError
        If there is no such file, or it has no header.
    """
    with checked(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or len({len(row) for row in rows}) != 1:
        raise InvalidFormatError(_("{file} is not a table: its rows differ in length.").format(file=path.name),
                                 _("Run the analysis again."))
    node = changes.scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    table = vtk.vtkTable()
    for title, *cells in zip(*rows, strict=True):
        numbers = [_number(cell) for cell in cells]
        all_numbers = any(cells) and all(n is not None or not c for n, c in zip(numbers, cells, strict=True))
        table.AddColumn(_numbers(title, numbers) if all_numbers else _strings(title, cells))
    _show_titles(node, table)
    return node


def add_series(changes: SceneChanges, role: str, table: Any) -> Any | None:
    """The bars of a chart: one a region of the region table; None if the table lacks the measure."""
    measure, title, _axis, colour = CHARTS[role]
    if table.GetTable().GetColumnByName(heading(measure)) is None:
        return None
    node = changes.scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", title)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
    node.SetXColumnName("")
    node.SetYColumnName(heading(measure))
    node.SetLabelColumnName(REGION_COLUMN)
    node.SetColor(*colour)
    return node


def add_chart(changes: SceneChanges, role: str, series: Any) -> Any:
    """The chart around `add_series`. It is shown when a person asks for it."""
    title, axis = CHARTS[role][1:3]
    node = changes.scene.AddNewNodeByClass("vtkMRMLPlotChartNode", title)
    node.AddAndObservePlotSeriesNodeID(series.GetID())
    node.SetTitle(title)
    node.SetXAxisTitle(REGION_COLUMN)
    node.SetYAxisTitle(axis)
    node.SetLegendVisibility(False)
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
