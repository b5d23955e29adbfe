"""Practice mode: every state, every file of the design's section 8, each marked; and what a rerun does with them."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.imaging import read_image, read_labels, write_volume
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import run_job
from KneePipelineLib.pipeline.plan import STEPS
from KneePipelineLib.pipeline.stages.practice_marks import is_marked
from KneePipelineLib.results import validate_results

from .run_case import check_events

EXPECTED = {
    "NSM_bone_only_recon_femur_mesh.vtk", "NSM_bone_only_recon_params.json", "NSM_recon_fem_cart_mesh.vtk",
    "NSM_recon_femur_mesh.vtk", "NSM_recon_params.json", "bscore_results.json", "fem_cart_mesh_NSM_orig.vtk",
    "femur_cart_0_mesh.vtk", "femur_mesh.vtk", "femur_mesh_NSM_orig.vtk", "femur_mesh_raw.vtk",
    "knee_all-labels.nii.gz", "knee_all-labels.nrrd", "knee_depth_seg.nrrd", "knee_fine-regions-labels.nrrd",
    "knee_results.zip",
    "knee_subregions-labels.nii.gz", "knee_subregions-labels.nrrd", "knee_t2_results.json", "knee_t2map.nii.gz",
    "knee_t2map.nrrd", "knee_thickness_results.csv", "knee_thickness_results.json", "patella_cart_0_mesh.vtk",
    "patella_mesh.vtk", "report.html", "results.csv", "results.json", "tibia_cart_0_mesh.vtk",
    "tibia_cart_1_mesh.vtk", "tibia_mesh.vtk",
}
"""Design, section 8."""
RECORDS = {"pipeline.json", "config.json", "log.txt", "checkpoints"}


@dataclass
class Practice:
    """A practice run's folder and events."""

    out: Path
    events: list[dict]
    code: int

    def again(self, **options: object) -> int:
        """Run once more in the same folder."""
        self.events.clear()
        self.code = run_job(JobOptions.from_dict({"practice": True, "output": str(self.out), **options}),
                            events=self.events.append)
        return self.code

    @property
    def execution(self) -> dict:
        return json.loads((self.out / "pipeline.json").read_text(encoding="utf-8"))["pipeline_execution"]

    @property
    def reused(self) -> set[str]:
        steps = json.loads((self.out / "pipeline.json").read_text(encoding="utf-8"))["steps"]
        return {name for name, step in steps.items() if step["status"] == "reused"}

    @property
    def warnings(self) -> list[str]:
        return [event["code"] for event in self.events if event["event"] == "warning"]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Practice:
    """One practice run with an input that is nobody's knee."""
    folder = tmp_path_factory.mktemp("practice")
    source = folder / "Jane_Doe_19700101.nrrd"
    source.write_bytes(b"never looked at")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KNEEPIPELINE_HOME", str(folder / "home"))
        run = Practice(folder / "out", [], -1)
        run.again(input=str(source), zip=True)
    return run


@pytest.fixture
def run(first_run: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Practice:
    """A copy of it to do things to."""
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path / "home"))
    shutil.copytree(first_run.out, tmp_path / "out")
    return Practice(tmp_path / "out", [], 0)


def test_every_file_is_there_and_listed(first_run: Practice) -> None:
    assert first_run.code == 0
    assert {path.name for path in first_run.out.iterdir()} == EXPECTED | RECORDS
    results = json.loads((first_run.out / "results.json").read_text(encoding="utf-8"))
    validate_results(results)
    assert {output["path"] for output in results["outputs"]} == EXPECTED
    assert results["errors"] == []
    assert results["skipped"] == []


@pytest.mark.parametrize("name", sorted(EXPECTED - {"knee_results.zip"} | {"pipeline.json", "config.json"}))
def test_every_file_says_that_it_is_practice(first_run: Practice, name: str) -> None:
    assert is_marked(first_run.out / name)


def test_events_and_states(first_run: Practice) -> None:
    check_events(first_run.events)
    assert {step.name for step in STEPS} == set(first_run.execution["branches_executed"])
    assert first_run.execution["states_traversed"][-1] == "COMPLETE"
    assert "PRACTICE" in first_run.warnings


