"""How a run ends: told once, soon, with 0 to 4, whatever the listeners, the cleaning up and the user's folder do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import orchestrator, run_job
from KneePipelineLib.system.processes import alive, kill_tree

from .conftest import TOYS, ToyRun


@pytest.mark.parametrize("what", ["dismiss", "end_all", "kill_token"])
def test_nothing_is_said_after_complete(toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Cleaning up that fails is a line in log.txt; the run has ended as it was told."""
    def broken(*arguments: object) -> None:
        raise subprocess.TimeoutExpired("guardian", 2)

    end_all = orchestrator.Workers.end_all

    def ends_all_and_breaks(workers: object) -> None:
        end_all(workers)
        broken()

    owner = {"dismiss": orchestrator.Guardian, "end_all": orchestrator.Workers, "kill_token": orchestrator}[what]
    monkeypatch.setattr(owner, what, ends_all_and_breaks if what == "end_all" else broken)
    assert toy_run() == 0
    assert toy_run.events[-1]["state"] == "COMPLETE"
    assert toy_run.of("error") == []
    assert toy_run.record["status"] == "complete"
    assert "TimeoutExpired" in toy_run.log


def test_a_listener_that_fails_fails_no_run(toy_run: ToyRun) -> None:
    heard = []

    def listen(event: dict) -> None:
        heard.append(event)
        if event["event"] == "result":
            raise ValueError("of the caller's own")

    (toy_run.folder / "knee.nrrd").touch()
    options = JobOptions.from_dict({"input": str(toy_run.folder / "knee.nrrd"), "output": str(toy_run.out)})
    assert run_job(options, events=listen, steps=toy_run.plan) == 0
    assert heard[-1]["event"] == "result"
    assert toy_run.record["status"] == "complete"
    assert "of the caller's own" in toy_run.log


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its net is the token in the environment")
def test_a_process_that_got_away_does_not_hold_up_the_end(toy_run: ToyRun, tmp_path: Path) -> None:
    """It lives for a minute and holds the worker's stderr; the run ends before it does."""
    assert toy_run({"left": {"escape": str(tmp_path / "pid")}}) == 0
    stray = int((tmp_path / "pid").read_text())
    assert alive(stray)
    os.kill(stray, signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_worker_that_died_is_noticed_though_a_fork_of_it_holds_its_pipes(toy_run: ToyRun, tmp_path: Path) -> None:
    assert toy_run({"left": {"fork": str(tmp_path / "pid")}}) == 1
    assert "SIGSEGV" in toy_run.of("error")[-1]["message"]
    assert alive(int((tmp_path / "pid").read_text())) is False


@pytest.mark.skipif(os.name == "nt", reason="POSIX sessions")
def test_the_number_of_a_process_that_has_ended_may_be_another_ones() -> None:
    """The worker was waited for, and the system has given its number to somebody else, who leads a session, too."""
    innocent = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        assert kill_tree(innocent.pid, "no token of its", waited_for=True) == 0
        assert alive(innocent.pid)
        assert kill_tree(innocent.pid, "no token of its") == 1
    finally:
        innocent.kill()
        innocent.wait()


PROGRAM = """
import sys, json
sys.path.insert(0, sys.argv[1])
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import run_job
from Testing.pipeline.conftest import toy_plan
sys.exit(run_job(JobOptions.from_dict(json.loads(sys.argv[2])), steps=toy_plan()))
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no safe path")
@pytest.mark.parametrize("name", ["queue.py", "scipy.py", "sitecustomize.py"])
def test_modules_in_the_current_folder_are_never_run(tmp_path: Path, repository: Path, name: str) -> None:
    here, mark = tmp_path / "here", tmp_path / "was_run"
    here.mkdir()
    (here / name).write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(7)\n")
    (tmp_path / "knee.nrrd").touch()
    options = {"input": str(tmp_path / "knee.nrrd"), "output": str(tmp_path / "out"), "first": {"import": "scipy"}}
    environment = {**os.environ, "PYTHONPATH": str(TOYS), "KNEEPIPELINE_HOME": str(tmp_path / "home")}
    ended = subprocess.run([sys.executable, "-P", "-c", PROGRAM, str(repository), json.dumps(options)], cwd=here,
                           env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not mark.exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_before_the_folder_is_locked_is_a_cancel(toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(orchestrator.Orchestrator, "_make_folders", interrupted)
    assert toy_run() == 3
    assert toy_run.of("error")[-1]["code"] == "CANCELLED"
