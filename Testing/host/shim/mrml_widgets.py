"""Slicer's own widgets (qMRML..., qSlicer...) with their behaviour towards the scene; their looks are plain Qt."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from Testing.host.shim.node_selector import qMRMLCheckableNodeComboBox, qMRMLNodeComboBox
from Testing.host.shim.rules import native

Property, Signal = QtCore.Property, QtCore.Signal


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


@native
class qMRMLTableView(QtWidgets.QTableView):
    """Shows a vtkMRMLTableNode's cells as text."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node = None
        self._scene = None
        self._tag = 0
        self._lock = False

    def mrmlTableNode(self) -> Any:
        return self._node

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def setMRMLTableNode(self, node: Any) -> None:
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        if node is not None:
            self._tag = node.AddObserver("ModifiedEvent", lambda *_: self._fill())
        self._fill()

    def _fill(self) -> None:
        from PySide6 import QtGui

        model = QtGui.QStandardItemModel(self)
        table = self._node.GetTable() if self._node is not None else None
        for column in range(table.GetNumberOfColumns() if table is not None else 0):
            cells = [table.GetValue(row, column).ToString() for row in range(table.GetNumberOfRows())]
            model.appendColumn([QtGui.QStandardItem(cell) for cell in cells])
            model.setHorizontalHeaderItem(column, QtGui.QStandardItem(table.GetColumnName(column)))
        self.setModel(model)


class _OneNodeView(QtWidgets.QWidget):
    """A place for one node; nothing is drawn."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node = None
        self._scene = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene


@native
class qMRMLPlotView(_OneNodeView):
    """Knows its plot view node."""

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._node = node

    def fitToContent(self) -> None:
        """Nothing is drawn, so nothing to fit."""


@native
class qMRMLSegmentsTableView(_OneNodeView):
    """Lists a segmentation's segments and knows which are selected."""

    selectionChanged = Signal(object, object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._selected: list[str] = []

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node, self._selected = node, []

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._selected)

    def setSelectedSegmentIDs(self, segment_ids: list[str]) -> None:
        self._selected = list(segment_ids)
        self.selectionChanged.emit(None, None)


CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        qMRMLWidget, qSlicerWidget, qMRMLNodeComboBox, qMRMLCheckableNodeComboBox, qMRMLTableView, qMRMLPlotView,
        qMRMLSegmentsTableView,
    )
}  # fmt: skip
