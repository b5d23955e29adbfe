"""One process at a time changes one model; the operating system frees the lock when that process dies."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from .failures import ModelBusyError


@contextlib.contextmanager
def model_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of model ``name`` below ``folder``; ModelBusyError when another process (or thread) has it."""
    locks = folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(locks / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(descriptor):
            raise ModelBusyError(f"The model {name} is being downloaded, imported or removed by another process.",
                                 "Wait until that has finished, then try again.")
        yield
    finally:
        os.close(descriptor)  # also releases the lock


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
