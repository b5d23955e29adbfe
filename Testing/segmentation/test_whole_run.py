"""From a DICOM series to every file, with a genuine nnU-Net results folder, by the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.imaging import read_labels
from KneePipelineLib.imaging.labels import BY_VALUE
from KneePipelineLib.phantom import DigitalKnee, Grid, write_dicom

NATIVE_OF_CANONICAL = {7: 1, 4: 2, 5: 3, 6: 4, 8: 5, 9: 6, 1: 7, 2: 8, 3: 9}
SPACING_MM = 1.6


def coarse_knee(seed: int, side: str = "right") -> tuple[DigitalKnee, Grid]:
    return DigitalKnee(seed=seed, side=side), Grid.sagittal((84, 84, 72), (SPACING_MM,) * 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small nnU-Net that has learnt eight coarse digital knees."""
    from tiny_nnunet import make_results, plans_json

    knees = []
    for seed in range(20, 28):
        knee, grid = coarse_knee(seed, ("right", "left")[seed % 2])
        native = np.zeros(256, np.uint8)
        native[list(NATIVE_OF_CANONICAL)] = list(NATIVE_OF_CANONICAL.values())
        knees.append((knee.image(grid), native[knee.labels(grid).array]))
    plans = plans_json("plain", spacing=(SPACING_MM,) * 3, patch=(48, 64, 64))
    root = tmp_path_factory.mktemp("knee_nnunet")
    return make_results(root, "3d_fullres", plans, steps=260, knees=knees)


@pytest.mark.slow
def test_nnunet_folder_measures_a_dicom_series(repository: Path, tmp_path: Path, trained: Path) -> None:
    knee, grid = coarse_knee(3)
    write_dicom(knee.qdess(grid), tmp_path / "series", description="qDESS")
    table = json.loads((trained / "dataset.json").read_text())
    table["labels"]["Popliteal fossa cyst"] = table["labels"].pop("medial_meniscus")
    (trained / "dataset.json").write_text(json.dumps(table))
    shutil.copytree(trained, tmp_path / "nets" / trained.name)
    (tmp_path / "config.json").write_text(json.dumps({"models": {"nnunet_fullres": "nets"}}))
    done = subprocess.run(
        [sys.executable, "-m", "KneePipelineLib", "run", str(tmp_path / "series"), str(tmp_path / "out"),
         "--model", "nnunet_fullres", "--ignore-structures", "all", "--config", str(tmp_path / "config.json"),
         "--device", "cpu"],
        cwd=repository, text=True, capture_output=True, timeout=500,
        env={**os.environ, "KNEEPIPELINE_PYTHON": sys.executable})
    assert done.returncode == 0, done.stderr[-3000:]
    found = read_labels(tmp_path / "out" / "knee_all-labels.nrrd").reoriented("PIR").array
    true = knee.labels(grid).reoriented("PIR").array
    for label, least in ((1, 0.9), (2, 0.9), (4, 0.7)):  # so short a training finds the large structures only
        dice = 2 * np.sum((found == label) & (true == label)) / max(1, np.sum(found == label) + np.sum(true == label))
        assert dice > least, (label, dice)
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["run"]["segmentation"] == "network"
    assert [stage["configuration"] for stage in results["run"]["model"]["stages"]] == ["3d_fullres"]
    assert results["run"]["model"]["ignored_structures"] == ["Popliteal fossa cyst"]
    assert "Popliteal fossa cyst" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert not (found == 8).any()
    for value in set(range(1, 10)) - set(np.unique(found).tolist()):  # and what it does not find is said
        assert BY_VALUE[value].title in " ".join(w["message"] for w in results["warnings"])
    assert results["side"]["value"] == "right"
    assert results["regions"]["fem_cart"]["measures"]["mm_mean"] > 1
    for name in ("report.html", "knee_t2map.nrrd", "femur_mesh.vtk", "knee_thickness_results.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 0
