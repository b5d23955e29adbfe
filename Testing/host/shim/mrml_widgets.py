"""Slicer's own widgets (qMRML..., qSlicer...) with their behaviour towards the scene; their looks are plain Qt."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from Testing.host.shim.node_selector import qMRMLNodeComboBox
from Testing.host.shim.rules import native

Signal = QtCore.Signal


@native
class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene and passes it on."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@native
class qSlicerWidget(qMRMLWidget):
    """The base class of module panels."""


CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        qMRMLWidget, qSlicerWidget, qMRMLNodeComboBox,
    )
}  # fmt: skip
