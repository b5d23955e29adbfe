"""Pixels of DICOM files: compressed, in another byte order, rescaled, and what a broken decoder comes to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import DicomError
from KneePipelineLib.imaging import read_image
from Testing.imaging.refusals import fails


@pytest.mark.parametrize(("syntax", "dtype"), [
    ("rle", np.int16), ("j2k", np.int16), ("jpegll", np.int16), ("jpegls", np.int16), ("j2k", np.uint16)])
def test_compressed_pixels_are_read(syntax: str, dtype: type, make: object, tmp_path: Path) -> None:
    volume = make.volume(make.oblique(), size=(48, 40, 3), dtype=dtype)
    for path in make.series(tmp_path, volume):
        make.compress(path, syntax)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    found = read_image(tmp_path)
    assert found.array.dtype == dtype
    assert make.points(found) == make.points(volume)


def test_slices_shared_among_children_keep_their_order(make: object, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    volume = make.volume(size=(12, 10, 7))
    for path in make.series(tmp_path, volume):
        make.compress(path, "jpegls")
    monkeypatch.setattr("KneePipelineLib.imaging.dicom_pixels._FILES_WORTH_A_CHILD", 3)
    monkeypatch.setattr("KneePipelineLib.imaging.dicom_pixels._THREADS", 3)
    assert make.points(read_image(tmp_path)) == make.points(volume)


def test_a_damaged_compressed_slice_is_a_sentence(make: object, tmp_path: Path) -> None:
    files = make.series(tmp_path, make.volume(size=(48, 40, 3)))
    for path in files:
        make.compress(path, "j2k")
    dataset = pydicom.dcmread(files[1])
    stream = pydicom.encaps.get_frame(dataset.PixelData, 0)
    dataset.PixelData = pydicom.encaps.encapsulate([stream[:60]])
    dataset.save_as(files[1])
    assert "damaged" in fails(DicomError, tmp_path).message


@pytest.mark.parametrize(("code", "limit_s", "sentence"), [
    ("import os; os.abort()", 60, "broke down"), ("import time; time.sleep(60)", 0.5, "too long")])
def test_a_decoder_that_dies_or_hangs_is_a_sentence(code: str, limit_s: float, sentence: str, make: object,
                                                    tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in make.series(tmp_path, make.volume()):
        make.compress(path, "jpegls")
    monkeypatch.setattr("KneePipelineLib.imaging.dicom_pixels._CHILD", code)
    monkeypatch.setattr("KneePipelineLib.imaging.dicom_pixels.CHILD_TIMEOUT_S", limit_s)
    assert sentence in fails(DicomError, tmp_path).message


def test_big_endian_and_deflated_files_are_read(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    for path in make.series(tmp_path / "deflated", volume):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        dataset.save_as(path, enforce_file_format=True)
    assert make.points(read_image(tmp_path / "deflated")) == make.points(volume)

    def big_endian(dataset: object, _: int) -> None:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()

    make.series(tmp_path / "big", volume, tweak=big_endian)
    found = read_image(tmp_path / "big")
    assert make.points(found) == make.points(volume)
    assert found.array.dtype.isnative


def test_rescaling_is_applied_slice_by_slice(make: object, tmp_path: Path) -> None:
    volume = make.volume()

    def rescale(dataset: object, k: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(k + 0.5), "-10"

    make.series(tmp_path, volume, tweak=rescale)
    found = read_image(tmp_path)
    assert found.array.dtype == np.float32
    expected = volume.array * (np.arange(5) + 0.5)[:, None, None] - 10
    assert found.array == pytest.approx(expected)
