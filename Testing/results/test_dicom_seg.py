"""The DICOM segmentation, read back by pydicom alone, by highdicom and, where it is installed, by dcmqi."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import DicomError
from KneePipelineLib.imaging import Volume, read_image, read_labels, write_volume
from KneePipelineLib.phantom.dicom import write_dicom
from KneePipelineLib.results import read_source
from Testing.imaging.makers import oblique, write_enhanced, write_series
from Testing.results.dicom_seg_case import (
    assert_same,
    assert_same_for_dcmqi,
    echoes_of,
    make_labels,
    on_grid,
    read_by_the_rules,
    written,
)


@pytest.mark.skipif(shutil.which("segimage2itkimage") is None, reason="dcmqi is not installed")
def test_dcmqi_takes_part(tmp_path: Path) -> None:
    """So that a run of these tests says whether dcmqi was there."""
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    path = written(tmp_path, labels, read_source(tmp_path / "in"))
    assert_same_for_dcmqi(path, labels)
    with pytest.raises(AssertionError):
        assert_same_for_dcmqi(path, labels.with_array(labels.array[::-1]))


@pytest.mark.parametrize("extension", [".dcm", ""])
def test_qdess_pair_round_trip(tmp_path: Path, extension: str) -> None:
    """Every slice occurs twice in the series; each frame refers to the first echo's image of its slice."""
    labels = make_labels()
    files = write_dicom(echoes_of(labels), tmp_path / "in", extension=extension)
    path = written(tmp_path, labels, read_source(tmp_path / "in"))
    assert_same(path, labels)
    first_echo = {tuple(np.round(np.array(ds.ImagePositionPatient, float), 3)): ds for ds in map(pydicom.dcmread, files)
                  if ds.EchoNumbers == 1}
    seg = pydicom.dcmread(path)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        [image] = frame.DerivationImageSequence[0].SourceImageSequence
        position = tuple(np.round(np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float), 3))
        assert image.ReferencedSOPInstanceUID == first_echo[position].SOPInstanceUID
        assert image.ReferencedSOPClassUID == first_echo[position].SOPClassUID
        assert image.SpatialLocationsPreserved == "YES"
    [series] = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first_echo[position].SeriesInstanceUID
    listed = [i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence]
    assert sorted(listed) == sorted(ds.SOPInstanceUID for ds in first_echo.values())


def test_the_echo_that_was_segmented_is_referred_to(tmp_path: Path) -> None:
    labels = make_labels()
    write_dicom(echoes_of(labels), tmp_path / "in")
    first, second = read_source(tmp_path / "in"), read_source(tmp_path / "in", echo="2")
    assert {i.instance_uid for i in second.images}.isdisjoint(i.instance_uid for i in first.images)
    assert read_source(tmp_path / "in", echo="rss").images == first.images


def test_zip_round_trip(tmp_path: Path) -> None:
    labels = make_labels()
    files = write_dicom(echoes_of(labels, 1), tmp_path / "in", extension="")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for file in files:
            archive.write(file, f"DICOM/{file.name}")
    assert_same(written(tmp_path, labels, read_source(tmp_path / "in.zip")), labels)


@pytest.mark.parametrize("size", [(21, 18, 12), (16, 24, 9)], ids=["bits across bytes", "whole bytes"])
def test_oblique_round_trip(tmp_path: Path, size: tuple[int, int, int]) -> None:
    labels = make_labels(size, oblique())
    write_series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)))
    labels = on_grid(read_source(tmp_path / "in").grid, labels)
    assert_same(written(tmp_path, labels, read_source(tmp_path / "in")), labels)


def test_enhanced_multiframe_round_trip(tmp_path: Path) -> None:
    """Frames of two echoes in any order: each frame refers to that frame of the first echo which shows its slice."""
    labels = make_labels(direction=oblique((3, 80, 4)))
    order = np.random.default_rng(1).permutation(2 * labels.size[2]).tolist()
    path = write_enhanced(tmp_path / "in" / "a.dcm", echoes_of(labels), [10.0, 40.0], order=order)
    source = read_source(path)
    labels = on_grid(source.grid, labels)
    seg_path = written(tmp_path, labels, source)
    assert_same(seg_path, labels)
    given, seg = pydicom.dcmread(path), pydicom.dcmread(seg_path)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        [image] = frame.DerivationImageSequence[0].SourceImageSequence
        shown = given.PerFrameFunctionalGroupsSequence[image.ReferencedFrameNumber - 1]
        assert shown.MREchoSequence[0].EffectiveEchoTime == 10.0
        assert np.allclose(np.array(shown.PlanePositionSequence[0].ImagePositionPatient, float),
                           np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float), atol=1e-4)
        assert image.ReferencedSOPClassUID == given.SOPClassUID
    [reference] = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert reference.ReferencedSOPInstanceUID == given.SOPInstanceUID
    assert "ReferencedFrameNumber" not in reference


