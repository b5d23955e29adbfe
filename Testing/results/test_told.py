"""What the writing step tells about network, scanner and licences, from what the steps before it left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.keys import step_key
from KneePipelineLib.pipeline.plan import step_named
from KneePipelineLib.pipeline.stages import told


def context(tmp_path: Path, segmentation: dict, header: dict | None = None, **options: object) -> StageContext:
    folders = {}
    if header is not None:
        (tmp_path / "metadata.json").write_text(json.dumps(header))
        folders = {"metadata": tmp_path}
    return StageContext("files", JobOptions.from_dict(options), tmp_path, folders, {"segmentation": segmentation})


def test_the_digital_knee_is_nobodys_label_map(tmp_path: Path) -> None:
    assert told.source_of_labels(context(tmp_path, {"source": "given"})) == "given"
    assert told.source_of_labels(context(tmp_path, {"source": "given"}, truth="truth.json")) == "truth"
    assert told.source_of_labels(context(tmp_path, {"source": "network"}, truth="truth.json")) == "network"
    assert told.source_of_labels(context(tmp_path, {})) == "none"


def test_the_network_speaks_for_itself_and_the_catalogue_adds(tmp_path: Path) -> None:
    facts = {"kind": "planar", "device": "cpu", "precision": "float32", "notice": "be careful", "seconds": 3,
             "tiles": 8}
    found = told.about_model(context(tmp_path, {"source": "network", "model": facts}, default_seg_model="goyal_axial"))
    assert found["name"] == "goyal_axial"
    assert found["title"] == "Planar network, axial"
    assert (found["notice"], found["device"]) == ("be careful", "cpu")
    assert "Goyal" in found["citation"]
    assert not {"seconds", "tiles"} & set(found)
    assert told.about_model(context(tmp_path, {"source": "given"})) is None


def test_what_of_a_network_ran_is_told_everywhere(tmp_path: Path) -> None:
    """Stages, folds and what was left out: in results.json, in the report's provenance and in its methods."""
    from KneePipelineLib.results import report_methods, report_text
    from KneePipelineLib.results.provenance import run_facts
    from KneePipelineLib.results.record import build_results, validate_results

    stages = [{"configuration": name, "trainer": "nnUNetTrainer", "folds": ["0", "3"],
               "checkpoint": "checkpoint_final.pth"} for name in ("3d_lowres", "3d_cascade_fullres")]
    facts = {"kind": "nnunet", "stages": stages, "ignored_structures": ["ACL"], "first_stage": {"tiles": 3}}
    found = told.about_model(context(tmp_path, {"source": "network", "model": facts},
                                     segmentation_model="nnunet_cascade"))
    assert (found["stages"], found["ignored_structures"]) == (stages, ["ACL"])
    run = run_facts({}, ["segmentation"], segmentation="network", model=found)
    record = build_results(prefix="knee", run=run)
    validate_results(record)
    assert "3d_lowres (nnUNetTrainer; folds 0, 3; checkpoint_final.pth)" in report_text.provenance(record)
    methods = report_methods.methods(record)
    assert "(configurations 3d_lowres, then 3d_cascade_fullres; mean of 2 folds)" in methods
    assert "(ACL) was left out" in methods


def test_the_scanner_without_what_may_be_a_name(tmp_path: Path) -> None:
    header = {"manufacturer": "MAKER", "model": "* 3", "field_strength_t": 3.0, "echo_times_ms": [6.0, None],
              "repetition_time_ms": None, "flip_angle_deg": 20.0, "series_description": "Doe", "acquisition_type": ""}
    assert told.about_scanner(context(tmp_path, {}, header)) == {
        "manufacturer": "MAKER", "magnetic_field_t": 3.0, "flip_angle_deg": 20.0}
    assert told.about_scanner(context(tmp_path, {})) == {}


def test_licences_of_shape_models_are_told_once() -> None:
    notices = told.notices({"bone_and_cart": {"model": "shape_647"}, "bone_only": {"model": "shape_647"}})
    assert [about for about, _ in notices] == ["shape_647"]
    assert "non-commercial" in notices[0][1]
    assert told.notices({"bone_only": {"model": "own"}}) == []


@pytest.mark.parametrize(("name", "same"), [("KNEE_RT", True), ("other_right", True), ("KNEE_LEFT", False),
                                            ("KNEE", False)])
def test_a_name_that_says_another_side_is_judged_anew(name: str, same: bool) -> None:
    def key(folder: str) -> dict:
        options = JobOptions.from_dict({"input": f"/scans/{folder}"})
        return step_key(step_named("files"), options, {}, {}, {}, None)

    assert (key(name) == key("knee_right")) is same
    assert "right" not in str(key("knee_right"))
