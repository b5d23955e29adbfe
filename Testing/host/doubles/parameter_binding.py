"""Which widget shows which type of parameter, and how its value is read, written and watched.

As in Slicer the widget's class must be exactly one of those named here: a subclass or a CTK relative is refused.
"""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable
from typing import Any

from Testing.host.doubles.parameter_types import WithinRange, node_classes, split_annotations

# class name -> (property, signal, is this base type shown by it?)
_SIMPLE: dict[str, tuple[str, str, Callable[[Any], bool]]] = {
    "QCheckBox": ("checked", "toggled(bool)", lambda t: t is bool),
    "QPushButton": ("checked", "toggled(bool)", lambda t: t is bool),
    "QSlider": ("value", "valueChanged(int)", lambda t: t is int),
    "QSpinBox": ("value", "valueChanged(int)", lambda t: t is int),
    "QDoubleSpinBox": ("value", "valueChanged(double)", lambda t: t is float),
    "ctkSliderWidget": ("value", "valueChanged(double)", lambda t: t is float),
    "QLineEdit": ("text", "textChanged(QString)", lambda t: t is str),
    "QTextEdit": ("plainText", "textChanged()", lambda t: t is str),
    "ctkPathLineEdit": ("currentPath", "currentPathChanged(QString)", lambda t: _is_path(t)),
    "ctkDirectoryButton": ("directory", "directoryChanged(QString)", lambda t: _is_path(t)),
}


def _is_path(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, pathlib.PurePath)


class Binding:
    """One widget and one parameter type."""

    def __init__(self, widget: Any, signal: str, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self.widget, self.read, self.write = widget, read, write
        self._signal = signal
        self._callback: Callable | None = None

    def on_change(self, callback: Callable | None) -> None:
        if self._callback is not None:
            self.widget.disconnect(self._signal, self._callback)
        self._callback = callback
        if callback is not None:
            self.widget.connect(self._signal, callback)


def bind(widget: Any, type_: Any) -> Binding:
    """The binding for a widget and an (annotated) type.

    Raises:
        RuntimeError: the widget cannot show such a parameter, in Slicer neither.
    """
    base, annotations = split_annotations(type_)
    class_name = widget.className()
    if class_name == "qMRMLNodeComboBox" and node_classes(base):
        widget.nodeTypes = [cls.__name__ for cls in node_classes(base)]
        return Binding(
            widget, "currentNodeChanged(vtkMRMLNode*)", lambda: widget.currentNode(), lambda v: widget.setCurrentNode(v)
        )
    if class_name == "QComboBox":
        return _bind_choices(widget, base)
    name, signal, fits = _SIMPLE.get(class_name, ("", "", lambda _: False))
    if not fits(base):
        raise RuntimeError(f"a {class_name} cannot show a parameter of type {base}")
    if base in (int, float):
        _limit(widget, base, annotations)
    if class_name == "QPushButton":
        widget.checkable = True
    convert = base if _is_path(base) else (lambda value: value)
    shown = str if _is_path(base) else (lambda value: value)
    return Binding(
        widget, signal, lambda: convert(getattr(widget, name)), lambda value: setattr(widget, name, shown(value))
    )


def _limit(widget: Any, base: type, annotations: list[Any]) -> None:
    """Put the range of the annotations into the widget."""
    within = next((a for a in annotations if isinstance(a, WithinRange)), None)
    if widget.className() in ("QSlider", "ctkSliderWidget") and within is None:
        raise RuntimeError(f"a {widget.className()} needs a parameter with WithinRange")
    widest = 2**31 - 1 if base is int else 1e300
    widget.minimum = base(within.minimum if within is not None else -widest)
    widget.maximum = base(within.maximum if within is not None else widest)


def _bind_choices(widget: Any, base: Any) -> Binding:
    """A combo box gets its items from the enum: by ``label()``, else by name."""
    if not (isinstance(base, type) and issubclass(base, enum.Enum)):
        raise RuntimeError(f"a QComboBox cannot show a parameter of type {base}")
    values = list(base)
    widget.clear()
    for value in values:
        widget.addItem(value.label() if hasattr(value, "label") else value.name)

    def write(value: Any) -> None:
        widget.currentIndex = values.index(value)

    return Binding(widget, "currentIndexChanged(int)", lambda: values[widget.currentIndex], write)
