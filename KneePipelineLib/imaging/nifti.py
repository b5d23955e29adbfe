"""NIfTI-1 and NIfTI-2 files (.nii, .nii.gz), their RAS millimetres turned into LPS.

The header is nibabel's to parse; the choice among its three ways to place an image follows the standard (sform, then
qform, then bare voxel sizes), https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h, as long as the sform keeps the
voxel sizes of pixdim. Where it does not, pixdim is believed, as by ITK, and the qform, which has no other, places the
image.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InvalidFormatError
from .formats import (
    SHEAR_TOLERANCE,
    STATE_IT,
    ImageFile,
    colour,
    complex_numbers,
    damaged,
    decompose,
    inflate,
    no_spacing,
    split_size,
    with_spacing,
)
from .limits import Limits

if TYPE_CHECKING:
    from nibabel import Nifti1Header

_GZIP = b"\x1f\x8b"
_UNITS_MM = {"meter": 1000.0, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_FORMS_DIFFER_MM = 1.0
_SIZES_DIFFER = 0.01
"""Relative difference of two voxel sizes that rounding does not explain; 1 % of size is 1 % of every thickness."""
_HEADER_BYTES = {b"n+2\0": 540}


def open_nifti(path: Path, limits: Limits, stated: tuple[float, float, float] | None = None) -> ImageFile:
    """Read the header; see :class:`~KneePipelineLib.imaging.formats.ImageFile`. ``stated``: a voxel size in mm."""
    try:
        header, pixdim = _header(path)
        shape = tuple(int(n) for n in header.get_data_shape())
        dtype = header.get_data_dtype()
    except Exception as error:
        raise damaged("NIfTI", error) from None
    if dtype.names or (len(shape) == 5 and shape[4] in (3, 4) and dtype == np.uint8):
        raise colour()
    if dtype.kind == "c":
        raise complex_numbers()
    size, components = split_size(shape)
    limits.check_voxels(size)
    limits.check_echoes(components)
    warnings: list[tuple[str, str]] = []
    try:
        affine = _affine(header, pixdim, size, warnings, stated)
    except (InvalidFormatError, MemoryError):
        raise
    except Exception as error:
        raise damaged("NIfTI", error) from None
    spacing, origin, direction = decompose(affine, warnings)
    loaded: list[np.ndarray] = []

    def load(component: int) -> np.ndarray:
        try:
            if not loaded:
                loaded.append(_elements(path, header, components * int(np.prod(size))))
            return _scaled(loaded[0].reshape(components, *size[::-1])[component], header)
        except MemoryError:
            raise
        except Exception as error:
            raise damaged("NIfTI", error) from None

    return ImageFile("NIfTI", size, components, spacing, origin, direction, load, warnings=warnings)


@contextlib.contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Without a word. (nibabel's own suppressor takes its handlers away; Python's last resort then prints instead.)"""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _header(path: Path) -> tuple[Nifti1Header, np.ndarray]:
    """The header, of version 1 or 2, wherever it says it is one, packed or not, and its voxel size as it stands there.

    Extensions are not looked at. nibabel replaces a voxel size of 0 by 1.
    """
    import nibabel

    with open(path, "rb") as handle:
        packed = handle.read(2) == _GZIP
    with gzip.open(path) if packed else open(path, "rb") as handle:
        head = handle.read(540)
    head = head[:_HEADER_BYTES.get(head[4:8], 348)] + bytes(4)  # "no extension follows"
    kind = nibabel.Nifti2Header if head[4:8] == b"n+2\0" else nibabel.Nifti1Header
    with _silent(nibabel.imageglobals.logger):  # it tells of repairs; what matters here becomes a warning
        header = kind.from_fileobj(io.BytesIO(head))
        stored = kind(head[:-4], endianness=header.endianness, check=False)["pixdim"][1:4]
    return header, np.abs(np.array(stored, dtype=np.float64))


def _elements(path: Path, header: Nifti1Header, count: int) -> np.ndarray:
    """All stored numbers, in native byte order; a packed file is unpacked to its end so that its checksum counts."""
    data = path.read_bytes()
    # In a file of one piece voxels cannot begin before the header ends; some writers leave 0 there, as in a pair.
    dtype, offset = header.get_data_dtype(), max(int(header["vox_offset"]), header.single_vox_offset)
    if data[:2] == _GZIP:
        data = inflate(data, offset + count * dtype.itemsize)
    return np.frombuffer(data, dtype, count, offset).astype(dtype.newbyteorder("="), copy=False)


