"""What a person pointed at: a file, a folder or a zip archive, recognised by content rather than by name."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidFormatError, MissingFileError, NothingUsableError
from .archives import unpack_gzip, unpack_zip
from .limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from .dicom_frames import Scan
    from .dicom_series import Series

READABLE = "DICOM (folder, file, zip), NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr, .seg.nrrd), MetaImage (.mha, .mhd)"
_SUFFIXES = {".nii": "NIfTI", ".nii.gz": "NIfTI", ".nrrd": "NRRD", ".nhdr": "NRRD",
             ".mha": "MetaImage", ".mhd": "MetaImage", ".dcm": "DICOM", ".ima": "DICOM", ".zip": "zip"}

_NEVER_IMAGES = {".txt", ".json", ".csv", ".tsv", ".xml", ".html", ".htm", ".md", ".pdf", ".log", ".lock", ".py",
                 ".png", ".jpg", ".jpeg", ".sh", ".bat", ".exe", ".ini", ".yaml", ".yml", ".toml", ".db", ".doc",
                 ".docx", ".xls", ".xlsx"}
"""Files of these names may be empty without a slice being lost."""
_NESTED_ARCHIVES = 2

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
    side : str or None
        ``"left"`` or ``"right"``: which knee is meant, of a series that holds both.
    spacing : (3,) floats or None
        A stated voxel size in mm along the file's own axes, in place of a missing or wrong one.
    unopened : int
        Files that may have been images, but are empty or cannot be opened.
    """

    def __init__(self, kind: str, path: Path, files: tuple[Path, ...], limits: Limits, *, single: Path | None = None,
                 temporary: bool = False, unopened: int = 0) -> None:
        self.kind = kind
        self.path = path
        self.files = files
        self.limits = limits
        self.single = single
        self.temporary = temporary
        self.unopened = unopened
        self.side: str | None = None
        self.spacing: tuple[float, float, float] | None = None
        self.series: list[Series] | None = None

    @cached_property
    def scan(self) -> Scan:
        """All DICOM headers, read once."""
        from .dicom_frames import scan_files

        return scan_files(self.files, self.limits)