def test_files_can_be_read_by_others(first_run: Practice) -> None:
    import nibabel
    import SimpleITK as sitk
    import vtk

    labels = read_labels(first_run.out / "knee_all-labels.nrrd")
    other = sitk.ReadImage(str(first_run.out / "knee_all-labels.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(other), labels.array)
    assert other.GetMetaData("practice")
    nifti = nibabel.load(first_run.out / "knee_all-labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(nifti.dataobj).T, labels.array)
    t2 = read_image(first_run.out / "knee_t2map.nrrd", allow_nan=True)
    inside = t2.array[np.isfinite(t2.array)]
    assert 20 < inside.mean() < 60
    reader = vtk.vtkPolyDataReader()
    reader.SetFileName(str(first_run.out / "femur_mesh.vtk"))
    reader.Update()
    assert reader.GetOutput().GetNumberOfPoints() > 1000
    assert "SPACE=LPS" in reader.GetHeader()


def test_t2_columns_follow_the_design(first_run: Practice) -> None:
    values = json.loads((first_run.out / "knee_t2_results.json").read_text(encoding="utf-8"))
    assert values.pop("practice") is True
    assert values.pop("t2_method") == values.pop("sequence") == "practice"
    assert values
    for name in values:
        assert re.fullmatch(r"(\w+_)?(fem|tib|pat)_cart(_deep|_superficial)?_t2_ms_(mean|std|median)", name), name


def test_no_name_leaves_config_json(first_run: Practice) -> None:
    for path in first_run.out.rglob("*"):
        if path.is_file() and path.name != "config.json":
            content = path.read_bytes()
            if path.name.endswith(".gz"):
                content = gzip.decompress(content)
            assert b"Jane_Doe" not in content, path.name
            assert str(first_run.out.parent).encode() not in content, path.name
        assert "Jane" not in path.name
    assert "Jane_Doe" in (first_run.out / "config.json").read_text(encoding="utf-8")
    assert "Jane" not in json.dumps(first_run.events)


def test_a_second_run_makes_the_same_bytes(first_run: Practice, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path / "home"))
    other = Practice(tmp_path / "elsewhere", [], -1)
    config = json.loads((first_run.out / "config.json").read_text(encoding="utf-8"))
    assert other.again(input=config["input"], zip=True) == 0
    for name in EXPECTED:
        if name not in ("results.json", "report.html", "knee_results.zip"):  # these three carry a date
            assert (other.out / name).read_bytes() == (first_run.out / name).read_bytes(), name


def test_resuming_a_finished_run_imports_nothing_heavy(run: Practice) -> None:
    config = json.loads((run.out / "config.json").read_text(encoding="utf-8")) | {"output": str(run.out)}
    program = (
        "import sys, json\n"
        "from KneePipelineLib.job import JobOptions\n"
        "from KneePipelineLib.pipeline import run_job\n"
        "code = run_job(JobOptions.from_dict(json.loads(sys.argv[1])))\n"
        "print(json.dumps([code, sorted({m.partition('.')[0] for m in sys.modules})]))\n"
    )
    answer = subprocess.run([sys.executable, "-c", program, json.dumps(config)], capture_output=True, text=True,
                            check=True, cwd=Path(__file__).parents[2])
    code, modules = json.loads(answer.stdout)
    assert code == 0
    assert not {"numpy", "scipy", "SimpleITK", "vtk", "torch", "pydicom", "jsonschema"} & set(modules)
    assert run.execution["branches_executed"] == []


def options_of(run: Practice) -> dict:
    config = json.loads((run.out / "config.json").read_text(encoding="utf-8"))
    return {key: config[key] for key in ("input", "zip")}


def edit_labels(run: Practice, value: int = 10) -> np.ndarray:
    """Paint a small block, as a person would, and save it under the same name."""
    path = run.out / "knee_all-labels.nrrd"
    labels = read_labels(path)
    array = labels.array.copy()
    array[:2, :2, :2] = value
    write_volume(labels.with_array(array), path)
    return array


def test_corrected_labels_are_measured_again_and_stay(run: Practice) -> None:
    array = edit_labels(run)
    options = options_of(run)
    assert run.again(**options) == 0
    assert {"input", "image", "segmentation"} <= run.reused
    assert {"review", "surfaces", "thickness", "files"} <= set(run.execution["branches_executed"])
    np.testing.assert_array_equal(read_labels(run.out / "knee_all-labels.nrrd").array, array)
    assert run.again(**options) == 0
    assert run.execution["branches_executed"] == []
    np.testing.assert_array_equal(read_labels(run.out / "knee_all-labels.nrrd").array, array)


def test_restart_begins_anew_but_keeps_the_correction(run: Practice) -> None:
    before = read_labels(run.out / "knee_all-labels.nrrd").array
    array = edit_labels(run)
    assert run.again(**options_of(run), restart=True) == 0
    assert "EDIT_SET_ASIDE" in run.warnings
    np.testing.assert_array_equal(read_labels(run.out / "knee_all-labels.nrrd").array, before)
    np.testing.assert_array_equal(read_labels(run.out / "set_aside_labels_1.nrrd").array, array)


def test_a_correction_with_an_unknown_value_stops_the_run_and_is_not_lost(run: Practice) -> None:
    array = edit_labels(run, value=77)
    assert run.again(**options_of(run)) == 1
    error = next(event for event in run.events if event["event"] == "error")
    assert error["code"] == "SEGMENTATION_FAILED"
    assert error["details"]["unknown"] == [77]
    np.testing.assert_array_equal(read_labels(run.out / "knee_all-labels.nrrd").array, array)


def test_a_correction_of_another_segmentation_is_set_aside(run: Practice) -> None:
    array = edit_labels(run)
    assert run.again(**options_of(run), side="left") == 0
    assert "EDIT_SET_ASIDE" in run.warnings
    np.testing.assert_array_equal(read_labels(run.out / "set_aside_labels_1.nrrd").array, array)


def test_a_label_map_on_another_grid_is_not_taken_over(run: Practice) -> None:
    path = run.out / "knee_all-labels.nrrd"
    labels = read_labels(path)
    before = labels.array.copy()
    write_volume(labels.cropped((0, 0, 0), tuple(n - 1 for n in labels.size)), path)
    assert run.again(**options_of(run)) == 0
    assert {"EDIT_REFUSED", "EDIT_SET_ASIDE"} <= set(run.warnings)
    np.testing.assert_array_equal(read_labels(path).array, before)
    assert read_labels(run.out / "set_aside_labels_1.nrrd").size == tuple(n - 1 for n in labels.size)
    assert len(list(run.out.glob("set_aside*"))) == 1
    assert run.again(**options_of(run)) == 0
    assert run.execution["branches_executed"] == []


def test_a_label_map_in_an_unknown_encoding_is_set_aside(run: Practice) -> None:
    path = run.out / "knee_all-labels.nrrd"
    before = read_labels(path).array
    strange = path.read_bytes().replace(b"encoding: gzip", b"encoding: zork")
    path.write_bytes(strange)
    assert run.again(**options_of(run)) == 0
    assert {"EDIT_REFUSED", "EDIT_SET_ASIDE"} <= set(run.warnings)
    assert (run.out / "set_aside_labels_1.nrrd").read_bytes() == strange
    np.testing.assert_array_equal(read_labels(path).array, before)


def test_a_correction_of_the_nifti_form_is_taken_over(run: Practice) -> None:
    path = run.out / "knee_all-labels.nii.gz"
    labels = read_labels(path)
    array = labels.array.copy()
    array[:2, :2, :2] = 10
    write_volume(labels.with_array(array), path)
    assert run.again(**options_of(run)) == 0
    assert "review" in run.execution["branches_executed"]
    for name in ("knee_all-labels.nii.gz", "knee_all-labels.nrrd"):
        np.testing.assert_array_equal(read_labels(run.out / name).array, array)
    assert not list(run.out.glob("set_aside*"))


def test_an_edit_whose_checkpoints_were_removed_is_set_aside(run: Practice) -> None:
    array = edit_labels(run)
    shutil.rmtree(run.out / "checkpoints")
    assert run.again(**options_of(run)) == 0
    assert "LABELS_SET_ASIDE" in run.warnings
    np.testing.assert_array_equal(read_labels(run.out / "set_aside_labels_1.nrrd").array, array)


@pytest.mark.slow
def test_variable_switches_the_command_to_practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNEEPIPELINE_DUMMY", "1")
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path / "home"))
    assert run_job(JobOptions.from_sources({"output": str(tmp_path / "out")}), events=lambda event: None) == 0
    assert is_marked(tmp_path / "out" / "results.json")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the fault is SIGKILL")
@pytest.mark.parametrize("point", [f"{moment}:{step}" for step in ("echoes", "metadata", "t2", "shape", "score")
                                   for moment in ("step", "done")])
def test_a_kill_in_the_branches_that_few_inputs_have(first_run: Practice, tmp_path: Path, point: str,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path / "home"))
    disturbed = Practice(tmp_path / "out", [], -1)
    options = options_of(first_run)
    program = ("import sys, json\nfrom KneePipelineLib.job import JobOptions\n"
               "from KneePipelineLib.pipeline import run_job\n"
               "run_job(JobOptions.from_dict(json.loads(sys.argv[1])))\n")
    given = json.dumps({"practice": True, "output": str(disturbed.out), **options})
    ended = subprocess.run([sys.executable, "-c", program, given], capture_output=True, check=False,
                           cwd=Path(__file__).parents[2],
                           env={**os.environ, "KNEEPIPELINE_TEST_FAULT": f"{point}=kill_run"})
    assert ended.returncode == -signal.SIGKILL
    assert disturbed.again(**options) == 0
    assert "input" in disturbed.reused
    for name in EXPECTED - {"results.json", "report.html", "knee_results.zip"}:
        assert (disturbed.out / name).read_bytes() == (first_run.out / name).read_bytes(), name
