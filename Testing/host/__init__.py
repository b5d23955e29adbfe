"""A stand-in for the Slicer application: Slicer's real C++ engine (slicer-core) with our own Qt, Python and windows.

``start()`` gives a process everything that code written for Slicer imports: ``slicer.app``, ``slicer.util``,
``slicer.modules``, ``slicer.mrmlScene``, ``qt``, ``ctk`` and Slicer's Python modules. The scene, the node classes, the
readers and writers, the segmentation logic and the command-line-module logic are Slicer's; widgets and application are
doubles. What this cannot prove: the looks of Slicer's widgets, the DICOM browser, the Segment Editor, installation by
the extension manager, other platforms.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tempfile
from typing import Any

_WINDOW: Any = None
_heard = 0


def available() -> bool:
    """True where slicer-core and PySide6 are installed, so that the host can start (or Slicer itself is running)."""
    return all(importlib.util.find_spec(name) is not None for name in ("slicer", "PySide6", "vtkmodules"))


def running() -> bool:
    """True inside Slicer or a started host."""
    slicer = sys.modules.get("slicer")
    return slicer is not None and hasattr(slicer, "app")


def start(*, testing: bool = True, main_window: bool = False, home: str | None = None) -> Any:
    """Start the host once a process and return ``slicer.app``; inside Slicer only return it.

    Args:
        testing: what ``slicer.app.testingEnabled()`` says (message boxes are logged, not shown).
        main_window: make a (never visible) main window with a module panel.
        home: folder for settings, caches and temporary files; a new temporary one, removed at exit, by default.
    """
    import slicer

    if hasattr(slicer, "app"):
        return slicer.app
    _keep_constants()
    _listen_to_engine()
    startup_environment = dict(os.environ)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if hasattr(os, "nice"):  # the logic's processing thread would put the whole process at the lowest priority
        os.environ.setdefault("SLICER_BACKGROUND_THREAD_PRIORITY", str(os.nice(0)))
    if sys.platform == "linux" and "DISPLAY" not in os.environ:
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    home = home or _temporary_home()

    from Testing.host.shim import ctk_widgets, qt_module

    sys.modules["qt"] = qt_module.build()
    sys.modules["ctk"] = ctk_widgets.build()

    from Testing.host import application, doubles

    doubles.install()
    return application.start(startup_environment, home=home, testing=testing, main_window=main_window)


def said_by_engine() -> str:
    """The errors and warnings of the engine since the last call; "" without any, and outside of the host."""
    if _WINDOW is None:
        return ""
    global _heard
    said = _WINDOW.GetOutput()
    new, _heard = said[_heard:], len(said)
    entries = re.split(r"(?m)^(?=(?:ERROR|Warning|Generic Warning|Info|Debug): In )", new)
    return "".join(entry for entry in entries if re.match("ERROR|Warning|Generic", entry)).strip()


def _listen_to_engine() -> None:
    """What VTK and Slicer's classes would print goes into a text, so that a test can fail of it."""
    global _WINDOW
    import vtk

    _WINDOW = vtk.vtkStringOutputWindow()
    vtk.vtkOutputWindow.SetInstance(_WINDOW)


def _keep_constants() -> None:
    """Some releases of PySide6 give back one reference too many to None, True or False for many a call.

    From Python 3.12 on these cannot die of it. Before, None does after some ten thousand turns of the event loop, and
    True or False after a few dozen panels.
    """
    if sys.version_info < (3, 12):
        import ctypes

        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


def _temporary_home() -> str:
    import atexit
    import shutil

    folder = tempfile.mkdtemp(prefix="slicer-host-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
