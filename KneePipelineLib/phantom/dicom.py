"""The digital knee as DICOM series, as a scanner's archive would hold them: one file a slice and echo.

MR Image Storage (PS3.3 A.4), explicit little endian, unsigned 16 bit. The spoiler of a qDESS pair is in the private
group 0019 under the creator GEMS_ACQU_01, where that vendor keeps it: (0019,xxB6) its area and (0019,xxB7) its duration
in microseconds, as decimal strings. Every identifier says that this is a phantom.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path

import numpy as np

from ..imaging import Volume

PATIENT_NAME, PATIENT_ID = "DigitalKnee^Phantom", "DIGITALKNEE"
PRIVATE_CREATOR = "GEMS_ACQU_01"
DATE, TIME = "20000101", "120000"


def write_dicom(volumes: Volume | Many[Volume], folder: str | Path, *, description: str = "",
                private_tags: bool = True, series_number: int = 1, study_seed: str = "DigitalKnee",
                extension: str = ".dcm") -> list[Path]:
    """Write one volume, or the echoes of one acquisition as one series.

    Parameters
    ----------
    volumes : Volume or sequence of Volume
        On one grid. Their ``meta`` may hold echo_time_ms, repetition_time_ms, flip_angle_deg, gl_area, tg_us.
        Magnitudes are rounded to unsigned 16 bit; values beyond 65535 are an error, not a wrap-around.
    folder : path
        Created if it is not there; files are named ``IM0001.dcm`` ... slice by slice, echo by echo.
    description : str
        Series description; "DigitalKnee, ..." is put in front.
    private_tags : bool
        Whether GLarea and Tg are written where ``meta`` holds them (anonymised archives have lost them).
    study_seed : str
        Series with the same seed share a study and a frame of reference; UIDs are derived from it, so the same call
        writes the same bytes.
    extension : str
        May be empty: archives often hold files without one.

    Returns
    -------
    list of Path
        The files, in order of instance number.

    Raises
    ------
    ValueError
        If the echoes do not share a grid, or a value does not fit.
    """
    echoes = [volumes] if isinstance(volumes, Volume) else list(volumes)
    if not echoes:
        raise ValueError("there is no volume to write")
    if not all(e.same_grid(echoes[0]) for e in echoes[1:]):
        raise ValueError("the echoes of one series must lie on one grid")
    stored = [_to_uint16(e.array) for e in echoes]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    template = _series_header(echoes[0], description, series_number, study_seed)
    files = []
    for k in range(echoes[0].size[2]):
        for n, (echo, array) in enumerate(zip(echoes, stored, strict=True)):
            number = len(files) + 1
            path = folder / f"IM{number:04d}{extension}"
            _write_slice(template, echo, array[k], k, n, len(echoes), number, private_tags, path)
            files.append(path)
    return files


def _to_uint16(array: np.ndarray) -> np.ndarray:
    rounded = np.rint(array)
    if not np.isfinite(rounded).all() or rounded.min() < 0 or rounded.max() > 65535:
        raise ValueError("DICOM magnitudes must lie between 0 and 65535")
    return rounded.astype("<u2")


def _uid(*parts: object) -> str:
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=["DigitalKnee", *map(str, parts)])


def _number(value: float) -> str:
    """A decimal string of at most 16 characters that keeps as many digits as fit."""
    for digits in range(15, 0, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"{value} does not fit into a decimal string")


def _series_header(first: Volume, description: str, series_number: int, study_seed: str) -> object:
    """Everything that all files of the series have in common."""
    from pydicom.dataset import Dataset
    from pydicom.uid import MRImageStorage

    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.SOPClassUID = MRImageStorage
    for name in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{name}Date", DATE)
        setattr(ds, f"{name}Time", TIME)
    ds.AccessionNumber = ""
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", "KneePipeline", "DigitalKnee"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "DigitalKnee (synthetic)"
    ds.SeriesDescription = f"DigitalKnee, {description}" if description else "DigitalKnee"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = PATIENT_NAME, PATIENT_ID, "", "O"
    ds.BodyPartExamined = "KNEE"
    ds.ScanningSequence = "GR" if first.meta.get("flip_angle_deg", 90) < 90 else "SE"
    ds.SequenceVariant, ds.ScanOptions = "NONE", ""
    ds.MRAcquisitionType = "3D" if first.spacing[2] < 2 else "2D"
    ds.SliceThickness = ds.SpacingBetweenSlices = _number(first.spacing[2])
    ds.MagneticFieldStrength, ds.EchoTrainLength = "3", "1"
    ds.PatientPosition = "FFS"
    ds.StudyInstanceUID = _uid(study_seed, "study")
    ds.SeriesInstanceUID = _uid(study_seed, "series", series_number, description)
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber = "1", series_number, 1
    ds.ImageOrientationPatient = [_number(v) for v in first.direction[:, :2].T.ravel()]
    ds.FrameOfReferenceUID = _uid(study_seed, "frame")
    ds.PositionReferenceIndicator = ""
    side = first.meta.get("side")
    if side in ("right", "left"):
        ds.Laterality = side[0].upper()
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Columns, ds.Rows = first.size[0], first.size[1]
    ds.PixelSpacing = [_number(first.spacing[1]), _number(first.spacing[0])]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    return ds


def _write_slice(template: object, echo: Volume, pixels: np.ndarray, k: int, echo_index: int, echo_count: int,
                 number: int, private_tags: bool, path: Path) -> None:
    from copy import copy

    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = template.SOPClassUID
    meta.MediaStorageSOPInstanceUID = _uid(template.SeriesInstanceUID, number)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("implementation")
    ds = FileDataset(str(path), copy(template), file_meta=meta, preamble=b"\0" * 128)
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    for keyword, key in (("RepetitionTime", "repetition_time_ms"), ("EchoTime", "echo_time_ms"),
                         ("FlipAngle", "flip_angle_deg")):
        value = echo.meta.get(key)
        setattr(ds, keyword, "" if value is None else _number(value))
    ds.EchoNumbers = echo_index + 1
    ds.InstanceNumber, ds.ImagesInAcquisition = number, echo.size[2] * echo_count
    position = echo.to_physical((0, 0, k))
    ds.ImagePositionPatient = [_number(v) for v in position]
    ds.SliceLocation = _number(position @ echo.direction[:, 2])
    if private_tags and echo.meta.get("gl_area") is not None:
        block = ds.private_block(0x0019, PRIVATE_CREATOR, create=True)
        block.add_new(0xB6, "DS", _number(echo.meta["gl_area"]))
        block.add_new(0xB7, "DS", _number(echo.meta["tg_us"]))
    ds.PixelData = np.ascontiguousarray(pixels).tobytes()
    ds["PixelData"].VR = "OW"
    ds.save_as(path, enforce_file_format=True)
