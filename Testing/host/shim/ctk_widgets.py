"""CTK's widgets as far as scripted modules use them: same names, properties and signals, plain Qt inside."""

from __future__ import annotations

import types

from PySide6 import QtCore, QtGui, QtWidgets

from Testing.host.shim.ctk_paths import ctkDirectoryButton, ctkPathLineEdit
from Testing.host.shim.rules import native

Property, Signal = QtCore.Property, QtCore.Signal


def forwarded(kind: type | str, child: str, name: str) -> QtCore.Property:
    """A property that lives in the widget kept under `child`."""
    return Property(
        kind, lambda self: getattr(getattr(self, child), name), lambda self, v: setattr(getattr(self, child), name, v)
    )


@native
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header that shows and hides what is laid out below it."""

    contentsCollapsed = Signal(bool)
    _HEADER_PX = 26

    def __init__(self, text: str | QtWidgets.QWidget | None = None, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent if isinstance(text, (str, type(None))) else text)
        self._collapsed = False
        self._shown: list[QtWidgets.QWidget] = []
        if isinstance(text, str):
            self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._HEADER_PX, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred)
        self.connect("toggled(bool)", lambda open_now: self._apply(not open_now))

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _get_collapsed, _set_collapsed)

    def setCollapsed(self, collapsed: bool) -> None:
        self._set_collapsed(collapsed)

    def _apply(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        if collapsed:
            self._shown = [c for c in self.children() if isinstance(c, QtWidgets.QWidget) and not c.isHidden()]
        self._collapsed = False  # what follows is no wish of a child's own
        for child in self._shown:
            child.setVisible(not collapsed)
        self._collapsed = collapsed
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def adopt_children(self) -> None:
        """Watch the children a form has made: what comes into, or is shown in, a collapsed button waits, as in CTK.

        Told by the loader of forms: a child that is still being made must not be touched.
        """
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.installEventFilter(self)
                if self._collapsed and not child.isHidden():
                    self._wait(child)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:
        """A child that is shown inside a collapsed button is hidden again until it opens."""
        if self._collapsed and event.type() == QtCore.QEvent.Type.ShowToParent:
            self._wait(child)
        elif self._collapsed and event.type() == QtCore.QEvent.Type.HideToParent:
            self._shown = [other for other in self._shown if other is not child]
        return False

    def _wait(self, child: QtWidgets.QWidget) -> None:
        self._collapsed = False
        child.setVisible(False)
        self._collapsed = True
        self._shown = [*(other for other in self._shown if other is not child), child]

    def sizeHint(self) -> QtCore.QSize:
        layout = self.layout()
        inner = layout.totalSizeHint() if layout is not None and not self._collapsed else QtCore.QSize(80, 0)
        header = self._HEADER_PX if self._collapsed or layout is None else 0
        return QtCore.QSize(inner.width(), inner.height() + header)

    def minimumSizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(80, self._HEADER_PX) if self._collapsed else self.sizeHint()

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._HEADER_PX

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        header = QtCore.QRect(0, 0, self.rect.width(), self._HEADER_PX - 2)
        painter.fillRect(header, self.palette.color(QtGui.QPalette.ColorRole.Button).darker(108))
        painter.drawText(
            header.adjusted(8, 0, 0, 0),
            QtCore.Qt.AlignmentFlag.AlignVCenter,
            ("▸ " if self._collapsed else "▾ ") + self.text,
        )
        painter.end()


@native
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box whose check box hides its content."""

    def __init__(self, title: str | QtWidgets.QWidget | None = None, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent if isinstance(title, (str, type(None))) else title)
        if isinstance(title, str):
            self.setTitle(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.connect("toggled(bool)", self._apply)

    def _apply(self, open_now: bool) -> None:
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(open_now)

    collapsed = Property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))


