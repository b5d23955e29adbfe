"""DICOM headers, read once: one :class:`Frame` for every single image, classic or inside an enhanced multi-frame file.

Only the tags named here are read (``specific_tags``) and pixels are not touched. References are to DICOM PS3.3:
C.7.6.2 image plane, C.7.6.16 functional groups, C.8.13 enhanced MR.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .limits import Limits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GE_CREATOR, GE_GL_AREA, GE_TG = 0x00190010, 0x001910B6, 0x001910B7
GE_COMPLEX_CREATOR, GE_COMPLEX = 0x00430010, 0x0043102F

TAGS: list[str | int] = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    "Modality", "PatientName", "PatientID", "ImageType", "ComplexImageComponent", "InstanceNumber", "EchoNumbers",
    "EchoTime", "RepetitionTime", "FlipAngle", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "BitsAllocated",
    GE_CREATOR, GE_GL_AREA, GE_TG, GE_COMPLEX_CREATOR, GE_COMPLEX,
]

_DICOMDIR = "1.2.840.10008.1.3.10"
_THREADS = min(8, (os.cpu_count() or 1) + 2)  # headers wait for the disk more than for the processor
_validation_lock = threading.RLock()


@dataclass(frozen=True)
class FileHeader:
    """What all frames of one file share. UIDs stay in memory; ``description`` has lost the patient's name and id."""

    path: Path
    syntax: str
    sop_uid: str
    series_uid: str
    study_uid: str
    series_number: int | None
    description: str
    modality: str
    samples: int
    frames: int
    gl_area: float | None
    tg_us: float | None


@dataclass(frozen=True)
class Frame:
    """One image. ``position`` and ``orientation`` are None where the header does not place it in space.

    ``index`` is its number inside a multi-frame file, None in a classic one. ``spacing`` is (along columns j, along
    rows i) as in PixelSpacing: (distance of rows, distance of columns).
    """

    header: FileHeader
    index: int | None
    rows: int
    columns: int
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    echo_number: int | None
    echo_time_ms: float | None
    repetition_time_ms: float | None
    flip_angle_deg: float | None
    instance: int
    component: str
    slope: float
    intercept: float


@dataclass
class Scan:
    """All frames found; ``damaged`` counts files that call themselves DICOM but cannot be parsed."""

    frames: list[Frame] = field(default_factory=list)
    damaged: int = 0
    repeated: int = 0
    without_image: int = 0


def scan_files(files: tuple[Path, ...], limits: Limits) -> Scan:
    """Read the headers of many DICOM files; a bad one is counted, one beyond the size limit raises."""
    scan = Scan()
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # one that vanished is counted as damaged below
            limits.check_file_bytes(path.stat().st_size)
    seen: set[tuple[str, str]] = set()
    with quiet_pydicom(), ThreadPoolExecutor(_THREADS) as pool:
        for frames in pool.map(_frames_or_none, files):
            if frames is None:
                scan.damaged += 1
                continue
            if not frames:
                scan.without_image += 1
                continue
            header = frames[0].header
            key = (header.series_uid, header.sop_uid)
            if header.sop_uid and key in seen:
                scan.repeated += 1
                continue
            seen.add(key)
            scan.frames.extend(frames)
    return scan


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """No warnings from pydicom about odd values: they quote the values, and those may name a person."""
    import logging
    import warnings

    from pydicom import config

    logger = logging.getLogger("pydicom")
    with _validation_lock:
        before = config.settings.reading_validation_mode, logger.level
        config.settings.reading_validation_mode = config.IGNORE
        logger.setLevel(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            config.settings.reading_validation_mode = before[0]
            logger.setLevel(before[1])


def _frames_or_none(path: Path) -> list[Frame] | None:
    import pydicom

    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)
        if str(getattr(dataset.file_meta, "MediaStorageSOPClassUID", "")) == _DICOMDIR:
            return []
        return frames_of(dataset, path)
    except MemoryError:
        raise
    except Exception:  # pydicom meets damage with a dozen exception types; the file is counted as damaged
        return None


def frames_of(dataset: Dataset, path: Path) -> list[Frame]:
    """The frames of one file; an empty list if it holds no image (a report, a presentation state)."""
    rows, columns = number(dataset.get("Rows")), number(dataset.get("Columns"))
    if not rows or not columns:
        if "SOPClassUID" not in dataset:
            raise ValueError("not a DICOM data set")
        return []
    header = FileHeader(
        path=path,
        syntax=str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or ""),
        sop_uid=str(dataset.get("SOPInstanceUID", "")),
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        study_uid=str(dataset.get("StudyInstanceUID", "")),
        series_number=whole(dataset.get("SeriesNumber")),
        description=without_identifiers(dataset.get("SeriesDescription"), dataset),
        modality=str(dataset.get("Modality", "") or ""),
        samples=whole(dataset.get("SamplesPerPixel")) or 1,
        frames=whole(dataset.get("NumberOfFrames")) or 1,
        gl_area=_ge_number(dataset, GE_GL_AREA),
        tg_us=_ge_number(dataset, GE_TG),
    )
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups:
        shared = dataset.get("SharedFunctionalGroupsSequence")
        shared = shared[0] if shared else None
        return [_enhanced_frame(header, dataset, shared, group, index) for index, group in enumerate(groups)]
    return [_classic_frame(header, dataset)]


