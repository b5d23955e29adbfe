"""The orchestrator with real worker processes and toy steps: order, barriers, failures, retries, cancel, deadline."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.clock import Clock
from KneePipelineLib.pipeline.events import SCHEMA_FILE
from KneePipelineLib.pipeline.job_state import Job
from KneePipelineLib.pipeline.processes import alive

from .conftest import ToyRun, real_plan_with_toy_bodies


class FastClock(Clock):
    """Every real second counts as many."""

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def monotonic(self) -> float:
        return time.monotonic() * self._speed


def check_events(events: list[dict]) -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    for event in events:
        validator.validate(event)
    fractions = [event["fraction"] for event in events if event["event"] == "state"]
    assert fractions == sorted(fractions)


def test_a_run_goes_through_every_state(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    check_events(toy_run.events)
    record = toy_run.record
    assert record["stage_complete"] == "COMPLETE"
    assert record["pipeline_execution"]["states_traversed"] == [
        "INIT", "RECEIPT", "VALIDATION", "PREPROCESSING", "DETECTION", "ANALYSIS", "FUSION", "SCORING", "FORMATTING",
        "COMPLETE"]
    assert record["pipeline_execution"]["total_time_ms"] > 0
    assert {"first", "second", "left", "right", "files"} == set(record["stage_timings"]["steps"])
    assert all(step["peak_memory_mib"] > 1 for step in record["stage_timings"]["steps"].values())
    assert (toy_run.out / "left.txt").read_text() == "(left(second(first)))"
    assert toy_run.of("result") == [{"v": 1, "event": "result", "path": "results.json"}]
    assert toy_run.events[-1]["fraction"] == 1.0


def test_branches_run_side_by_side(toy_run: ToyRun, tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    assert toy_run({"left": {"meet": str(meeting)}, "right": {"meet": str(meeting)}}) == 0


def test_second_run_does_nothing_and_changed_options_only_what_depends_on_them(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    assert toy_run() == 0
    assert toy_run.executed == []
    assert toy_run(batch_size=8) == 0
    # Its output is the same as before, so nothing is measured again; but results.json tells the options.
    assert toy_run.executed == ["second", "files"]
    assert toy_run(batch_size=8, timeout=900) == 0
    assert toy_run.executed == []
    assert toy_run(batch_size=8, restart=True) == 0
    assert set(toy_run.executed) == {"first", "second", "left", "right", "files"}


def test_changed_input_repeats_everything_that_saw_it(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    (toy_run.folder / "knee.nrrd").write_bytes(b"other")
    assert toy_run() == 0
    assert toy_run.executed == ["first"]


def test_steps_that_were_not_asked_for_are_skipped_with_the_reason(toy_run: ToyRun) -> None:
    assert toy_run(steps=["left"]) == 0
    assert toy_run.record["pipeline_execution"]["branches_skipped"] == {"right": "not asked for (--steps)"}
    assert toy_run(steps=["nonsense"]) == 2
    assert "nonsense" in toy_run.of("error")[0]["message"]


def test_a_branch_that_may_fail_does_not_cost_the_rest(toy_run: ToyRun) -> None:
    assert toy_run({"right": {"fail": "ShapeModelError"}}) == 0
    check_events(toy_run.events)
    assert toy_run.of("error")[0]["code"] == "NSM_FAILED"
    assert any(w["code"] == "DEGRADED" for w in toy_run.of("warning"))
    assert "right failed It failed. NSM_FAILED" in (toy_run.out / "results.json").read_text()
    assert toy_run.record["results"]["degraded"] == ["right"]


def test_a_degraded_run_says_so_in_its_record(toy_run: ToyRun) -> None:
    assert toy_run({"right": {"fail": "ShapeModelError"}}) == 0
    assert (toy_run.record["status"], toy_run.record["error"]["code"]) == ("degraded", "NSM_FAILED")
    assert toy_run.record["stage_complete"] == "COMPLETE"
    assert toy_run() == 0
    assert (toy_run.record["status"], toy_run.record["error"]) == ("complete", None)


def test_memory_that_a_branch_lacks_is_no_hard_stop(toy_run: ToyRun, tmp_path: Path) -> None:
    assert toy_run({"right": {"fail_times": [str(tmp_path / "notes"), "memory", 9]}}) == 0
    error = toy_run.of("error")[0]
    assert error["code"] == "PIPELINE_ERROR"
    assert "Memory does not suffice" in error["message"]


def test_a_result_that_is_no_json_fails_the_step_and_not_the_worker(toy_run: ToyRun) -> None:
    assert toy_run({"right": {"nan_result": 1}}) == 0
    assert toy_run.record["pipeline_execution"]["branches_failed"]["right"]["details"] == {"exception": "ValueError"}
    assert "gone" not in toy_run.log


def test_a_foreign_file_in_a_checkpoint_is_damage(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    folder = toy_run.out / "checkpoints" / "DETECTION.second"
    (folder / ".DS_Store").write_text("litter")
    assert toy_run() == 0
    assert toy_run.executed == []
    (folder / "extra.txt").write_text("?")
    assert toy_run() == 0
    assert toy_run.executed == ["second"]
    assert not (folder / "extra.txt").exists()


def test_a_step_that_must_not_fail_ends_the_run_and_a_rerun_goes_on_from_there(toy_run: ToyRun) -> None:
    assert toy_run({"left": {"fail": "SegmentationError"}}) == 1
    check_events(toy_run.events)
    error = toy_run.of("error")[-1]
    assert (error["code"], error["hint"], error["details"]) == ("SEGMENTATION_FAILED", "Do something.", {"why": "test"})
    assert toy_run.record["status"] == "failed"
    assert toy_run.record["stage_complete"] == "DETECTION"
    assert not (toy_run.out / "results.json").exists()
    assert toy_run() == 0
    assert not {"first", "second"} & set(toy_run.executed)


@pytest.mark.parametrize(("error", "code", "exit_code"), [
    ("InvalidFormatError", "INVALID_FORMAT", 1), ("NothingUsableError", "E_HARD_001", 1),
    ("MemoryCriticalError", "E_HARD_002", 1), ("WeightsCorruptError", "E_HARD_003", 1),
    ("InputTooLargeError", "E_HARD_004", 1), ("ConfigError", "CONFIG_ERROR", 2), ("DicomError", "DICOM_ERROR", 1),
])
def test_typed_errors_keep_their_code_and_are_not_retried(toy_run: ToyRun, error: str, code: str,
                                                          exit_code: int) -> None:
    assert toy_run({"first": {"fail": error}}) == exit_code
    assert toy_run.of("error")[-1]["code"] == code
    assert toy_run.record["pipeline_execution"]["retries_performed"] == []


def test_unexpected_errors_take_the_steps_code_and_leave_the_traceback_in_the_log(toy_run: ToyRun) -> None:
    assert toy_run({"left": {"raise_text": "boom in the middle"}}) == 1
    error = toy_run.of("error")[-1]
    assert error["code"] == "NSM_FAILED"
    assert "boom" not in error["message"]
    assert "boom in the middle" in toy_run.log


def test_memory_failures_halve_the_batch(toy_run: ToyRun, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    assert toy_run({"second": {"fail_times": [str(notes), "memory", 2]}}) == 0
    assert notes.read_text().splitlines() == ["1 any 32", "0.5 any 16", "0.25 any 8"]
    assert [r["kind"] for r in toy_run.record["pipeline_execution"]["retries_performed"]] == ["memory", "memory"]


def test_memory_failures_on_a_gpu_end_on_the_cpu_and_say_so(toy_run: ToyRun, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    orders = {"device": ["cuda:0"], "fail_times": [str(notes), "memory", 2]}
    assert toy_run({"second": orders}) == 0
    assert notes.read_text().splitlines() == ["1 any 32", "0.5 any 16", "0.5 cpu 16"]
    assert "CPU" in toy_run.of("warning")[-1]["message"]


def test_memory_that_never_suffices_is_a_hard_stop(toy_run: ToyRun, tmp_path: Path) -> None:
    assert toy_run({"second": {"fail_times": [str(tmp_path / "notes"), "memory", 9]}}) == 1
    assert toy_run.of("error")[-1]["code"] == "E_HARD_002"
    assert len((tmp_path / "notes").read_text().splitlines()) == 3


@pytest.mark.parametrize(("kind", "tries", "delays"), [
    ("timeout", 4, [1.0, 2.0, 4.0]), ("network", 4, [5.0, 5.0, 5.0]), ("load", 3, [0.0, 0.0]),
])
def test_retries_by_kind_with_the_designs_numbers(toy_run: ToyRun, tmp_path: Path, kind: str, tries: int,
                                                  delays: list[float]) -> None:
    notes = tmp_path / "notes"
    code = toy_run({"second": {"fail_times": [str(notes), kind, 9]}}, clock=FastClock(20))
    assert code == (4 if kind == "timeout" else 1)
    assert len(notes.read_text().splitlines()) == tries
    assert [r["delay_s"] for r in toy_run.record["pipeline_execution"]["retries_performed"]] == delays


@pytest.mark.parametrize(("words", "code"), [
    ("RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB", "E_HARD_002"),
    ("terminate called after throwing an instance of 'std::bad_alloc'", "E_HARD_002"),
    ("python: error while loading shared libraries: libGL.so.1: cannot open shared object file", "PIPELINE_ERROR"),
    ("OSError: [Errno 28] No space left on device", "PIPELINE_ERROR"),
])
def test_last_words_of_a_native_failure_are_understood(toy_run: ToyRun, words: str, code: str) -> None:
    assert toy_run({"first": {"die_saying": words}}) == 1
    error = toy_run.of("error")[-1]
    assert error["code"] == code
    assert error["details"]["recognised"]
    assert error["hint"]


def test_a_step_that_leaves_no_file_has_failed(toy_run: ToyRun) -> None:
    assert toy_run({"first": {"no_output": 1}}) == 1


def test_a_step_without_a_sign_of_life_is_retried_and_then_given_up(toy_run: ToyRun) -> None:
    # Ten minutes pass in half a second.
    assert toy_run({"left": {"sleep": 60}}, clock=FastClock(1200)) == 4
    assert [r["kind"] for r in toy_run.record["pipeline_execution"]["retries_performed"]] == ["timeout"] * 3
    assert toy_run.of("error")[-1]["code"] == "TIMEOUT"


def test_progress_events_and_foreign_output_count_as_signs_of_life(toy_run: ToyRun) -> None:
    foreign = "[PROGRESS] 3/10: Making meshes\n 45%|####     | 9/20"
    assert toy_run({"left": {"say": foreign, "progress": [0.6, 0.8]}}) == 0
    messages = [event["message"] for event in toy_run.of("state")]
    assert "Making meshes" in messages
    assert "at 0.8" in messages
    check_events(toy_run.events)


def test_deadline_of_the_whole_run(toy_run: ToyRun) -> None:
    assert toy_run(steps=["second"]) == 0
    assert toy_run({"left": {"sleep": 600}}, timeout=1.0) == 4
    assert toy_run.of("error")[-1]["details"] == {"timeout_s": 1.0}
    assert toy_run.record["pipeline_execution"]["retries_performed"] == []
    assert toy_run() == 0
    assert "second" not in toy_run.executed


@pytest.fixture
def never_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that races, a worker that takes its time to start must not count as hung."""
    monkeypatch.setenv("KNEEPIPELINE_TEST_FAULT", "hang_after_s=1e9")