@native
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show one number."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        self._spin.connect("valueChanged(double)", self._from_spin)
        self._slider.connect("sliderMoved(int)", self._from_slider)
        self._slider.setRange(0, 1000)

    def _from_spin(self, value: float) -> None:
        span = self._spin.maximum - self._spin.minimum
        self._slider.setValue(round(1000 * (value - self._spin.minimum) / span) if span else 0)
        self.valueChanged.emit(value)

    def _from_slider(self, step: int) -> None:
        self._spin.setValue(self._spin.minimum + (self._spin.maximum - self._spin.minimum) * step / 1000)

    value = forwarded(float, "_spin", "value")
    minimum = forwarded(float, "_spin", "minimum")
    maximum = forwarded(float, "_spin", "maximum")
    singleStep = forwarded(float, "_spin", "singleStep")
    decimals = forwarded(int, "_spin", "decimals")
    prefix = forwarded(str, "_spin", "prefix")
    suffix = forwarded(str, "_spin", "suffix")
    pageStep = Property(float, lambda self: 1.0, lambda self, value: None)
    tracking = Property(bool, lambda self: True, lambda self, value: None)
    spinBoxVisible = Property(
        bool, lambda self: not self._spin.isHidden(), lambda self, value: self._spin.setVisible(value)
    )

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._spin.setRange(minimum, maximum)


@native
class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """Qt's own double spin box; CTK's has more decimals to choose from."""


@native
class ctkRangeWidget(QtWidgets.QWidget):
    """Two numbers, the lower never above the upper."""

    valuesChanged = Signal(float, float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._high = QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for spin in (self._low, self._high):
            layout.addWidget(spin)
            spin.connect("valueChanged(double)", self._changed)

    def _changed(self) -> None:
        if self._low.value > self._high.value:
            self._high.setValue(self._low.value)
        self.valuesChanged.emit(self._low.value, self._high.value)

    minimumValue = forwarded(float, "_low", "value")
    maximumValue = forwarded(float, "_high", "value")
    minimum = Property(float, lambda self: self._low.minimum, lambda self, v: self._both("setMinimum", v))
    maximum = Property(float, lambda self: self._high.maximum, lambda self, v: self._both("setMaximum", v))
    decimals = Property(int, lambda self: self._low.decimals, lambda self, v: self._both("setDecimals", v))
    singleStep = Property(float, lambda self: self._low.singleStep, lambda self, v: self._both("setSingleStep", v))

    def _both(self, setter: str, value: float) -> None:
        for spin in (self._low, self._high):
            getattr(spin, setter)(value)

    def setRange(self, minimum: float, maximum: float) -> None:
        for spin in (self._low, self._high):
            spin.setRange(minimum, maximum)

    def setValues(self, low: float, high: float) -> None:
        """Both at once: one signal, and no moment in which they cross."""
        before = self._low.value, self._high.value
        for spin, value in ((self._low, low), (self._high, high)):
            blocked = spin.blockSignals(True)
            spin.setValue(value)
            spin.blockSignals(blocked)
        if (self._low.value, self._high.value) != before:
            self.valuesChanged.emit(self._low.value, self._high.value)


@native
class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be told not to come back."""

    dontShowAgainVisible = Property(bool, lambda self: False, lambda self, value: None)
    dontShowAgainSettingsKey = Property(str, lambda self: "", lambda self, value: None)


def _plain(name: str, base: type) -> type:
    about = f"{name}: {base.__name__} with another name."
    return native(type(name, (base,), {"__module__": __name__, "__doc__": about}))


ctkComboBox = _plain("ctkComboBox", QtWidgets.QComboBox)
ctkCheckBox = _plain("ctkCheckBox", QtWidgets.QCheckBox)

CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkSliderWidget, ctkDoubleSpinBox, ctkRangeWidget, ctkMessageBox,
        ctkComboBox, ctkCheckBox, ctkPathLineEdit, ctkDirectoryButton,
    )
}  # fmt: skip


def build() -> types.ModuleType:
    """The module `ctk`."""
    from Testing.host.shim.more_widgets import CTK

    module = types.ModuleType("ctk", "CTK's widgets for modules run by the test host")
    CLASSES.update(CTK)
    for name, cls in CLASSES.items():
        setattr(module, name, cls)
    return module
