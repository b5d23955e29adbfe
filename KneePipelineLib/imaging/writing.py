"""Volumes to disk, whole or not at all.

NRRD is written here rather than by ITK: every coordinate with all its digits (``float`` repr, so reading gives back the
same number), the same bytes for the same volume, and a full disk is an error instead of a short file.
"""

from __future__ import annotations

import errno
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import ConfigError, FileInUseError, KneePipelineError, MissingFileError
from ..system.atomic import whole_file
from .metadata import meta_to_header
from .volume import Volume

_NRRD_TYPES = {"uint8": "uint8", "int8": "int8", "uint16": "uint16", "int16": "int16", "uint32": "uint32",
               "int32": "int32", "float32": "float"}
_COMPRESSION_LEVEL = 1
"""Label maps shrink a hundredfold at any level; level 1 takes a quarter of the time of level 6."""


def write_volume(volume: Volume, path: str | os.PathLike) -> Path:
    """Write a volume as .nrrd, .nii.gz, .nii or .mha by the file name, and return the path.

    Integers are stored in the smallest of uint8, int16, uint16, int32 that the array's own type or its values allow,
    truth values as uint8, floating-point numbers as float32. NRRD keeps the geometry exactly and the acquisition facts
    of :mod:`~KneePipelineLib.imaging.metadata`; NIfTI keeps its affine in float32 only and is meant for people.

    The file appears under its name only when complete: it is written beside it, flushed, and renamed.

    Raises
    ------
    ConfigError
        Unknown suffix.
    MissingFileError
        The folder does not exist.
    KneePipelineError
        The disk is full or the folder cannot be written to.
    """
    path = Path(path)
    write = _writer(path.name)
    if not path.parent.is_dir():
        raise MissingFileError("The folder that an image should be written to does not exist.", "Create it first.")
    stored = _storable(volume)
    try:
        with whole_file(path) as temporary:
            write(stored, temporary)
    except FileInUseError:
        raise
    except OSError as error:
        raise _cannot_write(error) from None
    return path


def _writer(name: str) -> Callable[[Volume, Path], None]:
    lower = name.lower()
    for suffix, write in ((".nrrd", _write_nrrd), (".nii.gz", _write_nifti), (".nii", _write_nifti),
                          (".mha", _write_mha)):
        if lower.endswith(suffix):
            return write
    raise ConfigError("An image can be written as .nrrd, .nii.gz, .nii or .mha only.", "Change the file name's ending.")


def _cannot_write(error: OSError) -> KneePipelineError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC)
    message = "The disk is full." if full else "An image cannot be written to the output folder."
    hint = "Free some space and run again." if full else "Look at the folder's permissions and free space."
    return KneePipelineError(message, hint, errno=errno.errorcode.get(error.errno or 0, ""))


def _storable(volume: Volume) -> Volume:
    array = volume.array
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    elif array.dtype.kind in "iu":
        array = array.astype(_smallest_integer(array), copy=False)
    else:
        raise ConfigError(f"An image of type {array.dtype} cannot be written.", "Convert it to numbers first.")
    return volume if array is volume.array else volume.with_array(array)


def _smallest_integer(array: np.ndarray) -> np.dtype:
    if array.dtype.itemsize <= 2 and array.dtype != np.int8:
        return array.dtype.newbyteorder("=")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for candidate in (np.uint8, np.int16, np.uint16, np.int32):
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    raise ConfigError(f"Values from {low} to {high} do not fit into 32-bit integers.", "Rescale the image first.")


def _write_nrrd(volume: Volume, path: Path) -> None:
    with open(path, "wb") as handle:
        handle.write(nrrd_header(volume))
        packer = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, 31)  # 31: a gzip stream, without name or time
        for part in volume.array:
            handle.write(packer.compress(np.ascontiguousarray(part).data))
        handle.write(packer.flush())


def nrrd_header(volume: Volume) -> bytes:
    """The header of an attached, gzip-encoded NRRD in LPS (http://teem.sourceforge.net/nrrd/format.html)."""
    def vector(values: np.ndarray) -> str:
        return "(" + ",".join(repr(float(v)) for v in values) + ")"

    endian = [] if volume.array.dtype.itemsize == 1 else [f"endian: {sys.byteorder}"]
    lines = [
        "NRRD0004",
        f"type: {_NRRD_TYPES[volume.array.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in volume.size),
        "space directions: " + " ".join(vector(c) for c in (volume.direction * volume.spacing).T),
        "kinds: domain domain domain",
        *endian,
        "encoding: gzip",
        "space origin: " + vector(volume.origin),
        *(f"{key}:={value}" for key, value in meta_to_header(volume.meta).items()),
    ]
    return ("\n".join(lines) + "\n\n").encode("utf-8")


def _write_nifti(volume: Volume, path: Path) -> None:
    import nibabel

    affine = volume.affine.copy()
    affine[:2] *= -1.0  # LPS to RAS
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.array).T, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    nibabel.save(image, path)


def _write_mha(volume: Volume, path: Path) -> None:
    import SimpleITK as sitk

    from .resampling import to_sitk

    try:
        sitk.WriteImage(to_sitk(volume), str(path), useCompression=True, compressionLevel=_COMPRESSION_LEVEL)
    except RuntimeError:
        raise OSError(errno.EIO, "MetaImage") from None
