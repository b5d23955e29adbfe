"""Detached headers: their voxels come from files beside or below them, wherever the header points."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.errors import InputTooLargeError, InvalidFormatError, KneePipelineError, MissingFileError
from KneePipelineLib.imaging import Limits, read_image
from Testing.imaging.refusals import fails

SIZE = (4, 3, 5)
VOXELS = np.arange(60, dtype="<i2").reshape(SIZE[::-1])


def nhdr(folder: Path, data_file: str) -> Path:
    path = folder / "image.nhdr"
    path.write_text("NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 5\n"
                    "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nendian: little\n"
                    f"encoding: raw\nspace origin: (0,0,0)\ndata file: {data_file}\n")
    return path


def mhd(folder: Path, data_file: str) -> Path:
    path = folder / "image.mhd"
    path.write_text("ObjectType = Image\nNDims = 3\nDimSize = 4 3 5\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
                    f"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementDataFile = {data_file}\n")
    return path


HEADERS = pytest.mark.parametrize("header", [nhdr, mhd])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the header, with voxels in it, below it, beside it, and slice by slice."""
    inside = tmp_path / "case"
    for place in (inside, inside / "below", tmp_path):
        place.mkdir(exist_ok=True)
        (place / "voxels.raw").write_bytes(VOXELS.tobytes())
    for number, layer in enumerate(VOXELS):
        (inside / f"slice{number:02d}.raw").write_bytes(layer.tobytes())
    return inside


@HEADERS
@pytest.mark.parametrize("name", ["voxels.raw", "./voxels.raw", "below/voxels.raw", "slice%02d.raw 0 4 1",
                                  "LIST\n" + "\n".join(f"slice{n:02d}.raw" for n in range(5))])
def test_files_beside_and_below_the_header_are_read(header: Callable, name: str, folder: Path) -> None:
    assert np.array_equal(read_image(header(folder, name)).array, VOXELS)


def _places(folder: Path) -> list[str]:
    outside = folder.parent / "voxels.raw"
    return ["../voxels.raw", str(outside), f"below/../../{outside.name}", "..\\voxels.raw",
            "\\\\host\\share\\voxels.raw", "//host/share/voxels.raw", "C:\\voxels.raw", "C:voxels.raw",
            "file:///etc/hosts", "\\voxels.raw", "LIST\n../voxels.raw",
            f"LIST\nslice00.raw\n{outside}\nslice02.raw\nslice03.raw\nslice04.raw", "../slice%02d.raw 0 4 1",
            f"{folder.parent}/slice%02d.raw 0 4 1"]


@HEADERS
@pytest.mark.parametrize("number", range(14))
def test_files_elsewhere_are_not_read(header: Callable, number: int, folder: Path) -> None:
    """Parent folders, absolute names, drives, shares, addresses; alone, listed, and as a pattern."""
    error = fails(InvalidFormatError, header(folder, _places(folder)[number]))
    assert "outside its own folder" in error.message


@HEADERS
@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_lead_out_and_devices_are_not_read(header: Callable, folder: Path) -> None:
    (folder / "link.raw").symlink_to(folder.parent / "voxels.raw")
    (folder / "linked").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe.raw")
    (folder / "zero.raw").symlink_to("/dev/zero")
    (folder / "circle.raw").symlink_to("circle.raw")
    (folder / "near.raw").symlink_to("below/voxels.raw")
    for name in ("link.raw", "linked/voxels.raw", "pipe.raw", "zero.raw", "below"):
        fails(InvalidFormatError, header(folder, name))
    fails(MissingFileError, header(folder, "circle.raw"))
    assert np.array_equal(read_image(header(folder, "near.raw")).array, VOXELS)


@HEADERS
@pytest.mark.parametrize("name", ["nothing.raw", "slice%02d.raw 0 9 1", "LIST", "slice%02d.raw 0 99999999 1",
                                  "slice%02d.raw 0 4 0", "%d%d 0 4 1", "%999999999d 0 4 1", "%s%02d 0 4 1", "%n 0 4 1",
                                  "slice%02d.raw 4 0 1", "x" * 5000, ""])
def test_names_that_lead_nowhere_are_told(header: Callable, name: str, folder: Path) -> None:
    fails(KneePipelineError, header(folder, name))


def nrrd(folder: Path, more: str, voxels: bytes, directions: str = "(1,0,0) (0,1,0) (0,0,1)") -> Path:
    path = folder / "image.nrrd"
    path.write_bytes(("NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 5\n"
                      f"space directions: {directions}\nspace origin: (0,0,0)\n{more}\n\n").encode() + voxels)
    return path


def test_a_small_packed_file_does_not_unpack_what_is_skipped_without_end(folder: Path) -> None:
    packed = gzip.compress(bytes(80 << 20) + VOXELS.tobytes(), 1)
    assert fails(InvalidFormatError, nrrd(folder, f"encoding: gzip\nbyte skip: {80 << 20}", packed))


def test_what_stands_before_the_voxels_is_skipped(folder: Path) -> None:
    lines = b"x\n" * 2_000_000  # copied at every line, these would be 4 TB
    path = nrrd(folder, "encoding: raw\nline skip: 2000000\nbyte skip: 3", lines + b"abc" + VOXELS.tobytes())
    assert np.array_equal(read_image(path).array, VOXELS)


def test_brackets_that_nobody_closes(folder: Path) -> None:
    """Looked at from every one of them to the end, they would be 2e12 steps."""
    assert fails(InvalidFormatError, nrrd(folder, "encoding: raw", b"", "(" * 2_000_000))


@HEADERS
def test_a_list_that_names_one_large_file_again_and_again(header: Callable, folder: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("KneePipelineLib.imaging.formats.DEFAULT_LIMITS", Limits(max_file_bytes=300))
    (folder / "slice00.raw").write_bytes(bytes(100))
    assert fails(InputTooLargeError, header(folder, "LIST\n" + "slice00.raw\n" * 5))
    monkeypatch.setattr("KneePipelineLib.imaging.formats.MAX_FILES", 4)
    assert fails(InvalidFormatError, header(folder, "LIST\n" + "slice00.raw\n" * 5))
