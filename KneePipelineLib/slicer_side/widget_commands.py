"""Commands of KneePipelineLib as child processes of the panel, with callbacks in Slicer's event loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .environment import OWN, PACKAGE_FOLDER, slicers_python, state
from .process import JobProcess, QtProcess, child_environment


def start_command(arguments: list[str], on_event: Callable[[dict[str, Any]], None] | None = None,
                  on_text: Callable[[str], None] | None = None,
                  on_finished: Callable[[int, bool], None] | None = None) -> JobProcess:
    """Start ``python -m KneePipelineLib ARGUMENTS`` and return the process that runs.

    The environment's interpreter runs it, or, before there is one, Slicer's own: the commands that are used this way
    need the standard library only.
    """
    found = state()
    private: Path | None = found.python if found.usable else None
    process = QtProcess()
    for name, callback in (("on_event", on_event), ("on_text", on_text), ("on_finished", on_finished)):
        if callback is not None:
            setattr(process, name, callback)
    process.start([str(private or slicers_python()), "-m", "KneePipelineLib", *arguments],
                  child_environment(private if found.state == OWN else None), PACKAGE_FOLDER)
    return process
