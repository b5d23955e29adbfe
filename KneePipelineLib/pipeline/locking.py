"""One run at a time in a run folder.

The lock is the operating system's (flock, or a locked byte on Windows), held by an open file: it vanishes with its
process, however that ends, and no clock is asked. What the file says (process, token) is only for the message to a
second run and for clearing away what a killed run left running.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from ..errors import KneePipelineError
from .processes import alive, kill_token

NAME = ".lock"
_LOCK_OFFSET = 1 << 20


class RunLock:
    """Exclusive use of a run folder, as a context manager.

    Parameters
    ----------
    folder : Path
        Where the lock file lies.
    token : str
        The run's token (see `processes`).

    Raises
    ------
    KneePipelineError
        On entering, when another run works in the folder.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self.path = folder / NAME
        self.token = token
        self.leftovers_ended = 0
        self.was_stale = False
        self._handle: int | None = None

    def __enter__(self) -> RunLock:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        owner = _owner(handle)
        if not _take(handle, owner):
            os.close(handle)
            raise KneePipelineError(
                f"Another run (process {owner.get('pid', 'unknown')}) is working in this output folder.",
                "Wait until it has finished, or give another folder.", locked_by=owner.get("pid"),
            )
        self._handle = handle
        if owner.get("token"):
            # A run that ended by itself empties the file; this one was killed.
            self.was_stale = True
            self.leftovers_ended = kill_token(str(owner["token"]))
        with contextlib.suppress(OSError):
            _write(handle, {"pid": os.getpid(), "token": self.token})
        return self

    def __exit__(self, *exception: object) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                _write(self._handle, {})
            with contextlib.suppress(OSError):
                _release(self._handle)
            os.close(self._handle)
            self._handle = None


def _owner(handle: int) -> dict:
    with contextlib.suppress(OSError, ValueError):
        os.lseek(handle, 0, os.SEEK_SET)
        values = json.loads(os.read(handle, 4096) or b"{}")
        if isinstance(values, dict):
            return values
    return {}


def _write(handle: int, values: dict) -> None:
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(values).encode())


if os.name == "nt":
    import msvcrt

    def _take(handle: int, owner: dict) -> bool:
        # A byte far behind the text is locked, so that a second run can still read who holds it.
        os.lseek(handle, _LOCK_OFFSET, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(handle: int) -> None:
        os.lseek(handle, _LOCK_OFFSET, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _take(handle: int, owner: dict) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            # A file system without locks (some network shares): whether the owner still lives must do.
            return not ("pid" in owner and owner["pid"] != os.getpid() and alive(int(owner["pid"])))
        return True

    def _release(handle: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
