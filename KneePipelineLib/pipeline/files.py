"""Files as the orchestrator handles them: hashes, whole-or-nothing writes, removals that may be repeated."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ..errors import InvalidFormatError

# Written as `system` does it; named here for the steps, which hash, write and read with one import.
from ..system.atomic import write_json as write_json
from ..system.atomic import write_text as write_text

CHUNK_BYTES = 1 << 20


Check = Callable[[], None]
"""Called after every portion of a long piece of work; raises to end it."""


def _go_on() -> None:
    """Nobody asks to stop."""


def hash_file(path: Path | str, check: Check = _go_on) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
            check()
    return digest.hexdigest()


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is a file manager's, a network drive's or a synchroniser's own note.

    They come and go in folders without anybody's doing, so they are no part of an input and no damage to a checkpoint.
    """
    return name.lower() in _LITTER or name.startswith(_LITTER_BEGINNINGS)


_LITTER = {".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "__macosx", "@eadir", "#recycle",
           ".directory", ".appledouble", ".dropbox", ".dropbox.attr", ".sync", "$recycle.bin", ".spotlight-v100",
           ".trashes", ".fseventsd"}
_LITTER_BEGINNINGS = ("._", ".nfs", ".fuse_hidden", ".smbdelete", ".~lock.", "~$", ".trash-", ".syncthing.")


def files_below(folder: Path | str) -> list[Path]:
    """Every file below a folder, in a fixed order, without litter and without what has no end or no content: pipes,
    devices, and links that lead to such or nowhere."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_litter(name)]
        found += [Path(place, name) for name in names if not is_litter(name)]
    return sorted(path for path in found if path.is_file())


def hash_tree(path: Path | str, check: Check = _go_on) -> str:
    """SHA-256 of a file, or of a folder's files whatever they are called: names may hold a patient's name.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    InvalidFormatError
        If it is something else, such as a pipe, which could be waited for for ever.
    """
    path = Path(path)
    if not path.is_dir():
        if path.exists() and not path.is_file():
            raise InvalidFormatError("What was given is neither a file nor a folder.",
                                     "A pipe or a device cannot be read again: save its content as a file.")
        return hash_file(path, check)
    hashes = sorted(hash_file(file, check) for file in files_below(path))
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def hash_weights(path: Path | str, check: Check = _go_on) -> str:
    """`hash_tree`, computed once in a process for files that keep their size and time of change."""
    path = Path(path)
    files = [path] if path.is_file() else files_below(path)
    state = tuple((str(p), s.st_size, s.st_mtime_ns) for p in files for s in [p.stat()])
    if state not in _WEIGHTS_SEEN:
        _WEIGHTS_SEEN[state] = hash_tree(path, check)
    return _WEIGHTS_SEEN[state]


_WEIGHTS_SEEN: dict[tuple, str] = {}


def hash_json(values: Any) -> str:
    """SHA-256 of JSON data, the same for the same content in any order of keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, allow_nan=True).encode()).hexdigest()


def hash_folder(folder: Path | str) -> dict[str, dict]:
    """name -> {"sha256", "bytes"} of every file below a folder, names with ``/``."""
    folder = Path(folder)
    return {path.relative_to(folder).as_posix(): {"sha256": hash_file(path), "bytes": path.stat().st_size}
            for path in files_below(folder)}


def missing_files(folder: Path | str, patterns: Iterable[str]) -> list[str]:
    """Those patterns that no file below the folder matches."""
    folder = Path(folder)
    names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    return [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in names)]


def read_json(path: Path | str) -> Any:
    """The JSON in a file, or None when it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def stays_below(name: object) -> bool:
    """Whether a name that somebody's file holds is a relative path that stays in its folder, on every system."""
    if not isinstance(name, str):
        return False
    parts = name.replace("\\", "/").split("/")
    return not {"", ".", ".."} & set(parts) and ":" not in name and "\0" not in name


def remove(path: Path | str) -> None:
    """Remove a file or a folder; nothing happens when there is none."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def own_folder(path: Path | str) -> Path:
    """A folder of our own among the checkpoints, made when missing; a link in its place would lead out of them."""
    path = Path(path)
    if path.is_symlink():
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    return path


def fresh_folder(path: Path | str) -> Path:
    """An empty folder of that name."""
    remove(path)
    path = Path(path)
    path.mkdir(parents=True)
    return path
