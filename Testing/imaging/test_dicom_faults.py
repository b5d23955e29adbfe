"""Faults of a DICOM series: gaps, odd slices, damaged files, limits; a sentence for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import DicomError, InputTooLargeError, InvalidFormatError, KneePipelineError
from KneePipelineLib.imaging import Limits, read_echoes, read_image, read_labels
from Testing.imaging.refusals import codes, fails


@pytest.mark.parametrize("kept", [[0, 1, 3, 4, 5], [0, 1, 2, 3, 5], [0, 3, 4, 5]])
def test_missing_slices_are_noticed(kept: list[int], make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(size=(7, 6, 6)), slices=kept)
    error = fails(DicomError, tmp_path)
    assert "irregularly spaced" in error.message
    assert "missing" in error.message
    assert "2.00 mm elsewhere" in error.message


def test_a_slice_out_of_line_is_noticed(make: object, tmp_path: Path) -> None:
    def drift(dataset: object, k: int) -> None:
        dataset.ImagePositionPatient = make.decimal(np.array([0.0, 3.0 * k, 2.0 * k]))

    make.series(tmp_path, make.volume(), tweak=drift)
    assert "not stacked straight" in fails(DicomError, tmp_path).message


def test_doubled_positions_are_noticed(make: object, tmp_path: Path) -> None:
    uid = pydicom.uid.generate_uid()
    make.series(tmp_path, make.volume(), SeriesInstanceUID=uid)
    make.series(tmp_path, make.volume(), SeriesInstanceUID=uid, slices=[1, 3], first_instance=50)
    assert "2 of the series' 5 slice positions" in fails(DicomError, tmp_path).message
    fails(DicomError, tmp_path, read_echoes)


def spoil(**changes: object) -> object:
    """Change elements of slice 2 only."""
    def tweak(dataset: object, k: int) -> None:
        if k == 2:
            for keyword, value in changes.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)
    return tweak


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"ImagePositionPatient": None}, "1 of the series' 5 image"),
    ({"ImageOrientationPatient": None}, "do not say where"),
    ({"PixelSpacing": None}, "PixelSpacing"),
    ({"PixelSpacing": ["0.5", "0.9"]}, "pixel spacings"),
    ({"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, "orientations"),
    ({"Rows": 3, "Columns": 14}, "2 sizes"),
    ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "RGB"),
])
def test_one_odd_slice_spoils_a_series(changes: dict, sentence: str, make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(), tweak=spoil(**changes))
    assert sentence in fails(DicomError, tmp_path).message


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"PixelSpacing": ["0", "0"]}, "impossible spacing"),
    ({"PixelSpacing": ["500", "500"]}, "impossible spacing"),
    ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
    ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "perpendicular"),
])
def test_impossible_geometry_is_refused(changes: dict, sentence: str, make: object, tmp_path: Path) -> None:
    def tweak(dataset: object, _: int) -> None:
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)

    make.series(tmp_path, make.volume(), tweak=tweak)
    with pytest.raises(KneePipelineError, match=sentence):
        read_image(tmp_path)


def test_colour_and_screen_films_are_refused(make: object, tmp_path: Path) -> None:
    dataset = make.dataset(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0, BitsAllocated=8,
                           BitsStored=8, HighBit=7, SeriesInstanceUID="1.2.9")
    make.pixels(dataset, np.zeros((4, 5), np.uint8))
    dataset.PixelData = bytes(60)
    dataset.save_as(tmp_path / "rgb.dcm", enforce_file_format=True)
    assert "RGB" in fails(DicomError, tmp_path).message
    film = make.dataset(SeriesInstanceUID="1.2.9", NumberOfFrames=4)
    make.pixels(film, np.zeros((4, 5, 6), np.uint16))
    film.save_as(tmp_path / "rgb.dcm", enforce_file_format=True)
    assert "do not say where they lie" in fails(DicomError, tmp_path).message


@pytest.mark.parametrize("kept", [-1, 0.9, 0.5])
def test_pixels_cut_short_are_noticed(kept: float, make: object, tmp_path: Path) -> None:
    files = make.series(tmp_path, make.volume(size=(64, 64, 5)))
    data = files[2].read_bytes()
    files[2].write_bytes(data[: int(kept * len(data)) if kept > 0 else kept])
    assert "1 of the series' 5" in fails(DicomError, tmp_path).message


def test_headers_cut_short_are_noticed(make: object, tmp_path: Path) -> None:
    files = make.series(tmp_path, make.volume(size=(7, 6, 6)))
    files[5].write_bytes(files[5].read_bytes()[:140])
    found = read_image(tmp_path)  # the last slice is gone, what is left is regular: read, but not silently
    assert found.size == (7, 6, 5)
    assert codes(found) == ["DAMAGED_FILES"]
    for path in files:
        path.write_bytes(path.read_bytes()[:140])
    assert "None of the 6" in fails(DicomError, tmp_path).message


def test_damaged_files_are_named_as_a_cause_of_gaps(make: object, tmp_path: Path) -> None:
    files = make.series(tmp_path, make.volume(size=(7, 6, 6)))
    files[2].write_bytes(files[2].read_bytes()[:140])
    error = fails(DicomError, tmp_path)
    assert "irregularly spaced" in error.message
    assert error.hint.startswith("1 DICOM file(s) of the input are damaged")


def test_missing_pixels_are_noticed(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(), tweak=spoil(PixelData=None))
    assert "1 of the series' 5" in fails(DicomError, tmp_path).message


def test_a_constant_series_is_refused(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    make.series(tmp_path, volume.with_array(np.zeros_like(volume.array)))
    assert "constant" in fails(InvalidFormatError, tmp_path).message


def test_limits_hold_before_pixels_are_read(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume())
    fails(InputTooLargeError, tmp_path, limits=Limits(max_voxels=209))
    fails(InputTooLargeError, tmp_path, limits=Limits(max_files=4))
    fails(InputTooLargeError, tmp_path, limits=Limits(max_file_bytes=100))
    assert read_image(tmp_path, limits=Limits(max_voxels=210, max_files=5)).size == (7, 6, 5)


def test_segmentation_objects_are_no_label_maps_yet(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume())
    assert "DICOM" in fails(InvalidFormatError, tmp_path, read_labels).message