@pytest.mark.usefixtures("never_hung")
def test_default_deadline_on_a_gpu_is_half_an_hour(toy_run: ToyRun) -> None:
    assert toy_run({"left": {"device": ["cuda:0"], "progress": [0.1] * 40}}, clock=FastClock(1200)) == 4
    assert toy_run.of("error")[-1]["details"] == {"timeout_s": 1800.0}


@pytest.mark.parametrize(("devices", "timeout", "deadline_s"), [
    ([], None, None), (["cpu"], None, None), (["cuda:0"], None, 1800.0), (["mps", "mps"], None, 1800.0),
    (["cuda:0", "cpu"], None, None), (["cuda:0", "cpu"], 60.0, 60.0), (["cuda:0"], 7200.0, 7200.0),
])
def test_deadline_by_device(devices: list[str], timeout: float | None, deadline_s: float | None) -> None:
    job = SimpleNamespace(device=None, device_changed=False, options=JobOptions(timeout=timeout))
    for device in devices:
        Job.note_device(job, device)
    assert Job.deadline_s.fget(job) == deadline_s


def test_cancel_ends_everything_the_step_started(toy_run: ToyRun, tmp_path: Path) -> None:
    stop = threading.Event()

    def when_started() -> None:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pids").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)
        stop.set()

    threading.Thread(target=when_started).start()
    assert toy_run({"left": {"children": str(tmp_path)}}, stop=stop) == 3
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3
    assert not [pid for pid in pids if alive(pid)]
    assert toy_run.record["status"] == "cancelled"
    assert toy_run() == 0


