"""What every image file format comes down to: voxels on a grid in LPS, loaded only after the header passed its checks.

The formats themselves are in ``nifti``, ``nrrd`` and ``metaimage``. They are parsed here in Python rather than by ITK,
whose readers, fed damaged files, accept cut gzip streams (no checksum), print paths, and can bring the process down.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InvalidFormatError, KneePipelineError
from .detached import MAX_FILES, data_file
from .limits import DEFAULT_LIMITS, MIB

SHEAR_TOLERANCE = 1e-3
"""Largest deviation of the axes' scalar products from 0 that is repaired to the nearest orthonormal axes (0.06 deg)."""

_SLACK = 64 * MIB


@dataclass
class ImageFile:
    """What one file holds, its pixels not yet loaded.

    ``size`` is (i, j, k); ``components`` counts the echoes, time points or layers stored for each voxel; ``load(c)``
    returns component ``c`` as an array (k, j, i). ``header`` is an NRRD's key/value pairs.
    """

    format: str
    size: tuple[int, int, int]
    components: int
    spacing: np.ndarray
    origin: np.ndarray
    direction: np.ndarray
    load: Callable[[int], np.ndarray]
    header: dict[str, str] = field(default_factory=dict)
    meta: dict = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)


def damaged(kind: str, error: Exception | None = None) -> InvalidFormatError:
    """The one sentence for a file that its own format's reader gives up on."""
    return InvalidFormatError(f"The {kind} file cannot be read: it is damaged, cut short or not {kind} at all.",
                              "Copy or export the file again.", cause=type(error).__name__ if error else "")


def colour() -> KneePipelineError:
    """The sentence for RGB images."""
    return InvalidFormatError("The image is in colour (RGB), but a knee MRI has one grey value per voxel.",
                              "Give the original series, not a screenshot or colour overlay.")


def complex_numbers() -> KneePipelineError:
    """The sentence for complex-valued images."""
    return InvalidFormatError("The image holds complex numbers.", "Give the magnitude image.")


