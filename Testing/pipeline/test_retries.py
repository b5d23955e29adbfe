"""Steps that fail, fall silent or take too long: what is tried again, how, and when it is given up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from KneePipelineLib import segmentation
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.clock import Clock
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.job_state import Job
from KneePipelineLib.pipeline.stages import detection
from KneePipelineLib.system import memory

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
    assert toy_run.retries == []


def test_unexpected_errors_take_the_steps_code_and_leave_the_traceback_in_the_log(toy_run: ToyRun) -> None:
    assert toy_run({"left": {"raise_text": "boom in the middle"}}) == 1
    error = toy_run.of("error")[-1]
    assert error["code"] == "NSM_FAILED"
    assert "boom" not in error["message"]
    assert "boom in the middle" in toy_run.log


def test_memory_failures_halve_the_batch_then_take_the_smallest(toy_run: ToyRun, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    assert toy_run({"second": {"fail_times": [str(notes), "memory", 2]}}) == 0
    assert notes.read_text().splitlines() == ["1 any 32", "0.5 any 16", "0 any 1"]
    assert [message.partition(" in ")[2] for _, message in toy_run.warnings] == ["smaller portions.",
                                                                                 "the smallest portions."]
    assert [r["kind"] for r in toy_run.retries] == ["memory", "memory"]


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
    assert [r["delay_s"] for r in toy_run.retries] == delays


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
    assert [r["kind"] for r in toy_run.retries] == ["timeout"] * 3
    assert toy_run.of("error")[-1]["code"] == "TIMEOUT"


def test_whatever_a_step_says_is_a_sign_of_life_and_all_of_it_is_logged(toy_run: ToyRun) -> None:
    foreign = "[PROGRESS] 3/10: Making meshes\nRuntimeWarning: only 37% of the voxels inside the mask have a signal"
    assert toy_run({"left": {"say": foreign, "progress": [0.6, 0.8]}}) == 0
    assert "only 37% of the voxels" in toy_run.log
    assert "at 0.8" in [event["message"] for event in toy_run.of("state")]
    assert 0.37 not in [event["stage_fraction"] for event in toy_run.of("state")]
    check_events(toy_run.events)


def test_memory_that_a_step_without_portions_lacks_is_told_truthfully(toy_run: ToyRun, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    assert toy_run({"left": {"fail_times": [str(notes), "memory", 1]}}) == 0
    assert notes.read_text().splitlines() == ["1 any 32", "1 any 32"]
    assert toy_run.warnings == [("RETRY", "Left: Memory did not suffice; attempt 2 with nothing else running.")]
    notes.unlink()
    assert toy_run({"left": {"fail_times": [str(notes), "memory", 9]}}, restart=True) == 1
    assert len(notes.read_text().splitlines()) == 2
    message = toy_run.of("error")[-1]["message"]
    assert message == "Memory does not suffice for this step (left), not even with nothing else running."


def test_too_little_memory_to_begin_is_said_before_anything_begins(toy_run: ToyRun,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "allowed_bytes", lambda: 300 << 20)
    assert toy_run() == 1
    error = toy_run.of("error")[-1]
    assert (error["code"], error["details"]) == ("E_HARD_002", {"allowed_gib": 0.29})
    assert "0.3 GiB" in error["hint"]
    assert not toy_run.out.exists()


def test_an_attempt_alone_waits_for_the_others_and_they_for_it(toy_run: ToyRun, tmp_path: Path) -> None:
    orders = {"left": {"fail_times": [str(tmp_path / "notes"), "memory", 1], "span": str(tmp_path / "left")},
              "right": {"sleep": 0.7, "span": str(tmp_path / "right")}}
    assert toy_run(orders) == 0
    left, right = (sorted(map(float, (tmp_path / name).read_text().split())) for name in ("left", "right"))
    assert left[0] >= right[-1]


def test_standby_is_no_silence(toy_run: ToyRun) -> None:
    """The clock jumps by an hour in the middle of a healthy step, as Windows' does when a notebook was closed."""
    class Notebook(Clock):
        asked = 0

        def monotonic(self) -> float:
            self.asked += 1
            return super().monotonic() + (3600.0 if self.asked > 150 else 0.0)

    clock = Notebook()
    assert toy_run({"left": {"progress": [0.1] * 20}}, clock=clock, timeout=600.0) == 0
    assert clock.asked > 150
    assert toy_run.retries == []
    assert "slept" in toy_run.log


def test_a_picture_that_cannot_be_made_does_not_cost_the_numbers(toy_run: ToyRun) -> None:
    assert toy_run({"files": {"raise_text": "the renderer broke"}}) == 0
    assert toy_run.warnings == [("RETRY", "Files: this failed; once more without the pictures.")]
    assert (toy_run.out / "results.json").exists()
    assert "the renderer broke" in toy_run.log
    # What is missing is made by the next run.
    assert toy_run() == 0
    assert toy_run.executed == ["files"]
    assert toy_run() == 0
    assert toy_run.executed == []


def test_deadline_of_the_whole_run(toy_run: ToyRun) -> None:
    assert toy_run(steps=["second"]) == 0
    assert toy_run({"left": {"sleep": 600}}, timeout=1.0) == 4
    assert toy_run.of("error")[-1]["details"] == {"timeout_s": 1.0}
    assert toy_run.retries == []
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


def test_a_network_that_leaves_the_gpu_in_mid_step_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an Apple GPU does that hands over; with it goes the deadline of half an hour, see below."""
    class Left(Exception):
        pass

    def leaves(*arguments: object, on_device: Callable[[str], None], **more: object) -> None:
        on_device("mps")
        on_device("cpu")
        raise Left

    monkeypatch.setattr(segmentation, "segment", leaves)
    monkeypatch.setattr(detection, "read_image", lambda path: None)
    monkeypatch.setattr(detection, "weights_of_network", lambda options: {})
    said: list[dict] = []
    context = StageContext("segmentation", JobOptions(input="knee.nrrd"), tmp_path, {"image": tmp_path},
                           {"input": {"kind": "image"}}, send=said.append)
    with pytest.raises(Left):
        detection.segment(context)
    assert [event["device"] for event in said if event["event"] == "device"] == ["mps", "cpu"]


@pytest.mark.parametrize(("devices", "timeout", "deadline_s"), [
    ([], None, None), (["cpu"], None, None), (["cuda:0"], None, 1800.0), (["mps", "mps"], None, 1800.0),
    (["cuda:0", "cpu"], None, None), (["cuda:0", "cpu"], 60.0, 60.0), (["cuda:0"], 7200.0, 7200.0),
])
def test_deadline_by_device(devices: list[str], timeout: float | None, deadline_s: float | None) -> None:
    job = SimpleNamespace(device=None, device_changed=False, options=JobOptions(timeout=timeout))
    for device in devices:
        Job.note_device(job, device)
    assert Job.deadline_s.fget(job) == deadline_s