def _classic_frame(header: FileHeader, dataset: Dataset) -> Frame:
    """A single image; a multi-frame file without functional groups (screen film, cine) comes out unplaced."""
    placed = header.frames == 1
    return Frame(
        header=header,
        index=None,
        rows=int(number(dataset.get("Rows"))),
        columns=int(number(dataset.get("Columns"))),
        position=numbers(dataset.get("ImagePositionPatient"), 3) if placed else None,
        orientation=numbers(dataset.get("ImageOrientationPatient"), 6) if placed else None,
        spacing=numbers(dataset.get("PixelSpacing"), 2),
        echo_number=whole(dataset.get("EchoNumbers")),
        echo_time_ms=number(dataset.get("EchoTime")),
        repetition_time_ms=number(dataset.get("RepetitionTime")),
        flip_angle_deg=number(dataset.get("FlipAngle")),
        instance=whole(dataset.get("InstanceNumber")) or 0,
        component=_component(dataset, dataset.get("ImageType"), dataset.get("ComplexImageComponent")),
        slope=_slope(dataset.get("RescaleSlope")),
        intercept=number(dataset.get("RescaleIntercept")) or 0.0,
    )


def _enhanced_frame(header: FileHeader, dataset: Dataset, shared: Any, group: Any, index: int) -> Frame:
    def functional(sequence: str, keyword: str, default: str | None = None) -> Any:
        """From the frame's own functional groups, else the shared ones, else the top level."""
        for place in (group, shared):
            items = place.get(sequence) if place is not None else None
            if items and keyword in items[0]:
                return items[0][keyword].value
        return dataset.get(default or keyword)

    frame_type = functional("MRImageFrameTypeSequence", "FrameType", "ImageType")
    component = functional("MRImageFrameTypeSequence", "ComplexImageComponent")
    timing = "MRTimingAndRelatedParametersSequence"
    return Frame(
        header=header,
        index=index,
        rows=int(number(dataset.get("Rows"))),
        columns=int(number(dataset.get("Columns"))),
        position=numbers(functional("PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=numbers(functional("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=numbers(functional("PixelMeasuresSequence", "PixelSpacing"), 2),
        echo_number=None,
        echo_time_ms=number(functional("MREchoSequence", "EffectiveEchoTime", "EchoTime")),
        repetition_time_ms=number(functional(timing, "RepetitionTime")),
        flip_angle_deg=number(functional(timing, "FlipAngle")),
        instance=(whole(dataset.get("InstanceNumber")) or 0) * 1_000_000 + index,
        component=_component(dataset, frame_type, component),
        slope=_slope(functional("PixelValueTransformationSequence", "RescaleSlope")),
        intercept=number(functional("PixelValueTransformationSequence", "RescaleIntercept")) or 0.0,
    )


def _component(dataset: Dataset, image_type: Any, complex_component: Any) -> str:
    """``M``, ``P``, ``R`` or ``I``: magnitude, phase, real or imaginary; magnitude when nothing is said."""
    word = str(complex_component or "").upper()
    if word in ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY"):
        return word[0]
    if str(dataset.get(GE_COMPLEX_CREATOR, "")).find("GEMS_PARM") >= 0 and GE_COMPLEX in dataset:
        code = whole(dataset[GE_COMPLEX].value)
        return "MPRI"[code] if code in (0, 1, 2, 3) else "M"
    tokens = [str(t).upper() for t in (image_type or [])][2:] if not isinstance(image_type, str) else []
    for token in tokens:
        for letter, names in (("P", ("P", "PHASE")), ("R", ("R", "REAL")), ("I", ("I", "IMAGINARY"))):
            if token in names:
                return letter
    return "M"


def _slope(value: Any) -> float:
    slope = number(value)
    return slope if slope else 1.0


def _ge_number(dataset: Dataset, tag: int) -> float | None:
    """A number in a GE private element, or None; other makers use the same group for other things."""
    if tag not in dataset:
        return None
    creator = dataset[GE_CREATOR].value if GE_CREATOR in dataset else ""
    if isinstance(creator, bytes):
        creator = creator.decode("ascii", "ignore")
    if creator and "GEMS" not in str(creator):
        return None
    return number(dataset[tag].value)


def number(value: Any) -> float | None:
    """The first finite number in an element's value of whatever type, or None."""
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore").strip(" \0").split("\\")[0]
    elif not isinstance(value, str | int | float) and np.iterable(value):
        value = next(iter(value), None)
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def whole(value: Any) -> int | None:
    """The first number as an integer, or None."""
    result = number(value)
    return int(result) if result is not None else None


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """Exactly ``count`` finite numbers, or None."""
    if value is None or isinstance(value, str | bytes) or not np.iterable(value):
        return None
    result = [number(v) for v in value]
    return tuple(result) if len(result) == count and None not in result else None


def without_identifiers(text: Any, dataset: Dataset) -> str:
    """A free-text field without the patient's name and id and without long digit groups (dates, record numbers)."""
    result = " ".join(str(text or "").split())[:64]
    private = f"{dataset.get('PatientName', '') or ''} {dataset.get('PatientID', '') or ''}"
    for word in re.split(r"[\s^=,]+", private):
        if len(word) >= 3:
            result = re.sub(re.escape(word), "*", result, flags=re.IGNORECASE)
    return re.sub(r"\d{6,}", "*", result)
