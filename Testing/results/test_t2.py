"""T2 in the record, the tables and the pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume, read_image
from KneePipelineLib.results import build_results, run_facts, validate_results, write_t2_files
from KneePipelineLib.results.figures.colours import thickness_map
from KneePipelineLib.results.figures.t2 import LOWER_MS, UPPER_MS, t2_pictures
from KneePipelineLib.results.report import report_html
from KneePipelineLib.results.tidy import tidy_rows


def counts(n: int, excluded: int) -> dict:
    return {"all": {"n": n, "excluded": excluded, "above_range": excluded, "no_signal": 0}}


T2 = {
    "sequence": "mese", "t2_method": "nonlinear", "valid_below_ms": 100.0, "echo_times_ms": [10.0, 20.0, 30.0],
    "skip_first_echo": True, "r2_minimum": 0.7,
    "regions": {"fem_cart": {"t2_ms_mean": 40.5, "t2_ms_std": 6.0, "t2_ms_median": 40.0},
                "pat_cart": {"t2_ms_mean": None, "t2_ms_std": None, "t2_ms_median": None}},
    "counts": {"fem_cart": counts(790, 210), "pat_cart": counts(0, 12)},
}


def record_of(t2: dict, knee: SimpleNamespace | None = None) -> dict:
    more = {} if knee is None else {"regions": knee.regions, "labels": knee.labels, "subregions": knee.subregions}
    return build_results(prefix="knee", run=run_facts({}, []), t2=t2, **more)


def test_t2_without_thickness_is_a_record_of_its_own() -> None:
    record = record_of(T2)
    validate_results(record)
    assert record["status"] == "complete"
    assert record["regions"]["fem_cart"]["measures"] == T2["regions"]["fem_cart"]
    assert record["t2"]["excluded_voxels"]["fem_cart"] == {"above_range": 210, "no_signal": 0}
    assert "regions" not in record["t2"]
    rows = {(r["region"], r["measure"]): r for r in tidy_rows(record)}
    mean = rows["fem_cart", "t2_ms_mean"]
    assert (mean["value"], mean["n"], mean["method"], mean["depth"]) == (40.5, 790, "mese-nonlinear", "all")
    assert rows["pat_cart", "t2_ms_mean"]["quality_flag"] == "missing"


def test_a_report_of_t2_alone_claims_no_thickness(right_knee: SimpleNamespace) -> None:
    nowhere = {bone: replace(s, thickness_mm=np.full_like(s.thickness_mm, np.nan))
               for bone, s in right_knee.surfaces.items()}
    both = report_html(record_of(T2, right_knee), surfaces=right_knee.surfaces, detail=0.2)
    alone = report_html(record_of(T2), surfaces=nowhere, detail=0.2)
    for words in ("mean cartilage thickness in mm", "Bone surfaces are", "Eckstein", "dAB", "thickness on the femur"):
        assert (words in both, words in alone) == (True, False), words
    assert "No cartilage was measured by region." in alone
    assert "40.5" in alone


def test_many_excluded_voxels_are_flagged(right_knee: SimpleNamespace) -> None:
    record = record_of(T2, right_knee)
    checks = {c["subject"]: c for c in record["quality"]["checks"] if c["code"] == "T2_EXCLUDED"}
    assert set(checks) == {"fem_cart", "pat_cart"}
    assert checks["fem_cart"]["value"] == 21
    assert record["regions"]["fem_cart"]["flag"] == "check"
    few = {**T2, "counts": {"fem_cart": counts(800, 200), "pat_cart": counts(12, 0)}}
    assert not [c for c in record_of(few, right_knee)["quality"]["checks"] if c["code"] == "T2_EXCLUDED"]


def test_thickness_and_t2_stand_side_by_side(right_knee: SimpleNamespace) -> None:
    measures = record_of(T2, right_knee)["regions"]["fem_cart"]["measures"]
    assert measures["mm_mean"] == 2.25
    assert measures["t2_ms_mean"] == 40.5


def test_unknown_method_breaks_the_schema() -> None:
    with pytest.raises(ValueError, match="t2"):
        validate_results(record_of({**T2, "t2_method": "guess"}))


def test_files(tmp_path: Path) -> None:
    values = np.full((3, 4, 5), 40.0, np.float32)
    values[0] = np.nan
    outputs = write_t2_files(tmp_path, "knee", Volume(values), {**T2, "regions": {}, "counts": {}})
    assert [o.reference for o in outputs] == [None, None, None]
    np.testing.assert_array_equal(read_image(tmp_path / "knee_t2map.nrrd", allow_nan=True).array, values)
    written = json.loads((tmp_path / "knee_t2_results.json").read_text(encoding="utf-8"))
    assert written == {"t2_method": "nonlinear", "sequence": "mese"}
    assert write_t2_files(tmp_path, "knee", Volume(values), T2)[0].reference == "knee_all-labels.nrrd"


def test_pictures_colour_cartilage_and_nothing_else(right_knee: SimpleNamespace) -> None:
    labels = right_knee.subregions
    middle = (LOWER_MS + UPPER_MS) / 2
    t2 = labels.with_array(np.full(labels.array.shape, middle, np.float32))
    colour = thickness_map()[127:129]
    for picture in t2_pictures(t2, labels):
        painted = (np.abs(picture.pixels[:, :, None].astype(int) - colour).max(-1) <= 2).any(-1)
        assert 0.005 < painted.mean() < 0.4, picture.title
        assert (painted | (picture.pixels == (17, 20, 24)).all(-1)).all()
    nothing = labels.with_array(np.full(labels.array.shape, np.nan, np.float32))
    assert t2_pictures(nothing, labels) == []
    above = labels.with_array(np.full(labels.array.shape, UPPER_MS, np.float32))
    assert all((p.pixels == (17, 20, 24)).all() for p in t2_pictures(above, labels))
