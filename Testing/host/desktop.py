"""What surrounds the modules: the main window with its module selector, and addresses that a click would open."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.host.shim.rules import native

opened_urls: list[str] = []


class _UrlRecorder(QtCore.QObject):
    """Takes what ``qt.QDesktopServices.openUrl`` would hand to the desktop."""

    @QtCore.Slot(QtCore.QUrl)
    def open(self, url: QtCore.QUrl) -> None:
        opened_urls.append(url.toString())


_recorder: list[QtCore.QObject] = []


def install(app: Any) -> None:
    """Addresses are noted in `opened_urls` instead of starting a browser."""
    recorder = _UrlRecorder()
    _recorder.append(recorder)
    for scheme in ("file", "http", "https"):
        QtGui.QDesktopServices.setUrlHandler(scheme, recorder, "open")


@native
class qSlicerModuleSelector(QtCore.QObject):
    """Shows one module's panel at a time; leaving and entering are told to the modules."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self, panel: QtWidgets.QScrollArea) -> None:
        super().__init__()
        self._panel = panel
        self._module = ""

    selectedModule = property(lambda self: self._module)

    def selectModule(self, name: str) -> None:
        module = slicer.app.moduleManager().module(name)
        if module is None:
            raise RuntimeError(f"no module is named '{name}'")
        current = self._panel.takeWidget()
        if current is not None:
            current.exit()
        self._module = name
        widget = module.widgetRepresentation()
        if widget is not None:
            self._panel.setWidget(widget)
            widget.enter()
        self.moduleSelected.emit(name)


@native
class qSlicerMainWindow(QtWidgets.QMainWindow):
    """A main window with a module panel and a status bar."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        panel = QtWidgets.QScrollArea(self)
        panel.setWidgetResizable(True)
        self.setCentralWidget(panel)
        self._selector = qSlicerModuleSelector(panel)

    def moduleSelector(self) -> qSlicerModuleSelector:
        return self._selector


_window: list[QtWidgets.QWidget] = []


def make_main_window(app: Any) -> QtWidgets.QWidget:
    """The main window, shown offscreen."""
    window = qSlicerMainWindow()
    window.resize(700, 1000)
    window.show()
    _window.append(window)
    return window
