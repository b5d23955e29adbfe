"""Checksums of weight files, and a memory of those already computed.

Hashing 800 MB before every run would cost seconds for nothing, so a file's SHA-256 is remembered together with its
size and modification time (ns) and computed again when either differs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from ..system.atomic import write_json

_BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits; what the hub records for files in large-file storage."""
    digest = hashlib.sha256()
    _feed(path, digest)
    return digest.hexdigest()


def git_blob_sha1_of(path: Path) -> str:
    """Git's object name of a file (SHA-1 over ``blob <size>\\0`` + content); what the hub records for small files."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    _feed(path, digest)
    return digest.hexdigest()


def _feed(path: Path, digest: hashlib._Hash) -> None:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)


class ChecksumCache:
    """SHA-256 by relative path, size and time, kept in one JSON file; a lost or damaged file only costs time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
            self._known: dict[str, list] = known if isinstance(known, dict) else {}
        except (OSError, ValueError):
            self._known = {}

    def sha256(self, root: Path, relative: str, *, fresh: bool = False) -> str:
        """SHA-256 of ``root / relative``; ``fresh`` computes it whatever is remembered."""
        path = root / relative
        before = path.stat()
        stamp = [before.st_size, before.st_mtime_ns]
        remembered = self._known.get(relative)
        if not fresh and isinstance(remembered, list) and remembered[:2] == stamp and len(remembered) == 3:
            return remembered[2]
        digest = sha256_of(path)
        self._known[relative] = [*stamp, digest]
        return digest

    def remember(self, root: Path, relative: str, digest: str) -> None:
        """Note the SHA-256 of a file that has just been computed elsewhere."""
        status = (root / relative).stat()
        self._known[relative] = [status.st_size, status.st_mtime_ns, digest]

    def save(self) -> None:
        """Write the memory; silently not, where the folder cannot be written (a read-only installation)."""
        with contextlib.suppress(OSError):
            write_json(self._file, self._known)
