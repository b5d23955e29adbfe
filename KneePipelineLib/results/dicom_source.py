"""The series a DICOM SEG belongs to: whose study it lies in, and which images its frames refer to.

This is the one place of this package that keeps what names a patient, and it keeps it in memory only: a segmentation
object is part of the patient's study and has to say so (DICOM PS3.3 A.51.3: Patient and General Study modules are
mandatory). Nothing read here may go into a message, a log, a table or a report.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DicomError
from ..imaging import Volume, open_input
from ..imaging.dicom_frames import Frame, quiet_pydicom
from ..imaging.dicom_geometry import Stack
from ..imaging.dicom_series import choose, readable_stacks
from ..imaging.reading import kind_wanted

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
_EMPTY_IF_ABSENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
                    "StudyDate", "StudyTime", "ReferringPhysicianName")
"""Type 2 in the Patient and General Study modules: present, though perhaps without a value."""


@dataclass(frozen=True)
class SourceImage:
    """One image of the source series: SOP class, SOP instance and, in a multi-frame file, the frame's number from 1."""

    class_uid: str
    instance_uid: str
    frame: int | None


@dataclass(frozen=True, repr=False)
class DicomSource:
    """What a segmentation object takes over from the series it was drawn on.

    Attributes
    ----------
    header : pydicom.Dataset
        Patient, study and frame of reference of the series, readable throughout, as of one single-frame image.
    series_uid : str
    series_number : int
        0 when the header tells none.
    images : tuple of SourceImage
        One a slice, in the order of the grid.
    grid : Volume
        Where the slices lie; it holds no values.
    """

    header: Dataset
    series_uid: str
    series_number: int
    images: tuple[SourceImage, ...]
    grid: Volume


def read_source(path: str | os.PathLike, *, series: str | int | None = None, echo: str | int | None = None,
                side: str | None = None, spacing: tuple[float, float, float] | None = None) -> DicomSource:
    """The series, and of several echoes the one, that `imaging.read_image` shows for the same choices.

    Where echoes were combined, the first one stands for all: their slices lie at the same places, and a frame of a
    segmentation is found by the one image it is shown over.

    Raises
    ------
    DicomError
        If the series lacks the UIDs by which another file could refer to it.
    KneePipelineError
        As `imaging.read_image`.
    """
    with open_input(path, side=side, spacing=spacing) as source:
        if source.kind != "DICOM":
            raise DicomError("The input is not DICOM, so there is no study that a DICOM segmentation could belong to.")
        chosen = choose(source, series, [])
        stacks = readable_stacks(chosen, source, kind_wanted(echo, chosen)).stacks
        number = int(echo) if str(echo or "").strip().isdecimal() else 1
        stack = stacks[min(max(number, 1), len(stacks)) - 1]
        header = _readable_header(stack.frames[0])
        first = stack.frames[0].header
        if not (first.study_uid and first.series_uid and all(f.header.sop_uid for f in stack.frames)
                and len({(f.header.sop_uid, f.index) for f in stack.frames}) == len(stack.frames)
                and len({f.header.series_uid for f in stack.frames}) == 1):
            raise DicomError("The series' images carry no UIDs of their own, so no other file can refer to them.",
                             "Export the series again with its UIDs.")
        images = _images(stack, str(header.get("SOPClassUID") or MR_IMAGE))
        return DicomSource(_as_single_frame(header, stack), first.series_uid, first.series_number or 0, images,
                           _grid(stack))


def derived_uid(*parts: object) -> str:
    """A UID made from what identifies the thing it names (PS3.5 B.2, UUID of ITU-T X.667 version 5)."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, digest).int}"


def _images(stack: Stack, class_uid: str) -> tuple[SourceImage, ...]:
    return tuple(SourceImage(class_uid, f.header.sop_uid, None if f.index is None else f.index + 1)
                 for f in stack.frames)


def _grid(stack: Stack) -> Volume:
    nothing = np.broadcast_to(np.uint8(0), stack.size[::-1])
    return Volume(nothing, stack.spacing, stack.origin, stack.direction)


def _readable_header(frame: Frame) -> Dataset:
    """The header without pixels, private elements, and elements whose values are no values of their kind."""
    import pydicom

    with quiet_pydicom():
        header = pydicom.dcmread(frame.header.path, stop_before_pixels=True, force=True)
        for tag in list(header.keys()):
            try:
                if tag.is_private or tag.group == 0x0002:
                    del header[tag]
                else:
                    header[tag]
            except Exception:  # pydicom meets damage with a dozen exception types
                del header[tag]
        _as_unicode(header)
    return header


def _as_unicode(header: Dataset) -> None:
    """Texts decoded by the header's own character sets, to be written as UTF-8 (PS3.3 C.12.1.1.2).

    highdicom takes neither the empty first value of a set with code extensions, as headers from Japan and Korea have,
    nor the spellings that scanners use.
    """
    with contextlib.suppress(LookupError, ValueError, TypeError):  # a set nobody knows: texts stay as they were read
        header.decode()
    header.SpecificCharacterSet = "ISO_IR 192"


def _as_single_frame(header: Dataset, stack: Stack) -> Dataset:
    """The header in the form of a classic MR image of the first slice, with every element that a SEG has to copy."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "NumberOfFrames",
                 "DimensionIndexSequence", "DimensionOrganizationSequence"):
        header.pop(name, None)
    header.SOPClassUID = MR_IMAGE
    for name in _EMPTY_IF_ABSENT:
        if name not in header or header[name].value is None:
            setattr(header, name, "")
    _drop_impossible(header)
    if not str(header.get("FrameOfReferenceUID") or ""):
        header.FrameOfReferenceUID = derived_uid("frame of reference", stack.frames[0].header.series_uid)
    header.ImageOrientationPatient = [decimal(v) for v in stack.direction[:, :2].T.ravel()]
    header.ImagePositionPatient = [decimal(v) for v in stack.origin]
    header.PixelSpacing = [decimal(stack.spacing[1]), decimal(stack.spacing[0])]
    header.SliceThickness = header.SpacingBetweenSlices = decimal(stack.spacing[2])
    header.Modality = str(header.get("Modality") or "MR")
    return header


def _drop_impossible(header: Dataset) -> None:
    """Empty those dates, times and sexes that are none; anonymised archives hold zeros and crosses there."""
    from pydicom.valuerep import DA, TM

    for name, kind in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
        try:
            kind(header[name].value)
        except (ValueError, TypeError):
            setattr(header, name, "")
    if str(header.PatientSex) not in ("M", "F", "O", ""):
        header.PatientSex = ""


def decimal(value: float) -> str:
    """A decimal string (PS3.5 6.2) of at most 16 characters with as many digits as fit."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))