def test_a_damaged_checkpoint_is_done_again_with_a_warning(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    path = toy_run.out / "checkpoints" / "DETECTION.second" / "out.txt"
    path.write_text("tampered")
    assert toy_run() == 0
    assert [w["code"] for w in toy_run.of("warning")] == ["CHECKPOINT_DAMAGED"]
    assert toy_run.executed == ["second"]
    assert path.read_text() == "(second(first))"


def test_warnings_of_a_step_are_told_again_when_it_is_reused(toy_run: ToyRun) -> None:
    orders = {"first": {"warn": "look here"}}
    assert toy_run(orders) == 0
    assert toy_run(orders) == 0
    assert toy_run.executed == []
    assert [w["message"] for w in toy_run.of("warning")][-1] == "look here"


def test_paths_of_the_input_stay_in_config_json(toy_run: ToyRun, tmp_path: Path) -> None:
    toy_run.folder = tmp_path / "Jane_Doe_1970"
    toy_run.folder.mkdir()
    path = str(toy_run.folder / "knee.nrrd")
    assert toy_run({"left": {"warn": f"cannot read {path}", "say": f"opening {path}"},
                    "right": {"raise_text": f"no such file {path}"}}) == 0
    for file in toy_run.out.rglob("*"):
        if file.is_file() and file.name != "config.json":
            assert b"Jane_Doe" not in file.read_bytes(), file.name
    assert "Jane_Doe" not in json.dumps(toy_run.events)
    assert json.loads((toy_run.out / "config.json").read_text())["input"] == path


def test_results_that_no_longer_exist_are_removed_and_foreign_files_kept(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    (toy_run.out / "notes of mine.txt").write_text("keep")
    assert toy_run(steps=["left"]) == 0
    assert not (toy_run.out / "right.txt").exists()
    assert (toy_run.out / "notes of mine.txt").read_text() == "keep"


@pytest.mark.parametrize(("role", "name"), [("input", "knee_all-labels.nrrd"), ("segmentation", "knee_x.nrrd")])
def test_the_run_never_writes_over_its_input(toy_run: ToyRun, role: str, name: str) -> None:
    toy_run.out.mkdir()
    (toy_run.out / name).write_bytes(b"mine")
    assert toy_run(**{role: str(toy_run.out / name)}) == 2
    assert (toy_run.out / name).read_bytes() == b"mine"


def test_output_inside_the_input_folder_is_refused(toy_run: ToyRun, tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    assert toy_run(input=str(tmp_path / "dicom"), output=str(tmp_path / "dicom" / "out")) == 2


def test_missing_input_and_missing_options(toy_run: ToyRun) -> None:
    assert toy_run(segmentation="/nowhere/labels.nrrd") == 1
    assert toy_run.of("error")[-1]["code"] == "FILE_NOT_FOUND"
    assert "nowhere" not in json.dumps(toy_run.events)
    assert toy_run(output=None) == 2


class TestTheProductsOwnPlan:
    """Conditions and degradation rules of the real plan, with toy bodies."""

    @pytest.fixture(autouse=True)
    def _plan(self, toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
        from KneePipelineLib.pipeline import plan

        monkeypatch.setattr(plan, "has_room", lambda name: True)
        monkeypatch.setattr(plan, "missing_shape_models", lambda options, cartilage: "")
        monkeypatch.setattr(plan, "missing_scores", lambda options, fits: "")
        toy_run.plan = real_plan_with_toy_bodies()

    def outcomes(self, toy_run: ToyRun) -> str:
        return (toy_run.out / "results.json").read_text()

    @staticmethod
    def with_body(toy_run: ToyRun, name: str, body: str) -> None:
        """Give one step another toy body: those called like an option cannot take orders."""
        toy_run.plan = tuple(replace(s, body=f"toy_plan.dicom:{body}") if s.name == name else s for s in toy_run.plan)

    def steps(self, toy_run: ToyRun, orders: dict) -> int:
        """Run on a DICOM series of two echoes."""
        self.with_body(toy_run, "input", "found")
        return toy_run(orders)

    def test_everything_works(self, toy_run: ToyRun) -> None:
        assert self.steps(toy_run, {}) == 0
        assert "failed" not in self.outcomes(toy_run)
        assert "skipped" not in self.outcomes(toy_run)

    @pytest.mark.parametrize("step", ["t2", "shape", "metadata"])
    def test_a_branch_fails_and_the_rest_is_delivered(self, toy_run: ToyRun, step: str) -> None:
        assert self.steps(toy_run, {step: {"fail": "KneePipelineError"}}) == 0
        assert f"{step} failed" in self.outcomes(toy_run)
        assert "thickness done" in self.outcomes(toy_run)

    def test_segmentation_fails_with_echoes_and_t2_alone_is_delivered(self, toy_run: ToyRun) -> None:
        self.with_body(toy_run, "segmentation", "fails")
        assert self.steps(toy_run, {}) == 1
        text = self.outcomes(toy_run)
        assert "segmentation failed It failed. SEGMENTATION_FAILED" in text
        assert "t2 done" in text
        assert "thickness skipped" in text
        assert "shape skipped" in text

    def test_segmentation_fails_without_echoes_and_nothing_is_delivered(self, toy_run: ToyRun) -> None:
        self.with_body(toy_run, "segmentation", "fails")
        assert toy_run() == 1
        assert not (toy_run.out / "results.json").exists()

    def test_low_confidence_skips_the_shape_model(self, toy_run: ToyRun) -> None:
        self.with_body(toy_run, "segmentation", "unsure")
        assert self.steps(toy_run, {}) == 0
        assert "shape skipped the confidence in the segmentation is low" in self.outcomes(toy_run)
        assert "thickness done" in self.outcomes(toy_run)

    def test_fusion_fails_and_each_branch_delivers(self, toy_run: ToyRun) -> None:
        assert self.steps(toy_run, {"table": {"fail": "KneePipelineError"}}) == 0
        text = self.outcomes(toy_run)
        assert "table failed" in text
        assert "t2 done" in text
        assert "thickness done" in text


def test_every_step_of_the_plan_reads_only_what_comes_before() -> None:
    from KneePipelineLib.pipeline.plan import STEPS

    seen: set[str] = set()
    for step in STEPS:
        earlier_or_sibling = seen | {s.name for s in STEPS if s.state == step.state and s.name != step.name}
        assert set(step.uses()) <= earlier_or_sibling, step.name
        seen.add(step.name)