@contextmanager
def open_input(path: str | os.PathLike | Source, *, limits: Limits = DEFAULT_LIMITS, side: str | None = None,
               spacing: tuple[float, float, float] | None = None) -> Iterator[Source]:
    """Recognise an input and keep it at hand: headers are read, and archives unpacked, only once.

    ``side`` and ``spacing`` are those of :class:`Source`; a source that is open already keeps its own.

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
    with tempfile.TemporaryDirectory(prefix="kneepipeline-", ignore_cleanup_errors=True) as folder:
        source = _open(path, is_folder, Path(folder), limits)
        source.side, source.spacing = side, spacing
        yield source


def _open(path: Path, is_folder: bool, scratch: Path, limits: Limits) -> Source:
    """A folder, file or archive; what has to be unpacked goes into the empty folder ``scratch``."""
    if is_folder:
        return _open_folder(path, limits, scratch)
    if sniff(path) == "zip":
        return _open_archive(path, limits, scratch)
    if _is_packed(path):
        unpack_gzip([path], scratch, limits)
        source = _open_file(next(scratch.glob("*/*")), limits)
        source.temporary = True
        return source
    return _open_file(path, limits)


def _open_archive(path: Path, limits: Limits, scratch: Path, depth: int = 1) -> Source:
    target = scratch / f"archive{depth}"
    target.mkdir()
    unpack_zip(path, target, limits)
    return _open_folder(target, limits, scratch, depth)


def _is_packed(path: Path) -> bool:
    """Whether a file is of another format than NIfTI, whose reader unpacks by itself, and packed by gzip."""
    with open(path, "rb") as handle:
        return handle.read(2) == b"\x1f\x8b" and sniff(path) in ("DICOM", "NRRD", "MetaImage")


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
                head = _unpacked_head(path)
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


def _unpacked_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as handle:
            return handle.read(352)
    except (OSError, EOFError, zlib.error):
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
    return tuple(p for p in files if p == path or _recognised(p) == "DICOM")


def _open_folder(folder: Path, limits: Limits, scratch: Path, depth: int = 0) -> Source:
    """A folder, or what came out of ``depth`` archives."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InvalidFormatError("The input folder cannot be opened.", "Check that you may read it.")
    what = "archive" if depth else "folder"
    found = _sorted_files(folder, limits)
    if not found.seen:
        raise NothingUsableError(f"The {what} is empty.", _EMPTY_HINTS[what])
    dicom = found.dicom
    if found.packed:
        (scratch / "packed").mkdir()
        unpack_gzip(found.packed, scratch / "packed", limits)
        dicom = sorted([*dicom, *(scratch / "packed").glob("*/*")])
    if dicom:
        return Source("DICOM", folder, tuple(dicom), limits, temporary=bool(depth or found.packed),
                      unopened=found.unopened)
    if not found.images and len(found.archives) == 1 and depth < _NESTED_ARCHIVES:
        return _open_archive(found.archives[0], limits, scratch, depth + 1)
    if not found.images and found.archives:
        raise InvalidFormatError(f"The {what} holds {len(found.archives)} zip archive(s) and no image besides.",
                                 "Give the one archive that is meant, or unpack it.", archives=len(found.archives))
    if not found.images:
        lost = f"; {found.unopened} of them are empty or cannot be opened" if found.unopened else ""
        raise NothingUsableError(f"The {what} holds {found.seen} file(s), but no image among them{lost}.",
                                 f"Readable are {READABLE}.", files=found.seen)
    if len(found.images) > 1:
        raise InvalidFormatError(f"The {what} holds {len(found.images)} image files and no DICOM series.",
                                 "Give the one image file that is meant.", images=len(found.images))
    image = found.images[0]
    packed = _is_packed(image)
    opened = _open(image, False, scratch, limits) if packed else _open_file(image, limits)
    opened.temporary = bool(depth or packed)
    return opened


@dataclass
class _Files:
    """The files of a folder by what they are; ``packed`` are DICOM files inside gzip."""

    seen: int = 0
    unopened: int = 0
    dicom: list[Path] = field(default_factory=list)
    packed: list[Path] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)


def _sorted_files(folder: Path, limits: Limits) -> _Files:
    """Every file below a folder; links to folders are followed, each folder is entered once."""
    found, entered = _Files(), set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in entered:
            folders[:] = []
            continue
        entered.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found.seen += len(names)
        limits.check_files(found.seen)
        for name in sorted(names):
            if not name.startswith("."):
                _sort_file(Path(root, name), found)
    return found


def _sort_file(path: Path, found: _Files) -> None:
    suffix = suffix_of(path)
    if path.is_symlink() and not path.exists():
        found.unopened += 1
        return
    if not path.is_file():
        return
    if _SUFFIXES.get(suffix) not in (None, "DICOM", "zip"):
        found.images.append(path)
        return
    kind = _recognised(path)
    if kind == "DICOM":
        (found.packed if suffix == ".gz" and _is_packed(path) else found.dicom).append(path)
    elif kind == "zip":
        found.archives.append(path)
    elif kind in ("NRRD", "MetaImage") and suffix == ".gz":
        found.images.append(path)
    elif kind == "lost" and suffix not in _NEVER_IMAGES:
        found.unopened += 1


def _recognised(path: Path) -> str | None:
    """As `sniff`, with ``lost`` for a file that cannot be opened, is empty, or begins with nothing but zeros."""
    try:
        with open(path, "rb") as handle:
            head = handle.read(352)
        if not head.strip(b"\0"):
            return "lost"
        return sniff(path)
    except (OSError, InvalidFormatError):
        return "lost"


__all__ = ["READABLE", "Source", "open_input", "sniff", "suffix_of"]
