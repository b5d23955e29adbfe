"""The files that a detached header (.nhdr, .mhd) names for its voxels: they lie beside the header or below it.

A header is a few lines of text from anybody. Followed wherever it points, it would read any file of this computer into
an image, make Windows log on to a computer of its choosing (by a share's name), or wait for ever at a device. Names
are judged first as text, in either operating system's notation, then by where they really lead.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ..errors import InvalidFormatError, MissingFileError
from .limits import DEFAULT_LIMITS

MAX_FILES = 100_000
_PATTERN = re.compile(r"([^\s%]*%0?\d{0,2}d[^\s%]*)\s+(-?\d{1,9})\s+(-?\d{1,9})\s+(-?\d{1,9})(\s+\d+)?")


def data_file(header: Path, name: str) -> Path:
    """The file that a header names, relative to the header's folder.

    Raises
    ------
    InvalidFormatError
        If the name is absolute, leads out of the folder (by ``..`` or by a link), or is no plain file.
    MissingFileError
        If there is no such file.
    """
    parts = name.replace("\\", "/").split("/")
    if not name.strip() or parts[0] == "" or ".." in parts or ":" in name or not name.isprintable():
        raise _outside(header)
    path = header.parent / name
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(header.parent.resolve()):
            raise _outside(header)
        status = real.stat()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a circle of links
        raise MissingFileError(f"The file that the {header.suffix.lower()} header names for its voxels does not "
                               "exist.", "Keep header and data file together.") from None
    if not stat.S_ISREG(status.st_mode):
        raise _outside(header)
    DEFAULT_LIMITS.check_file_bytes(status.st_size)
    return real


def numbered_names(text: str) -> list[str] | None:
    """The names that a pattern with its range stands for, such as ``slice%03d.raw 1 40 1``; None for a plain name.

    >>> numbered_names("a%02d.raw 9 11 1")
    ['a09.raw', 'a10.raw', 'a11.raw']

    Raises
    ------
    ValueError
        If the range has no end.
    """
    pattern = _PATTERN.fullmatch(text)
    if pattern is None:
        return None
    first, last, step = (int(pattern[n]) for n in (2, 3, 4))
    if step == 0 or abs(last - first) // abs(step) > MAX_FILES:
        raise ValueError("endless list of files")
    return [pattern[1] % n for n in range(first, last + (1 if step > 0 else -1), step)]


def _outside(header: Path) -> InvalidFormatError:
    return InvalidFormatError(f"The {header.suffix.lower()} header names a file outside its own folder for its voxels: "
                              "nothing was read from there.",
                              "Put header and data file into one folder and let the header name the file alone.")
