"""The mapping table: segments that nobody recognised, and a selector of structures for each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from .segment_matching import SegmentMatch, choices, match_segments

_NOT_SAID = -1


class MappingPanel:
    """Shows the segments of the chosen segmentation that are not matched, and keeps what a person says of them."""

    def __init__(self, ui: Any, on_changed: Callable[[], None]) -> None:
        import qt

        self._ui, self._on_changed = ui, on_changed
        self._parameters: Any = None
        self._shown: tuple = ()
        self._combos: list[Any] = []
        ui.mappingTable.setHorizontalHeaderLabels([_("Segment"), _("Structure")])
        ui.mappingTable.verticalHeader().visible = False
        for column in (0, 1):
            ui.mappingTable.horizontalHeader().setSectionResizeMode(column, qt.QHeaderView.Stretch)
        ui.mappingFrame.visible = False

    def set_parameters(self, parameters: Any) -> None:
        """Show and change this parameter node; None for none."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """Match the segments again; the table appears when some are left over or a person has spoken of some."""
        node = self._parameters.segmentation if self._parameters is not None else None
        matches = _matches(node, {}) if node is not None else []
        open_ones = [match for match in matches if match.value is None]
        shown = (node.GetID() if node is not None else "", tuple(match.segment_id for match in open_ones))
        if shown != self._shown:
            self._shown = shown
            self._fill(open_ones)
        self._ui.mappingFrame.visible = bool(open_ones)

    def values(self) -> dict[str, int]:
        """Segment ID -> canonical value (0: left out), as far as a person has said it for the chosen segmentation."""
        node = self._parameters.segmentation if self._parameters is not None else None
        return _kept(self._parameters, node) if node is not None else {}

    def unsaid(self) -> int:
        """How many segments still wait for an answer."""
        said = self.values()
        return sum(segment_id not in said for segment_id in self._shown[1]) if self._shown else 0

    def _fill(self, open_ones: list[SegmentMatch]) -> None:
        import qt

        table, said = self._ui.mappingTable, self.values()
        table.setRowCount(0)
        table.setRowCount(len(open_ones))
        self._combos = []
        values = [_NOT_SAID, *(value for value, _title in choices())]
        for row, match in enumerate(open_ones):
            item = qt.QTableWidgetItem(match.name)
            item.setFlags(qt.Qt.ItemIsEnabled)
            item.setToolTip(_(match.reason))
            table.setItem(row, 0, item)
            combo = qt.QComboBox()
            combo.addItem(_("Choose..."))
            for _value, title in choices():
                combo.addItem(_(title).capitalize())
            combo.toolTip = _(match.reason)
            combo.currentIndex = values.index(said.get(match.segment_id, _NOT_SAID))
            combo.connect("currentIndexChanged(int)", self._chooser(match.segment_id, values))
            table.setCellWidget(row, 1, combo)
            self._combos.append(combo)

    def _chooser(self, segment_id: str, values: list[int]) -> Callable[[int], None]:
        def chosen(index: int) -> None:
            self._keep(segment_id, values[index])

        return chosen

    def _keep(self, segment_id: str, value: int) -> None:
        said = {key: kept for key, kept in self.values().items() if key != segment_id}
        if value != _NOT_SAID:
            said[segment_id] = value
        node = self._parameters.segmentation
        self._parameters.segmentMapping = json.dumps({"node": node.GetID(), "values": said})
        self._on_changed()


def _matches(node: Any, said: dict[str, int]) -> list[SegmentMatch]:
    from ..errors import InvalidFormatError

    try:
        return match_segments(node, said)
    except InvalidFormatError:  # no segments (yet): said when Apply is pressed
        return []


def _kept(parameters: Any, node: Any) -> dict[str, int]:
    try:
        kept = json.loads(parameters.segmentMapping or "{}")
        return {str(key): int(value) for key, value in kept["values"].items()} if kept["node"] == node.GetID() else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
