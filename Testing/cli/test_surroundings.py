"""The command line in the surroundings that batch systems, cron, pipes and full disks make: exit codes 0 to 4 only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from KneePipelineLib import errors
from KneePipelineLib.uncaught import as_error

posix = pytest.mark.skipif(os.name != "posix", reason="closes descriptors as a shell does")
full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full")

# The command line as a process, with a command `models list` that does what the test says.
_COMMAND = ("import sys\nfrom KneePipelineLib import __main__, cli\nfrom KneePipelineLib.weights import commands\n"
            "def act(args):\n    {body}\n    return 0\ncommands.run_models = act\n"
            "sys.argv = ['x', 'models', 'list']\nsys.exit(__main__.run())\n")


def run_with(repository: Path, body: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Run a stand-in command with the shell's redirections; a body may begin its lines with ``; ``."""
    code = _COMMAND.format(body=body)
    environment = {**os.environ, "PYTHONPATH": str(repository), **variables}
    line = ["sh", "-c", f'exec "$0" "$@" {shell}', sys.executable, "-c", code]
    return subprocess.run(line, capture_output=True, text=True, cwd=repository, env=environment, timeout=60)


@posix
@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(repository: Path, tmp_path: Path, shell: str) -> None:
    """What is opened first must not become stdout: what a library prints would end up in it."""
    body = (f"stream = open({str(tmp_path / 'results')!r}, 'w'); print('a word'); print('two', file=sys.stderr); "
            "sys.stdout.flush(); import os; os.write(1, b'raw'); stream.write('results'); stream.close()")
    done = run_with(repository, body, shell)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results").read_text() == "results"


@posix
@full
@pytest.mark.parametrize(("body", "code"), [
    ("print('told', file=sys.stderr)", 0),
    ("raise KeyboardInterrupt", 3),
    ("raise ValueError('x')", 1)])
def test_a_full_disk_under_stderr_changes_no_exit_code(repository: Path, body: str, code: int) -> None:
    assert run_with(repository, body, "2>/dev/full").returncode == code


@posix
@full
def test_a_full_disk_under_stdout_is_told(repository: Path) -> None:
    done = run_with(repository, "print('x', flush=True)", ">/dev/full")
    assert done.returncode == 1
    assert "The disk is full." in done.stderr
    assert "Traceback" not in done.stderr


@posix
def test_a_reader_that_has_gone_is_not_complained_to(repository: Path) -> None:
    done = run_with(repository, "[print('x' * 1000, flush=True) for _ in range(1000)]", "| head -c 10 >/dev/null")
    assert done.stderr == ""
    done = run_with(repository, "import os; os.close(1); r, w = os.pipe(); os.close(r); os.dup2(w, 1); "
                                "print('x', flush=True)")
    assert (done.returncode, done.stderr) == (1, "")


@posix
def test_a_path_that_is_no_utf8_is_printed_as_it_is(repository: Path) -> None:
    code = _COMMAND.format(body="import os; print(os.fsdecode(b'a\\xffb'), 'é')")
    for variables, expected in (({"PYTHONUTF8": "1"}, "é".encode()), ({"PYTHONIOENCODING": "ascii"}, b"\\xe9")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=repository, timeout=60,
                              env={**os.environ, "PYTHONPATH": str(repository), **variables})
        assert done.stdout == b"a\xffb " + expected + b"\n", done.stderr
        assert done.returncode == 0


@pytest.mark.parametrize(("raised", "code", "words"), [
    ("ZeroDivisionError('secret')", 1, "An unexpected error ended this command (ZeroDivisionError)."),
    ("PermissionError(13, 'Permission denied', '/there/setup.lock')", 1, "The system refused to go on: permission"),
    ("MemoryError()", 1, "memory does not suffice"),
    ("OSError(28, 'No space left on device')", 1, "The disk is full."),
    ("RecursionError('maximum')", 1, "RecursionError"),
    ("SystemExit(9)", 1, "ended by 9"),
    ("SystemExit(2)", 2, ""),
    ("SystemExit(None)", 0, ""),
    ("KeyboardInterrupt()", 3, "cancelled"),
    ("GeneratorExit()", 1, "GeneratorExit"),
])
def test_whatever_nobody_translated_is_one_sentence(repository: Path, raised: str, code: int, words: str) -> None:
    done = run_with(repository, f"raise {raised}")
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    if "setup.lock" in raised:
        assert "/there/setup.lock" in done.stderr


def test_the_traceback_is_there_for_whoever_asks(repository: Path) -> None:
    done = run_with(repository, "raise ZeroDivisionError('here')", KNEEPIPELINE_DEBUG="1")
    assert "ZeroDivisionError: here" in done.stderr
    assert "in act" in done.stderr
    assert done.stderr.splitlines()[-2].startswith("KneePipeline: An unexpected error")


