"""The network that ships: intact, small enough, and good enough to try things out with; skipped in a build without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Benchmarks"))
import product

from KneePipelineLib import weights
from KneePipelineLib.imaging import read_labels
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.segmentation import shown_side
from KneePipelineLib.segmentation.bundled import NOTICE, export

GRID = Grid.sagittal((128, 128, 96), (1.1, 1.1, 1.2))
LEAST_DICE = {"bones": ((1, 2, 3), 0.85), "cartilage": ((4, 5, 6, 7), 0.5)}
"""Loose on purpose: what the benchmark bounds is its business; this notices a network that is broken or misfed."""


@pytest.fixture(scope="module")
def shipped() -> Path:
    if weights.state("bundled") != "bundled":
        pytest.skip("the bundled network is not in this build")
    return weights.location("bundled")


def mean_dice(found: np.ndarray, true: np.ndarray, values: tuple[int, ...]) -> float:
    return float(np.mean([2 * np.sum((found == v) & (true == v)) / max(1, np.sum(found == v) + np.sum(true == v))
                          for v in values]))


def test_files_are_those_of_the_catalogue(shipped: Path) -> None:
    entry = weights.entry("bundled")
    assert entry.files, "the catalogue names no checksums: export with --catalogue"
    assert all(file.sha256 for file in entry.files)
    assert {file.path for file in weights.verify("bundled")} == {file.path for file in entry.files}
    names = [p for p in export.MODEL_FOLDER.glob(f"{export.TRAINER}*/**/*") if p.is_file()]
    assert len(names) == len(entry.files)
    assert sum(p.stat().st_size for p in names) <= export.MOST_BYTES


def test_card_has_the_figures(shipped: Path) -> None:
    card = (export.MODEL_FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert NOTICE.split(": ")[1].split(",")[0] in card.lower()
    assert "<!-- figures -->" in card
    assert "| digital |" in card


@pytest.mark.parametrize(("seed", "side", "contrast"), [(5, "left", "dess")])
def test_a_digital_knee_is_recognised(shipped: Path, seed: int, side: str, contrast: str) -> None:
    """Through the command, as a user's knee goes: a network that runs in half is as broken as one that is misfed."""
    knee = DigitalKnee(seed=seed, side=side)
    true = knee.labels(GRID)
    with product.measured(knee.image(GRID, contrast), model="bundled", steps=product.SEGMENTATION) as run:
        found, results = run.labels, run.results
    for name, (values, least) in LEAST_DICE.items():
        dice = mean_dice(found.array, true.array, values)
        assert dice > least, (name, dice)
    assert shown_side(found) == side
    assert [stage["configuration"] for stage in results["run"]["model"]["stages"]] == ["3d_lowres",
                                                                                       "3d_cascade_fullres"]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "side", "contrast"), [(6, "right", "t1"), (7, "left", "pd_fs")])
def test_other_contrasts_and_sides(shipped: Path, seed: int, side: str, contrast: str) -> None:
    test_a_digital_knee_is_recognised(shipped, seed, side, contrast)


@pytest.mark.slow
def test_demo_segments_measures_and_says_what_it_is(shipped: Path, repository: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "KneePipelineLib", "demo", str(tmp_path / "out"), "--coarse"],
                          cwd=repository, text=True, capture_output=True, timeout=900,
                          env={**os.environ, "KNEEPIPELINE_PYTHON": sys.executable})
    assert done.returncode == 0, done.stderr[-3000:]
    out = tmp_path / "out"
    assert NOTICE in done.stdout
    assert "Dice" in done.stdout
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["run"]["segmentation"] == "network"
    ran = [stage["configuration"] for stage in results["run"]["model"]["stages"]]
    assert ran == ["3d_lowres", "3d_cascade_fullres"]
    record = json.loads((out / "pipeline.json").read_text(encoding="utf-8"))
    assert record["segmentation"]["model"]["stages"] == results["run"]["model"]["stages"]
    assert "(configurations 3d_lowres, then 3d_cascade_fullres)" in (out / "report.html").read_text(encoding="utf-8")
    assert {"about": "bundled", "message": NOTICE} in results["notices"]
    for region, true in results["truth"].items():
        measured = results["regions"][region]["measures"]["mm_mean"]
        assert f"{measured:.2f}" in done.stdout
        assert abs(measured - true["mm_mean"]) < 1.0, region
    rows = (out / "results.csv").read_text(encoding="utf-8").splitlines()
    assert all(NOTICE in row for row in rows[1:])
    for name in ("report.html", "pipeline.json", "log.txt"):
        assert NOTICE.lower() in (out / name).read_text(encoding="utf-8").lower(), name
    found = read_labels(out / "knee_all-labels.nrrd")
    assert set(np.unique(found.array)) >= {0, 1, 2, 3, 4}
