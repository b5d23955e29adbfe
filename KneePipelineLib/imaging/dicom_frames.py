"""DICOM headers, read once: one :class:`Frame` for every single image, classic or inside an enhanced multi-frame file.

Only the tags named here are read (``specific_tags``) and pixels are not touched. References are to DICOM PS3.3:
C.7.6.2 image plane, C.7.6.16 functional groups, C.8.13 enhanced MR.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .acquisitions import acquisition_of
from .dicom_values import number, numbers, whole, without_identifiers, words
from .image_kinds import is_original, kind_of
from .limits import Limits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GE_CREATOR, GE_GL_AREA, GE_TG = 0x00190010, 0x001910B6, 0x001910B7
GE_SEQUENCE, GE_INTERNAL_SEQUENCE = 0x0019109C, 0x0019109E
GE_COMPLEX_CREATOR, GE_COMPLEX = 0x00430010, 0x0043102F
_COMPLEX = ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY")

TAGS: list[str | int] = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    "Modality", "PatientName", "PatientID", "ImageType", "ComplexImageComponent", "InstanceNumber", "EchoNumbers",
    "EchoTime", "RepetitionTime", "FlipAngle", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "PhotometricInterpretation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "ModalityLUTSequence", "ImagesInAcquisition", "AcquisitionNumber", "AcquisitionTime", "TemporalPositionIdentifier",
    "TriggerTime", "InversionTime", "ContrastBolusAgent", "ScanningSequence", "EchoPulseSequence", "SequenceName",
    "PulseSequenceName", GE_CREATOR, GE_GL_AREA, GE_TG, GE_SEQUENCE, GE_INTERNAL_SEQUENCE, GE_COMPLEX_CREATOR,
    GE_COMPLEX,
]

SETTINGS = ("time points", "trigger times", "acquisitions", "flip angles", "repetition times", "inversion times",
            "contrast agents", "image types", "acquisition times")
"""What besides the echo may differ between images of one slice: dynamics, averages, before and after, and the like."""

_DICOMDIR = "1.2.840.10008.1.3.10"
SMALL_FILE_BYTES = 64 * 1024**2
_THREADS = min(8, (os.cpu_count() or 1) + 2)  # headers wait for the disk more than for the processor
_validation_lock = threading.RLock()


@dataclass(frozen=True)
class FileHeader:
    """What all frames of one file share. UIDs stay in memory; ``description`` has lost the patient's name and id.

    ``padding`` is the range of stored values that stand for "no measurement" (PS3.3 C.7.5.1.1.2), ``lut`` whether a
    Modality LUT applies, ``promised`` ImagesInAcquisition, ``acquisition`` a word of
    :mod:`~KneePipelineLib.imaging.acquisitions`.
    """

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
    photometric: str = ""
    bits_stored: int | None = None
    padding: tuple[float, float] | None = None
    lut: bool = False
    promised: int | None = None
    acquisition: str = ""


@dataclass(frozen=True)
class Frame:
    """One image. ``position`` and ``orientation`` are None where the header does not place it in space.

    ``index`` is its number inside a multi-frame file, None in a classic one. ``spacing`` is (along columns j, along
    rows i) as in PixelSpacing: (distance of rows, distance of columns). ``kind`` is a word of
    :mod:`~KneePipelineLib.imaging.image_kinds`; ``settings`` are the values besides the echo that may tell one image of
    a slice from another, by name: :data:`SETTINGS`.
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
    kind: str
    original: bool
    settings: tuple[object, ...]
    slope: float
    intercept: float


@dataclass
class Scan:
    """All frames found; ``damaged`` counts files said to be DICOM that cannot be parsed, ``causes`` say why."""

    frames: list[Frame] = field(default_factory=list)
    damaged: int = 0
    causes: set[str] = field(default_factory=set)
    repeated: int = 0
    without_image: int = 0


def scan_files(files: tuple[Path, ...], limits: Limits) -> Scan:
    """Read the headers of many DICOM files; a bad one is counted, one beyond the size limit raises."""
    scan = Scan()
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # one that vanished is counted as damaged below
            limits.check_file_bytes(path.stat().st_size)
    seen: set[tuple] = set()
    with quiet_pydicom(), ThreadPoolExecutor(_THREADS) as pool:
        for frames in pool.map(_frames_or_cause, files):
            if isinstance(frames, str):
                scan.damaged += 1
                scan.causes.add(frames)
                continue
            if not frames:
                scan.without_image += 1
                continue
            header = frames[0].header
            # A UID alone does not make a copy: anonymisers have given one to all images of a series.
            key = (header.series_uid, header.sop_uid, *((f.position, f.instance, f.echo_number, f.echo_time_ms, f.kind)
                                                        for f in (frames[0], frames[-1])))
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


