"""DICOM stacks to volumes: pixels decoded, rescaled, and joined with the facts of their header.

Decoding is pydicom's, with gdcm behind it for JPEG 2000, JPEG lossless and JPEG-LS; RLE and uncompressed pixels need
no plugin.
"""

from __future__ import annotations

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..errors import DicomError
from .dicom_frames import Frame, quiet_pydicom
from .dicom_geometry import Stack
from .facts import header_facts
from .limits import Limits
from .volume import Volume

_THREADS = min(4, os.cpu_count() or 1)


def volume_of(stack: Stack, limits: Limits, *, temporary: bool = False) -> Volume:
    """Load one echo.

    Returns
    -------
    Volume
        int16, uint16 ... as stored if no rescaling applies, otherwise float32. ``meta`` holds the facts of
        :func:`~KneePipelineLib.imaging.facts.header_facts` as ``header``, the ones relaxometry needs one by one, and
        ``dicom_files`` (see :mod:`~KneePipelineLib.imaging.metadata`).

    Raises
    ------
    DicomError
        Pixel data that are missing, cut short, or compressed in a way that cannot be decoded.
    """
    limits.check_voxels(stack.size)
    planes = _planes(stack.frames)
    frame = stack.frames[0]
    facts = header_facts(stack)
    meta = {
        "format": "DICOM",
        "echo_time_ms": frame.echo_time_ms,
        "echo_number": frame.echo_number,
        "repetition_time_ms": frame.repetition_time_ms,
        "flip_angle_deg": frame.flip_angle_deg,
        "gl_area": frame.header.gl_area,
        "tg_us": frame.header.tg_us,
        **{name: facts[name] for name in ("modality", "laterality", "field_strength_t", "body_part",
                                          "slice_thickness_mm", "manufacturer")},
        "header": facts,
        "warnings": [],
        "dicom_files": () if temporary else tuple(str(f.header.path) for f in stack.frames),
    }
    return Volume(planes, stack.spacing, stack.origin, stack.direction, meta)


def _planes(frames: tuple[Frame, ...]) -> np.ndarray:
    """(k, j, i) of the frames, in their order."""
    by_file: dict[Path, list[int]] = defaultdict(list)
    for k, frame in enumerate(frames):
        by_file[frame.header.path].append(k)
    with quiet_pydicom(), ThreadPoolExecutor(_THREADS) as pool:
        decoded = list(pool.map(lambda item: _decode(item[0], [frames[k] for k in item[1]]), by_file.items()))
    bad = sum(planes is None for planes in decoded)
    if bad:
        raise DicomError(f"The pixels of {bad} of the series' {len(by_file)} DICOM file(s) cannot be read: damaged, "
                         "cut short or compressed in an unknown way.", "Export the series again, uncompressed.",
                         files=len(by_file), unreadable=bad)
    kinds = {planes[0].dtype for planes in decoded}
    result = np.empty((len(frames), frames[0].rows, frames[0].columns), dtype=np.result_type(*kinds))
    for indices, planes in zip(by_file.values(), decoded, strict=True):
        for k, plane in zip(indices, planes, strict=True):
            result[k] = plane
    return result


def _decode(path: Path, frames: list[Frame]) -> list[np.ndarray] | None:
    """The wanted frames of one file as (j, i) arrays, or None if they cannot be had."""
    import pydicom

    try:
        dataset = pydicom.dcmread(path, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:  # a bare data set: uncompressed by definition
            dataset.file_meta.TransferSyntaxUID = _bare_syntax(*dataset.original_encoding)
        pixels = dataset.pixel_array
        planes = [pixels if frame.index is None or pixels.ndim == 2 else pixels[frame.index] for frame in frames]
        if any(p.shape != (f.rows, f.columns) for p, f in zip(planes, frames, strict=True)):
            return None
        return [_rescaled(p, f) for p, f in zip(planes, frames, strict=True)]
    except MemoryError:
        raise
    except Exception:  # damage and missing decoders come as a dozen exception types
        return None


def _bare_syntax(implicit_vr: bool, little_endian: bool) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if implicit_vr:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian


def _rescaled(plane: np.ndarray, frame: Frame) -> np.ndarray:
    """Stored value x RescaleSlope + RescaleIntercept (PS3.3 C.7.6.16.2.9, C.11.1)."""
    if frame.slope == 1.0 and frame.intercept == 0.0:
        return plane
    return plane.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
