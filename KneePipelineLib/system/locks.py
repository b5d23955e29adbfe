"""One owner at a time: a lock that the operating system drops when its owner dies, however that happens.

It is ``flock`` (POSIX) or a locked byte (Windows) on a file, and no clock is asked. What the file says (process,
computer, since when) is for the sentence to whoever has to wait, and is read only after the lock was asked for: read
before, it may be a run's that ends meanwhile.

Some network file systems have no such locks and say so. There an owner's file that only one process can create stands
in; the next one is created when it was given back, or the process it names is gone from this computer. Of another
computer nothing is known: then whoever has to wait is told what to remove when nobody works there any more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .processes import is_same_process, start_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK, getattr(errno, "EDEADLOCK", errno.EDEADLK)}
_BYTE = 1 << 20
"""The byte that Windows locks, far behind the text, so that others can still read who owns it."""
_POLL_S = 0.2
_MOST_BYTES = 4096
_OWNER = ".owner."
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""A lock file is emptied and signed: what a link in its place leads to shall not be."""
_FREE = b"free\n"
"""What the latest owner's file says when its owner has given it back."""


@dataclass(frozen=True)
class Owner:
    """Who has, or had, a lock.

    Attributes
    ----------
    pid : int
        Process number; 0 when unknown.
    host : str
        Name of its computer.
    since : str
        When it took the lock (local time, ISO 8601).
    start : str
        What tells the process from a later one with the same number; see :func:`.processes.start_of`.
    notes : dict
        What the owner wrote there for itself.
    """

    pid: int = 0
    host: str = ""
    since: str = ""
    start: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is a process of another computer."""
        return bool(self.host) and self.host != platform.node()

    def is_gone(self) -> bool:
        """Whether it certainly lives no more; nothing is known about processes of other computers."""
        return bool(self.pid) and not self.is_elsewhere and not is_same_process(self.pid, self.start)

    def __str__(self) -> str:
        """Such as ``process 42 on node7 since 2026-03-01 12:00``."""
        where = f" on {self.host}" if self.is_elsewhere else ""
        when = f" since {self.since[:16].replace('T', ' ')}" if self.is_elsewhere and self.since else ""
        return f"process {self.pid or 'unknown'}{where}{when}"


class Lock:
    """Exclusive ownership of the lock file `path`, which is made and never removed.

    Parameters
    ----------
    path : Path
        The lock file; its folder exists.
    notes : object
        Anything JSON can hold, for whoever finds it there after this process was killed.

    Attributes
    ----------
    system : bool
        Whether the lock is the operating system's; False where the file system has none.
    previous : Owner or None
        After `take`: an owner that never gave it back, because it was killed.
    """

    def __init__(self, path: Path | str, **notes: object) -> None:
        self.path = Path(path)
        self.system = True
        self.previous: Owner | None = None
        self._notes = notes
        self._descriptor: int | None = None
        self._owned: Path | None = None

    def take(self) -> bool:
        """Own it from now on; False when somebody else (or another thread) does.

        Raises
        ------
        OSError
            When the file cannot be opened or locked for another reason.
        """
        for again in (True, True, True, False):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
            try:
                taken = _try_lock(descriptor)
                self.system = taken is not None
                if taken and again and not _is_still_there(descriptor, self.path):
                    continue  # whoever had it before removed the file: another may be locked there by now
                if taken or (taken is None and self._take_owner_file()):
                    self._descriptor, descriptor = descriptor, -1
                    self._sign()
                    return True
                return False
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
        return False

    def owner(self) -> Owner:
        """Who has it, as far as the files tell; ask after `take` has said no."""
        path = self.path if self.system else self._latest()[1]
        return (_parsed(_content(path)) if path is not None else None) or Owner()

    def advice(self) -> str:
        """What to do about an owner who does not give it back; empty when waiting is all."""
        owner = self.owner()
        if self.system or (owner.pid and not owner.is_elsewhere):
            return ""
        return (f"This file system has no locks. If no process works there any more, remove the files "
                f"{self.path.name}{_OWNER}* in the folder {self.path.parent.name}.")

    def give_back(self) -> None:
        """Own it no more; nothing happens when it is not owned."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        if not self.system:
            with contextlib.suppress(OSError):
                _fill(self._owned, _FREE, 0)
        elif fcntl is None:
            with contextlib.suppress(OSError):
                os.lseek(self._descriptor, _BYTE, os.SEEK_SET)
                msvcrt.locking(self._descriptor, msvcrt.LK_UNLCK, 1)
        os.close(self._descriptor)
        self._descriptor = None

    def _sign(self) -> None:
        """Say who owns it; a disk that is full changes nothing about who does."""
        if self.system:
            self.previous = _parsed(_read(self._descriptor))
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, self._signature())

    def _signature(self) -> bytes:
        said = {"pid": os.getpid(), "host": platform.node(), "start": start_of(os.getpid()),
                "since": datetime.now().isoformat(timespec="seconds"), **self._notes}
        return json.dumps(said).encode()

    def _take_owner_file(self) -> bool:
        """Create the next owner's file, if the latest one was given back or its owner is dead.

        Nobody removes a file that another might still be judging: of all who found the same dead owner one creates the
        next number, and who judged an older state sees a higher number afterwards and withdraws.
        """
        number, latest = self._latest()
        content = _content(latest) if latest is not None else _FREE
        owner = _parsed(content)
        if content != _FREE and not (owner is not None and owner.is_gone()):
            return False
        mine = self.path.with_name(f"{self.path.name}{_OWNER}{number + 1}")
        try:
            _fill(mine, self._signature(), os.O_EXCL)
        except FileExistsError:
            return False
        if self._latest()[0] != number + 1:
            mine.unlink(missing_ok=True)
            return False
        for old, path in self._owner_files():
            if old <= number:
                with contextlib.suppress(OSError):
                    path.unlink()
        self.previous = owner
        self._owned = mine
        return True

    def _owner_files(self) -> list[tuple[int, Path]]:
        """Number and path of every owner's file, in order."""
        start = self.path.name + _OWNER
        found = [name[len(start):] for name in os.listdir(self.path.parent) if name.startswith(start)]
        return [(int(end), self.path.with_name(start + end)) for end in sorted(filter(str.isdecimal, found), key=int)]

    def _latest(self) -> tuple[int, Path | None]:
        files = self._owner_files()
        return files[-1] if files else (0, None)