def _scaled(stored: np.ndarray, header: Nifti1Header) -> np.ndarray:
    """stored x scl_slope + scl_inter as float32, or as stored if there is nothing to scale."""
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope, intercept) == (1.0, 0.0):
        return stored
    with np.errstate(all="ignore"):  # what overflows becomes infinite and is refused as such
        return (stored.astype(np.float64) * slope + (intercept or 0.0)).astype(np.float32)


def _affine(header: Nifti1Header, pixdim: np.ndarray, size: tuple[int, int, int],
            warnings: list[tuple[str, str]], stated: tuple[float, float, float] | None) -> np.ndarray:
    """(4, 4) from (i, j, k) to LPS mm by the standard's methods 3, 2 and 1, in this order.

    Raises
    ------
    InvalidFormatError
        If there is no voxel size, or if there are two and no qform to tell which.
    """
    pixdim = pixdim if np.isfinite(pixdim).all() and (pixdim > 0).all() else None
    affine = np.array(_placement(header, pixdim, size, warnings, stated is not None), dtype=np.float64)
    with np.errstate(all="ignore"):  # what is not finite is refused a little later
        factor = _UNITS_MM.get(header.get_xyzt_units()[0], 1.0)
        affine[:3] *= factor
        affine[:3] = _RAS_TO_LPS @ affine[:3]
    if stated is not None:
        return with_spacing(affine, stated, None if pixdim is None else pixdim * factor, warnings)
    return affine


def _placement(header: Nifti1Header, pixdim: np.ndarray | None, size: tuple[int, int, int],
               warnings: list[tuple[str, str]], stated: bool) -> np.ndarray:
    """The (4, 4) to RAS in the file's unit of length that is believed."""
    sform, s_code = header.get_sform(coded=True)
    if not s_code:
        sform = None
    qform = header.get_qform() if header["qform_code"] > 0 and pixdim is not None else None
    if sform is not None and qform is not None:
        if _usable(sform, pixdim):
            _compare(sform - qform, size, warnings)
            return sform
        warnings.append(("SFORM_QFORM_DIFFER", "The NIfTI file's sform is no placement with the voxel size that the "
                         f"header tells ({' x '.join(f'{p:.4g}' for p in pixdim)}); the qform was used."))
        return qform
    if sform is not None:
        lengths = np.linalg.norm(sform[:3, :3], axis=0)
        if pixdim is not None and not stated and not _same_sizes(lengths, pixdim) and (lengths > 0).all():
            raise InvalidFormatError(
                "The NIfTI file tells two voxel sizes: "
                f"{' x '.join(f'{v:.4g}' for v in lengths)} by its sform and {' x '.join(f'{v:.4g}' for v in pixdim)} "
                "by its pixdim.", STATE_IT)
        return sform
    if qform is not None:
        return qform
    if pixdim is None and not stated:
        raise no_spacing("NIfTI")
    size_mm = np.ones(3) if pixdim is None else pixdim
    warnings.append(("NO_ORIENTATION", "The NIfTI file does not say how it lies in the patient; it was taken as "
                     "right-anterior-superior, so left and right may be swapped."))
    if (size_mm == 1.0).all() and not stated:
        warnings.append(("UNIT_SPACING", "The NIfTI file's voxel size is exactly 1 x 1 x 1, which converters write "
                         "where they know none; if it is another, state it with --spacing X,Y,Z."))
    return np.diag([*size_mm, 1.0])


def _usable(sform: np.ndarray, pixdim: np.ndarray) -> bool:
    """Whether an sform places voxels of these sizes on perpendicular axes."""
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    if not (np.isfinite(sform).all() and (lengths > 0).all() and _same_sizes(lengths, pixdim)):
        return False
    axes = sform[:3, :3] / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= SHEAR_TOLERANCE)


def _same_sizes(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one - other).max() <= _SIZES_DIFFER * other.min())


def _compare(difference: np.ndarray, size: tuple[int, int, int], warnings: list[tuple[str, str]]) -> None:
    """Tell if the two placements of the same image disagree."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, -1)
    with np.errstate(all="ignore"):
        shift = np.abs(difference[:3, :3] @ corners + difference[:3, 3:]).max()
    if not shift <= _FORMS_DIFFER_MM:
        warnings.append(("SFORM_QFORM_DIFFER", f"The NIfTI file's two placements in space differ by up to {shift:.1f} "
                         "mm; the sform was used."))
