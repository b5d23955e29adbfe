"""One process at a time changes one model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..system.locks import Lock
from .failures import ModelBusyError


@contextlib.contextmanager
def model_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of model ``name`` below ``folder``; ModelBusyError when another process (or thread) has it."""
    locks = folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = Lock(locks / f"{name}.lock")
    if not lock.take():
        raise ModelBusyError(
            f"The model {name} is being downloaded, imported or removed by another process ({lock.owner()}).",
            lock.advice() or "Wait until that has finished, then try again.")
    try:
        yield
    finally:
        lock.give_back()
