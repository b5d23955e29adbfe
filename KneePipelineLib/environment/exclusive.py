"""One Set up at a time: a lock that the operating system drops when its holder dies.

Where a file system knows no such locks (some network drives), a file with the holder's process number stands in; it is
taken over when that process no longer exists on this computer.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_POLL_S = 0.2


@contextmanager
def exclusive(path: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path` for the duration of the block; wait for whoever holds it.

    Parameters
    ----------
    path : Path
        The lock file; created, never deleted.
    waiting : callable, optional
        Called once with a sentence if somebody else holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    holder = path.with_name(path.name + ".holder")
    told = False
    try:
        while True:
            taken = _try_lock(descriptor)
            if taken is None:
                taken = _try_pid_file(holder)
            if taken:
                break
            if not told and waiting is not None:
                waiting(f"Waiting for another Set up to finish{_who(holder)}.")
                told = True
            time.sleep(_POLL_S)
        with suppress(OSError):
            holder.write_text(f"{os.getpid()} {socket.gethostname()}", encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                holder.unlink()
    finally:
        os.close(descriptor)  # gives the lock back


def _try_lock(descriptor: int) -> bool | None:
    """True: ours; False: somebody else's; None: this file system has no locks."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        return True
    except OSError as problem:
        return None if problem.errno in _UNSUPPORTED else False


def _try_pid_file(path: Path) -> bool:
    """Create `path`, or take it over from a process of this computer that no longer exists."""
    if path.exists() and holder_is_dead(path):
        with suppress(OSError):
            path.unlink()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    os.write(descriptor, f"{os.getpid()} {socket.gethostname()}".encode())
    os.close(descriptor)
    return True


def holder_is_dead(path: Path) -> bool:
    """Whether the process named in a holder file ran on this computer and is gone."""
    try:
        number, host = path.read_text(encoding="utf-8").split(maxsplit=1)
        if host != socket.gethostname() or os.name != "posix":
            return False
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _who(holder: Path) -> str:
    try:
        return f" (process {int(holder.read_text(encoding='utf-8').split()[0])})"
    except (OSError, ValueError, IndexError):
        return ""


@contextmanager
def shared_hold(path: Path) -> Iterator[None]:
    """Mark an environment as in use for the duration of the block; see :func:`hold`."""
    descriptor = hold(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def hold(path: Path) -> int | None:
    """Mark an environment as in use until the returned descriptor is closed or every process that has it ends.

    Returns
    -------
    int or None
        None where that cannot be expressed (Windows, where a running program protects its files anyway; a read-only
        installation, which nobody can remove either).
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


def is_held(path: Path) -> bool:
    """Whether some process holds `path` with :func:`hold`."""
    if fcntl is None or not path.exists():
        return False
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError as problem:
        return problem.errno not in _UNSUPPORTED
    finally:
        os.close(descriptor)
