"""NRRD files: attached (.nrrd, .seg.nrrd) or with the voxels in files of their own (.nhdr).

Format: http://teem.sourceforge.net/nrrd/format.html, versions 1 to 5.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InvalidFormatError, KneePipelineError
from .detached import numbered_names
from .formats import (
    ImageFile,
    colour,
    complex_numbers,
    damaged,
    decompose,
    inflate,
    join_files,
    no_spacing,
    split_size,
    with_spacing,
)
from .limits import MIB, Limits
from .metadata import meta_from_header
from .segments import is_segmentation

_MAX_HEADER_BYTES = 4 * MIB
_MAX_PACKED_SKIP = 64 * MIB
"""Bytes of another format's header before the voxels, which have to be unpacked to be skipped."""
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"), "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"), "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",), "f8": ("double",),
}
_DTYPES = {name: code for code, names in _TYPES.items() for name in names}
_TO_LPS = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}
_COLOURS = {"rgb-color", "rgba-color", "hsv-color", "xyz-color"}
_SPATIAL_KINDS = {"domain", "space", "???", "none", ""}


@dataclass
class _Header:
    fields: dict[str, str]
    pairs: dict[str, str]
    data_files: list[str]
    data_start: int

    def get(self, *names: str) -> str | None:
        return next((self.fields[n] for n in names if n in self.fields), None)


def open_nrrd(path: Path, limits: Limits, stated: tuple[float, float, float] | None = None) -> ImageFile:
    """Read the header; see :class:`~KneePipelineLib.imaging.formats.ImageFile`. ``stated``: a voxel size in mm."""
    try:
        header = _parse(path)
        sizes = [int(n) for n in header.fields["sizes"].split()]
        code = _DTYPES[header.fields["type"].lower()]
        kinds = [k.lower() for k in (header.get("kinds") or "").split()] or [""] * len(sizes)
        if len(sizes) != int(header.fields["dimension"]) or len(kinds) != len(sizes):
            raise ValueError("contradicting header")
        spatial, affine = _geometry(header, sizes, kinds)
    except (KeyError, ValueError, IndexError, OSError) as error:
        raise damaged("NRRD", error) from None
    others = [a for a in range(len(sizes)) if a not in spatial]
    _check_kinds(header, sizes, kinds, others, code)
    if is_segmentation(header.pairs) and any(sizes[a] == 1 for a in spatial):
        raise InvalidFormatError(
            f"The segmentation is empty: its file holds {' x '.join(str(sizes[a]) for a in spatial)} voxels.",
            "Check that its segments were drawn before it was saved.", shape=sizes)
    size, _ = split_size(tuple(sizes[a] for a in spatial))
    components = 1
    for a in others:
        components *= sizes[a]
    if components < 1:
        raise damaged("NRRD")
    limits.check_voxels(size)
    limits.check_echoes(components)
    warnings: list[tuple[str, str]] = []
    if _space(header) not in _TO_LPS:
        warnings.append(("NO_ORIENTATION", "The NRRD file does not say how it lies in the patient; it was taken as "
                         "left-posterior-superior, so left and right may be swapped."))
    missing = header.get("space directions") is None and not np.isfinite(affine[:3, :3]).all()
    if stated is not None:
        own = None if missing else np.linalg.norm(affine[:3, :3], axis=0)
        affine = with_spacing(np.where(np.isfinite(affine), affine, np.eye(4)), stated, own, warnings)
    elif missing:
        raise no_spacing("NRRD")
    spacing, origin, direction = decompose(affine, warnings)
    load = _loader(path, header, sizes, np.dtype(code), others)
    return ImageFile("NRRD", size, components, spacing, origin, direction, load, header.pairs,
                     meta_from_header(header.pairs), warnings)


def _parse(path: Path) -> _Header:
    with open(path, "rb") as handle:
        head = handle.read(_MAX_HEADER_BYTES)
    match = re.search(rb"\r?\n\r?\n", head)
    if not match and len(head) == _MAX_HEADER_BYTES:
        raise ValueError("endless header")
    lines = head[:match.start() if match else len(head)].decode("utf-8", "replace").splitlines()
    if not re.match(r"NRRD000[1-5]", lines[0]):
        raise ValueError("not NRRD")
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    files: list[str] = []
    for line in lines[1:]:
        key, pair, value = line.partition(":=")
        name, colon, content = line.partition(": ")
        if line.startswith("#"):
            continue
        if "data file" in fields and fields["data file"].startswith("LIST"):
            files += [line.strip()] if line.strip() else []
        elif pair and (not colon or len(key) < len(name)):
            pairs[key] = value.replace("\\n", "\n").replace("\\\\", "\\")
        elif colon:
            name = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip",
                    "axismins": "axis mins"}.get(name.lower(), name.lower())
            fields[name] = content.strip()
    return _Header(fields, pairs, files, match.end() if match else len(head))


def _space(header: _Header) -> str:
    return (header.get("space") or "").lower().removesuffix("-time")


