"""One run at a time in a run folder, and clearing away what a killed run left running."""

from __future__ import annotations

from pathlib import Path

from ..errors import KneePipelineError
from ..system.atomic import sweep
from ..system.locks import Lock
from ..system.processes import kill_token

NAME = ".lock"


class RunLock:
    """Exclusive use of a run folder, as a context manager.

    Parameters
    ----------
    folder : Path
        Where the lock file lies.
    token : str
        The run's token (see `system.processes`).

    Raises
    ------
    KneePipelineError
        On entering, when another run works in the folder.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self.leftovers_ended = 0
        self.was_stale = False
        self._lock = Lock(folder / NAME, token=token)

    def __enter__(self) -> RunLock:
        lock = self._lock
        if not lock.take():
            owner = lock.owner()
            raise KneePipelineError(f"Another run ({owner}) is working in this output folder.",
                                    lock.advice() or "Wait until it has finished, or give another folder.",
                                    locked_by=owner.pid or None)
        if lock.previous is not None and lock.previous.notes.get("token"):
            # A run that ended by itself empties the file; this one was killed, perhaps while it wrote a file.
            self.was_stale = True
            for folder in (lock.path.parent, lock.path.parent.parent):
                sweep(folder)
            self.leftovers_ended = kill_token(str(lock.previous.notes["token"]))
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.give_back()
