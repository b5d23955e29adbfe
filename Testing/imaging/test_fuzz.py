"""Whatever bytes a file holds, reading ends in a Volume or in one of our typed errors: nothing else, and no crash."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from KneePipelineLib.errors import KneePipelineError
from KneePipelineLib.imaging import (
    Limits,
    Volume,
    dicom_facts,
    list_series,
    read_echoes,
    read_image,
    read_labels,
    to_sitk,
    write_volume,
)

SMALL = Limits(max_voxels=10**6)
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

edits = st.lists(st.one_of(
    st.tuples(st.just("set"), st.floats(0, 1), st.integers(0, 255)),
    st.tuples(st.just("digit"), st.floats(0, 1), st.sampled_from(b"0123456789-+.eE() \n:=")),
    st.tuples(st.just("cut"), st.floats(0, 1), st.integers(1, 40)),
    st.tuples(st.just("double"), st.floats(0, 1), st.integers(1, 40)),
    st.tuples(st.just("end"), st.floats(0, 1), st.just(0)),
), min_size=1, max_size=5)


def edited(data: bytes, changes: list[tuple[str, float, int]], header: int) -> bytes:
    """Apply changes to the first ``header`` bytes (truncation: anywhere)."""
    result = bytearray(data)
    for kind, where, value in changes:
        at = int(where * max(min(header, len(result)) - 1, 0))
        if kind in ("set", "digit") and result:
            result[at] = value
        elif kind == "cut":
            del result[at:at + value]
        elif kind == "double":
            result[at:at] = result[at:at + value]
        elif kind == "end":
            del result[int(where * len(result)):]
    return bytes(result)


def survives(path: Path, *readers: Callable[..., object]) -> None:
    for read in readers:
        outcome = attempt(read, path)
        if isinstance(outcome, KneePipelineError):
            assert outcome.message
            assert "\n" not in outcome.message
            assert "Secretname" not in outcome.message
            continue
        for volume in outcome if isinstance(outcome, list) else [outcome]:
            if isinstance(volume, Volume):
                assert np.isfinite(volume.affine).all()


def attempt(read: Callable[..., object], path: Path) -> object:
    """What reading gives, or the typed error it ends in; Python warnings count as failures."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return read(path, limits=SMALL)
        except KneePipelineError as error:
            return error


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, make: object) -> dict[str, bytes]:
    """One good file of every kind."""
    folder = tmp_path_factory.mktemp("originals")
    volume = make.volume(make.oblique())
    result = {s: write_volume(volume, folder / f"a{s}").read_bytes() for s in (".nrrd", ".nii", ".nii.gz", ".mha")}
    for name in ("raw.nrrd", "raw.mha"):
        sitk.WriteImage(to_sitk(volume), str(folder / name), useCompression=False)
        result[name] = (folder / name).read_bytes()
    result["classic.dcm"] = make.series(folder / "classic", volume)[2].read_bytes()
    result["enhanced.dcm"] = make.enhanced(folder / "e.dcm", [volume, volume], [1.0, 2.0]).read_bytes()
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(folder / "a.nrrd", "a.nrrd")
    result["a.zip"] = (folder / "a.zip").read_bytes()
    return result


@pytest.mark.parametrize("name", [".nrrd", ".nii", ".nii.gz", ".mha", "raw.nrrd", "raw.mha", "a.zip"])
@given(changes=edits)
@FAST
def test_damaged_image_files(name: str, changes: list, originals: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / f"fuzzed{name if name.startswith('.') else Path(name).suffix}"
    path.write_bytes(edited(originals[name], changes, 352 if name == ".nii" else 600))
    survives(path, read_image, read_labels, list_series)


@given(changes=edits)
@FAST
def test_damaged_enhanced_dicom(changes: list, originals: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "fuzzed.dcm"
    path.write_bytes(edited(originals["enhanced.dcm"], changes, len(originals["enhanced.dcm"])))
    survives(path, read_echoes, read_image, dicom_facts)


@given(changes=edits)
@FAST
def test_one_damaged_file_in_a_series(changes: list, originals: dict[str, bytes], tmp_path: Path,
                                      make: object) -> None:
    folder = tmp_path / "series"
    if not folder.exists():
        make.series(folder, make.volume(make.oblique()))
    (folder / "im0003.dcm").write_bytes(edited(originals["classic.dcm"], changes, len(originals["classic.dcm"])))
    survives(folder, read_image, read_echoes, list_series)


@given(data=st.binary(max_size=600), name=st.sampled_from(["a", "a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.dcm",
                                                            "a.zip", "a.seg.nrrd"]),
       magic=st.sampled_from([b"", b"NRRD0004\n", b"ObjectType = Image\n", b"PK\x03\x04", b"\x1f\x8b\x08\x00",
                              bytes(128) + b"DICM", bytes(344) + b"n+1\0", b"\x08\x00\x05\x00CS"]))
@settings(FAST, max_examples=300)
def test_random_bytes(data: bytes, name: str, magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / "random" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(magic + data)
    try:
        survives(path, read_image, read_labels)
    finally:
        path.unlink()


finite = st.floats(-1e4, 1e4, allow_nan=False)


@given(angles=st.tuples(*[st.floats(-180, 180)] * 3), origin=st.tuples(finite, finite, finite),
       spacing=st.tuples(*[st.floats(0.01, 50)] * 3), flip=st.booleans(),
       suffix=st.sampled_from([".nrrd", ".mha", ".nii.gz"]))
@FAST
def test_geometry_survives_writing_and_reading(angles: tuple, origin: tuple, spacing: tuple, flip: bool, suffix: str,
                                               tmp_path: Path, make: object) -> None:
    direction = make.oblique(angles) @ np.diag([-1.0 if flip else 1.0, 1.0, 1.0])
    volume = make.volume(direction, origin=origin, spacing=spacing)
    found = read_image(write_volume(volume, tmp_path / f"a{suffix}"))
    scale = max(1.0, np.abs(volume.affine).max())
    relative = {".nrrd": 1e-14, ".mha": 1e-14, ".nii.gz": 1e-6}[suffix]
    assert np.abs(found.affine - volume.affine).max() <= relative * scale
    assert (found.array == volume.array).all()
