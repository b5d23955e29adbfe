"""Files that are either the old ones or the new ones, never something between.

A writer fills a temporary file in the target's own folder; only when it has returned, and the bytes are on the disk,
does the temporary name become the real one (POSIX ``rename`` and Windows ``MoveFileEx`` replace in one step).

Windows refuses to replace a file while a virus scanner, an indexer or Excel has it open. Most of them let go within a
moment, so renames there are tried again for a while; then the file is named.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import FileInUseError

PATIENCE_S = 2.0
_PAUSE_S = 0.05
_ON_WINDOWS = os.name == "nt"
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.part(\..*)?")
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EROFS}
"""What ``fsync`` answers where the file system, a pipe or a device has no such thing."""


@contextlib.contextmanager
def whole_file(path: Path | str, durable: bool = True) -> Iterator[Path]:
    """The name of a temporary file to be filled in the block, which replaces `path` when that ends well.

    For writers that want a name; the name ends as `path` does, because some of them look at that.

    Parameters
    ----------
    path : path-like
        The file to make or replace; its folder is made when missing.
    durable : bool
        Wait until the bytes are on the disk, so that not even a power failure leaves an empty file.

    Raises
    ------
    FileInUseError
        When another program has the file open (Windows).
    OSError
        Whatever the system says; the old file is untouched and nothing is left over, as after any exception.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.part{''.join(path.suffixes[-2:])[-20:]}")
    try:
        yield temporary
        if durable:
            _to_disk(temporary)
        replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path | str, write: Callable[[IO[bytes]], object], durable: bool = True) -> Path:
    """Let `write` fill a binary file that replaces `path` only when it is complete; see :func:`whole_file`."""
    with whole_file(path, durable) as temporary, open(temporary, "xb") as stream:
        write(stream)
    return Path(path)


def write_text(path: Path | str, text: str) -> Path:
    """Replace `path` by `text` in UTF-8, with ``\\n`` line ends on every system.

    What UTF-8 cannot hold (the odd byte of a file's name) is written as ``\\udcff``.
    """
    return write_atomically(path, lambda stream: stream.write(text.encode("utf-8", "backslashreplace")))


def write_json(path: Path | str, values: Any, indent: int = 2) -> Path:
    """Replace `path` by JSON; NaN and infinity, which JSON does not know, are a ValueError."""
    text = json.dumps(values, indent=indent, allow_nan=False, ensure_ascii=False)
    # Behind a backslash of its own a surrogate is JSON, and reads back as the byte it stands for.
    return write_text(path, text + "\n")


def replace(source: Path | str, target: Path | str) -> None:
    """Rename a file or folder, also over an existing file, also onto another disk.

    Raises
    ------
    FileInUseError
        When another program still has it open after `PATIENCE_S` (Windows).
    OSError
        For every other reason.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError as error:
            if not _ON_WINDOWS:
                raise
            if time.monotonic() >= deadline:
                raise FileInUseError(Path(target).name) from error
            time.sleep(_PAUSE_S)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_across(Path(source), Path(target))
            return


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that :func:`whole_file` was filling when its process was killed."""
    return _TEMPORARY.fullmatch(name) is not None


def sweep(folder: Path | str) -> None:
    """Remove such files from a folder, subfolders left alone; for whoever alone may write there."""
    for name in filter(is_temporary, os.listdir(folder)):
        with contextlib.suppress(OSError):
            (Path(folder) / name).unlink()


def _copy_across(source: Path, target: Path) -> None:
    """A rename onto another disk: what is copied takes the target's name when it is whole."""
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        if source.is_dir():
            shutil.copytree(source, temporary)
            os.replace(temporary, target)
            shutil.rmtree(source)
        else:
            shutil.copyfile(source, temporary)
            _to_disk(temporary)
            os.replace(temporary, target)
            source.unlink()
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _to_disk(path: Path) -> None:
    with open(path, "rb+") as stream:
        try:
            os.fsync(stream.fileno())
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise
