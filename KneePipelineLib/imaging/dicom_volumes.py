"""DICOM stacks to volumes: pixels decoded, rescaled, and joined with the facts of their header."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DicomError
from .dicom_frames import FileHeader, Frame, quiet_pydicom
from .dicom_geometry import Stack
from .dicom_pixels import decode
from .facts import header_facts
from .limits import Limits
from .volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def volumes_of(stacks: list[Stack], limits: Limits, *, temporary: bool = False) -> list[Volume]:
    """Load one or several echoes, each file read and decoded once.

    Returns
    -------
    list of Volume
        int16, uint16 ... as stored if no rescaling applies, otherwise float32. ``meta`` holds the facts of
        :func:`~KneePipelineLib.imaging.facts.header_facts` as ``header``, the ones relaxometry needs one by one, and
        ``dicom_files`` (see :mod:`~KneePipelineLib.imaging.metadata`).

    Raises
    ------
    DicomError
        Pixel data that are missing, cut short, or compressed in a way that cannot be decoded.
    """
    for stack in stacks:
        limits.check_voxels(stack.size)
    planes = iter(_planes([frame for stack in stacks for frame in stack.frames]))
    return [Volume(np.stack([next(planes) for _ in stack.frames]), stack.spacing, stack.origin, stack.direction,
                   _meta(stack, temporary)) for stack in stacks]


def _meta(stack: Stack, temporary: bool) -> dict:
    frame = stack.frames[0]
    facts = header_facts(stack)
    return {
        "format": "DICOM",
        "echo_time_ms": frame.echo_time_ms,
        "echo_number": frame.echo_number,
        "repetition_time_ms": frame.repetition_time_ms,
        "flip_angle_deg": frame.flip_angle_deg,
        "acquisition": frame.header.acquisition,
        "kind": frame.kind,
        "gl_area": frame.header.gl_area,
        "tg_us": frame.header.tg_us,
        **{name: facts[name] for name in ("modality", "laterality", "field_strength_t", "body_part",
                                          "slice_thickness_mm", "manufacturer")},
        "header": facts,
        "warnings": [],
        "dicom_files": () if temporary else tuple(str(f.header.path) for f in stack.frames),
    }


def _planes(frames: list[Frame]) -> list[np.ndarray]:
    """One (j, i) array for each frame, in their order."""
    by_file: dict[Path, list[int]] = defaultdict(list)
    for n, frame in enumerate(frames):
        by_file[frame.header.path].append(n)
    requests = [(path, [frames[n].index for n in ns]) for path, ns in by_file.items()]
    decoded = decode(requests, [frames[ns[0]].header.syntax for ns in by_file.values()])
    shapes = [(frames[ns[0]].rows, frames[ns[0]].columns) for ns in by_file.values()]
    bad = sum(planes is None or planes.shape[1:] != shape for planes, shape in zip(decoded, shapes, strict=True))
    if bad:
        raise DicomError(f"The pixels of {bad} of the series' {len(by_file)} DICOM file(s) cannot be read: damaged, "
                         "cut short or compressed in an unknown way.", "Export the series again, uncompressed.",
                         files=len(by_file), unreadable=bad)
    ordered: dict[int, np.ndarray] = {}
    for ns, planes in zip(by_file.values(), decoded, strict=True):
        lut = _modality_lut(frames[ns[0]]) if frames[ns[0]].header.lut else None
        for n, plane in zip(ns, planes, strict=True):
            mask = _padded(plane, frames[n])
            ordered[n] = _rescaled(_as_monochrome2(plane, frames[n].header), frames[n], lut)
            if mask is not None:
                ordered[n] = np.ma.masked_array(ordered[n], mask)
    return _filled([ordered[n] for n in range(len(frames))])


def _as_monochrome2(plane: np.ndarray, header: FileHeader) -> np.ndarray:
    """MONOCHROME1 shows low values bright; turned over as by GDCM, and so ITK: the highest storable value minus it."""
    if header.photometric != "MONOCHROME1" or plane.dtype.kind not in "ui":
        return plane if header.photometric != "MONOCHROME1" else plane.max() - plane
    if plane.dtype.kind == "i":
        return ~plane
    return plane.dtype.type(2 ** (header.bits_stored or 8 * plane.dtype.itemsize) - 1) - plane


def _padded(plane: np.ndarray, frame: Frame) -> np.ndarray | None:
    """Which pixels are padding, by their stored values; None if none are."""
    if frame.header.padding is None:
        return None
    low, high = frame.header.padding
    mask = (plane >= low) & (plane <= high)
    return mask if mask.any() else None


def _filled(planes: list[np.ndarray]) -> list[np.ndarray]:
    """Padding replaced by the lowest value that was measured, so that it is background and nothing else.

    ITK leaves it as it is. Padding that lies at the lower end already, as a zero does, stays.
    """
    if not any(isinstance(plane, np.ma.MaskedArray) for plane in planes):
        return planes
    measured = [np.ma.min(plane) for plane in planes]
    lowest = min((value for value in measured if value is not np.ma.masked), default=None)
    if lowest is None:
        return [np.ma.getdata(plane) for plane in planes]
    result = []
    for plane in planes:
        values, mask = np.ma.getdata(plane), np.ma.getmaskarray(plane)
        far = mask & ~((values >= 0) & (values <= lowest))
        result.append(np.where(far, np.asarray(lowest, values.dtype), values) if far.any() else values)
    return result


def _modality_lut(frame: Frame) -> Dataset:
    """The part of the header that holds the Modality LUT (PS3.3 C.11.1)."""
    import pydicom

    with quiet_pydicom():
        return pydicom.dcmread(frame.header.path, stop_before_pixels=True, force=True)


def _rescaled(plane: np.ndarray, frame: Frame, lut: Dataset | None) -> np.ndarray:
    """The Modality LUT's value, else stored value x RescaleSlope + RescaleIntercept (PS3.3 C.7.6.16.2.9, C.11.1)."""
    if lut is not None:
        from pydicom.pixels import apply_modality_lut

        return apply_modality_lut(plane, lut)
    if frame.slope == 1.0 and frame.intercept == 0.0:
        return plane
    return plane.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
