"""NIfTI-1 and NIfTI-2 files (.nii, .nii.gz), their RAS millimetres turned into LPS.

The header is nibabel's to parse; the choice among its three ways to place an image follows the standard (sform, then
qform, then bare voxel sizes), https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .formats import ImageFile, colour, complex_numbers, damaged, decompose, inflate, split_size
from .limits import Limits

if TYPE_CHECKING:
    from nibabel import Nifti1Header

_GZIP = b"\x1f\x8b"
_UNITS_MM = {"meter": 1000.0, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_FORMS_DIFFER_MM = 1.0


def open_nifti(path: Path, limits: Limits) -> ImageFile:
    """Read the header; see :class:`~KneePipelineLib.imaging.formats.ImageFile`."""
    try:
        header = _header(path)
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
        affine = _affine(header, size, warnings)
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


def _header(path: Path) -> Nifti1Header:
    """The header, of version 1 or 2, wherever it says it is one; packed or not."""
    import nibabel

    nibabel.imageglobals.logger.disabled = True  # it prints header repairs; what matters here becomes a warning
    with open(path, "rb") as handle:
        head = handle.read(4096)
    if head[:2] == _GZIP:
        head = zlib.decompressobj(31).decompress(head, 1024)
    kind = nibabel.Nifti2Header if head[4:8] == b"n+2\0" else nibabel.Nifti1Header
    return kind.from_fileobj(io.BytesIO(head))


def _elements(path: Path, header: Nifti1Header, count: int) -> np.ndarray:
    """All stored numbers, in native byte order; a packed file is unpacked to its end so that its checksum counts."""
    data = path.read_bytes()
    dtype, offset = header.get_data_dtype(), int(header["vox_offset"])
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


def _affine(header: Nifti1Header, size: tuple[int, int, int], warnings: list[tuple[str, str]]) -> np.ndarray:
    """(4, 4) from (i, j, k) to LPS mm by the standard's methods 3, 2 and 1, in this order."""
    sform, s_code = header.get_sform(coded=True)
    qform, q_code = header.get_qform(coded=True)
    if s_code:
        ras = sform
        if q_code:
            _compare(sform - qform, size, warnings)
    elif q_code:
        ras = qform
    else:
        ras = np.diag([*(float(z) for z in header.get_zooms()[:3]), 1.0])
        warnings.append(("NO_ORIENTATION", "The NIfTI file does not say how it lies in the patient; it was taken as "
                         "right-anterior-superior, so left and right may be swapped."))
    affine = np.array(ras, dtype=np.float64)
    with np.errstate(all="ignore"):  # what is not finite is refused a little later
        affine[:3] *= _UNITS_MM.get(header.get_xyzt_units()[0], 1.0)
        affine[:3] = _RAS_TO_LPS @ affine[:3]
    return affine


def _compare(difference: np.ndarray, size: tuple[int, int, int], warnings: list[tuple[str, str]]) -> None:
    """Tell if the two placements of the same image disagree."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, -1)
    with np.errstate(all="ignore"):
        shift = np.abs(difference[:3, :3] @ corners + difference[:3, 3:]).max()
    if not shift <= _FORMS_DIFFER_MM:
        warnings.append(("SFORM_QFORM_DIFFER", f"The NIfTI file's two placements in space differ by up to {shift:.1f} "
                         "mm; the sform was used."))
