"""DICOM stacks to volumes: pixels decoded, rescaled, and joined with the facts of their header."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from ..errors import DicomError
from .dicom_frames import Frame
from .dicom_geometry import Stack
from .dicom_pixels import decode
from .facts import header_facts
from .limits import Limits
from .volume import Volume


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
        ordered.update((n, _rescaled(plane, frames[n])) for n, plane in zip(ns, planes, strict=True))
    return [ordered[n] for n in range(len(frames))]


def _rescaled(plane: np.ndarray, frame: Frame) -> np.ndarray:
    """Stored value x RescaleSlope + RescaleIntercept (PS3.3 C.7.6.16.2.9, C.11.1)."""
    if frame.slope == 1.0 and frame.intercept == 0.0:
        return plane
    return plane.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
