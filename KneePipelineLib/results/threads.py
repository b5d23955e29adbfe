"""Pieces of work side by side in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_threads(calls: Iterable[Callable[[], T]], workers: int = 4) -> list[T]:
    """Run the calls side by side and return their results in order; the first failure is raised after all have ended.

    Compression and disk writes let go of Python's lock, so threads are enough.
    """
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]