def _frames_or_cause(path: Path) -> list[Frame] | str:
    """The frames of a file, or the name of what kept it from being read."""
    import pydicom

    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)
        if str(getattr(dataset.file_meta, "MediaStorageSOPClassUID", "")) == _DICOMDIR:
            return []
        return frames_of(dataset, path)
    except (NameError, ImportError):  # not the file's fault
        raise
    except MemoryError:
        if may_need_memory(path):
            raise
        return "MemoryError"
    except Exception as error:  # pydicom meets damage with a dozen exception types; the file is counted as damaged
        return type(error).__name__


def may_need_memory(path: Path) -> bool:
    """Whether a file is large enough to use up memory honestly; in a small one a length is made up."""
    return path.stat().st_size > SMALL_FILE_BYTES


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
        photometric="".join(words(dataset.get("PhotometricInterpretation"))[:1]),
        bits_stored=whole(dataset.get("BitsStored")),
        padding=_padding(dataset),
        lut=bool(dataset.get("ModalityLUTSequence")),
        promised=whole(dataset.get("ImagesInAcquisition")),
        acquisition=acquisition_of(
            words(dataset.get("ScanningSequence")) + words(dataset.get("EchoPulseSequence")),
            words(dataset.get("SeriesDescription")) + words(dataset.get("SequenceName"))
            + words(dataset.get("PulseSequenceName")) + _ge_names(dataset)),
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
    image_type = words(dataset.get("ImageType"))
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
        kind=kind_of(image_type, _component(dataset, dataset.get("ComplexImageComponent"))),
        original=is_original(image_type),
        settings=(
            number(dataset.get("TemporalPositionIdentifier")), number(dataset.get("TriggerTime")),
            number(dataset.get("AcquisitionNumber")), number(dataset.get("FlipAngle")),
            number(dataset.get("RepetitionTime")), number(dataset.get("InversionTime")),
            words(dataset.get("ContrastBolusAgent")), image_type, words(dataset.get("AcquisitionTime"))),
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

    frame_type = words(functional("MRImageFrameTypeSequence", "FrameType", "ImageType"))
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
        kind=kind_of(frame_type, _component(dataset, component)),
        original=is_original(frame_type),
        settings=(
            number(functional("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier")),
            number(functional("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime")),
            number(functional("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber")),
            number(functional(timing, "FlipAngle")), number(functional(timing, "RepetitionTime")),
            number(functional("MRModifierSequence", "InversionTimes", "InversionTime")),
            words(functional("ContrastBolusUsageSequence", "ContrastBolusAgentNumber", "ContrastBolusAgent")),
            frame_type,
            words(functional("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionTime"))),
        slope=_slope(functional("PixelValueTransformationSequence", "RescaleSlope")),
        intercept=number(functional("PixelValueTransformationSequence", "RescaleIntercept")) or 0.0,
    )


def _component(dataset: Dataset, complex_component: Any) -> str:
    """``MAGNITUDE``, ``PHASE``, ``REAL`` or ``IMAGINARY`` where the standard's or GE's element says so, else ""."""
    word = "".join(words(complex_component)[:1])
    if word in _COMPLEX:
        return word
    if "GEMS_PARM" in str(dataset.get(GE_COMPLEX_CREATOR, "")) and GE_COMPLEX in dataset:
        code = whole(dataset[GE_COMPLEX].value)
        return _COMPLEX[code] if code in range(4) else ""
    return ""


def _padding(dataset: Dataset) -> tuple[float, float] | None:
    """The lowest and the highest stored value that is padding (PixelPaddingValue, PixelPaddingRangeLimit)."""
    value = number(dataset.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = number(dataset.get("PixelPaddingRangeLimit"))
    ends = [value, value if limit is None else limit]
    bits, signed = whole(dataset.get("BitsAllocated")), whole(dataset.get("PixelRepresentation"))
    if bits and signed == 1:  # its VR is ambiguous, and read as unsigned where the sign is not looked at
        ends = [e - 2.0**bits if e >= 2.0 ** (bits - 1) else e for e in ends]
    return min(ends), max(ends)


def _ge_names(dataset: Dataset) -> tuple[str, ...]:
    """GE's names of the pulse sequence."""
    return tuple(name for tag in (GE_SEQUENCE, GE_INTERNAL_SEQUENCE) if tag in dataset and _is_ge(dataset)
                 for name in words(dataset[tag].value))


def _slope(value: Any) -> float:
    slope = number(value)
    return slope if slope else 1.0


def _ge_number(dataset: Dataset, tag: int) -> float | None:
    """A number in a GE private element, or None; other makers use the same group for other things."""
    return number(dataset[tag].value) if tag in dataset and _is_ge(dataset) else None


def _is_ge(dataset: Dataset) -> bool:
    creator = dataset[GE_CREATOR].value if GE_CREATOR in dataset else ""
    if isinstance(creator, bytes):
        creator = creator.decode("ascii", "ignore")
    return not creator or "GEMS" in str(creator)
