"""DICOM series as folders and files: order, place, selection, and what leaves the reader."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from KneePipelineLib.errors import ConfigError, DicomError, NothingUsableError
from KneePipelineLib.imaging import dicom_facts, list_series, open_input, read_image
from Testing.imaging.refusals import codes, fails


def right_handed(make: object) -> list[np.ndarray]:
    """The 24 of the 48 axis orders that DICOM can express: its slice axis is the normal of the image plane."""
    return [d for d in make.permutations if np.linalg.det(d) > 0]


def test_every_plane_is_read_in_place_and_as_itk_reads_it(make: object, tmp_path: Path) -> None:
    for n, direction in enumerate([*right_handed(make), make.oblique(), make.oblique((-80, 33, 150))]):
        volume = make.volume(direction)
        files = make.series(tmp_path / str(n), volume)
        found = read_image(tmp_path / str(n))
        assert make.points(found) == make.points(volume)
        reference = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / str(n))))
        assert (sitk.GetArrayFromImage(reference) == found.array).all()
        assert reference.GetOrigin() == pytest.approx(found.origin, abs=1e-6)
        assert reference.GetDirection() == pytest.approx(found.direction.ravel(), abs=1e-6)
        assert sorted(found.meta["dicom_files"]) == sorted(str(f) for f in files)


def test_left_handed_stacks_come_out_at_the_same_points(make: object, tmp_path: Path) -> None:
    for n, direction in enumerate(d for d in make.permutations if np.linalg.det(d) < 0):
        volume = make.volume(direction)
        make.series(tmp_path / str(n), volume)
        assert make.points(read_image(tmp_path / str(n))) == make.points(volume)


def test_names_instance_numbers_and_folders_do_not_matter(make: object, tmp_path: Path) -> None:
    volume = make.volume(make.oblique(), size=(7, 6, 9))
    files = make.series(tmp_path / "plain", volume)
    order = list(range(9))
    random.Random(2).shuffle(order)

    def shuffled(dataset: object, k: int) -> None:
        dataset.InstanceNumber = order[k]

    make.series(tmp_path / "shuffled", volume, tweak=shuffled)
    assert make.points(read_image(tmp_path / "shuffled")) == make.points(volume)
    for n, path in enumerate(files):
        target = tmp_path / "nested" / f"sub{n % 3}" / "deeper" / f"IM{order[n]}"  # no suffix
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (tmp_path / "nested" / "README").write_text("not an image")
    (tmp_path / "nested" / ".hidden").write_text("nor this")
    found = read_image(tmp_path / "nested")
    assert make.points(found) == make.points(volume)
    positions = [pydicom.dcmread(f).ImagePositionPatient for f in found.meta["dicom_files"]]
    assert np.array(positions, float) == pytest.approx(np.array([found.to_physical((0, 0, k)) for k in range(9)]))


def test_files_without_the_128_byte_preamble_are_read(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    for path in make.series(tmp_path, volume):
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        path.unlink()
        dataset.save_as(path.with_suffix(""), enforce_file_format=False, implicit_vr=True, little_endian=True)
    assert make.points(read_image(tmp_path)) == make.points(volume)


def test_one_file_stands_for_its_series(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    files = make.series(tmp_path, volume)
    make.series(tmp_path, make.volume(size=(20, 20, 20)), name="other{}.dcm", SeriesNumber=9)
    found = read_image(files[2])
    assert make.points(found) == make.points(volume)
    assert codes(found) == ["SERIES_COMPLETED"]
    lonely = tmp_path / "lonely" / "one.dcm"
    lonely.parent.mkdir()
    shutil.copy(files[0], lonely)
    assert "2-D only" in fails(DicomError, lonely).message


def test_the_largest_series_is_read_with_a_warning_and_any_can_be_chosen(make: object, tmp_path: Path) -> None:
    small, large = make.volume(seed=1), make.volume(size=(9, 9, 9), seed=2)
    make.series(tmp_path / "a", small, SeriesNumber=3, SeriesDescription="SAG PD FS", SeriesInstanceUID="1.2.3.4")
    make.series(tmp_path / "b", large, SeriesNumber=4, SeriesDescription="SAG DESS", SeriesInstanceUID="1.2.3.5")
    make.series(tmp_path / "c", small, SeriesNumber=5, SeriesDescription="COR DESS", SeriesInstanceUID="1.2.3.6")
    found = read_image(tmp_path)
    assert found.size == large.size
    assert codes(found) == ["SEVERAL_SERIES"]
    assert "3 series" in found.meta["warnings"][0][1]
    for choice in ("1.2.3.4", 3, "3", "pd fs"):
        chosen = read_image(tmp_path, series=choice)
        assert make.points(chosen) == make.points(small)
        assert codes(chosen) == []
    error = fails(ConfigError, tmp_path, series="dess")
    assert "SAG DESS" in error.message
    assert "COR DESS" in error.message
    assert "hoose by number" in error.hint
    assert "hoose by number" in found.meta["warnings"][0][1]
    unknown = fails(ConfigError, tmp_path, series="ultrasound").hint
    assert unknown.startswith("Choose by number; there are: 3 (SAG PD FS)")
    listed = list_series(tmp_path)
    assert [(s.number, s.description, s.slices, s.size) for s in listed] == [
        (3, "SAG PD FS", 5, (7, 6, 5)), (4, "SAG DESS", 9, (9, 9, 9)), (5, "COR DESS", 5, (7, 6, 5))]
    assert read_image(tmp_path, series=listed[0].uid).size == small.size
    assert "1.2.3" not in repr(listed)


def test_localizers_and_screenshots_beside_the_series_are_passed_over(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    make.series(tmp_path / "dess", volume)
    uid = pydicom.uid.generate_uid()
    for n, direction in enumerate(right_handed(make)[:3]):
        make.series(tmp_path / "scout", make.volume(direction, size=(64, 64, 5)), SeriesInstanceUID=uid, SeriesNumber=1,
                    first_instance=10 * n + 1)
    report = make.dataset(Modality="SR", SeriesInstanceUID="1.9.9", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    found = read_image(tmp_path)
    assert make.points(found) == make.points(volume)
    problem = next(s.problem for s in list_series(tmp_path) if s.number == 1)
    assert "3 slice orientations" in problem
    assert "3 slice orientations" in fails(DicomError, tmp_path / "scout").message
    fails(NothingUsableError, tmp_path / "report.dcm", list_series)


def test_spacing_above_slice_thickness_is_normal_and_position_decides(make: object, tmp_path: Path) -> None:
    def lie(dataset: object, _: int) -> None:
        dataset.SpacingBetweenSlices = "99"
        dataset.SliceThickness = "0.5"

    make.series(tmp_path, make.volume(spacing=(0.5, 0.75, 4.0)), tweak=lie)
    found = read_image(tmp_path)
    assert found.spacing == pytest.approx((0.5, 0.75, 4.0))
    assert codes(found) == []


def test_header_rounding_is_tolerated(make: object, tmp_path: Path) -> None:
    volume = make.volume(make.oblique(), size=(64, 64, 40), spacing=(0.36, 0.36, 0.7))

    def rounded(dataset: object, _: int) -> None:
        dataset.ImagePositionPatient = [f"{float(v):.2f}" for v in dataset.ImagePositionPatient]
        dataset.ImageOrientationPatient = [f"{float(v):.5f}" for v in dataset.ImageOrientationPatient]

    make.series(tmp_path, volume, tweak=rounded)
    found = read_image(tmp_path)
    assert found.spacing == pytest.approx(volume.spacing, rel=1e-3)
    assert np.abs(found.direction.T @ found.direction - np.eye(3)).max() < 1e-12
    assert found.same_grid(volume, 0.05)


def test_a_series_exported_twice_is_read_once(make: object, tmp_path: Path) -> None:
    for path in make.series(tmp_path / "a", make.volume()):
        (tmp_path / "b").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "b" / f"copy of {path.name}")
    found = read_image(tmp_path)
    assert make.points(found) == make.points(make.volume())
    assert codes(found) == ["REPEATED_FILES"]


def test_magnitude_is_read_where_phase_lies_beside_it(make: object, tmp_path: Path) -> None:
    volume, phase = make.volume(), make.volume(seed=9)
    uid = pydicom.uid.generate_uid()
    make.series(tmp_path, volume, SeriesInstanceUID=uid, ImageType=["ORIGINAL", "PRIMARY", "M", "FFE"])
    make.series(tmp_path, phase, SeriesInstanceUID=uid, ImageType=["ORIGINAL", "PRIMARY", "P", "FFE"],
                first_instance=90)
    assert make.points(read_image(tmp_path)) == make.points(volume)


def test_headers_are_read_once_for_an_open_input(make: object, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    make.series(tmp_path, make.volume())
    calls = []
    original = pydicom.dcmread

    def counting(*args: object, **options: object) -> object:
        calls.append("specific_tags" in options)
        return original(*args, **options)

    monkeypatch.setattr(pydicom, "dcmread", counting)
    with open_input(tmp_path) as source:
        list_series(source)
        read_image(source)
        dicom_facts(source)
    assert sum(calls) == 5


def test_nothing_private_leaves_the_reader(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(), SeriesDescription="DESS Quentin 19500102 ID-77SECRET knee",
                ProtocolName="Secretname protocol", BodyPartExamined="KNEE", StationName="SecretStation")
    found = read_image(tmp_path)
    visible = {k: v for k, v in found.meta.items() if k != "dicom_files"}
    text = repr([visible, dicom_facts(tmp_path), list_series(tmp_path)]).lower()
    for secret in ("secret", "quentin", "19500102", "1950", "20200304", "hospital", "1.2.826", "acc99", str(tmp_path)):
        assert secret.lower() not in text
    assert "knee" in text
