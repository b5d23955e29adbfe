"""A job among its surroundings: its folders, the scene that may be closed, the application that may be left."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from .request import JobRequest

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


def watch_scene(function: Callable[[Any, str], None]) -> Callable[[], None]:
    """Have `function` called before the scene is closed; what to call to end that."""
    try:
        import slicer

        scene = slicer.mrmlScene
        tag = scene.AddObserver(scene.StartCloseEvent, function)
    except (ImportError, AttributeError):  # a script outside Slicer
        return lambda: None
    return lambda: scene.RemoveObserver(tag)


def turn_of_slicer() -> None:
    """One turn of Slicer's event loop; the processor is left to the run, the interpreter's lock to other threads."""
    import slicer

    slicer.app.processEvents()
    time.sleep(0.001)


def temporary_path() -> str | None:
    """Slicer's temporary folder; None for the system's."""
    with contextlib.suppress(ImportError, AttributeError):
        import slicer

        return slicer.app.temporaryPath
    return None


def make_output(request: JobRequest) -> tuple[Path, bool]:
    """The folder of the results, and whether it was made for this job."""
    if request.output_folder:
        folder = Path(request.output_folder).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return folder, False
    from .environment import results_folder

    root = results_folder()
    root.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        folder = root / (stamp if number == 1 else f"{stamp}_{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder, True
    raise OSError("no free name")
