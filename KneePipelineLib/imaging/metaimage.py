"""MetaImage files: .mha (voxels attached) and .mhd (voxels beside it).

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation. Its space is LPS; each row of TransformMatrix is the direction in
which one index grows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import KneePipelineError
from .detached import numbered_names
from .formats import (
    ImageFile,
    colour,
    damaged,
    decompose,
    inflate,
    join_files,
    no_spacing,
    split_size,
    with_spacing,
)
from .limits import MIB, Limits

_MAX_HEADER_BYTES = MIB
_SPACINGS = ("ElementSpacing", "ElementSize")
_TYPES = {"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
          "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
          "MET_DOUBLE": "f8"}


def open_metaimage(path: Path, limits: Limits, stated: tuple[float, float, float] | None = None) -> ImageFile:
    """Read the header; see :class:`~KneePipelineLib.imaging.formats.ImageFile`. ``stated``: a voxel size in mm."""
    try:
        fields, names, start = _parse(path)
        sizes = tuple(int(n) for n in fields["DimSize"].split())
        channels = int(fields.get("ElementNumberOfChannels", 1))
        element = fields["ElementType"]
        dtype = np.dtype(_TYPES[element.removesuffix("_ARRAY")])
        if len(sizes) != int(fields["NDims"]) or channels < 1:
            raise ValueError("contradicting header")
        affine = _affine(fields, len(sizes))
    except (KeyError, ValueError, IndexError, OSError) as error:
        raise damaged("MetaImage", error) from None
    if channels in (3, 4) and dtype == np.uint8:
        raise colour()
    size, repeats = split_size(sizes)
    limits.check_voxels(size)
    limits.check_echoes(channels * repeats)
    warnings: list[tuple[str, str]] = []
    own = any(name in fields for name in _SPACINGS)
    if stated is not None:
        affine = with_spacing(affine, stated, np.linalg.norm(affine[:3, :3], axis=0) if own else None, warnings)
    elif not own:
        raise no_spacing("MetaImage")
    spacing, origin, direction = decompose(affine, warnings)
    shape = (repeats, *size[::-1], channels)
    load = _loader(path, fields, names, start, shape, dtype)
    return ImageFile("MetaImage", size, channels * repeats, spacing, origin, direction, load, warnings=warnings)


def _parse(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The fields, the names of data files (none if attached), and where attached voxels begin."""
    with open(path, "rb") as handle:
        head = handle.read(_MAX_HEADER_BYTES)
    end = re.search(rb"(?m)^[ \t]*ElementDataFile[ \t]*=[ \t]*([^\r\n]*)\r?(\n|\Z)", head)
    if not end:
        raise ValueError("no ElementDataFile")
    fields = {}
    for line in head[:end.start()].decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            fields[key.strip()] = value.strip()
    target = end.group(1).decode("utf-8", "replace").strip()
    if target.upper() == "LOCAL":
        return fields, [], end.end()
    if target.startswith("LIST"):
        names = [n.strip() for n in head[end.end():].decode("utf-8", "replace").splitlines() if n.strip()]
        if not names:
            raise ValueError("a list without files")
        return fields, names, 0
    return fields, numbered_names(target) or [target], 0


def _affine(fields: dict[str, str], dimension: int) -> np.ndarray:
    """(4, 4) from (i, j, k) to LPS mm."""
    def values(count: int, default: np.ndarray, *names: str) -> np.ndarray:
        text = next((fields[n] for n in names if n in fields), None)
        result = default if text is None else np.array([float(v) for v in text.split()])
        if result.size != count:
            raise ValueError("wrong number of values")
        return result

    spacing = values(dimension, np.ones(dimension), *_SPACINGS)
    origin = values(dimension, np.zeros(dimension), "Offset", "Origin", "Position")
    matrix = values(dimension**2, np.eye(dimension).ravel(), "TransformMatrix", "Rotation", "Orientation")
    affine = np.eye(4)
    used = min(dimension, 3)
    with np.errstate(all="ignore"):  # what is not finite is refused a little later
        affine[:used, :used] = matrix.reshape(dimension, dimension).T[:used, :used] * spacing[:used]
    affine[:used, 3] = origin[:used]
    return affine


def _loader(path: Path, fields: dict[str, str], names: list[str], start: int, shape: tuple[int, ...],
            dtype: np.dtype) -> Callable[[int], np.ndarray]:
    loaded: list[np.ndarray] = []

    def load(component: int) -> np.ndarray:
        try:
            if not loaded:
                loaded.append(_elements(path, fields, names, start, int(np.prod(shape)), dtype).reshape(shape))
        except (MemoryError, KneePipelineError):
            raise
        except Exception as error:
            raise damaged("MetaImage", error) from None
        channels = shape[-1]
        return np.ascontiguousarray(loaded[0][component // channels, ..., component % channels])

    return load


def _elements(path: Path, fields: dict[str, str], names: list[str], start: int, count: int,
              dtype: np.dtype) -> np.ndarray:
    if not names:
        return _decode(path.read_bytes()[start:], fields, count, dtype)
    return join_files(path, names, count, lambda data, share: _decode(data, fields, share, dtype))


def _decode(data: bytes, fields: dict[str, str], count: int, dtype: np.dtype) -> np.ndarray:
    needed = count * dtype.itemsize
    if fields.get("BinaryData", "True").lower() == "false":
        values = np.array(data.split(None, count)[:count], dtype=np.float64)
        if len(values) < count:
            raise ValueError("too few numbers")
        return values.astype(dtype)
    skip = int(fields.get("HeaderSize", 0))
    if skip == -1:
        data = data[max(len(data) - needed, 0):]
    elif skip > 0:
        data = data[skip:]
    if fields.get("CompressedData", "False").lower() == "true":
        data = inflate(data, needed, wbits=31 if data[:2] == b"\x1f\x8b" else 15)
    if len(data) < needed:
        raise ValueError("too few bytes")
    big = any(fields.get(n, "False").lower() == "true" for n in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    return np.frombuffer(data, dtype.newbyteorder(">" if big else "<"), count).astype(dtype, copy=False)
