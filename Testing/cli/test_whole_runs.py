"""The commands of the README, typed as a person types them, with the real plan and the real rooms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from KneePipelineLib.imaging import read_labels, write_volume
from KneePipelineLib.phantom import DigitalKnee, Grid

MEASURED = ("knee_all-labels.nrrd", "knee_all-labels.nii.gz", "knee_subregions-labels.nrrd",
            "knee_subregions-labels.nii.gz", "knee_depth_seg.nrrd", "knee_fine-regions-labels.nrrd",
            "femur_mesh.vtk", "tibia_mesh.vtk",
            "patella_mesh.vtk", "femur_cart_0_mesh.vtk", "tibia_cart_0_mesh.vtk", "tibia_cart_1_mesh.vtk",
            "patella_cart_0_mesh.vtk", "femur_mesh_raw.vtk", "knee_thickness_results.csv",
            "knee_thickness_results.json", "results.json", "results.csv", "report.html", "pipeline.json", "config.json",
            "log.txt")
T2 = ("knee_t2map.nrrd", "knee_t2map.nii.gz", "knee_t2_results.json")


def command(repository: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "KNEEPIPELINE_PYTHON": sys.executable, **variables}
    return subprocess.run([sys.executable, "-m", "KneePipelineLib", *map(str, arguments)], cwd=repository, text=True,
                          capture_output=True, timeout=500, env=environment)


@pytest.fixture(scope="module")
def small_knee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("knee") / "labels.nrrd"
    write_volume(DigitalKnee(seed=4, side="left").labels(Grid.sagittal((160, 160, 90), (0.9, 0.9, 1.2))), path)
    return path


def test_demo_measures_the_digital_knee(repository: Path, tmp_path: Path) -> None:
    done = command(repository, "demo", tmp_path / "out", "--coarse", "--seed", "1", "--own-labels")
    assert done.returncode == 0, done.stderr
    for name in (*MEASURED, *T2):
        assert (tmp_path / "out" / name).stat().st_size > 0, name
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    for region, true in results["truth"].items():
        measured = results["regions"][region]["measures"]
        assert abs(measured["mm_mean"] - true["mm_mean"]) < 0.1, region
        assert abs(measured["t2_ms_mean"] - true["t2_ms_mean"]) < 0.1 * true["t2_ms_mean"], region
        assert f"{measured['mm_mean']:.2f}" in done.stdout
    assert "measures the digital knee's own labels" in done.stdout


def test_run_measures_a_label_map_alone_and_finds_the_side(repository: Path, tmp_path: Path, small_knee: Path) -> None:
    done = command(repository, "run", small_knee, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for name in MEASURED:
        assert (tmp_path / "out" / name).stat().st_size > 0, name
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["side"]["value"] == "left"
    last = done.stderr.splitlines()
    assert last[-1] == f"Report: {tmp_path / 'out' / 'report.html'}"
    assert any(line.startswith("Quality: ") and "left" in line for line in last)
    assert f"femur {results['regions']['fem_cart']['measures']['mm_mean']:.2f}" in done.stderr
    assert "Not done: T2 map, because no echoes were given." in last
    again = command(repository, "run", small_knee, tmp_path / "out")
    assert again.returncode == 0, again.stderr
    pipeline = json.loads((tmp_path / "out" / "pipeline.json").read_text(encoding="utf-8"))
    assert pipeline["pipeline_execution"]["branches_executed"] == []


def test_run_takes_over_a_correction_made_by_hand(repository: Path, tmp_path: Path, small_knee: Path) -> None:
    out = tmp_path / "out"
    assert command(repository, "run", small_knee, out).returncode == 0
    before = json.loads((out / "results.json").read_text(encoding="utf-8"))
    labels = read_labels(out / "knee_all-labels.nrrd")
    corrected = labels.array.copy()
    corrected[corrected == 7] = 0  # a person erases the patellar cartilage
    write_volume(labels.with_array(corrected), out / "knee_all-labels.nrrd")
    done = command(repository, "run", small_knee, out)
    assert done.returncode == 0, done.stderr
    after = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert before["regions"]["pat_cart"]["measures"]["VC_mm3"] > 500
    assert not after["regions"].get("pat_cart", {}).get("measures", {}).get("VC_mm3")
    assert after["regions"]["fem_cart"]["measures"] == before["regions"]["fem_cart"]["measures"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(repository: Path, small_knee: Path) -> None:
    done = command(repository, "run", small_knee, "/proc/kneepipeline")
    assert done.returncode == 1
    assert "The output folder cannot be made or written" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_without_labels_and_weights_says_what_to_give(repository: Path, tmp_path: Path) -> None:
    image = DigitalKnee(seed=4).image(Grid.sagittal((96, 96, 50), (1.5, 1.5, 2.2)))
    write_volume(image, tmp_path / "image.nrrd")
    done = command(repository, "run", tmp_path / "image.nrrd", tmp_path / "out", "--model", "nnunet_fullres",
                   KNEEPIPELINE_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "--segmentation" in done.stderr or "models" in done.stderr
    assert str(tmp_path) not in (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")
