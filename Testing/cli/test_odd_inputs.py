"""Inputs that are not what they seem, through `run`: no plausible wrong number, one true sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.phantom import DigitalKnee, Grid, write_dicom

GRID = Grid.sagittal((72, 72, 36), (2.0, 2.0, 3.0))
SPACING = "2,2,3"


@pytest.fixture(scope="module")
def pair() -> list[Volume]:
    return DigitalKnee(seed=0).qdess(GRID)


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> Callable[..., tuple[subprocess.CompletedProcess, dict]]:
    """Run a command's words; what it answered, and results.json where there is one."""
    def answer(path: Path, *words: str) -> tuple[subprocess.CompletedProcess, dict]:
        out = tmp_path / "out"
        done = subprocess.run([sys.executable, "-m", "KneePipelineLib", "run", str(path), str(out), "--device", "cpu",
                               *words], cwd=repository, text=True, capture_output=True, timeout=300,
                              env={**os.environ, "KNEEPIPELINE_PYTHON": sys.executable})
        record = out / "results.json"
        return done, json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    return answer


def write(volumes: list[Volume], folder: Path, edit: Callable[[pydicom.Dataset, int], None]) -> Path:
    """The phantom's series, each file edited; index 0, 1, ... counts slices first, then echoes."""
    for n, path in enumerate(write_dicom(volumes, folder, private_tags=False)):
        dataset = pydicom.dcmread(path)
        edit(dataset, n)
        dataset.save_as(path)
    return folder


def codes(results: dict) -> set[str]:
    return {warning["code"] for warning in results["warnings"]}


def dixon(dataset: pydicom.Dataset, n: int) -> None:
    dataset.EchoNumbers, dataset.ImageType = 1, ["DERIVED", "PRIMARY", "WF"[n % 2], "WF"[n % 2], "DERIVED"]


def field_map(dataset: pydicom.Dataset, _: int) -> None:
    dataset.EchoNumbers = 1


@pytest.mark.parametrize(("edit", "code"), [(dixon, "KINDS_LEFT_OUT"), (field_map, "REPEATS_UNKNOWN")])
def test_two_images_of_a_slice_that_are_no_echoes_give_no_t2(edit: Callable, code: str, run: Callable,
                                                             pair: list[Volume], tmp_path: Path) -> None:
    done, results = run(write(pair, tmp_path / "in", edit), "--steps", "image,t2")
    assert done.returncode == 0, done.stderr
    assert code in codes(results)
    assert "Not done: T2 map" in done.stderr
    assert not list((tmp_path / "out").glob("*t2map*"))


def test_a_scanners_map_is_left_out_of_the_echoes(run: Callable, pair: list[Volume], tmp_path: Path) -> None:
    def edit(dataset: pydicom.Dataset, n: int) -> None:
        echo = n % 4
        dataset.EchoNumbers, dataset.EchoTime, dataset.FlipAngle = max(echo, 1), 10 * echo, 90
        dataset.ScanningSequence, dataset.RepetitionTime = "SE", 2000
        dataset.ImageType = ["ORIGINAL", "PRIMARY", *(("M_SE", "M", "SE") if echo else ("T2 MAP", "T2"))]

    train = [pair[0].with_array(pair[0].array * factor) for factor in (0.3, 0.8, 0.64, 0.512)]
    done, results = run(write(train, tmp_path / "in", edit), "--steps", "t2")
    assert done.returncode == 0, done.stderr
    assert "KINDS_LEFT_OUT" in codes(results)
    t2 = nib.load(tmp_path / "out" / "knee_t2map.nii.gz").get_fdata()
    assert np.nanmedian(t2) == pytest.approx(-10 / np.log(0.8), rel=0.05)


def mha_without_spacing(pair: list[Volume], path: Path) -> Path:
    array = np.rint(pair[0].array).astype("<u2")
    matrix = " ".join(f"{v:g}" for v in pair[0].direction.T.ravel())
    path.write_bytes((f"ObjectType = Image\nNDims = 3\nTransformMatrix = {matrix}\nDimSize = 72 72 36\n"
                      "ElementType = MET_USHORT\nElementDataFile = LOCAL\n").encode() + array.tobytes())
    return path


def test_no_voxel_size_is_refused_and_can_be_stated(run: Callable, pair: list[Volume], tmp_path: Path) -> None:
    path = mha_without_spacing(pair, tmp_path / "knee.mha")
    done, results = run(path, "--steps", "image")
    assert done.returncode == 1
    assert "does not tell how large its voxels are" in done.stderr
    assert "--spacing X,Y,Z" in done.stderr
    done, results = run(path, "--steps", "image", "--spacing", SPACING)
    assert done.returncode == 0, done.stderr
    assert "SPACING_STATED" in codes(results)
    assert json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["spacing"] == [2.0, 2.0, 3.0]
    assert results["input"]["spacing_mm"] == pytest.approx([2.0, 2.0, 3.0])


def test_an_identity_sform_does_not_set_the_size(run: Callable, pair: list[Volume], tmp_path: Path) -> None:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ pair[0].affine
    image = nib.Nifti1Image(np.rint(pair[0].array).astype(np.int16).T, affine)
    image.set_qform(affine, 1)
    image.set_sform(np.eye(4), 2)
    nib.save(image, tmp_path / "knee.nii")
    done, results = run(tmp_path / "knee.nii", "--steps", "image")
    assert done.returncode == 0, done.stderr
    assert results["input"]["spacing_mm"] == pytest.approx([2.0, 2.0, 3.0], rel=1e-5)
    assert "SFORM_QFORM_DIFFER" in codes(results)


@pytest.mark.parametrize(("values", "word"), [({"BodyPartExamined": "BRAIN"}, "shows no knee"),
                                              ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "no picture")])
def test_what_the_header_says_is_believed_unless_told_otherwise(values: dict, word: str, run: Callable,
                                                                pair: list[Volume], tmp_path: Path) -> None:
    def edit(dataset: pydicom.Dataset, _: int) -> None:
        dataset.StudyDescription = dataset.SeriesDescription = ""  # the phantom's say knee
        for name, value in values.items():
            setattr(dataset, name, value)

    folder = write(pair[:1], tmp_path / "in", edit)
    done, _ = run(folder, "--steps", "image")
    assert done.returncode == 1
    assert word in done.stderr
    done, results = run(folder, "--steps", "image", "--anyway")
    assert done.returncode == 0, done.stderr
    assert "NOT_A_KNEE_IMAGE" in codes(results)


def test_slices_that_cannot_be_opened_are_told(run: Callable, pair: list[Volume], tmp_path: Path) -> None:
    files = write_dicom(pair[0], tmp_path / "in", extension="")
    for path in files[-4:]:
        path.write_bytes(b"")
    done, results = run(tmp_path / "in", "--steps", "image")
    assert done.returncode == 0, done.stderr
    assert {"UNREADABLE_FILES", "IMAGES_MISSING"} <= codes(results)
    assert "4 file(s) of the input are empty" in done.stderr
