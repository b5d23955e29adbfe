"""The section Inputs: which fields show, and whether what they hold is enough to begin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .parameters import InputKind
from .widget_mapping import MappingPanel


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
        from . import sample_data

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