def _geometry(header: _Header, sizes: list[int], kinds: list[str]) -> tuple[list[int], np.ndarray]:
    """The axes that are space, and the (4, 4) matrix from their indices to LPS mm; NaN where a spacing is missing."""
    affine = np.eye(4)
    directions = header.get("space directions")
    if directions is None:
        spatial = [a for a, kind in enumerate(kinds) if kind in _SPATIAL_KINDS][:3]
        spacings = (header.get("spacings") or "nan " * len(sizes)).split()
        mins = (header.get("axis mins") or "0 " * len(sizes)).split()
        for column, axis in enumerate(spatial):
            affine[column, column] = float(spacings[axis])
            affine[column, 3] = float(mins[axis]) if mins[axis].lower() != "nan" else 0.0
        return spatial, affine
    vectors = ["none" if set(v.lower().strip("()").split(",")) == {"nan"} else v
               for v in re.findall(r"none|\([^()]*\)", directions.replace(" ,", ",").replace(", ", ","))]
    if len(vectors) != len(sizes):
        raise ValueError("space directions do not fit the dimension")
    spatial = [a for a, v in enumerate(vectors) if v != "none"][:3]  # a fourth, of a "-time" space, repeats the volume
    if len(spatial) < 3:
        return spatial, affine  # too flat to be read anyway
    signs = np.array(_TO_LPS.get(_space(header), (1, 1, 1)), dtype=float)
    with np.errstate(all="ignore"):  # what is not finite is refused a little later
        for column, axis in enumerate(spatial):
            affine[:3, column] = signs * _vector(vectors[axis])
    origin = header.get("space origin")
    affine[:3, 3] = signs * _vector(origin) if origin else 0.0
    return spatial, affine


def _vector(text: str) -> np.ndarray:
    values = [float(v) for v in text.strip().strip("()").split(",")]
    if len(values) not in (3, 4):
        raise ValueError("not a point in space")
    return np.array(values[:3])


def _check_kinds(header: _Header, sizes: list[int], kinds: list[str], others: list[int], code: str) -> None:
    """Refuse colour and complex images; layers of a segmentation and lists of echoes pass."""
    if any(k in _COLOURS for k in kinds):
        raise colour()
    if "complex" in kinds:
        raise complex_numbers()
    bytes_of_pixel = [a for a in others if a == 0 and sizes[a] in (3, 4) and code == "u1" and kinds[a] != "list"]
    if bytes_of_pixel and "Segment0_ID" not in header.pairs:
        raise colour()


def _loader(path: Path, header: _Header, sizes: list[int], dtype: np.dtype,
            others: list[int]) -> Callable[[int], np.ndarray]:
    loaded: list[np.ndarray] = []

    def load(component: int) -> np.ndarray:
        try:
            if not loaded:
                flat = _elements(path, header, int(np.prod(sizes, dtype=object)), dtype)
                loaded.append(flat.reshape(sizes[::-1]))
        except (MemoryError, KneePipelineError):
            raise
        except Exception as error:
            raise damaged("NRRD", error) from None
        index: list[object] = [slice(None)] * len(sizes)
        for axis in others:
            index[axis] = component % sizes[axis]
            component //= sizes[axis]
        return np.ascontiguousarray(loaded[0][tuple(index[::-1])])

    return load


def _elements(path: Path, header: _Header, count: int, dtype: np.dtype) -> np.ndarray:
    """All elements of the file or files, in native byte order."""
    names = _data_files(header)
    if not names:
        data = path.read_bytes()[header.data_start:]
        return _decode(data, header, count, dtype)
    return join_files(path, names, count, lambda data, share: _decode(data, header, share, dtype))


def _data_files(header: _Header) -> list[str]:
    """None for attached data; one name, a list below the header, or a printf pattern with its range."""
    text = header.get("data file")
    if text is None:
        return []
    if text.startswith("LIST"):
        if not header.data_files:
            raise ValueError("a list without files")
        return header.data_files
    return numbered_names(text) or [text]


def _decode(data: bytes, header: _Header, count: int, dtype: np.dtype) -> np.ndarray:
    encoding = (header.get("encoding") or "raw").lower()
    needed = count * dtype.itemsize
    skip = int(header.get("byte skip") or 0)
    start = 0
    for _ in range(int(header.get("line skip") or 0)):
        start = data.index(b"\n", start) + 1
    data = data[start:] if start else data
    if skip > 0 and encoding not in ("gzip", "gz"):
        data = data[skip:]
    if encoding in ("gzip", "gz"):
        if skip > _MAX_PACKED_SKIP:
            raise ValueError("too much to be skipped")
        data = inflate(data, needed + max(skip, 0))[max(skip, 0):]
    elif encoding in ("bzip2", "bz2"):
        data = bz2.BZ2Decompressor().decompress(data, needed)
    elif encoding in ("ascii", "text", "txt"):
        values = np.array(data.split(None, count)[:count], dtype=np.float64)
        if len(values) < count:
            raise ValueError("too few numbers")
        return values.astype(dtype)
    elif encoding != "raw":
        raise InvalidFormatError("The NRRD file's encoding is not one of raw, gzip, bzip2 and text.",
                                 "Save it with gzip compression.")
    if skip == -1 and encoding == "raw":
        data = data[len(data) - needed:] if len(data) >= needed else b""
    if len(data) < needed:
        raise ValueError("too few bytes")
    big = (header.get("endian") or "little").lower() == "big"
    stored = np.frombuffer(data, dtype.newbyteorder(">" if big else "<"), count)
    return stored.astype(dtype, copy=False)
