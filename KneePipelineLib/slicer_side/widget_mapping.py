"""The mapping table: segments that nobody recognised, and a selector of structures for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from .segment_matching import SegmentMatch, choices, match_segments
from .terminology import ANSWER_TAG, tag_of

_NOT_SAID = -1


class MappingPanel:
    """Shows the segments of the chosen segmentation that are not matched, and keeps what a person says of them."""

    def __init__(self, ui: Any, on_changed: Callable[[], None]) -> None:
        import qt

        self._ui, self._on_changed = ui, on_changed
        self._parameters: Any = None
        self._shown: tuple[str, tuple[str, ...]] = ("", ())
        self._asked_id = ""
        self._combos: list[Any] = []
        ui.mappingTable.setHorizontalHeaderLabels([_("Segment"), _("Structure")])
        ui.mappingTable.verticalHeader().visible = False
        for column in (0, 1):
            ui.mappingTable.horizontalHeader().setSectionResizeMode(column, qt.QHeaderView.Stretch)
        ui.mappingFrame.visible = False

    def set_parameters(self, parameters: Any) -> None:
        """Show and change this parameter node; None for none."""
        self._parameters, self._asked_id = parameters, ""
        self.update()

    def ask_about(self, node: Any) -> None:
        """Show the table for this segmentation (of a repeated analysis), although it is not the one under Inputs."""
        self._asked_id = node.GetID()
        self.update()

    def update(self) -> None:
        """Match the segments again; the table appears when some of them are left over."""
        node = self._node()
        matches = _matches(node) if node is not None else []
        open_ones = [match for match in matches if match.value is None]
        shown = (node.GetID() if node is not None else "", tuple(match.segment_id for match in open_ones))
        if shown != self._shown:
            self._shown = shown
            self._fill(open_ones)
        self._ui.mappingFrame.visible = bool(open_ones)

    def values(self, node: Any = None) -> dict[str, int]:
        """Segment ID -> canonical value (0: left out), as far as a person has said it.

        Of `node`, or of the segmentation chosen under Inputs.
        """
        node = node or (self._parameters.segmentation if self._parameters is not None else None)
        if node is None:
            return {}
        segmentation = node.GetSegmentation()
        said = {own_id: tag_of(segmentation.GetSegment(own_id), ANSWER_TAG) for own_id in segmentation.GetSegmentIDs()}
        return {own_id: int(text) for own_id, text in said.items() if text.isdecimal()}

    def unsaid(self) -> int:
        """How many segments of the one chosen under Inputs still wait for an answer."""
        chosen = self._parameters.segmentation if self._parameters is not None else None
        if chosen is None or self._shown[0] != chosen.GetID():
            return 0
        said = self.values()
        return sum(segment_id not in said for segment_id in self._shown[1])

    def _node(self) -> Any:
        """What the table is about: the segmentation under Inputs, else the one that was asked about."""
        import slicer

        if self._parameters is None:
            return None
        if self._parameters.segmentation is not None:
            return self._parameters.segmentation
        return slicer.mrmlScene.GetNodeByID(self._asked_id) if self._asked_id else None

    def _fill(self, open_ones: list[SegmentMatch]) -> None:
        import qt

        table, said = self._ui.mappingTable, self.values(self._node())
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
        """As a tag of the segment: it stays with it when the scene is saved, renumbered or added to another."""
        segment = self._node().GetSegmentation().GetSegment(segment_id)
        segment.SetTag(ANSWER_TAG, str(value)) if value != _NOT_SAID else segment.RemoveTag(ANSWER_TAG)
        self._on_changed()


def _matches(node: Any) -> list[SegmentMatch]:
    from ..errors import InvalidFormatError

    try:
        return match_segments(node)
    except InvalidFormatError:  # no segments (yet): said when Apply is pressed
        return []
