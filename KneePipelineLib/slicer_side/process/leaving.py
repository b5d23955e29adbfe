"""No child process outlives the application, however it is left."""

from __future__ import annotations

import contextlib
import weakref
from typing import Any

_RUNNING: weakref.WeakSet = weakref.WeakSet()
_LEAVING: list[bool] = []


def enlist(job: Any) -> None:
    """Have a job, or anything else with a method `kill`, ended should the application be left while it runs."""
    _RUNNING.add(job)
    _watch_for_leaving()


def dismiss(job: Any) -> None:
    """It is over."""
    _RUNNING.discard(job)


def stop_all() -> None:
    """End every child process of the module at once: for its cleanup and for leaving Slicer."""
    for job in list(_RUNNING):
        job.kill()


def _watch_for_leaving() -> None:
    """Once: no run outlives the application, however it is left."""
    if _LEAVING:
        return
    import atexit

    atexit.register(stop_all)
    with contextlib.suppress(ImportError, AttributeError):
        import slicer

        slicer.app.connect("aboutToQuit()", stop_all)
    _LEAVING.append(True)


def let_go() -> None:
    """End every child process and watch no more: newer code is about to take this code's place."""
    stop_all()
    if not _LEAVING:
        return
    import atexit

    atexit.unregister(stop_all)
    with contextlib.suppress(ImportError, AttributeError):
        import slicer

        slicer.app.disconnect("aboutToQuit()", stop_all)
    _LEAVING.clear()
