"""What the tests of DICOM segmentations share: labels, a file of them, and three readers to hold it against."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom

from KneePipelineLib.imaging import Volume, read_labels
from KneePipelineLib.imaging.labels import BY_VALUE, STRUCTURES
from KneePipelineLib.results import Drawing, write_dicom_seg

NOON = datetime(2020, 1, 2, 12, 0, 0)
NETWORK = Drawing("nnunet_fullres", "3.1")
PIR = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])


def make_labels(size: tuple[int, int, int] = (21, 18, 12), direction: np.ndarray = PIR,
                values: tuple[int, ...] = tuple(range(1, 11)), seed: int = 3) -> Volume:
    """Blocks of every structure in the middle, nothing in the first and last slices; values anywhere and irregular."""
    rng = np.random.default_rng(seed)
    array = np.zeros(size[::-1], np.uint8)
    array[2:-3] = rng.choice((0, *values), size=(size[2] - 5, size[1], size[0]))
    return Volume(array, (0.5, 0.4, 1.5), (12.3, -45.6, 78.9), direction)


def echoes_of(labels: Volume, count: int = 2) -> list[Volume]:
    """Echoes of one repetition, side and flip angle, as a qDESS pair has them."""
    return [labels.with_array(labels.array * np.uint16(10) + np.uint16(50 + n), echo_time_ms=6.0 + 24 * n, side="right",
                              repetition_time_ms=20.0, flip_angle_deg=20.0) for n in range(count)]


def written(folder: Path, labels: Volume, source: object, **how: object) -> Path:
    """The one file that is written, drawn by `NETWORK` at `NOON` unless `how` says else."""
    how = {"side": "right", "drawing": NETWORK, "created": NOON, **how}
    [output] = write_dicom_seg(folder / "out", "knee", labels, source, **how)
    assert [p.name for p in (folder / "out").iterdir()] == [output.path] == ["knee_segmentation.dcm"]
    return folder / "out" / output.path


def read_by_the_rules(path: Path) -> Volume:
    """The label map by pydicom alone and by the rules that dcmqi reads by.

    Origin and extent come from the frames' positions along the normal of the shared orientation, the distance of the
    slices from the shared pixel measures; every frame lies on that lattice and shows one segment; segments are numbered
    from 1 without gaps; their labels name the structure.
    """
    ds = pydicom.dcmread(path)
    shared, frames = ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence
    assert len(frames) == ds.NumberOfFrames
    measures = shared.PixelMeasuresSequence[0]
    rows_mm, columns_mm = map(float, measures.PixelSpacing)
    step_mm = float(measures.SpacingBetweenSlices)
    along_i, along_j = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along_i, along_j)
    positions = np.array([f.PlanePositionSequence[0].ImagePositionPatient for f in frames], float)
    heights = positions @ normal
    origin = positions[heights.argmin()]
    places = (heights - heights.min()) / step_mm
    assert np.abs(places - np.rint(places)).max() < 0.01
    assert np.abs(positions - origin - np.outer(np.rint(places) * step_mm, normal)).max() < 0.001
    assert [s.SegmentNumber for s in ds.SegmentSequence] == list(range(1, len(ds.SegmentSequence) + 1))
    values = {s.SegmentNumber: value_of(s.SegmentLabel) for s in ds.SegmentSequence}
    pixels = ds.pixel_array.reshape(len(frames), ds.Rows, ds.Columns)
    array = np.zeros((int(np.rint(places).max()) + 1, ds.Rows, ds.Columns), np.uint8)
    for frame, k, plane in zip(frames, np.rint(places).astype(int), pixels, strict=True):
        [segment] = frame.SegmentIdentificationSequence
        number = segment.ReferencedSegmentNumber
        assert list(frame.FrameContentSequence[0].DimensionIndexValues) == [number, k + 1]
        assert not array[k][plane > 0].any(), "segments overlap"
        array[k][plane > 0] = values[number]
    return Volume(array, (columns_mm, rows_mm, step_mm), origin, np.column_stack([along_i, along_j, normal]))


def value_of(title: str) -> int:
    """The label of a structure by the words that segments have."""
    return next(structure.value for structure in STRUCTURES if structure.title == title)


def assert_same(path: Path, labels: Volume) -> None:
    """Equal voxel by voxel and in place, for our reader, for highdicom and for dcmqi."""
    found = read_by_the_rules(path)
    assert found.same_grid(labels, 1e-6)
    assert np.array_equal(found.array, labels.array)
    assert_same_for_highdicom(path, labels)
    assert_same_for_dcmqi(path, labels)


def assert_same_for_highdicom(path: Path, labels: Volume) -> None:
    """The volume that highdicom combines from the segments."""
    import highdicom

    segmentation = highdicom.seg.segread(path)
    volume = segmentation.get_volume(combine_segments=True)
    values = [0, *(value_of(s.SegmentLabel) for s in segmentation.SegmentSequence)]
    affine = volume.affine[:, [2, 1, 0, 3]]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # highdicom stacks slices against the normal; seen from our side the axes are turned.
    found = Volume(np.array(values, np.uint8)[volume.array], spacing, affine[:3, 3], affine[:3, :3] / spacing)
    found = found.reoriented(labels.orientation)
    assert found.same_grid(labels, 1e-6)
    assert np.array_equal(found.array, labels.array)


def assert_same_for_dcmqi(path: Path, labels: Volume) -> None:
    """What 3D Slicer shows: its reader of segmentations is dcmqi."""
    program = shutil.which("segimage2itkimage")
    if program is None:
        return
    out = path.parent.parent / "dcmqi"
    out.mkdir(exist_ok=True)
    ended = subprocess.run([program, "--inputDICOM", str(path), "--outputDirectory", str(out), "--outputType", "nrrd",
                            "--mergeSegments", "--prefix", "x"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = read_labels(out / "x-1.nrrd")
    about = json.loads((out / "x-meta.json").read_text())["segmentAttributes"]
    values = np.zeros(256, np.uint8)
    for segment in about[0]:
        structure = BY_VALUE[value_of(segment["SegmentLabel"])]
        values[segment["labelID"]] = structure.value
        assert np.abs(np.subtract(segment["recommendedDisplayRGBValue"], structure.color)).max() <= 1
    assert found.same_grid(labels, 1e-5)
    assert np.array_equal(values[found.array], labels.array)


def on_grid(grid: Volume, labels: Volume) -> Volume:
    """The labels on the grid as headers tell it, whose decimal strings are rounded."""
    assert labels.same_grid(grid, 1e-3)
    return Volume(labels.array, grid.spacing, grid.origin, grid.direction)