def test_real_multi_echo_series_round_trip(tmp_path: Path, shared: Path) -> None:
    folder = shared / "data" / "mese_dicom"
    image = read_image(folder, echo=1)
    rng = np.random.default_rng(0)
    labels = image.with_array(rng.choice(np.arange(11, dtype=np.uint8), size=image.array.shape))
    path = written(tmp_path, labels, read_source(folder))
    assert_same(path, labels)
    assert len(pydicom.dcmread(path).ReferencedSeriesSequence[0].ReferencedInstanceSequence) == image.size[2]


def test_geometry_is_that_of_the_label_map_on_disk(tmp_path: Path) -> None:
    labels = make_labels(direction=oblique())
    write_series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)))
    labels = on_grid(read_source(tmp_path / "in").grid, labels)
    write_volume(labels, tmp_path / "labels.nrrd")
    found = read_by_the_rules(written(tmp_path, labels, read_source(tmp_path / "in")))
    on_disk = read_labels(tmp_path / "labels.nrrd")
    assert found.same_grid(on_disk, 1e-6)
    assert found.orientation == on_disk.orientation


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ASL"])
def test_labels_with_turned_axes_come_back_in_place(tmp_path: Path, orientation: str) -> None:
    """A label map of the same voxels in another order is written slice by slice as the series has them."""
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    path = written(tmp_path, labels.reoriented(orientation), read_source(tmp_path / "in"))
    assert_same(path, labels)
    assert all(f.DerivationImageSequence for f in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence)


@pytest.mark.parametrize("flip", [1, -1])
def test_labels_on_another_grid_refer_to_the_series_only(tmp_path: Path, flip: int) -> None:
    """Also a left-handed grid, whose slices are stacked against the normal of their plane."""
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    other = Volume(labels.array, (0.3, 0.3, 0.9), (1.0, 2.0, 3.0), np.diag([1.0, 1.0, flip]))
    path = written(tmp_path, other, read_source(tmp_path / "in"))
    found = read_by_the_rules(path).reoriented(other.orientation)
    assert found.same_grid(other, 1e-6)
    assert np.array_equal(found.array, other.array)
    seg = pydicom.dcmread(path)
    assert not any(f.DerivationImageSequence for f in seg.PerFrameFunctionalGroupsSequence)
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == labels.size[2]


def test_only_structures_that_occur_are_segments(tmp_path: Path) -> None:
    labels = make_labels(values=(2, 4, 9))
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    path = written(tmp_path, labels, read_source(tmp_path / "in"))
    assert [s.SegmentLabel for s in pydicom.dcmread(path).SegmentSequence] == ["Tibia", "Femoral cartilage",
                                                                              "Lateral meniscus"]
    assert_same(path, labels)


def test_frames_that_show_nothing_are_left_out_but_for_the_ends(tmp_path: Path) -> None:
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    seg = pydicom.dcmread(written(tmp_path, labels, read_source(tmp_path / "in")))
    empty = [tuple(f.FrameContentSequence[0].DimensionIndexValues) for f, plane in
             zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True) if not plane.any()]
    assert empty == [(1, 1), (10, labels.size[2])]


@pytest.mark.parametrize(("declared", "name"), [
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=\u6d2a^\u5409\u6d1e=\ud64d^\uae38\ub3d9"),
    ("ISO_IR 100", "M\u00fcller^J\u00f6rg"), ("ISO 2022 IR 100", "M\u00fcller^J\u00f6rg"), ("", "Plain^Name"),
    ("ISO_IR 6", "Plain^Name"), ("ISO_IR 192", "\u017d^\u010c"), ("ISO_IR 999", "Plain^Name")])
def test_a_name_survives_whatever_character_set_the_header_declares(tmp_path: Path, declared: object,
                                                                    name: str) -> None:
    labels = make_labels()
    for path in write_dicom(echoes_of(labels, 1), tmp_path / "in"):
        dataset = pydicom.dcmread(path)
        dataset.SpecificCharacterSet, dataset.PatientName = declared, name
        dataset.save_as(path)
    path = written(tmp_path, labels, read_source(tmp_path / "in"))
    assert_same(path, labels)
    assert str(pydicom.dcmread(path).PatientName) == name


def test_uids_that_are_not_their_own_are_refused(tmp_path: Path) -> None:
    labels = make_labels()
    for path in write_dicom(echoes_of(labels, 1), tmp_path / "in"):
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = "1.2.3.4"
        dataset.save_as(path)
    with pytest.raises(DicomError, match="no UIDs of their own"):
        read_source(tmp_path / "in")