def split_size(shape: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
    """(i, j, k) and the product of all further axes of a shape, fastest axis first; refuses what is not 3-D."""
    if any(n < 1 for n in shape) or not shape:
        raise InvalidFormatError("The image has an axis without any voxel.", "Export the image again.",
                                 shape=list(shape))
    flat = shape + (1,) * (3 - len(shape))
    if any(n == 1 for n in flat[:3]):
        raise InvalidFormatError(
            f"The image is 2-D only ({' x '.join(str(n) for n in flat[:3])} voxels), but a 3-D volume is needed.",
            "Give a whole stack of slices.", shape=list(shape))
    repeats = 1
    for n in flat[3:]:
        repeats *= n
    return flat[:3], repeats


def decompose(affine: np.ndarray, warnings: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spacing, origin and orthonormal direction of an LPS affine; repairs rounding, refuses shear."""
    matrix = affine[:3, :3]
    with np.errstate(all="ignore"):
        spacing = np.linalg.norm(matrix, axis=0)
    if not (np.isfinite(affine).all() and np.isfinite(spacing).all() and (spacing > 0).all()):
        text = ", ".join(f"{s:g}" for s in spacing)
        raise InvalidFormatError(f"The image has an impossible spacing or position (spacing {text} mm).",
                                 "Export the image again from the scanner's DICOM.")
    check_spacing(spacing)
    direction = matrix / spacing
    error = np.abs(direction.T @ direction - np.eye(3)).max()
    if error > SHEAR_TOLERANCE:
        angle = float(np.degrees(np.arcsin(min(error, 1.0))))
        raise InvalidFormatError(f"The image's axes are not perpendicular (they lean by {angle:.1f} degrees).",
                                 "Resample the image to perpendicular axes.", degrees=round(angle, 3))
    if error > 1e-12:
        u, _, vt = np.linalg.svd(direction)
        direction = u @ vt
    if error > 1e-5:
        warnings.append(("AXES_REPAIRED", f"The image's axes were off perpendicular by {error:.1e} and were replaced "
                         "by the nearest perpendicular ones."))
    return spacing, affine[:3, 3], direction


STATE_IT = ("State it with --spacing X,Y,Z (mm along the file's own axes), or give the scanner's DICOM.")


def no_spacing(kind: str) -> InvalidFormatError:
    """The sentence for a file that does not tell how large its voxels are."""
    return InvalidFormatError(f"The {kind} file does not tell how large its voxels are, which every measure depends "
                              "on.", STATE_IT)


def with_spacing(affine: np.ndarray, spacing: tuple[float, float, float], own: np.ndarray | None,
                 warnings: list[tuple[str, str]]) -> np.ndarray:
    """The affine with a stated voxel size (mm along i, j, k) in place of its own, and a word about it.

    The first voxel stays where it is. ``own`` is the size that the file tells, None if it tells none.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    result = affine.copy()
    result[:3, :3] = affine[:3, :3] / np.where(lengths > 0, lengths, 1.0) * np.asarray(spacing, dtype=float)
    told = "tells none" if own is None else "says " + " x ".join(f"{s:.4g}" for s in own)
    if own is None or not np.allclose(own, spacing, rtol=1e-3):
        warnings.append(("SPACING_STATED", f"The voxel size of {' x '.join(f'{s:g}' for s in spacing)} mm was stated "
                         f"with --spacing; the file {told}."))
    return result


def check_spacing(spacing: np.ndarray) -> None:
    """Raise InvalidFormatError for a spacing no scanner produces: outside 0.001 to 100 mm."""
    values = np.asarray(spacing, dtype=float)
    if not (np.isfinite(values).all() and (values >= 1e-3).all() and (values <= 100.0).all()):
        text = " x ".join(f"{s:g}" for s in values)
        raise InvalidFormatError(f"The image has an impossible spacing ({text} mm).",
                                 "Export the image again; its header may be in the wrong unit.")


def join_files(header: Path, names: list[str], count: int,
               decode: Callable[[bytes, int], np.ndarray]) -> np.ndarray:
    """The voxels of a detached header, whose data files share them evenly.

    Parameters
    ----------
    header : Path
        The .nhdr or .mhd file; the data files lie relative to it.
    names : list of str
        Data files in order.
    count : int
        Elements in all of them together.
    decode : callable
        (bytes of one file, elements it holds) -> 1-D array.

    Raises
    ------
    InvalidFormatError, InputTooLargeError, MissingFileError
        If a data file is not below the header's folder, too large, or not there.
    ValueError
        If the elements cannot be shared evenly.
    """
    if len(names) > MAX_FILES or count % len(names):
        raise ValueError("the files cannot share the voxels evenly")
    parts, read_bytes = [], 0
    for name in names:
        content = data_file(header, name).read_bytes()
        read_bytes += len(content)
        DEFAULT_LIMITS.check_file_bytes(read_bytes)  # a list may name one large file again and again
        parts.append(decode(content, count // len(names)))
    return np.concatenate(parts)


def inflate(data: bytes, expected: int, *, wbits: int = 31) -> bytes:
    """Unpack a gzip (``wbits`` 31) or zlib (15) stream of at least ``expected`` bytes and verify its checksum.

    Raises
    ------
    ValueError, zlib.error
        Too few bytes, a stream cut short, a wrong checksum, or far more bytes than expected.
    """
    result, total = [], 0
    while data:
        stream = zlib.decompressobj(wbits)
        room = expected + _SLACK - total
        result.append(stream.decompress(data, room))
        total += len(result[-1])
        if not stream.eof:
            raise ValueError("stream cut short or much longer than the header says")
        data = stream.unused_data.lstrip(b"\0")  # gzip files may consist of several members and end in padding
        if wbits != 31 or data[:2] != b"\x1f\x8b":
            break
    if total < expected:
        raise ValueError("too few bytes")
    return result[0] if len(result) == 1 else b"".join(result)