@contextlib.contextmanager
def exclusive(path: Path | str, waiting: Callable[[Lock], object] | None = None) -> Iterator[Lock]:
    """Own the lock file `path` for the duration of the block; wait for whoever owns it.

    Parameters
    ----------
    path : path-like
        The lock file; its folder is made when missing.
    waiting : callable, optional
        Called once with the lock if somebody else owns it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(path)
    told = False
    while not lock.take():
        if not told and waiting is not None:
            waiting(lock)
        told = True
        time.sleep(_POLL_S)
    try:
        yield lock
    finally:
        lock.give_back()


def hold(path: Path | str) -> int | None:
    """Mark something as in use until the returned descriptor is closed or every process that has it ends.

    Returns
    -------
    int or None
        None where that cannot be expressed: Windows, where a running program protects its files anyway; a read-only
        folder, which nobody can remove either; a file system without locks.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def is_held(path: Path | str) -> bool:
    """Whether some process holds `path` with :func:`hold`."""
    if fcntl is None or not os.path.exists(path):
        return False
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return _try_lock(descriptor) is False
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool | None:
    """True: ours; False: somebody else's; None: this file system has no locks."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        return True
    except OSError as problem:
        if problem.errno in _NO_LOCKS:
            return None
        if problem.errno in _HELD:
            return False
        raise


def _is_still_there(descriptor: int, path: Path) -> bool:
    # Not by comparing file numbers: those of some network drives change.
    return os.fstat(descriptor).st_nlink > 0 and os.path.exists(path)


def _fill(path: Path, content: bytes, mode: int) -> None:
    """Write a small file; one that was just created and cannot be filled is removed, or it would keep everybody out."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINK | mode, 0o666)
    try:
        os.write(descriptor, content)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> bytes:
    with contextlib.suppress(OSError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, _MOST_BYTES)
    return b""


def _content(path: Path) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return stream.read(_MOST_BYTES)
    return b""


def _parsed(content: bytes) -> Owner | None:
    """The owner that a lock file names; None when it names none."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        said = json.loads(content)
        known = {key: said.pop(key) for key in ("pid", "host", "since", "start") if key in said}
        return Owner(int(known.pop("pid")), **{key: str(value) for key, value in known.items()}, notes=said)
    return None
