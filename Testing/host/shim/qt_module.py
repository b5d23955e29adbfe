"""The `qt` module of Slicer: PySide6's classes under one roof, with PythonQt's rules in force."""

from __future__ import annotations

import importlib
import types

from Testing.host.shim import rules

_PARTS = ("QtCore", "QtGui", "QtWidgets", "QtNetwork", "QtUiTools", "QtXml")


def _take_numbers_for_formats(color: type) -> None:
    """``QColor.name(1)``: PythonQt takes a number where Qt has an enum."""
    if not hasattr(color, "_host_name"):
        color._host_name = color.name
        color.name = lambda self, form=0: self._host_name(color.NameFormat(getattr(form, "value", form)))


def build() -> types.ModuleType:
    """The module `qt`; a class that only Qt 5 has (QRegExp, QDesktopWidget) is missing, as in Slicer with Qt 6."""
    module = types.ModuleType("qt", "Qt for modules run by the test host")
    classes: list[type] = []
    for part in _PARTS:
        try:
            source = importlib.import_module(f"PySide6.{part}")
        except ImportError:
            continue  # QtXml and QtNetwork are not in every wheel
        for name in dir(source):
            if name.startswith("_"):
                continue
            value = getattr(source, name)
            setattr(module, name, value)
            if isinstance(value, type) and value.__module__.startswith("PySide6"):
                classes.append(value)
    rules.install(classes)
    _take_numbers_for_formats(module.QColor)
    from Testing.host.shim.ui_loader import UiLoader

    module.QUiLoader = UiLoader
    return module
