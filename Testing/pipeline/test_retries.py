"""Steps that fail, fall silent or take too long: what is tried again, how, and when it is given up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.job_state import Job

from .conftest import ToyRun
from .run_case import FastClock, check_events


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
