"""What a person pointed at: a file, a folder or a zip archive, recognised by content rather than by name."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidFormatError, MissingFileError, NothingUsableError
from .archives import unpack_zip
from .limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from .dicom_frames import Scan

READABLE = "DICOM (folder, file, zip), NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr, .seg.nrrd), MetaImage (.mha, .mhd)"
_SUFFIXES = {".nii": "NIfTI", ".nii.gz": "NIfTI", ".nrrd": "NRRD", ".nhdr": "NRRD",
             ".mha": "MetaImage", ".mhd": "MetaImage", ".dcm": "DICOM", ".ima": "DICOM", ".zip": "zip"}

_EMPTY_HINTS = {"folder": "Give the folder that holds the images.",
                "archive": "Export the images again, or give an archive that holds them."}


class Source:
    """An opened input. Use :func:`open_input`; a zip archive stays unpacked as long as the source is open.

    Attributes
    ----------
    kind : str
        ``"DICOM"``, ``"NIfTI"``, ``"NRRD"`` or ``"MetaImage"``.
    path : Path
        The image file, or the folder that holds DICOM.
    files : tuple of Path
        The DICOM candidates, in order of their names; empty for other kinds.
    single : Path or None
        The one DICOM file that was pointed at; its series may lie beside it.
    temporary : bool
        Whether the files vanish when the source is closed (they came out of an archive).
    """

    def __init__(self, kind: str, path: Path, files: tuple[Path, ...], limits: Limits, *, single: Path | None = None,
                 temporary: bool = False) -> None:
        self.kind = kind
        self.path = path
        self.files = files
        self.limits = limits
        self.single = single
        self.temporary = temporary

    @cached_property
    def scan(self) -> Scan:
        """All DICOM headers, read once."""
        from .dicom_frames import scan_files

        return scan_files(self.files, self.limits)


@contextmanager
def open_input(path: str | os.PathLike | Source, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Source]:
    """Recognise an input and keep it at hand: headers are read, and archives unpacked, only once.

    Every reader of this package takes an open source in place of a path::

        with open_input("knee.zip") as source:
            image = read_image(source)
            echoes = read_echoes(source)

    Raises
    ------
    MissingFileError
        Nothing there.
    InvalidFormatError
        There, but not an image of a known format, damaged or not allowed to be read.
    NothingUsableError
        An empty folder, or one without any image.
    InputTooLargeError
        Beyond the limits.
    """
    if isinstance(path, Source):
        yield path
        return
    path = Path(path)
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):
        exists = is_folder = False
    if not exists:
        raise MissingFileError("The input does not exist.", "Check the path; a network drive may not be connected.")
    if is_folder:
        yield _open_folder(path, limits)
    elif sniff(path) == "zip":
        with tempfile.TemporaryDirectory(prefix="kneepipeline-", ignore_cleanup_errors=True) as folder:
            unpack_zip(path, Path(folder), limits)
            yield _open_folder(Path(folder), limits, temporary=True)
    else:
        yield _open_file(path, limits)


def sniff(path: Path) -> str | None:
    """The format of a file (as ``Source.kind``, or ``zip``), or None: by its content first, then by its suffix.

    Raises
    ------
    InvalidFormatError
        If the file cannot be opened.
    """
    try:
        with open(path, "rb") as handle:
            head = handle.read(352)
            if head[:2] == b"\x1f\x8b":
                handle.seek(0)
                head = _unpacked_head(handle.read(4096))
    except OSError as error:
        raise InvalidFormatError("The input cannot be opened.", "Check that you may read it.",
                                 cause=type(error).__name__) from None
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[:4] == b"NRRD":
        return "NRRD"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0":
        return "NIfTI"
    if head.lstrip().startswith((b"ObjectType", b"NDims")):
        return "MetaImage"
    by_suffix = _SUFFIXES.get(suffix_of(path))
    if by_suffix is None and _looks_like_bare_dicom(head):
        return "DICOM"
    return by_suffix


def suffix_of(path: Path) -> str:
    """The lower-case suffix, ``.nii.gz`` counted as one."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def _unpacked_head(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(data, 352)
    except zlib.error:
        return b""


def _looks_like_bare_dicom(head: bytes) -> bool:
    """A data set without the 128-byte preamble begins with an element of group 0002 or 0008, little endian."""
    return head[:2] in (b"\x02\x00", b"\x08\x00") and len(head) > 16 and head[3] == 0


def _open_file(path: Path, limits: Limits) -> Source:
    size = path.stat().st_size
    if size == 0:
        raise InvalidFormatError("The input file is empty.", "Copy or export it again.")
    limits.check_file_bytes(size)
    kind = sniff(path)
    if kind is None:
        raise InvalidFormatError("The input is not an image of a known format.", f"Readable are {READABLE}.")
    if kind == "DICOM":
        return Source("DICOM", path.parent, _siblings(path, limits), limits, single=path)
    return Source(kind, path, (), limits)


def _siblings(path: Path, limits: Limits) -> tuple[Path, ...]:
    """The DICOM files in the same folder, in which the rest of the file's series may lie."""
    files = [p for p in sorted(path.parent.iterdir()) if not p.name.startswith(".") and p.is_file()]
    limits.check_files(len(files))
    return tuple(p for p in files if p == path or _is_dicom(p))


def _open_folder(folder: Path, limits: Limits, temporary: bool = False) -> Source:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InvalidFormatError("The input folder cannot be opened.", "Check that you may read it.")
    dicom, images, seen = [], [], 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        seen += len(names)
        limits.check_files(seen)
        for name in sorted(names):
            path = Path(root, name)
            if name.startswith(".") or not path.is_file():
                continue
            if suffix_of(path) in _SUFFIXES and _SUFFIXES[suffix_of(path)] not in ("DICOM", "zip"):
                images.append(path)
            elif _is_dicom(path):
                dicom.append(path)
    what = "archive" if temporary else "folder"
    if seen == 0:
        raise NothingUsableError(f"The {what} is empty.", _EMPTY_HINTS[what])
    if dicom:
        return Source("DICOM", folder, tuple(dicom), limits, temporary=temporary)
    if not images:
        raise NothingUsableError(f"The {what} holds {seen} file(s), but no image among them.",
                                 f"Readable are {READABLE}.", files=seen)
    if len(images) > 1:
        raise InvalidFormatError(f"The {what} holds {len(images)} image files and no DICOM series.",
                                 "Give the one image file that is meant.", images=len(images))
    opened = _open_file(images[0], limits)
    opened.temporary = temporary
    return opened


def _is_dicom(path: Path) -> bool:
    try:
        return sniff(path) == "DICOM"
    except InvalidFormatError:
        return False


__all__ = ["READABLE", "Source", "open_input", "sniff", "suffix_of"]
