"""The section Results: the figures of the latest run, and the ways to its table, chart, report, files and models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ..scene import kinds
from .wording import plain


class ResultsPanel:
    """Reads results.json and shows what a person looks at first.

    Parameters
    ----------
    ui
        The panel's widgets.
    on_reanalyse : callable
        Called when Re-analyse is pressed.
    """

    def __init__(self, ui: Any, on_reanalyse: Callable[[], None]) -> None:
        import qt

        self._ui = ui
        self._folder: Path | None = None
        self.nodes: dict[str, Any] = {}
        ui.resultsTable.setHorizontalHeaderLabels(
            [_("Structure"), _("Thickness, mm"), _("Volume, ml"), _("Quality")])
        header = ui.resultsTable.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2, 3):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        ui.resultsTable.verticalHeader().visible = False
        ui.resultsTable.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        for kind in kinds.KINDS:
            if kind.button:
                getattr(ui, kind.button).connect("clicked(bool)", self._shower(kind))
        ui.openReportButton.connect("clicked(bool)", self.open_report)
        ui.openFolderButton.connect("clicked(bool)", self.open_folder)
        ui.reanalyseButton.connect("clicked(bool)", on_reanalyse)
        self.clear()

    def clear(self) -> None:
        """There is no result (any more)."""
        self._folder, self.nodes = None, {}
        self._ui.resultsLabel.text = _("Nothing has been measured yet.")
        self._ui.resultsTable.setRowCount(0)
        self._ui.resultsTable.visible = False
        self._ui.resultsButtons.visible = False

    def show(self, folder: Path | None, nodes: Mapping[str, Any], can_reanalyse: bool) -> None:
        """Show a run.

        Parameters
        ----------
        folder : path or None
            Where results.json lies; None or a folder that has gone: the scene's nodes are still there.
        nodes : mapping
            As `scene.kinds.nodes_of_run` finds them.
        can_reanalyse : bool
            Whether there is a segmentation to measure again.
        """
        self._folder = folder if folder is not None and (folder / "results.json").is_file() else None
        self.nodes = dict(nodes)
        ui = self._ui
        record = _record(self._folder)
        ui.resultsButtons.visible = True
        ui.resultsLabel.text = "\n".join(_sentences(record)) if record else _(
            "The folder of these results is not there any more; what is in the scene stays.")
        self._fill(record)
        for kind in kinds.KINDS:
            if kind.button:
                getattr(ui, kind.button).enabled = self.nodes.get(kind.key) not in (None, [])
        for button, there in ((ui.openReportButton, bool(self._folder) and (self._folder / "report.html").is_file()),
                              (ui.openFolderButton, self._folder is not None),
                              (ui.reanalyseButton, can_reanalyse and self._folder is not None)):
            button.enabled = there

    def _fill(self, record: Mapping[str, Any]) -> None:
        import qt

        table, rows = self._ui.resultsTable, [*_rows_of_regions(record), *_rows_of_menisci(record)]
        table.setRowCount(0)
        table.setRowCount(len(rows))
        table.visible = bool(rows)
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(texts[0])
                if column in (1, 2):
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, column, item)
        table.resizeRowsToContents()

    # --- what the buttons do -----------------------------------------------------------------------------------------

    def _shower(self, kind: kinds.Kind) -> Callable[[], None]:
        show = {"table": self._show_table, "chart": self._show_chart, "slices": self._show_in_slices,
                "3d": self._show_in_3d}[kind.view]

        def clicked() -> None:
            show(self.nodes[kind.key])

        return clicked

    def _show_table(self, node: Any) -> None:
        """In a layout that has a table."""
        import slicer

        self._lay_out(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
        slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(node.GetID())
        slicer.app.applicationLogic().PropagateTableSelection()

    def _show_chart(self, node: Any) -> None:
        """In a layout that has a plot."""
        import slicer

        self._lay_out(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
        slicer.app.applicationLogic().GetSelectionNode().SetActivePlotChartID(node.GetID())
        slicer.app.applicationLogic().PropagatePlotChartSelection()

    @staticmethod
    def _show_in_slices(node: Any) -> None:
        """In front of what the slice views show."""
        import slicer

        slicer.util.setSliceViewerLayers(foreground=node, foregroundOpacity=1.0)

    def _show_in_3d(self, nodes: list[Any]) -> None:
        """Centre the 3D view on the scene."""
        import slicer

        manager = slicer.app.layoutManager()
        if manager is None:
            return
        if manager.threeDViewCount == 0:
            self._lay_out(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        slicer.util.resetThreeDViews()

    def open_report(self) -> None:
        """report.html in the web browser."""
        self._open(self._folder / "report.html")

    def open_folder(self) -> None:
        """The run's folder in the file browser."""
        self._open(self._folder)

    @staticmethod
    def _open(path: Path) -> None:
        import qt

        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))

    @staticmethod
    def _lay_out(layout: int) -> None:
        import slicer

        manager = slicer.app.layoutManager()
        if manager is not None:
            manager.setLayout(layout)


