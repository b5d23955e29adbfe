"""``slicer.modules`` and the module manager: C++ logics, scripted modules and command-line modules by name."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.host.shim.mrml_widgets import qSlicerWidget
from Testing.host.shim.rules import native


class Modules:
    """The namespace ``slicer.modules``: one attribute a module, in lower case."""


class CppModule:
    """A module of which only the logic exists."""

    def __init__(self, name: str, logic: Any, path: str = "") -> None:
        self.name, self.title, self.path = name, name, path
        self._logic = logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> None:
        return None


class ScriptedModule:
    """What ``ScriptedLoadableModule.__init__`` gets as parent: the module's description, and its widget once asked."""

    _ATTRIBUTES: ClassVar[dict[str, Any]] = {
        "title": "", "categories": [], "dependencies": [], "contributors": [], "helpText": "",
        "acknowledgementText": "", "hidden": False, "index": -1, "icon": None, "associatedNodeTypes": [],
        "widgetRepresentationCreationEnabled": True,
    }  # fmt: skip

    def __init__(self, name: str, path: str) -> None:
        for key, value in self._ATTRIBUTES.items():
            self.__dict__[key] = list(value) if isinstance(value, list) else value
        self.__dict__.update(name=name, path=path, _widget=None, _logic=None, icon=QtGui.QIcon())

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__:
            raise AttributeError(f"'{name}' does not exist on qSlicerScriptedLoadableModule")
        self.__dict__[name] = value

    def logic(self) -> Any:
        if self._logic is None:
            self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
            self._logic.SetMRMLScene(slicer.mrmlScene)
        return self._logic

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            self._widget = self.createNewWidgetRepresentation()
            setattr(slicer.modules, f"{self.name}Widget", self._widget.self())
        return self._widget

    def createNewWidgetRepresentation(self) -> Any:
        return ScriptedModuleWidget(self)


@native
class ScriptedModuleWidget(qSlicerWidget):
    """The panel of a scripted module: holds the Python widget and passes enter, exit and setup on."""

    def __init__(self, module: ScriptedModule) -> None:
        super().__init__()
        self._module = module
        self._python: Any = None
        self._entered = False
        QtWidgets.QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)
        self._make()

    def _make(self) -> None:
        cls = getattr(sys.modules[self._module.name], f"{self._module.name}Widget")
        self._python = cls(self)
        self._python.setup()

    def self(self) -> Any:
        return self._python

    def module(self) -> ScriptedModule:
        return self._module

    def reload(self) -> None:
        """A new Python widget from the module's present code."""
        self._make()
        setattr(slicer.modules, f"{self._module.name}Widget", self._python)

    def enter(self) -> None:
        if not self._entered:
            self._entered = True
            _call(self._python, "enter")

    def exit(self) -> None:
        if self._entered:
            self._entered = False
            _call(self._python, "exit")


def _call(owner: Any, name: str) -> None:
    method = getattr(owner, name, None)
    if callable(method):
        method()


@native
class ModuleManager(QtCore.QObject):
    """``slicer.app.moduleManager()``."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)

    def __init__(self, app_logic: Any) -> None:
        super().__init__()
        self._app_logic = app_logic
        self._known: dict[str, Any] = {}
        self._namespace = Modules()

    @property
    def modules(self) -> Modules:
        return self._namespace

    def module(self, name: str) -> Any:
        return self._known.get(name)

    def isModuleLoaded(self, name: str) -> bool:
        return name in self._known

    def factoryManager(self) -> ModuleManager:
        return self

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._known)

    def add(self, module: Any) -> None:
        self._known[module.name] = module
        setattr(self._namespace, module.name.lower(), module)
        self.moduleLoaded.emit(module.name)

    def add_cpp(self, name: str, logic: Any) -> None:
        self.add(CppModule(name, logic))

    def load_folder(self, folder: Path) -> list[str]:
        """Load what Slicer would find in a module path.

        As there, a .py file is a command-line module only if it begins with ``#!``; every other one is taken for a
        scripted module and has to be one.

        Raises:
            RuntimeError: a file is neither; Slicer prints this sentence at every start.
        """
        loaded = []
        for path in sorted(folder.glob("*.py")):
            text = path.read_text(encoding="utf-8")
            if text.startswith("#!"):
                from Testing.host import cli_bridge

                self.add(cli_bridge.CliModule(path))
            elif f"class {path.stem}(" in text:
                self.load_scripted(path)
            else:
                raise RuntimeError(f"Failed to load scripted loadable module: class {path.stem} was not found in "
                                   f"file {path}")
            loaded.append(path.stem)
        return loaded

    def load_scripted(self, path: Path) -> ScriptedModule:
        """Import a scripted module by its file, as Slicer does: its folder joins sys.path, its class is made."""
        name = path.stem
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        spec = importlib.util.spec_from_file_location(name, path)
        code = importlib.util.module_from_spec(spec)
        sys.modules[name] = code
        spec.loader.exec_module(code)
        module = ScriptedModule(name, str(path))
        instance = getattr(code, name)(module)
        setattr(self._namespace, f"{name}Instance", instance)
        self.add(module)
        return module

    def unload_all(self) -> None:
        """As at application exit: every scripted widget is told, newest first."""
        for name, module in reversed(list(self._known.items())):
            widget = getattr(module, "_widget", None)
            if widget is None:
                continue
            with contextlib.suppress(RuntimeError):
                self.moduleAboutToBeUnloaded.emit(name)
                logging.debug("module %s unloaded", name)
