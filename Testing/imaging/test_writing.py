"""Files are whole or absent, the same for the same volume, and keep what later stages need."""

from __future__ import annotations

import errno
import zlib
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.errors import ConfigError, KneePipelineError, MissingFileError
from KneePipelineLib.imaging import Volume, read_image, read_labels, write_volume

SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_volume_gives_the_same_bytes(suffix: str, make: object, no_file_left: Path) -> None:
    first = write_volume(make.volume(), no_file_left / f"a{suffix}").read_bytes()
    second = write_volume(make.volume(), no_file_left / f"b{suffix}").read_bytes()
    assert first == second


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("given", "stored"), [
    (bool, np.uint8), (np.uint8, np.uint8), (np.int16, np.int16), (np.uint16, np.uint16), (np.int64, np.uint8),
    (np.int32, np.uint8), (np.float64, np.float32), (np.float32, np.float32), (np.float16, np.float32)])
def test_types_are_stored_small_and_without_loss(suffix: str, given: type, stored: type, no_file_left: Path) -> None:
    array = (np.arange(60).reshape(3, 4, 5) % 2 if given is bool else np.arange(60).reshape(3, 4, 5)).astype(given)
    found = read_image(write_volume(Volume(array), no_file_left / f"a{suffix}"))
    assert found.array.dtype == stored
    assert (found.array == array.astype(stored)).all()


@pytest.mark.parametrize(("low", "high", "stored"), [
    (-5, 300, np.int16), (0, 40000, np.uint16), (-5, 40000, np.int32), (0, 200, np.uint8)])
def test_wide_integers_shrink_to_what_their_values_need(low: int, high: int, stored: type, no_file_left: Path) -> None:
    array = np.zeros((2, 3, 4), np.int64)
    array[0, 0, 0], array[1, 2, 3] = low, high
    found = read_image(write_volume(Volume(array), no_file_left / "a.nrrd"))
    assert found.array.dtype == stored
    assert (found.array == array).all()


def test_what_cannot_be_stored_is_refused(no_file_left: Path) -> None:
    with pytest.raises(ConfigError):
        write_volume(Volume(np.ones((2, 2, 2), np.complex64)), no_file_left / "a.nrrd")
    with pytest.raises(ConfigError):
        write_volume(Volume(np.full((2, 2, 2), 2**40)), no_file_left / "a.nrrd")
    with pytest.raises(ConfigError):
        write_volume(Volume(np.ones((2, 2, 2))), no_file_left / "a.png")
    with pytest.raises(MissingFileError):
        write_volume(Volume(np.ones((2, 2, 2))), no_file_left / "absent" / "a.nrrd")
    assert list(no_file_left.iterdir()) == []


def test_facts_travel_in_nrrd_and_identifiers_do_not(make: object, no_file_left: Path) -> None:
    facts = {"echo_time_ms": 6.312, "repetition_time_ms": 2450.0, "flip_angle_deg": 90.0, "gl_area": 1560.0,
             "tg_us": 0.0, "modality": "MR", "laterality": "left", "echo_number": 2}
    private = {"dicom_files": ("secret/path.dcm",), "patient": "Secretname", "warnings": [("A", "secret.")]}
    volume = make.volume().with_array(make.volume().array, **facts, **private, body_part=None, field_strength_t=np.nan)
    path = write_volume(volume, no_file_left / "a.nrrd")
    found = read_image(path)
    assert {k: found.meta[k] for k in facts} == facts
    assert found.meta["body_part"] is None
    assert b"ecret" not in path.read_bytes()


def test_a_fact_cannot_break_out_of_its_header_line(make: object, no_file_left: Path) -> None:
    volume = make.volume().with_array(make.volume().array, modality="MR\n\nsizes: 1 1 1\n")
    found = read_image(write_volume(volume, no_file_left / "a.nrrd"))
    assert found.size == volume.size
    assert found.meta["modality"] == "MR sizes: 1 1 1"


def test_a_full_disk_leaves_the_old_file_whole(make: object, no_file_left: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_volume(make.volume(), no_file_left / "a.nrrd")
    before = path.read_bytes()

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("KneePipelineLib.system.atomic.os.fsync", full)
    with pytest.raises(KneePipelineError, match="disk is full"):
        write_volume(make.volume(seed=5), path)
    assert path.read_bytes() == before
    assert [p.name for p in no_file_left.iterdir()] == ["a.nrrd"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_dies_half_way_leaves_nothing(suffix: str, make: object, no_file_left: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("KneePipelineLib.system.atomic.os.replace", die)
    with pytest.raises(KeyboardInterrupt):
        write_volume(make.volume(), no_file_left / f"a{suffix}")
    assert list(no_file_left.iterdir()) == []


def test_the_device_that_is_always_full(make: object) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no such device on this system")
    from KneePipelineLib.imaging.writing import _write_nrrd

    with pytest.raises(OSError, match="No space"):
        _write_nrrd(make.volume(size=(64, 64, 32)), full)


def test_nrrd_holds_a_plain_gzip_stream(make: object, no_file_left: Path) -> None:
    volume = make.volume()
    header, data = write_volume(volume, no_file_left / "a.nrrd").read_bytes().split(b"\n\n", 1)
    assert header.startswith(b"NRRD0004\n")
    assert zlib.decompress(data, 31) == volume.array.tobytes()


def test_views_and_foreign_byte_orders_are_written_right(make: object, no_file_left: Path) -> None:
    volume = make.volume(size=(8, 6, 5))
    for n, array in enumerate((volume.array[:, ::-1, ::2], volume.array.astype(">i2"), volume.array.astype(">f4"))):
        for suffix in SUFFIXES:
            found = read_image(write_volume(Volume(array), no_file_left / f"{n}{suffix}"))
            assert (found.array == array).all()


def test_label_maps_of_the_reference_data_survive(shared: Path, no_file_left: Path) -> None:
    volume = read_labels(shared / "data" / "knee_dess_right_labels.nrrd")
    found = read_labels(write_volume(volume, no_file_left / "a.nrrd"))
    assert np.abs(found.affine - volume.affine).max() <= 1e-12
    assert (found.array == volume.array).all()
    assert found.array.dtype == np.uint8
