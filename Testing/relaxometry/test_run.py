"""T2 in a whole run: files, tables, layers, report; and the T2 map alone when the labels fail."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.imaging import read_image, read_labels, write_volume
from KneePipelineLib.job import JobOptions
from KneePipelineLib.phantom import DigitalKnee, Grid, write_dicom
from KneePipelineLib.pipeline import run_job

LABEL_GRID = Grid.sagittal((112, 112, 48), (1.25, 1.25, 2.3))
ECHO_GRID = Grid.sagittal((128, 128, 40), (1.1, 1.1, 2.4)).shifted((0.7, -0.4, 0.3))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digital knee: labels on one grid, qDESS pair as DICOM without private tags on another."""
    folder = tmp_path_factory.mktemp("case")
    knee = DigitalKnee(seed=0)
    write_dicom(knee.qdess(ECHO_GRID, snr=60.0, texture=0.0), folder / "dicom", private_tags=False)
    write_volume(knee.labels(LABEL_GRID), folder / "labels.nrrd")
    return folder


def run(case: Path, out: Path, **options: object) -> tuple[int, list[dict]]:
    events: list[dict] = []
    code = run_job(JobOptions.from_dict({"output": str(out), "perform_bone_and_cart_nsm": False, **options}),
                   events=events.append)
    return code, events


@pytest.fixture(scope="module")
def finished(case: Path) -> Path:
    out = case / "out"
    code, events = run(case, out, input=str(case / "labels.nrrd"), segmentation=str(case / "labels.nrrd"),
                       echoes=str(case / "dicom"))
    assert code == 0, [e for e in events if e["event"] == "error"]
    return out


def test_map_lies_in_the_space_of_the_labels(finished: Path) -> None:
    t2 = read_image(finished / "knee_t2map.nrrd", allow_nan=True)
    labels = read_labels(finished / "knee_all-labels.nrrd")
    assert t2.same_grid(labels)
    nifti = read_image(finished / "knee_t2map.nii.gz", allow_nan=True)
    assert nifti.same_grid(labels, 0.01)
    np.testing.assert_array_equal(np.isnan(nifti.array), np.isnan(t2.array))
    inside = t2.array[np.isin(labels.array, (4, 5, 6, 7))]
    assert np.isfinite(inside).mean() > 0.9
    assert 30 < np.nanmedian(inside) < 55


def test_results_hold_regions_layers_and_the_method(finished: Path) -> None:
    record = json.loads((finished / "results.json").read_text(encoding="utf-8"))
    assert record["t2"]["t2_method"] == "low_spoiling"
    assert record["t2"]["repetition_time_ms"] == 20
    assert "T2_LOW_SPOILING" in [w["code"] for w in record["warnings"]]
    assert record["errors"] == []
    for name, region in record["regions"].items():
        measures, counts = region["measures"], region["counts"]
        assert measures["deep_t2_ms_mean"] < measures["t2_ms_mean"] < measures["superficial_t2_ms_mean"], name
        assert counts["t2_voxels"] + counts["t2_excluded"] == counts["voxels"], name
        assert counts["deep_t2_voxels"] + counts["superficial_t2_voxels"] == counts["t2_voxels"], name
        assert sum(record["t2"]["excluded_voxels"][name].values()) == counts["t2_excluded"]
    assert [o["path"] for o in record["outputs"] if o["role"].startswith("t2")] == [
        "knee_t2map.nrrd", "knee_t2map.nii.gz", "knee_t2_results.json"]


def test_flat_file_and_tidy_table_agree(finished: Path) -> None:
    flat = json.loads((finished / "knee_t2_results.json").read_text(encoding="utf-8"))
    assert flat.pop("t2_method") == "low_spoiling"
    assert flat.pop("sequence") == "qdess"
    column = r"(\w+_)?(fem|tib|pat)_cart(_deep|_superficial)?_t2_(ms_(mean|std|median)|n|excluded)"
    assert [name for name in flat if not re.fullmatch(column, name)] == []
    with (finished / "results.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["measure"].startswith("t2_ms")]
    assert len(rows) == 9 * 3 * 3
    for row in rows:
        layer = "" if row["depth"] == "all" else f"{row['depth']}_"
        assert float(row["value"]) == flat[f"{row['region']}_{layer}{row['measure']}"]
        assert int(row["n"]) == flat[f"{row['region']}_{layer}t2_n"]
        assert (row["unit"], row["method"]) == ("ms", "qdess-low_spoiling")


def test_report_shows_t2(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "<h2>T2</h2>" in page
    assert page.count("slice with T2 in cartilage") == 4
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert re.search(r"for low spoiling, because the header does not tell the spoiler", text)
    assert "0 &lt; T2 &lt; 80 ms" in page
    assert "Superficial half (ms)" in page


def test_t2_map_alone_when_the_labels_fail(case: Path, tmp_path: Path) -> None:
    """The design's degradation rule: segmentation fails with echoes present."""
    labels = read_labels(case / "labels.nrrd")
    write_volume(labels.with_array(np.where(labels.array == 4, 77, labels.array)), tmp_path / "bad.nrrd")
    out = tmp_path / "out"
    run(case, out, input=str(case / "dicom"), segmentation=str(tmp_path / "bad.nrrd"))
    record = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert record["status"] == "partial"
    assert [e["code"] for e in record["errors"]] == ["SEGMENTATION_FAILED"]
    assert record["t2"]["t2_method"] == "low_spoiling"
    assert record["regions"] == {}
    t2 = read_image(out / "knee_t2map.nrrd", allow_nan=True)
    assert t2.size == ECHO_GRID.size
    assert "T2 everywhere" in (out / "report.html").read_text(encoding="utf-8")


def test_t2_failing_costs_nothing_else(case: Path, tmp_path: Path) -> None:
    """Spin echoes of two echo times only: T2 is refused in a sentence, thickness is delivered."""
    import pydicom

    (tmp_path / "dicom").mkdir()
    for path in (case / "dicom").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.FlipAngle = "90"
        dataset.EchoTime = "10" if int(dataset.EchoNumbers) == 1 else "80"
        dataset.save_as(tmp_path / "dicom" / path.name)
    out = tmp_path / "out"
    run(case, out, input=str(case / "labels.nrrd"), segmentation=str(case / "labels.nrrd"),
        echoes=str(tmp_path / "dicom"))
    record = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert "t2" not in record
    assert [(e["part"], e["message"]) for e in record["errors"]] == [
        ("t2", "Two spin echoes are too few for a T2 map whose fit can be judged.")]
    assert record["regions"]["fem_cart"]["measures"]["mm_mean"] > 1
    assert not (out / "knee_t2map.nrrd").exists()