def _record(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    try:
        record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _sentences(record: Mapping[str, Any]) -> list[str]:
    """What a person must know before reading figures: side, quality, what failed, what was left out."""
    run, side = record.get("run", {}), (record.get("side") or {}).get("value")
    lines = []
    if run.get("practice"):
        lines.append(_("Practice mode: these are the digital knee's figures, not those of the input."))
    if side:
        lines.append({"left": _("Left knee."), "right": _("Right knee.")}.get(side, side))
    if (run.get("model") or {}).get("name") == "bundled":
        lines.append(_("Bundled network: for trying out, not validated for research."))
    quality = record.get("quality", {})
    if quality.get("overall") not in (None, "ok", "good", "pass"):
        lines.append(_("Quality: look at the segmentation before you use these figures."))
    lines += [plain(warning["message"]) for warning in record.get("warnings", ())
              if warning.get("severity") == "serious"]
    lines += [_("Failed: {part}. {message}").format(part=error.get("part") or "",
                                                   message=plain(error.get("message", "")))
              for error in record.get("errors", ())]
    lines += [_("Not done: {part}, because {reason}").format(part=part["part"],
                                                              reason=plain(f"{part['reason'].rstrip('.')}."))
              for part in record.get("skipped", ()) if part.get("part") not in ("image", "metadata", "echoes", "score")]
    return lines


def _rows_of_regions(record: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Region, thickness, volume, quality."""
    from ...results.quality import flag_of
    from ...results.rules import RULES, THICKNESS

    # Results of another version may know other rules.
    checks = [check for check in record.get("quality", {}).get("checks", []) if check.get("code") in RULES]
    # The columns say nothing about T2, and so does the flag.
    return [(_(region.get("title", "")), _number(region.get("measures", {}).get("mm_mean"), 2),
             _number(region.get("measures", {}).get("VC_mm3"), 2, 1e-3), _(flag_of(name, checks, THICKNESS)))
            for name, region in record.get("regions", {}).items()]


def _rows_of_menisci(record: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """The same of each meniscus, which has no thickness; extrusion and coverage stand under its name."""
    rows = []
    for meniscus in (record.get("menisci") or {}).values():
        measures = meniscus.get("measures", {})
        more = _("extrusion {extrusion} mm, {coverage} % of the cartilage covered").format(
            extrusion=_number(measures.get("extrusion_mm"), 1), coverage=_number(measures.get("coverage_percent"), 0))
        rows.append((f"{_(meniscus.get('title', ''))}\n{more}", _number(None, 2),
                     _number(measures.get("volume_mm3"), 2, 1e-3), _(meniscus.get("flag") or "")))
    return rows


def _number(value: Any, digits: int, factor: float = 1.0) -> str:
    return f"{value * factor:.{digits}f}" if isinstance(value, (int, float)) else "-"
