"""Unpacking a zip archive that nobody vouches for.

Nothing is written outside the target, links and encrypted members are refused, and both the sizes an archive declares
and the bytes that really come out of it are held against the limits.
"""

from __future__ import annotations

import gzip
import stat
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath

from ..errors import InputTooLargeError, InvalidFormatError
from .limits import GIB, MIB, Limits

_CHUNK = MIB
_RATIO_MATTERS_FROM = 256 * MIB


def unpack_zip(path: Path, target: Path, limits: Limits) -> None:
    """Unpack the zip archive ``path`` into the existing, empty folder ``target``.

    Raises
    ------
    InvalidFormatError
        Damaged, encrypted, holding links or paths that lead outside the archive.
    InputTooLargeError
        More files or bytes than the limits allow, or a suspicious compression ratio.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist()
                       if not (m.filename and m.is_dir()) and not _is_litter(m.filename)]
            _check_members(members, limits)
            budget = limits.max_unpacked_bytes
            copies: Counter[Path] = Counter()
            for member in members:
                budget -= _unpack_one(archive, member, target, min(budget, limits.max_file_bytes), copies)
    except NotImplementedError as error:
        raise InvalidFormatError("The zip archive is packed in a way that is not read here (such as Deflate64, which "
                                 "Windows uses above 2 GB).", "Unpack it yourself and give the folder.",
                                 cause=type(error).__name__) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeError) as error:
        raise InvalidFormatError("The zip archive is damaged or cut short.", "Copy or export it again.",
                                 cause=type(error).__name__) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidFormatError("The zip archive cannot be unpacked here.",
                                 "Unpack it yourself and give the folder; look at the free disk space.",
                                 cause=type(error).__name__) from None


def _is_litter(name: str) -> bool:
    """The files that operating systems add by themselves."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return bool(parts) and ("__MACOSX" in parts or parts[-1] in {".DS_Store", "Thumbs.db", "desktop.ini"})


def _check_members(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    limits.check_files(len(members))
    for member in members:
        if member.flag_bits & 0x1:
            raise InvalidFormatError("The zip archive is encrypted.",
                                     "Unpack it with its password and give the folder.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InvalidFormatError("The zip archive holds a symbolic link.",
                                     "Unpack it and give the folder of images.")
        if _leads_outside(member.filename):
            raise InvalidFormatError("The zip archive holds a file whose path leads outside of it.",
                                     "Do not trust this archive; export the images again.")
        limits.check_file_bytes(member.file_size)
    unpacked = sum(m.file_size for m in members)
    packed = sum(m.compress_size for m in members)
    if unpacked > limits.max_unpacked_bytes:
        raise InputTooLargeError(
            f"The zip archive unpacks to {unpacked / GIB:.1f} GiB, more than the "
            f"{limits.max_unpacked_bytes / GIB:.1f} GiB that are read.",
            "Give the series of one knee.", unpacked_bytes=unpacked)
    if unpacked > _RATIO_MATTERS_FROM and unpacked > limits.max_zip_ratio * max(packed, 1):
        raise InputTooLargeError(
            f"The zip archive would grow {unpacked / max(packed, 1):.0f} times when unpacked, which no image does.",
            "Do not trust this archive; export the images again.", unpacked_bytes=unpacked, packed_bytes=packed)


def _leads_outside(name: str) -> bool:
    """Absolute, with a drive letter, with ``..``, or with a NUL, in either operating system's notation."""
    slashed = name.replace("\\", "/")
    parts = slashed.split("/")
    return not slashed or slashed.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in slashed


def _unpack_one(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, budget: int,
                copies: Counter[Path]) -> int:
    """Write one member and return its bytes; never believes the declared size."""
    destination = target.joinpath(*[p for p in member.filename.replace("\\", "/").split("/") if p not in ("", ".")])
    if not destination.resolve().is_relative_to(target.resolve()):  # belt and braces: names were checked already
        raise InvalidFormatError("The zip archive holds a file whose path leads outside of it.",
                                 "Do not trust this archive; export the images again.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination = _free(destination, copies)
    written = 0
    with archive.open(member) as source, open(destination, "xb") as sink:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > budget:
                raise InputTooLargeError("The zip archive unpacks to more bytes than the limit allows.",
                                         "Give the series of one knee.", max_bytes=budget)
            sink.write(chunk)
    return written


def _free(destination: Path, copies: Counter[Path]) -> Path:
    """A name that nothing has: archives may hold a name twice, or two that differ in the case of their letters.

    ``copies`` counts how often each was asked for, so that thousands of one name do not take for ever.
    """
    candidate = destination
    while candidate.is_file():
        copies[destination] += 1
        candidate = destination.with_name(f"{copies[destination] + 1}~{destination.name}")
    return candidate


def unpack_gzip(files: list[Path], target: Path, limits: Limits) -> None:
    """Unpack single gzip files into the existing, empty folder ``target``, each under its name without ``.gz``.

    Raises
    ------
    InvalidFormatError
        Damaged or cut short.
    InputTooLargeError
        More bytes than the limits allow.
    """
    budget = limits.max_unpacked_bytes
    for number, path in enumerate(files):
        name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
        folder = target / str(number)  # files of different folders may share a name
        folder.mkdir()
        try:
            with gzip.open(path) as source, open(folder / name, "xb") as sink:
                while chunk := source.read(_CHUNK):
                    budget -= len(chunk)
                    if budget < 0:
                        raise InputTooLargeError("The packed files unpack to more bytes than the limit allows.",
                                                 "Give the series of one knee.", max_bytes=limits.max_unpacked_bytes)
                    sink.write(chunk)
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidFormatError("A packed file (.gz) is damaged or cut short.", "Copy or export it again.",
                                     cause=type(error).__name__) from None
        limits.check_file_bytes((folder / name).stat().st_size)
