"""Files that vanish, UIDs that lie, series torn apart, positions that were rounded: read, or the true reason."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import ConfigError, DicomError, NothingUsableError
from KneePipelineLib.imaging import list_series, read_echoes, read_image, write_volume
from Testing.imaging.refusals import codes, fails


@pytest.mark.parametrize("suffix", ["", ".dcm"])
@pytest.mark.parametrize("kind", ["empty", "zeros", "dangling"])
def test_files_that_cannot_be_opened_are_counted(kind: str, suffix: str, make: object, tmp_path: Path) -> None:
    files = make.series(tmp_path, make.volume(size=(7, 6, 9)), name="im{:04d}" + suffix)
    for path in files[-3:]:
        if kind == "dangling":
            path.unlink()
            path.symlink_to("/nowhere/" + path.name)
        else:
            path.write_bytes(b"" if kind == "empty" else bytes(700))
    (tmp_path / "README.txt").write_bytes(b"")
    found = read_image(tmp_path)
    assert found.size == (7, 6, 6)
    assert found.meta["warnings"][0][0] == "UNREADABLE_FILES"
    assert found.meta["warnings"][0][1].startswith("3 file(s)")


def test_lost_files_are_named_as_a_cause_of_gaps_and_of_nothing(make: object, tmp_path: Path) -> None:
    files = make.series(tmp_path, make.volume(size=(7, 6, 6)), name="im{}")
    files[2].write_bytes(b"")
    assert fails(DicomError, tmp_path).hint.startswith("1 DICOM file(s) of the input are damaged or cannot be opened")
    for path in files:
        path.write_bytes(b"")
    assert "6 of them are empty" in fails(NothingUsableError, tmp_path).message


@pytest.mark.parametrize(("promised", "missing"), [(9, False), (12, True), (None, False), (4, False)])
def test_the_number_of_images_that_the_header_promises(promised: int | None, missing: bool, make: object,
                                                       tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(size=(7, 6, 9)), **({"ImagesInAcquisition": promised} if promised else {}))
    assert ("IMAGES_MISSING" in codes(read_image(tmp_path))) is missing


def test_images_counted_over_all_series_of_the_study_are_no_reason_to_worry(make: object, tmp_path: Path) -> None:
    for n in (1, 2):
        make.series(tmp_path / str(n), make.volume(size=(7, 6, 9)), SeriesNumber=n, ImagesInAcquisition=18,
                    SeriesDescription=f"S{n}", RepetitionTime=10 * n)
    assert codes(read_image(tmp_path)) == ["SEVERAL_SERIES"]


def test_a_link_to_the_series_folder_is_followed_once(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    make.series(tmp_path / "series", volume)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "knee").symlink_to(tmp_path / "series")
    (tmp_path / "linked" / "circle").symlink_to(tmp_path / "linked")
    found = read_image(tmp_path / "linked")
    assert make.points(found) == make.points(volume)
    assert codes(found) == []


def test_packed_dicom_and_nrrd(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    for path in make.series(tmp_path / "s", volume):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    found = read_image(tmp_path / "s")
    assert make.points(found) == make.points(volume)
    assert found.meta["dicom_files"] == ()
    write_volume(volume, tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd.gz").write_bytes(gzip.compress((tmp_path / "a.nrrd").read_bytes()))
    assert make.points(read_image(tmp_path / "a.nrrd.gz")) == make.points(volume)


def set_to(**values: object) -> object:
    def tweak(dataset: object, k: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value(k) if callable(value) else value)
    return tweak


@pytest.mark.parametrize("values", [
    {"SOPInstanceUID": "1.2.3.4"},
    {"SeriesInstanceUID": lambda k: f"1.2.3.{k + 1}"},
    {"SeriesInstanceUID": lambda k: f"1.2.3.{k + 1}", "StudyInstanceUID": lambda k: f"1.2.4.{k + 1}"},
    {"SeriesInstanceUID": "", "StudyInstanceUID": ""},
])
def test_uids_do_not_outweigh_positions(values: dict, make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(), tweak=set_to(**values))
    found = read_image(tmp_path)
    assert make.points(found) == make.points(make.volume())
    assert codes(found) == []


def test_images_of_several_localizers_are_not_joined(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(size=(20, 20, 20)), SeriesNumber=5)
    for n, direction in enumerate(d for d in make.permutations[:6] if np.linalg.det(d) > 0):
        make.series(tmp_path / str(n), make.volume(direction), slices=[2], SeriesNumber=1)
    assert read_image(tmp_path).size == (20, 20, 20)
    assert len(list_series(tmp_path)) == 4


def test_two_examinations_of_one_number_and_name_can_be_chosen(make: object, tmp_path: Path) -> None:
    volumes = [make.volume(seed=n) for n in (1, 2)]
    for n, volume in enumerate(volumes):
        make.series(tmp_path / "ab"[n], volume, SeriesNumber=5, StudyInstanceUID=f"1.2.3.{n + 1}")
    hint = fails(ConfigError, tmp_path, series=5).hint
    assert "#1, #2" in hint
    assert [make.points(read_image(tmp_path, series=f"#{n}")) for n in (1, 2)] == [make.points(v) for v in volumes]
    fails(ConfigError, tmp_path, series="#3")


def test_one_place_for_all_slices_is_said(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(size=(7, 6, 9)), tweak=set_to(ImagePositionPatient=[1, 2, 3]))
    assert "All 9 images of the series lie at one" in fails(DicomError, tmp_path).message


@pytest.mark.parametrize(("step_mm", "digits"), [(0.75, 1), (0.3, 1), (2.75, 2)])
def test_rounded_positions_are_evenly_spaced(step_mm: float, digits: int, make: object, tmp_path: Path) -> None:
    volume = make.volume(size=(16, 16, 40), spacing=(0.5, 0.5, step_mm))
    make.series(tmp_path, volume, tweak=lambda dataset, _: setattr(
        dataset, "ImagePositionPatient", [f"{float(v):.{digits}f}" for v in dataset.ImagePositionPatient]))
    assert read_image(tmp_path).spacing[2] == pytest.approx(step_mm, rel=0.01)


@pytest.mark.parametrize("missing", [1, 5, 38])
def test_rounding_hides_no_missing_slice(missing: int, make: object, tmp_path: Path) -> None:
    volume = make.volume(size=(16, 16, 40), spacing=(0.5, 0.5, 0.3))
    make.series(tmp_path, volume, slices=[k for k in range(40) if k != missing])
    assert "missing" in fails(DicomError, tmp_path).message


def test_qdess_halves_in_two_series_are_one_acquisition(make: object, tmp_path: Path) -> None:
    pair = [make.volume(seed=n) for n in (1, 2)]
    for n, volume in enumerate(pair):
        make.series(tmp_path / str(n), volume, SeriesNumber=5 + n, EchoNumbers=n + 1, ScanningSequence="GR")
    combined = read_image(tmp_path, echo="rss")
    assert combined.meta["echoes"] == 2
    assert codes(combined) == ["SERIES_JOINED"]
    assert combined.array == pytest.approx(np.hypot(pair[0].array.astype(float), pair[1].array), rel=1e-6)
    alone = read_image(tmp_path, series=5)
    assert make.points(alone) == make.points(pair[0])
    assert alone.meta["echoes"] == 2  # T2 is possible all the same
    assert len(read_echoes(tmp_path, series=5)) == 2


def test_a_proton_density_and_a_t2_weighted_series_are_not_combined(make: object, tmp_path: Path) -> None:
    for n, time in enumerate((30, 80)):
        make.series(tmp_path / str(n), make.volume(seed=n), SeriesNumber=n, EchoTime=time, FlipAngle=90,
                    RepetitionTime=3000, ScanningSequence="SE", SeriesDescription="TSE")
    assert read_image(tmp_path).meta["echoes"] == 1


def test_a_mistake_of_ours_is_not_called_damage(make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.series(tmp_path, make.volume())

    def mistaken(*_: object, **__: object) -> None:
        raise NameError("frames_off")

    monkeypatch.setattr("KneePipelineLib.imaging.dicom_frames.frames_of", mistaken)
    with pytest.raises(NameError):
        read_image(tmp_path)


def test_damage_tells_its_cause(make: object, tmp_path: Path) -> None:
    files = make.series(tmp_path, make.volume(size=(7, 6, 6)))
    dataset = pydicom.dcmread(files[5])
    files[5].write_bytes(files[5].read_bytes()[:140])
    assert dataset.InstanceNumber == 6
    code, sentence = read_image(tmp_path).meta["warnings"][0]
    assert code == "DAMAGED_FILES"
    assert sentence.rstrip(".").endswith("Error)")
