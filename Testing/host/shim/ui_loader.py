"""Loads a Designer file: Qt's own loader for Qt's widgets, the host's classes for Slicer's, connections made here."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from Testing.host.shim import rules
from Testing.host.shim.signals import _find_signal


def _custom_classes() -> dict[str, type]:
    from Testing.host.shim import ctk_widgets, mrml_widgets

    return {**ctk_widgets.CLASSES, **mrml_widgets.CLASSES}


class _Loader(QtUiTools.QUiLoader):
    """Creates Slicer's widgets by class name; remembers the names that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self._unknown: list[str] = []
        self._kept: list[QtWidgets.QWidget] = []

    def createWidget(self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = "") -> Any:
        cls = _custom_classes().get(class_name)
        if cls is None and class_name not in self.availableWidgets():
            self._unknown.append(class_name)
            return super().createWidget("QWidget", parent, name)
        if cls is None:
            return super().createWidget(class_name, parent, name)
        widget = cls(parent)
        widget.setObjectName(name)
        self._kept.append(widget)
        return widget


class UiLoader(QtCore.QObject):
    """What ``qt.QUiLoader()`` gives: ``load(file)`` returns the form's root widget.

    Raises:
        ValueError: a widget class, a sender, a receiver, a signal or a slot named in the file does not exist.
    """

    def load(self, file: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """The form in an open QFile, with its connections made."""
        root = ElementTree.fromstring(file.readAll().data())
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)
        flags = _take_flags(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        loader = _Loader()
        rules.loading_form = True
        try:
            widget = loader.load(buffer, parent)
        finally:
            rules.loading_form = False
        if loader._unknown:
            raise ValueError(f"the form uses widgets that the host does not know: {', '.join(sorted(loader._unknown))}")
        widget._loader = loader  # keeps the Python side of the custom widgets alive
        for child in loader._kept:
            if hasattr(child, "adopt_children"):
                child.adopt_children()
        for name, attribute, value in flags:
            setattr(_named(widget, name), attribute, value)
        for connection in [] if connections is None else connections.findall("connection"):
            _make_connection(widget, {part.tag: part.text or "" for part in connection})
        return widget


def _take_flags(root: ElementTree.Element) -> list[tuple[str, str, int]]:
    """Cut out properties such as ``<set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Readable</set>`` of Slicer's widgets.

    Qt's loader knows no enums of classes written in Python. Returned as (widget, property, number).
    """
    taken = []
    custom = _custom_classes()
    for element in root.iter("widget"):
        cls = custom.get(element.get("class", ""))
        for item in element.findall("property") if cls is not None else []:
            value = item.find("set") if item.find("set") is not None else item.find("enum")
            names = [part.rsplit("::", 1)[-1] for part in (value.text or "").split("|")] if value is not None else []
            if names and all(hasattr(cls, name) and isinstance(getattr(cls, name), int) for name in names):
                number = 0
                for name in names:
                    number |= getattr(cls, name)
                taken.append((element.get("name", ""), item.get("name", ""), number))
                element.remove(item)
    return taken


def _make_connection(form: QtWidgets.QWidget, parts: dict[str, str]) -> None:
    sender, receiver = (_named(form, parts[end]) for end in ("sender", "receiver"))
    slot_name = parts["slot"].partition("(")[0]
    slot = getattr(receiver, slot_name, None)
    if not callable(slot):
        raise ValueError(f"the form connects to a slot that {type(receiver).__name__} lacks: {parts['slot']}")
    bound, count = _find_signal(sender, parts["signal"])
    wanted = parts["slot"].partition("(")[2].rstrip(")")
    keep = min(count, len(wanted.split(",")) if wanted else 0)
    bound.connect(lambda *values: slot(*values[:keep]))


def _named(form: QtWidgets.QWidget, name: str) -> QtCore.QObject:
    found = form if form.objectName == name else form.findChild(QtCore.QObject, name)
    if found is None:
        raise ValueError(f"the form connects '{name}', which is not in it")
    return found
