"""The orchestrator with real worker processes and toy steps: order, barriers, branches that fail, cancel."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from KneePipelineLib.system.processes import alive

from .conftest import ToyRun
from .run_case import check_events


def test_a_run_goes_through_every_state(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    check_events(toy_run.events)
    steps = toy_run.steps("done")
    assert set(steps) == {"first", "second", "left", "right", "files"}
    assert all(step["peak_memory_mib"] > 1 for step in steps.values())
    assert (toy_run.out / "left.txt").read_text() == "(left(second(first)))"
    assert toy_run.of("result") == [{"v": 1, "event": "result", "path": "results.json"}]
    assert toy_run.events[-1]["fraction"] == 1.0


STATES = ["RECEIPT", "VALIDATION", "PREPROCESSING", "DETECTION", "ANALYSIS", "FUSION", "SCORING", "FORMATTING",
          "COMPLETE"]


def test_the_stage_output_is_that_of_the_orchestration_document(toy_run: ToyRun, tmp_path: Path) -> None:
    """Key for key and type for type; what is richer stands beside it."""
    orders = {"second": {"fail_times": [str(tmp_path / "notes"), "memory", 1]}, "right": {"fail": "ShapeModelError"}}
    assert toy_run(orders) == 0
    record = toy_run.record
    execution = record["pipeline_execution"]
    assert record["stage_complete"] == "ORCHESTRATION"
    assert execution.pop("total_time_ms") > 0
    assert execution == {"states_traversed": STATES, "branches_executed": ["first", "second", "left", "files"],
                         "checkpoints_saved": 4, "retries_performed": 1}
    assert list(record["stage_timings"]) == STATES
    assert all(type(ms) is int and ms >= 0 for ms in record["stage_timings"].values())
    assert type(record["pipeline_execution"]["checkpoints_saved"]) is int
    assert (record["last_state"], record["steps"]["right"]["error"]["code"]) == ("COMPLETE", "NSM_FAILED")
    assert [retry["step"] for retry in record["retries"]] == ["second"]
    assert toy_run(orders) == 0
    assert toy_run.record["pipeline_execution"]["checkpoints_saved"] == 0
    assert set(toy_run.steps("reused")) == {"first", "second", "left", "files"}


def test_a_final_error_ends_a_run_that_could_deliver_the_rest(toy_run: ToyRun) -> None:
    assert toy_run({"right": {"fail": "ShapeModelError"}}) == 0
    assert toy_run({"right": {"fail_for_good": "There is no knee."}}) == 1
    assert toy_run.of("error")[-1]["message"] == "There is no knee."


def test_a_run_that_failed_has_not_completed_the_orchestration(toy_run: ToyRun) -> None:
    assert toy_run({"left": {"fail": "SegmentationError"}}) == 1
    assert toy_run.record["stage_complete"] is None
    assert toy_run.record["pipeline_execution"]["states_traversed"] == [*STATES[:5], "ERROR"]


def test_branches_run_side_by_side(toy_run: ToyRun, tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    assert toy_run({"left": {"meet": str(meeting)}, "right": {"meet": str(meeting)}}) == 0


def test_steps_that_were_not_asked_for_are_skipped_with_the_reason(toy_run: ToyRun) -> None:
    assert toy_run(steps=["left"]) == 0
    assert toy_run.steps("skipped") == {"right": {"status": "skipped", "reason": "not asked for (--steps)"}}
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
    assert toy_run.record["last_state"] == "COMPLETE"
    assert toy_run() == 0
    assert (toy_run.record["status"], toy_run.record["error"]) == ("complete", None)


def test_memory_that_a_branch_lacks_is_no_hard_stop(toy_run: ToyRun, tmp_path: Path) -> None:
    assert toy_run({"right": {"fail_times": [str(tmp_path / "notes"), "memory", 9]}}) == 0
    error = toy_run.of("error")[0]
    assert error["code"] == "PIPELINE_ERROR"
    assert "Memory does not suffice" in error["message"]


def test_a_result_that_is_no_json_fails_the_step_and_not_the_worker(toy_run: ToyRun) -> None:
    assert toy_run({"right": {"nan_result": 1}}) == 0
    assert toy_run.steps("failed")["right"]["error"]["details"] == {"exception": "ValueError"}
    assert "gone" not in toy_run.log


def test_a_step_that_must_not_fail_ends_the_run_and_a_rerun_goes_on_from_there(toy_run: ToyRun) -> None:
    assert toy_run({"left": {"fail": "SegmentationError"}}) == 1
    check_events(toy_run.events)
    error = toy_run.of("error")[-1]
    assert (error["code"], error["hint"], error["details"]) == ("SEGMENTATION_FAILED", "Do something.", {"why": "test"})
    assert toy_run.record["status"] == "failed"
    assert toy_run.record["last_state"] == "DETECTION"
    assert not (toy_run.out / "results.json").exists()
    assert toy_run() == 0
    assert not {"first", "second"} & set(toy_run.executed)


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


def test_missing_input_and_missing_options(toy_run: ToyRun) -> None:
    assert toy_run(segmentation="/nowhere/labels.nrrd") == 1
    assert toy_run.of("error")[-1]["code"] == "FILE_NOT_FOUND"
    assert "nowhere" not in json.dumps(toy_run.events)
    assert toy_run(output=None) == 2
