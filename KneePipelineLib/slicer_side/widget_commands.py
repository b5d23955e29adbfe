"""Commands of KneePipelineLib as child processes of the panel, with callbacks in Slicer's event loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .process import JobProcess, QtProcess, child_environment

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
"""The folder that holds KneePipelineLib: ``-m KneePipelineLib`` is run from there."""


def start_command(arguments: list[str], on_event: Callable[[dict[str, Any]], None] | None = None,
                  on_text: Callable[[str], None] | None = None,
                  on_finished: Callable[[int, bool], None] | None = None, python: Path | None = None) -> JobProcess:
    """Start ``python -m KneePipelineLib ARGUMENTS`` and return the process that runs.

    Without `python` the private environment's interpreter runs it, or, before there is one, Slicer's own: the commands
    that are used this way need the standard library only.
    """
    from .. import environment

    private = python or environment.private_python()
    process = QtProcess()
    for name, callback in (("on_event", on_event), ("on_text", on_text), ("on_finished", on_finished)):
        if callback is not None:
            setattr(process, name, callback)
    process.start([str(private or slicers_python()), "-m", "KneePipelineLib", *arguments],
                  child_environment(private), PACKAGE_FOLDER)
    return process


def slicers_python() -> Path:
    """The interpreter that Slicer comes with, started through its launcher so that it finds its libraries."""
    for folder in (Path(sys.executable).parent, Path(sys.prefix) / "bin", Path(sys.prefix)):
        for name in ("PythonSlicer", "PythonSlicer.exe"):
            if (folder / name).is_file():
                return folder / name
    return Path(sys.executable)
