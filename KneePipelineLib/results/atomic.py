"""Files that are either the old ones or the new ones, never something between.

A writer fills a temporary file in the target's own folder; only when it has returned, and the bytes are on the
disk, does the temporary name become the real one (POSIX ``rename`` and Windows ``MoveFileEx`` replace in one step).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")


def write_atomically(path: Path | str, write: Callable[[IO[bytes]], None]) -> Path:
    """Let ``write`` fill a binary file that replaces ``path`` only when it is complete.

    Parameters
    ----------
    path : path-like
        The file to make or replace; its folder is made when missing.
    write : callable
        Takes the open binary file. Whatever it raises is passed on, with the old file untouched and nothing left over.

    Returns
    -------
    pathlib.Path
        ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        _give_normal_permissions(temporary)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_text(path: Path | str, text: str) -> Path:
    """Replace ``path`` by ``text`` in UTF-8, with ``\\n`` line ends on every system."""
    return write_atomically(path, lambda stream: stream.write(text.encode("utf-8")))


def in_threads(calls: Iterable[Callable[[], T]], workers: int = 4) -> list[T]:
    """Run the calls side by side and return their results in order; the first failure is raised after all have ended.

    Compression and disk writes let go of Python's lock, so threads are enough.
    """
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]


def _give_normal_permissions(path: str) -> None:
    """mkstemp makes files for the owner alone; give the ones an ordinary ``open`` would have given."""
    if os.name == "posix":
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(path, 0o666 & ~mask)
