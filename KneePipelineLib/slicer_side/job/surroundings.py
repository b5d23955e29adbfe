"""A job among its surroundings: its folders, and the scene that may be closed.

The temporary folder of a run says who uses it: the file in it is locked by Slicer, and names Slicer's process and the
run's. A folder is abandoned when nobody holds the lock and, on the computer that made it, none of the processes exists
any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any

from ..inputs.request import JobRequest


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
    from ..environment import results_folder

    root = results_folder()
    root.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        folder = root / (stamp if number == 1 else f"{stamp}_{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder, True
    raise OSError("no free name")


PREFIX, USERS = "KneePipeline-", "in-use.json"


class RunFolder:
    """A new temporary folder that belongs to this process until `remove`.

    Parameters
    ----------
    parent : str or None
        Where it is made; None: the system's folder for such things.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, parent: str | None) -> None:
        from ...system.locks import hold

        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self._hold = hold(self.path / USERS)
        self._processes: list[int] = []
        self.used_by(os.getpid())

    def used_by(self, process_id: int) -> None:
        """Another process needs the folder, too."""
        self._processes.append(process_id)
        said = {"computer": socket.gethostname(), "processes": self._processes}
        with contextlib.suppress(OSError):  # without it the folder is never taken for an abandoned one
            (self.path / USERS).write_text(json.dumps(said), encoding="utf-8")

    def remove(self) -> None:
        """Nobody needs it any more."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None
        shutil.rmtree(self.path, ignore_errors=True)


def remove_abandoned(parent: str | None) -> Thread:
    """Remove folders that a Slicer which broke down left behind, on another thread; nothing waits for it."""
    thread = Thread(target=_sweep, args=(Path(parent or tempfile.gettempdir()),), daemon=True,
                    name="KneePipeline clearing up")
    thread.start()
    return thread


def _sweep(parent: Path) -> None:
    for folder in sorted(parent.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):  # one that cannot be removed does not keep the others
            if _is_ours(folder) and is_abandoned(folder):
                _remove(folder)


def _remove(folder: Path) -> None:
    """Who used it is forgotten last: what cannot be removed now is found by the next sweep."""
    for inside in folder.iterdir():
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside, ignore_errors=True)
        elif inside.name != USERS:
            with contextlib.suppress(OSError):
                inside.unlink()
    if all(left.name == USERS for left in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """A real folder of this user; a link may lead anywhere."""
    return folder.is_dir() and not folder.is_symlink() and (
        not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid())


def is_abandoned(folder: Path) -> bool:
    """Whether a folder of this module certainly has no user any more; in doubt it has one."""
    from ...system.locks import is_held
    from ...system.processes import alive

    try:
        said = json.loads((folder / USERS).read_text(encoding="utf-8"))
        processes = [int(number) for number in said["processes"]]
        return (said["computer"] == socket.gethostname() and not is_held(folder / USERS)
                and not any(number == os.getpid() or alive(number) for number in processes))
    except (OSError, ValueError, TypeError, KeyError):
        return False