def test_a_path_stays_out_of_what_travels() -> None:
    error = as_error(PermissionError(13, "Permission denied", "/data/Jane_Doe/scan"))
    assert "Doe" not in json.dumps(error.to_dict())
    assert error.exit_code == errors.EXIT_PIPELINE_ERROR


def test_the_event_stream_hears_of_any_end(repository: Path) -> None:
    code = ("import sys\nfrom KneePipelineLib import __main__, cli\n"
            "def act(args, argv):\n    raise ZeroDivisionError\ncli._run_knee = act\n"
            "sys.argv = ['x', 'run', 'in', 'out', '--events', '-']\nsys.exit(__main__.run())\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(repository)})
    assert done.returncode == 1
    event = json.loads(done.stdout)
    assert (event["event"], event["v"], event["code"]) == ("error", 1, "PIPELINE_ERROR")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_being_asked_to_stop_is_one_and_the_same(repository: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The first one cancels; a second, which `timeout` and impatient people send, does not disturb the clearing up."""
    code = ("import pathlib, sys, time\nfrom KneePipelineLib import __main__\n"
            "from KneePipelineLib.weights import commands\n"
            "def act(args):\n    try:\n        print('ready', flush=True); time.sleep(60)\n    finally:\n"
            f"        print('clearing', flush=True); time.sleep(0.5); pathlib.Path({str(tmp_path / 'x')!r}).touch()\n"
            "commands.run_models = act\nsys.argv = ['x', 'models', 'list']\nsys.exit(__main__.run())\n")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=repository, env={**os.environ, "PYTHONPATH": str(repository)})
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == "clearing\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert said == "KneePipeline: cancelled.\n"
    assert (tmp_path / "x").exists()


@posix
def test_what_a_shell_lets_us_ignore_stays_ignored(repository: Path) -> None:
    body = "import os, signal, time; os.kill(os.getpid(), signal.SIGHUP); time.sleep(0.1); print('still here')"
    line = ["sh", "-c", 'trap "" HUP; exec "$0" "$@"', sys.executable, "-c", _COMMAND.format(body=body)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=repository, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(repository)})
    assert (done.returncode, done.stdout) == (0, "still here\n")


@posix
def test_the_step_into_the_environment_survives_a_closed_stdout(repository: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    body = ("from KneePipelineLib.environment import entering; entering.ensure = lambda extras: "
            f"__import__('pathlib').Path({str(python)!r}); "
            "entering.command = lambda python, argv: [str(python), '-c', 'raise SystemExit(4)']; entering.relaunch([])")
    assert run_with(repository, body, ">&-").returncode == 4


@posix
def test_a_private_python_that_may_not_be_executed_is_told(repository: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o644)
    body = ("from KneePipelineLib.environment import entering; entering.ensure = lambda extras: "
            f"__import__('pathlib').Path({str(python)!r}); entering.relaunch([])")
    done = run_with(repository, body)
    assert done.returncode == 1
    assert "Python does not start (Permission denied)" in done.stderr
    assert "Traceback" not in done.stderr


def test_pytest_never_lends_its_exit_codes() -> None:
    from KneePipelineLib.self_test import exit_code

    assert [exit_code(code) for code in (0, 1, 2, 3, 4, 5, -9, 255)] == [0, 1, 3, 1, 2, 2, 1, 1]


@posix
def test_what_is_printed_waits_for_a_slow_reader_too(repository: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    code = _COMMAND.format(body="[print('x' * 999) for _ in range(300)]")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writing, cwd=repository,
                               env={**os.environ, "PYTHONPATH": str(repository)})
    os.close(writing)
    time.sleep(0.5)
    with open(reading, "rb") as stream:
        assert len(stream.read().splitlines()) == 300
    assert process.wait(30) == 0


@posix
def test_a_slow_reader_of_a_stream_that_does_not_wait_gets_every_line(repository: Path) -> None:
    """Some starters make stdout non-blocking; a full pipe is then an error to others, and here a reason to wait."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    code = ("import sys\nfrom KneePipelineLib.pipeline import outlets\noutlets.PATIENCE_S = 20\n"
            "o = outlets.outlet_for(sys.stdout)\n"
            "for n in range(300): o.put('x' * 999 + '\\n')\no.close()\n")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writing, cwd=repository,
                               env={**os.environ, "PYTHONPATH": str(repository)})
    os.close(writing)
    time.sleep(1.0)
    with open(reading, "rb") as stream:
        assert len(stream.read().splitlines()) == 300
    assert process.wait(30) == 0


def test_without_any_stream_words_go_nowhere() -> None:
    from KneePipelineLib.pipeline.outlets import outlet_for

    outlet = outlet_for(None)
    outlet.put("x")
    outlet.close()
