"""The section Inputs: which fields show, what the segments are, and whether what is chosen is enough to begin.

Path fields are bound here and not by ``SlicerParameterName``: that binding keeps a `Path`, and the empty path comes
back as ".", which then stands in the field and means Slicer's own folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ..inputs.matching import SegmentMatch, choices, match_segments
from ..parameters import InputKind
from ..terminology import ANSWER_TAG, tag_of


class InputsPanel:
    """Shows the fields of the chosen kind of input and judges them."""

    def __init__(self, ui: Any, on_changed: Callable[[], None], on_failure: Callable[[str], None]) -> None:
        self._ui, self._on_failure = ui, on_failure
        self._parameters: Any = None
        self.mapping = MappingPanel(ui, on_changed)
        ui.sampleLabel.connect("linkActivated(QString)", self.load_sample)
        ui.inputFolderButton.connect("clicked(bool)", self._choose_folder)

    def set_parameters(self, parameters: Any) -> None:
        """Show and change this parameter node; None for none."""
        self._parameters = parameters
        self.mapping.set_parameters(parameters)
        self.update()

    def update(self) -> None:
        """The parameter node has changed."""
        if self._parameters is None:
            return
        from_volume = self._parameters.inputKind == InputKind.VOLUME
        for names, shown in ((("inputVolumeSelector", "inputVolumeSelectorLabel"), from_volume),
                             (("inputPathRow", "inputPathEditLabel"), not from_volume)):
            for name in names:
                getattr(self._ui, name).visible = shown
        self._ui.sampleLabel.visible = from_volume and self._parameters.inputVolume is None
        self.mapping.update()

    def problem(self) -> str:
        """What is missing before a run can begin; empty when nothing is."""
        chosen = self._parameters
        if chosen is None:
            return _("The scene is being closed.")
        if chosen.inputKind == InputKind.FILES:
            if not chosen.inputPath:
                return _("Choose a DICOM folder or a file under Inputs.")
            if not Path(chosen.inputPath).exists():
                return _("The folder or file under Inputs does not exist.")
        elif chosen.inputVolume is None and chosen.segmentation is None:
            return _("Choose a volume under Inputs.")
        elif chosen.inputVolume is not None and chosen.inputVolume.GetImageData() is None:
            return _("The volume under Inputs holds no image.")
        if chosen.echoPath and not Path(chosen.echoPath).is_dir():
            return _("The folder with the echoes does not exist.")
        if self.mapping.unsaid():
            return _("Say in the table under Inputs what the segments are that were not recognised.")
        return ""

    def load_sample(self) -> None:
        """Make the digital knee and choose it (what the module Sample Data does, one click nearer)."""
        from .. import sample_data

        try:
            node = sample_data.make_image()
        except Exception as error:  # a sample is a convenience: whatever goes wrong is said, not raised
            self._on_failure(_("The digital knee could not be made. {error}").format(error=error))
            return
        if self._parameters is not None:
            self._parameters.inputVolume = node

    def _choose_folder(self) -> None:
        """A folder by dialog: the path field's own button asks for files where it takes files and folders."""
        import qt

        now = str(self._ui.inputPathEdit.currentPath)
        folder = qt.QFileDialog.getExistingDirectory(self._ui.inputsSection, _("Folder with DICOM files"), now)
        if folder:
            self._ui.inputPathEdit.currentPath = str(folder)


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
    from ...errors import InvalidFormatError

    try:
        return match_segments(node)
    except InvalidFormatError:  # no segments (yet): said when Apply is pressed
        return []


class PathFields:
    """Keeps text parameters and ``ctkPathLineEdit`` widgets the same.

    Parameters
    ----------
    fields : dict
        Parameter's name -> widget.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._parameters: Any = None
        for name, widget in fields.items():
            widget.connect("currentPathChanged(QString)", self._taker(name))

    def set_parameters(self, parameters: Any) -> None:
        """Show and change this parameter node; None for none."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """The parameter node has changed."""
        if self._parameters is None:
            return
        for name, widget in self._fields.items():
            wanted = getattr(self._parameters, name)
            if str(widget.currentPath) != wanted:
                widget.currentPath = wanted

    def remember(self) -> None:
        """Put what is entered now into the fields' histories."""
        for widget in self._fields.values():
            if widget.currentPath:
                widget.addCurrentPathToHistory()

    def _taker(self, name: str) -> Callable[[str], None]:
        def take(path: str) -> None:
            if self._parameters is not None and getattr(self._parameters, name) != path.strip():
                setattr(self._parameters, name, path.strip())

        return take
