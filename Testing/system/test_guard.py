"""What a killed asker leaves running is ended, whichever signal reached whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from KneePipelineLib.system.guard import apart, guarded
from KneePipelineLib.system.processes import TOKEN_VARIABLE, alive, is_same_process, kill_token, start_of

REPOSITORY = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

# An "installer" that starts a child of its own; both ignore what may be ignored, and both say their numbers.
_FAMILY = ("import os, signal, subprocess, sys, time\n"
           "for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(s, signal.SIG_IGN)\n"
           "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(100)'],\n"
           "                         start_new_session=True)\n"
           "open(sys.argv[1] + '.new', 'w').write(f'{os.getpid()} {child.pid}')\n"
           "os.rename(sys.argv[1] + '.new', sys.argv[1])\ntime.sleep(100)\n")
_ASKER = ("import sys\nsys.path.insert(0, sys.argv[1])\nfrom pathlib import Path\n"
          "from KneePipelineLib.environment.running import run_guarded\n"
          "import os\n"
          "run_guarded([sys.executable, '-S', '-c', sys.argv[2], sys.argv[3]], os.environ, Path(sys.argv[4]),\n"
          "            sys.executable)\n")


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """An asker in a process group of its own, and the numbers of what it runs below a guard."""
    said = tmp_path / "said"
    line = [sys.executable, "-c", _ASKER, str(REPOSITORY), _FAMILY, str(said), str(tmp_path / "log")]
    asker = subprocess.Popen(line, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if said.exists():
            break
        time.sleep(0.1)
    numbers = [int(number) for number in said.read_text().split()]
    yield asker, numbers
    asker.kill()
    asker.wait()
    for number in numbers:
        if alive(number):
            os.kill(number, signal.SIGKILL)


def _all_end(numbers: list[int]) -> bool:
    for _ in range(100):
        if not any(alive(number) for number in numbers):
            return True
        time.sleep(0.1)
    return False


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_a_signal_to_the_whole_group_leaves_no_installer(number: signal.Signals,
                                                         family: tuple[subprocess.Popen, list[int]]) -> None:
    asker, numbers = family
    os.killpg(asker.pid, number)
    asker.wait(20)
    assert _all_end(numbers)


@linux
def test_a_guard_that_is_killed_takes_its_command_along(family: tuple[subprocess.Popen, list[int]]) -> None:
    _, numbers = family
    guard = int(Path(f"/proc/{numbers[0]}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guard, signal.SIGKILL)
    assert _all_end(numbers)


def test_the_command_keeps_its_exit_code_and_its_signals(tmp_path: Path) -> None:
    program = ("import signal, sys\nprint(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, flush=True)\n"
               "sys.exit(7)")
    process = subprocess.Popen(guarded(sys.executable, [sys.executable, "-S", "-c", program]), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, cwd=tmp_path, **apart())
    assert _answer(process).strip() == "True"
    assert process.returncode == 7


def _answer(process: subprocess.Popen) -> str:
    """Read to the end with the pipe kept open, as an asker does."""
    answer = process.stdout.read()
    process.wait(60)
    process.stdin.close()
    process.stdout.close()
    return answer


def test_a_command_that_does_not_start_is_named(tmp_path: Path) -> None:
    process = subprocess.Popen(guarded(sys.executable, [str(tmp_path / "nothing")]), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **apart())
    answer = _answer(process)
    assert process.returncode == 127
    assert answer.startswith("error: ")
    assert "nothing" in answer


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    assert is_same_process(os.getpid(), start_of(os.getpid()))
    assert is_same_process(os.getpid(), "")
    if start_of(os.getpid()):
        assert not is_same_process(os.getpid(), "long ago")


@linux
def test_a_token_ends_whatever_carries_it() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; print(flush=True); time.sleep(60)"],
                               env={**os.environ, TOKEN_VARIABLE: "t0ken"}, stdout=subprocess.PIPE)
    process.stdout.readline()
    assert kill_token("t0ken") == 1
    assert process.wait(10) == -signal.SIGKILL
    process.stdout.close()
