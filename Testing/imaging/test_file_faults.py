"""Every way in which a NIfTI, NRRD or MetaImage file can be wrong: a sentence, and nothing loaded."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from KneePipelineLib.errors import (
    ConfigError,
    InputTooLargeError,
    InvalidFormatError,
    KneePipelineError,
    MissingFileError,
    NothingUsableError,
)
from KneePipelineLib.imaging import Limits, Volume, read_echoes, read_image, read_labels, to_sitk, write_volume
from Testing.imaging.makers import SUFFIXES
from Testing.imaging.refusals import fails


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.0, 0.2, 0.6, -1, -5, -9])
def test_a_file_cut_short_is_refused(suffix: str, kept: float, make: object, tmp_path: Path) -> None:
    path = write_volume(make.volume(size=(30, 20, 10)), tmp_path / f"image{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept >= 0 else int(kept)])
    fails(InvalidFormatError, path)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_a_flipped_byte_in_packed_voxels_is_noticed(suffix: str, make: object, tmp_path: Path) -> None:
    path = write_volume(make.volume(size=(30, 20, 10)), tmp_path / f"image{suffix}")
    data = bytearray(path.read_bytes())
    data[-len(data) // 3] ^= 0x55
    path.write_bytes(bytes(data))
    assert "damaged" in fails(InvalidFormatError, path).message


def test_missing_and_unreadable_inputs(tmp_path: Path) -> None:
    fails(MissingFileError, tmp_path / "nothing.nii.gz")
    fails(MissingFileError, tmp_path / ("x" * 300))
    (tmp_path / "text.txt").write_text("hello, I am a text and no image")
    assert "known format" in fails(InvalidFormatError, tmp_path / "text.txt").message
    (tmp_path / "liar.nii.gz").write_text("hello, I am a text and no image")
    assert "NIfTI" in fails(InvalidFormatError, tmp_path / "liar.nii.gz").message
    (tmp_path / "liar.nrrd").write_bytes(b"\0" * 500)
    assert "NRRD" in fails(InvalidFormatError, tmp_path / "liar.nrrd").message
    (tmp_path / "liar.dcm").write_bytes(b"\0" * 500)
    fails(KneePipelineError, tmp_path / "liar.dcm")


def test_empty_folder_and_folder_without_image(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(NothingUsableError, tmp_path / "empty").message
    (tmp_path / "notes" / "deeper").mkdir(parents=True)
    (tmp_path / "notes" / "deeper" / "readme.txt").write_text("no image")
    assert "no image" in fails(NothingUsableError, tmp_path / "notes").message


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_two_dimensional_images_are_refused(suffix: str, tmp_path: Path) -> None:
    flat = sitk.GetImageFromArray(np.arange(30, dtype=np.int16).reshape(5, 6))
    sitk.WriteImage(flat, str(tmp_path / f"flat{suffix}"))
    assert "2-D only" in fails(InvalidFormatError, tmp_path / f"flat{suffix}").message
    single = sitk.GetImageFromArray(np.arange(30, dtype=np.int16).reshape(1, 5, 6))
    sitk.WriteImage(single, str(tmp_path / f"single{suffix}"))
    assert "2-D only" in fails(InvalidFormatError, tmp_path / f"single{suffix}").message


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_colour_images_are_refused(suffix: str, tmp_path: Path) -> None:
    colour = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(colour, str(tmp_path / f"rgb{suffix}"))
    assert "RGB" in fails(InvalidFormatError, tmp_path / f"rgb{suffix}").message


def test_one_echo_is_not_enough_for_t2(make: object, tmp_path: Path) -> None:
    path = write_volume(make.volume(), tmp_path / "a.nrrd")
    assert "at least two" in fails(InvalidFormatError, path, read_echoes).message
    assert read_image(path, echo=1).array.shape == (5, 6, 7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused(bad: float, make: object, tmp_path: Path) -> None:
    array = make.volume().array.astype(np.float32)
    array[1, 2, 3] = bad
    path = write_volume(Volume(array), tmp_path / "a.nrrd")
    assert "1 voxels" in fails(InvalidFormatError, path).message
    assert np.isclose(read_image(path, allow_nan=True).array[1, 2, 3], bad, equal_nan=True)


def test_an_empty_label_map_is_called_one(tmp_path: Path) -> None:
    for kind in (np.uint8, np.int16):
        write_volume(Volume(np.zeros((5, 6, 7), kind)), tmp_path / "image.nrrd")
        assert "empty label map" in fails(InvalidFormatError, tmp_path / "image.nrrd").message
    write_volume(Volume(np.zeros((5, 6, 7), np.float32)), tmp_path / "image.nrrd")
    assert "label map" not in fails(InvalidFormatError, tmp_path / "image.nrrd").message


def test_one_echo_is_called_one(tmp_path: Path) -> None:
    write_volume(Volume(np.arange(210.0).reshape(5, 6, 7).astype(np.int16)), tmp_path / "image.nrrd")
    error = fails(ConfigError, tmp_path / "image.nrrd", echo=7)
    assert error.message == "The image holds one echo only, so there is no echo 7."
    assert "Choose 1 to" not in error.hint


def test_a_constant_image_is_refused(tmp_path: Path) -> None:
    path = write_volume(Volume(np.full((4, 5, 6), 7, np.int16)), tmp_path / "a.nii.gz")
    assert "value 7" in fails(InvalidFormatError, path).message


def test_complex_images_are_refused(tmp_path: Path) -> None:
    nibabel.Nifti1Image(np.ones((4, 5, 6), np.complex64), np.eye(4)).to_filename(tmp_path / "c.nii")
    assert "complex" in fails(InvalidFormatError, tmp_path / "c.nii").message


@pytest.mark.parametrize("spacing", [1e-6, 0.0, 5000.0, float("nan")])
def test_impossible_spacing_is_refused(spacing: float, tmp_path: Path) -> None:
    head = ("NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nspace: LPS\n"
            f"space directions: ({spacing},0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\n\n")
    (tmp_path / "a.nrrd").write_bytes(head.encode() + bytes(range(8)))
    assert "impossible spacing" in fails(InvalidFormatError, tmp_path / "a.nrrd").message


def test_size_limits_are_kept_before_voxels_are_loaded(make: object, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = write_volume(make.volume(), tmp_path / f"a{suffix}")
        fails(InputTooLargeError, path, limits=Limits(max_voxels=209))
        assert read_image(path, limits=Limits(max_voxels=210)).array.size == 210
        fails(InputTooLargeError, path, limits=Limits(max_file_bytes=100))
    huge = tmp_path / "huge.nrrd"  # a header that promises 8 TB, with nothing behind it
    huge.write_bytes(b"NRRD0004\ntype: double\ndimension: 3\nsizes: 10000 10000 10000\nencoding: raw\n\n")
    fails(InputTooLargeError, huge)
    many = tmp_path / "many.nrrd"
    many.write_bytes(b"NRRD0004\ntype: uchar\ndimension: 4\nsizes: 9 9 9 99\nencoding: raw\n\n")
    fails(InputTooLargeError, many)


def test_voxels_in_another_file_must_be_there(make: object, tmp_path: Path) -> None:
    for header in ("a.nhdr", "a.mhd"):
        sitk.WriteImage(to_sitk(make.volume()), str(tmp_path / header), useCompression=False)
        (tmp_path / "a.raw").unlink()
        fails(MissingFileError, tmp_path / header)


@pytest.mark.parametrize("value", [0.5, -1.0, 70000.0, np.nan])
def test_what_is_no_label_is_refused(value: float, tmp_path: Path) -> None:
    array = np.zeros((4, 5, 6), np.float32)
    array[1, 1, 1] = value
    path = write_volume(Volume(array), tmp_path / "a.nrrd")
    assert "label" in fails(InvalidFormatError, path, read_labels).message
