"""Widgets that Slicer's own connectors of parameters know beside those that modules of this repository use."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from Testing.host.shim.ctk_widgets import ctkDoubleSpinBox, ctkRangeWidget, ctkSliderWidget
from Testing.host.shim.node_selector import qMRMLNodeComboBox
from Testing.host.shim.rules import native


@native
class ctkCheckablePushButton(QtWidgets.QPushButton):
    """A push button with a check box that decides whether it stays down."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._controls = False

    checkBoxControlsButtonToggleState = QtCore.Property(
        bool, lambda self: self._controls, lambda self, value: setattr(self, "_controls", value))


@native
class ctkColorPickerButton(QtWidgets.QPushButton):
    """A button that knows a colour."""

    colorChanged = QtCore.Signal(QtGui.QColor)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._color = QtGui.QColor(0, 0, 0)

    def _set(self, color: QtGui.QColor) -> None:
        if color != self._color:
            self._color = QtGui.QColor.fromRgba(color.rgba())
            self.colorChanged.emit(self._color)

    color = QtCore.Property(QtGui.QColor, lambda self: self._color, _set)


@native
class ctkDoubleSlider(QtWidgets.QWidget):
    """A slider of numbers with decimals, which may have no ends."""

    valueChanged = QtCore.Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._high, self._value, self._step = 0.0, 99.0, 0.0, 1.0

    def _set(self, value: float) -> None:
        value = min(max(value, self._low), self._high)
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)

    def _limit(self, low: float, high: float) -> None:
        self._low, self._high = low, max(low, high)
        self._set(self._value)

    value = QtCore.Property(float, lambda self: self._value, _set)
    minimum = QtCore.Property(float, lambda self: self._low, lambda self, low: self._limit(low, self._high))
    maximum = QtCore.Property(float, lambda self: self._high, lambda self, high: self._limit(self._low, high))
    singleStep = QtCore.Property(float, lambda self: self._step, lambda self, step: setattr(self, "_step", step))


class _HierarchySelector(qMRMLNodeComboBox):
    """Selects an item of the subject hierarchy; here only the node of one."""

    currentItemChanged, currentItemsChanged = QtCore.Signal(int), QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._noneEnabled = True
        self.connect("currentNodeChanged(vtkMRMLNode*)", self._tell)

    def _tell(self) -> None:
        self.currentItemChanged.emit(self.currentItem())
        self.currentItemsChanged.emit([self.currentItem()])

    def currentItem(self) -> int:
        tree, node = self.mrmlScene().GetSubjectHierarchyNode(), self.currentNode()
        return tree.GetItemByDataNode(node) if node is not None else tree.GetInvalidItemID()

    def setCurrentItem(self, item: int) -> None:
        self.setCurrentNode(self.mrmlScene().GetSubjectHierarchyNode().GetItemDataNode(item) if item else None)

    def clearSelection(self) -> None:
        self.setCurrentNode(None)


def _named(name: str, base: type, **more: Any) -> type:
    return native(type(name, (base,), {"__module__": __name__, "__doc__": f"{name}: as {base.__name__}.", **more}))


CTK = {cls.__name__: cls for cls in (
    ctkCheckablePushButton, ctkColorPickerButton, ctkDoubleSlider, _named("ctkDoubleRangeSlider", ctkRangeWidget))}
MRML = {cls.__name__: cls for cls in (
    _named("qMRMLSliderWidget", ctkSliderWidget), _named("qMRMLSpinBox", ctkDoubleSpinBox),
    _named("qMRMLRangeWidget", ctkRangeWidget),
    _named("qMRMLSubjectHierarchyComboBox", _HierarchySelector),
    _named("qMRMLSubjectHierarchyTreeView", _HierarchySelector))}
