"""Who listens to a run: readers that stall, streams that close, terminals; and hashing that can be interrupted."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import outlets
from KneePipelineLib.pipeline.events import JsonLines, Terminal
from KneePipelineLib.pipeline.files import CHUNK_BYTES, hash_file, hash_tree, hash_weights
from KneePipelineLib.pipeline.keys import library_version, step_key, weights_hashes
from KneePipelineLib.pipeline.plan import step_named

from .conftest import ToyRun
from .run_case import check_events

REPOSITORY = Path(__file__).resolve().parents[2]


def state(number: int) -> dict:
    return {"v": 1, "event": "state", "state": "ANALYSIS", "fraction": 0.5, "stage_fraction": 0.5,
            "message": f"{number} " + "x" * 200, "elapsed_s": 1.0, "eta_s": None}


def warning(number: int) -> dict:
    return {"v": 1, "event": "warning", "code": "TOY", "message": f"{number} " + "x" * 200}


@pytest.mark.timeout(60)
def test_a_stalled_reader_loses_states_but_no_warning() -> None:
    reading, writing = os.pipe()
    sink = JsonLines(os.fdopen(writing, "w"))
    for number in range(3000):
        sink.emit(state(number))
        if number % 3 == 0:
            sink.emit(warning(number))
    received: list[dict] = []

    def read() -> None:
        with os.fdopen(reading) as lines:
            for line in lines:
                received.append(json.loads(line))
                if received[-1]["message"] == "end":
                    return

    thread = threading.Thread(target=read)
    thread.start()
    sink.emit({**warning(0), "message": "end"})
    sink.close()
    thread.join()
    warned = [event["message"].split()[0] for event in received if event["event"] == "warning"]
    assert warned == [*(str(number) for number in range(0, 3000, 3)), "end"]
    assert sum(event["event"] == "state" for event in received) < 3000 - outlets.MOST_WAITING


@pytest.mark.timeout(120)
def test_a_stalled_reader_does_not_hold_up_the_deadline(toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from KneePipelineLib.pipeline import run_job

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while os.write(writing, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writing, True)
    (toy_run.folder / "knee.nrrd").touch()
    options = JobOptions.from_dict({"input": str(toy_run.folder / "knee.nrrd"), "output": str(toy_run.out),
                                    "timeout": 2.0, "left": {"sleep": 600}})
    stream = os.fdopen(writing, "w")
    assert run_job(options, events=stream, steps=toy_run.plan) == 4
    os.close(reading)


def test_a_reader_that_went_away_is_forgotten() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    sink = JsonLines(os.fdopen(writing, "w"))
    sink.emit(warning(1))
    sink.close()
    sink.emit(warning(2))
    closed = io.StringIO()
    closed.close()
    JsonLines(closed).emit(warning(3))


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_changes() -> None:
    stream = Tty()
    terminal = Terminal(stream)
    terminal.emit({**state(1), "message": "Measuring", "eta_s": 25})
    assert stream.getvalue().startswith("\r[##########          ]  50%  Measuring, about 25 s left")
    assert "\n" not in stream.getvalue()
    terminal.emit(warning(7))
    last = stream.getvalue().rpartition("\r")[2]
    assert last.startswith("Warning: 7 x")
    assert last.endswith("\n")
    terminal.emit({**state(2), "state": "COMPLETE", "fraction": 1.0, "message": "Done"})
    assert "[####################] 100%  Done" in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_a_pipe_gets_each_message_once() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    for _ in range(3):
        terminal.emit({**state(1), "message": "Measuring"})
    terminal.emit({"v": 1, "event": "error", "code": "X", "message": "It broke.", "hint": "Mend it.", "details": {}})
    assert stream.getvalue() == " 50%  Measuring\nError (X): It broke.\n  Mend it.\n"


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """`python -m KneePipelineLib run`, which takes this Python for the private environment."""
    program = ("import runpy, sys\nfrom KneePipelineLib import environment as e; e.inside = lambda extras=(): True\n"
               "sys.argv = ['KneePipelineLib', *sys.argv[1:]]\n"
               "runpy.run_module('KneePipelineLib', run_name='__main__')")
    return subprocess.run([sys.executable, "-c", program, "run", *arguments, "--events", "-"],
                          capture_output=True, text=True, cwd=REPOSITORY, check=False,
                          env={**os.environ, **environment})


def test_json_lines_on_the_real_stdout(tmp_path: Path) -> None:
    ended = run_command(str(tmp_path / "nothing.nrrd"), str(tmp_path / "out"), KNEEPIPELINE_DUMMY="1",
                        KNEEPIPELINE_HOME=str(tmp_path / "home"))
    assert ended.returncode == 0, ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    check_events(events)
    assert events[-1]["state"] == "COMPLETE"
    assert {"v": 1, "event": "result", "path": "results.json"} in events


def test_a_bad_configuration_is_an_event_too(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"batch_size": 0}')
    ended = run_command(str(tmp_path / "x.nrrd"), str(tmp_path / "out"), "--config", str(config))
    assert ended.returncode == 2
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    check_events(events)
    assert [(event["event"], event["code"]) for event in events] == [("error", "CONFIG_ERROR")]
    assert "batch_size" in ended.stderr


class Stop(Exception):
    pass


def stop_at(number: int) -> Callable[[], None]:
    calls = iter(range(1, number + 1))

    def check() -> None:
        if next(calls) == number:
            raise Stop

    return check


def test_hashing_can_be_stopped_at_every_portion(tmp_path: Path) -> None:
    path = tmp_path / "knee.nrrd"
    with open(path, "wb") as file:
        file.truncate(8 << 30)
    for hashing in (hash_file, hash_tree, hash_weights):
        with pytest.raises(Stop):
            hashing(path, stop_at(3))
    with pytest.raises(Stop):
        hash_tree(tmp_path, stop_at(3))
    with pytest.raises(Stop):
        weights_hashes(JobOptions(practice=True, nsm={"path": str(path)}), check=stop_at(3))
    with open(path, "wb") as file:
        file.truncate(2 * CHUNK_BYTES)
    assert hash_file(path, stop_at(3)) == hash_file(path)


@pytest.mark.timeout(60)
def test_the_deadline_holds_while_the_input_is_hashed(toy_run: ToyRun) -> None:
    with open(toy_run.folder / "knee.nrrd", "wb") as file:
        file.truncate(2 << 40)
    assert toy_run(timeout=1.0) == 4
    assert toy_run.of("error")[-1]["code"] == "TIMEOUT"


def test_weights_are_hashed_once_while_they_stay_the_same(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"x" * 10)
    first = hash_weights(weights)

    def never() -> None:
        raise AssertionError("hashed again")

    assert hash_weights(weights, never) == first
    weights.write_bytes(b"y" * 11)
    assert hash_weights(weights) != first


def test_keys_know_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(name: str) -> dict:
        return step_key(step_named(name), JobOptions(practice=True), {}, {}, {}, None)

    assert key("surfaces")["libraries"]["vtk"] == library_version("vtk") != ""
    assert "torch" not in key("surfaces")["libraries"]
    assert "torch" in key("shape")["libraries"]
    before = key("surfaces")
    monkeypatch.setattr("KneePipelineLib.pipeline.keys.library_version", lambda name: "0")
    assert key("surfaces") != before


def test_of_a_bar_that_writes_over_itself_the_last_state_is_logged(toy_run: ToyRun) -> None:
    orders = {"left": {"bar": ["Fitting:  25%|##   |\rFitting: 100%|#####|\r\nwhat follows\n", 0.0]}}
    assert toy_run(orders) == 0
    assert "25%" not in toy_run.log
    assert "Fitting: 100%" in toy_run.log
    assert "what follows" in toy_run.log


def test_an_earlier_steps_words_do_not_explain_a_death(toy_run: ToyRun) -> None:
    orders = {"first": {"say": "No module named 'vtk'"}, "second": {"signal": 11}}
    assert toy_run(orders) == 1
    assert "SIGSEGV" in toy_run.of("error")[-1]["message"]


def test_options_that_are_not_understood_are_reported(toy_run: ToyRun) -> None:
    assert toy_run(mystery=1) == 0
    warned = [w for w in toy_run.of("warning") if w["code"] == "UNKNOWN_OPTIONS"]
    assert "mystery" in warned[0]["message"]
