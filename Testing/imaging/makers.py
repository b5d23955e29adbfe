"""Volumes with a known place in space, and DICOM series made from them with pydicom."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from KneePipelineLib.imaging import Volume

SIGNED_PERMUTATIONS = [
    np.eye(3)[:, list(order)] * np.array(signs, dtype=float)
    for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]
"""All 48 ways in which axes i, j, k can lie along the patient's axes."""
SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")
"""Every format that volumes are written in."""


def make_volume(direction: np.ndarray | None = None, *, size: tuple[int, int, int] = (7, 6, 5), seed: int = 0,
                dtype: type = np.int16, spacing: tuple[float, ...] = (0.5, 0.75, 2.0),
                origin: tuple[float, ...] = (-31.5, 12.25, 101.125)) -> Volume:
    """A small volume of distinct random values."""
    values = np.random.default_rng(seed).permutation(int(np.prod(size))).reshape(size[::-1]).astype(dtype)
    return Volume(values, spacing, origin, np.eye(3) if direction is None else direction)


def oblique(degrees: tuple[float, float, float] = (12.0, -7.0, 21.0)) -> np.ndarray:
    """A rotation about all three axes."""
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def sample_points(volume: Volume) -> dict[tuple[float, ...], float]:
    """Physical point (rounded to 1e-3 mm) -> value, for every voxel: the volume without its axes."""
    k, j, i = np.indices(volume.array.shape)
    points = volume.to_physical(np.stack([i, j, k], axis=-1)).reshape(-1, 3)
    return {tuple(p): float(v) for p, v in zip((np.round(points, 3) + 0.0).tolist(), volume.array.ravel(), strict=True)}


def base_dataset(**values: object) -> object:
    """A minimal MR image header; identifiers are there so that tests can look for leaks."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName = "Secretname^Quentin"
    dataset.PatientID = "ID-77SECRET"
    dataset.PatientBirthDate = "19500102"
    dataset.StudyDate = "20200304"
    dataset.AccessionNumber = "ACC99SECRET"
    dataset.InstitutionName = "Secret Hospital"
    dataset.Modality = "MR"
    dataset.Manufacturer = "GE MEDICAL SYSTEMS"
    dataset.ManufacturerModelName = "SIGNA Tester"
    dataset.MagneticFieldStrength = 3
    dataset.RepetitionTime = 20.5
    dataset.EchoTime = 6.5
    dataset.FlipAngle = 20
    dataset.SeriesDescription = "SAG DESS"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16
    dataset.HighBit = 15
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def set_pixels(dataset: object, array: np.ndarray) -> None:
    """Pixel data and the elements that describe them; the array is (rows, columns) or (frames, rows, columns)."""
    dataset.Rows, dataset.Columns = array.shape[-2:]
    dataset.PixelRepresentation = int(array.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(array).tobytes()


def ds(values: np.ndarray) -> list[str]:
    """Decimal strings of at most 16 characters, as scanners write them."""
    return [f"{v:.10g}"[:16] for v in np.asarray(values, dtype=float).ravel()]


def write_series(folder: Path, volume: Volume, *, first_instance: int = 1, name: str = "im{:04d}.dcm",
                 slices: list[int] | None = None, tweak: Callable[[object, int], None] | None = None,
                 **values: object) -> list[Path]:
    """Write each slice of a right-handed volume as one classic DICOM file; ``tweak(dataset, k)`` may spoil it."""
    from pydicom.uid import generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    values.setdefault("SeriesInstanceUID", generate_uid())
    values.setdefault("StudyInstanceUID", "1.2.826.0.1.3680043.8.498.1")
    values.setdefault("SeriesNumber", 3)
    paths = []
    for count, k in enumerate(range(volume.size[2]) if slices is None else slices):
        dataset = base_dataset(**values)
        dataset.InstanceNumber = first_instance + count
        dataset.PixelSpacing = ds(volume.spacing[[1, 0]])
        dataset.SliceThickness = "0.6"
        dataset.ImageOrientationPatient = ds(volume.direction[:, :2].T)
        dataset.ImagePositionPatient = ds(volume.to_physical((0, 0, k)))
        set_pixels(dataset, volume.array[k])
        if tweak:
            tweak(dataset, k)
        path = folder / name.format(first_instance + count)
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_enhanced(path: Path, volumes: list[Volume], echo_times: list[float], *, order: list[int] | None = None,
                   shared_geometry: bool = True, **values: object) -> Path:
    """Write echoes of one grid as an enhanced multi-frame file, its frames in any order."""
    from pydicom import Dataset
    from pydicom.uid import EnhancedMRImageStorage, generate_uid

    path.parent.mkdir(parents=True, exist_ok=True)
    first = volumes[0]
    dataset = base_dataset(SOPClassUID=EnhancedMRImageStorage, SeriesNumber=7, SeriesInstanceUID=generate_uid(),
                           StudyInstanceUID="1.2.826.0.1.3680043.8.498.1", InstanceNumber=1)
    for keyword in ("EchoTime", "RepetitionTime", "FlipAngle"):
        delattr(dataset, keyword)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)

    def item(**elements: object) -> list:
        inner = Dataset()
        for keyword, value in elements.items():
            setattr(inner, keyword, value)
        return [inner]

    shared = Dataset()
    shared.MRTimingAndRelatedParametersSequence = item(RepetitionTime=2450.0, FlipAngle=90.0)
    shared.FrameAnatomySequence = item(FrameLaterality="L")
    measures = {"PixelSpacing": ds(first.spacing[[1, 0]]), "SliceThickness": "3"}
    plane = {"ImageOrientationPatient": ds(first.direction[:, :2].T)}
    if shared_geometry:
        shared.PixelMeasuresSequence = item(**measures)
        shared.PlaneOrientationSequence = item(**plane)
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = [(k, e) for k in range(first.size[2]) for e in range(len(volumes))]
    frames = [frames[n] for n in order] if order is not None else frames
    groups, planes = [], []
    for k, echo in frames:
        group = Dataset()
        group.PlanePositionSequence = item(ImagePositionPatient=ds(first.to_physical((0, 0, k))))
        group.MREchoSequence = item(EffectiveEchoTime=float(echo_times[echo]))
        if not shared_geometry:
            group.PixelMeasuresSequence = item(**measures)
            group.PlaneOrientationSequence = item(**plane)
        groups.append(group)
        planes.append(volumes[echo].array[k])
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.NumberOfFrames = len(groups)
    set_pixels(dataset, np.stack(planes))
    dataset.save_as(path, enforce_file_format=True)
    return path


def compress(path: Path, syntax: str) -> None:
    """Replace a DICOM file's pixel data by a compressed form made by gdcm: rle, j2k, jpegll or jpegls."""
    import gdcm
    import pydicom

    kind = {"rle": gdcm.TransferSyntax.RLELossless, "j2k": gdcm.TransferSyntax.JPEG2000Lossless,
            "jpegll": gdcm.TransferSyntax.JPEGLosslessProcess14_1, "jpegls": gdcm.TransferSyntax.JPEGLSLossless}[syntax]
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(kind))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    other = path.with_name("compressed-by-gdcm")
    writer.SetFileName(str(other))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    dataset, packed = pydicom.dcmread(path), pydicom.dcmread(other)  # gdcm rewrites functional groups; keep ours
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    dataset.PixelData = packed.PixelData
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    other.unlink()
