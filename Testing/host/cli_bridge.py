"""Command-line modules through Slicer's real vtkSlicerCLIModuleLogic.

The C++ classes that describe a module (ModuleDescription and its parser) have no Python wrapping, but the libraries
export them; this file calls them by their symbol names. Everything after that, parameters, starting, progress, cancel
and reading the results, is wrapped and is Slicer's own. Works with slicer-core's wheels for Linux only.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import slicer

# libstdc++'s string of the old ABI, as the wheels are built with
_STRING_FROM_TEXT = "_ZNSsC1EPKcRKSaIcE"
_STRING_BYTES = 64  # the old ABI needs 8; room is left on purpose
_DESCRIPTION_BYTES = 8192  # far more than sizeof(ModuleDescription)
_kept: list[Any] = []  # memory that C++ goes on using


class CliModule:
    """One command-line module: ``slicer.modules.<name>`` with ``logic()`` and ``cliModuleLogic``."""

    def __init__(self, script: Path) -> None:
        self.name = self.title = script.stem
        self.path = str(script)
        self._logic: Any = None

    def logic(self) -> Any:
        if self._logic is None:
            self._logic = make_logic(Path(self.path))
        return self._logic

    def widgetRepresentation(self) -> None:
        return None


@functools.cache
def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL, ctypes.CDLL, ctypes.CDLL]:
    import slicer_core

    folder = Path(slicer_core.__file__).parent
    parser = ctypes.CDLL(str(folder / "third_party.libs" / "libModuleDescriptionParser.so"))
    nodes = ctypes.CDLL(str(folder / "libMRMLCLI.so"))
    base = ctypes.CDLL(str(folder / "libvtkSlicerBaseLogic.so"))
    return parser, nodes, base, ctypes.CDLL("libstdc++.so.6")


def _string(text: str) -> Any:
    """A std::string with the content of a Python text; it lives as long as the process (they are few and short)."""
    memory = ctypes.create_string_buffer(_STRING_BYTES)
    allocator = ctypes.create_string_buffer(8)
    make = _libraries()[3][_STRING_FROM_TEXT]
    make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    make(memory, text.encode(), allocator)
    _kept.append(memory)
    return memory


def _call(library: ctypes.CDLL, symbol: str, *pointers: Any, result: Any = None) -> Any:
    function = library[symbol]
    function.argtypes = [ctypes.c_void_p] * len(pointers)
    function.restype = result
    return function(*pointers)


def _address(vtk_object: Any) -> int:
    """The C++ address of a wrapped object, out of its "_00005581..._p_vtkSomething" name."""
    return int(vtk_object.__this__.split("_")[1], 16)


def make_logic(script: Path) -> Any:
    """The logic for a Python command-line module with its .xml beside it.

    Raises:
        RuntimeError: Slicer's parser refuses the description.
    """
    parser_library, node_library, base_library, _ = _libraries()
    description = ctypes.create_string_buffer(_DESCRIPTION_BYTES)
    _call(parser_library, "_ZN17ModuleDescriptionC1Ev", description)
    xml = _string(script.with_suffix(".xml").read_text(encoding="utf-8"))
    parser = ctypes.create_string_buffer(1024)  # the parser has no state: any memory is one
    parse = "_ZN23ModuleDescriptionParser5ParseERKSsR17ModuleDescription"
    if _call(parser_library, parse, parser, xml, description, result=ctypes.c_int) != 0:
        raise RuntimeError(f"the description of {script.stem} is not one that Slicer reads")
    fields = {"SetType": "CommandLineModule", "SetTarget": str(script), "SetLocation": _interpreter()}
    for setter, value in fields.items():
        symbol = f"_ZN17ModuleDescription{len(setter)}{setter}ERKSs"
        _call(parser_library, symbol, description, _string(value))
    register = "_ZN28vtkMRMLCommandLineModuleNode25RegisterModuleDescriptionE17ModuleDescription"
    _call(node_library, register, description)
    logic = slicer.vtkSlicerCLIModuleLogic()
    set_default = "_ZN23vtkSlicerCLIModuleLogic27SetDefaultModuleDescriptionERK17ModuleDescription"
    _call(base_library, set_default, _address(logic), description)
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(slicer.mrmlScene)
    _kept.extend([parser, description])
    return logic


def _interpreter() -> str:
    import sys

    return sys.executable
