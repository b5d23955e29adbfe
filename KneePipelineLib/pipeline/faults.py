"""Faults on demand, for the fault matrix: inert unless the variable KNEEPIPELINE_TEST_FAULT is set.

The variable holds one or more ``point=action`` separated by ``;``. Points are ``state:ANALYSIS`` (a state is entered),
``step:thickness`` (a step begins), ``write:thickness:2`` (it opens its second file for writing), ``done:thickness`` (it
has finished and nothing is committed yet), ``commit:thickness`` (between the two renames of a commit) and
``publish:3`` (before the third file of the results is moved into place) and ``report`` (its pictures are begun).
Actions:

``kill_run``       SIGKILL to the orchestrator
``kill_worker``    SIGKILL to the worker, as the kernel's out-of-memory killer does
``crash``          a native crash of the worker
``hang``           nothing happens any more
``memory``         MemoryError; ``gpu_memory`` the text CUDA leaves
``network``        a network failure
``disk_full``      OSError ENOSPC
``pause``          two seconds of nothing, then on
``grandchildren``  two processes that would outlive the worker, one in a session of its own, then a hang
``stray``          a process that no net catches holds the worker's stderr; its number goes into the file; then on
``fork_and_crash`` a native crash that leaves a fork with every pipe of the worker
``remove_file``    the file named by KNEEPIPELINE_TEST_FAULT_FILE vanishes

``action*2`` happens the first two times; the count is kept in the file named by KNEEPIPELINE_TEST_FAULT_COUNT, because
the process that hits a fault does not live to count. ``hang_after_s=1`` shortens the ten minutes.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

VARIABLE = "KNEEPIPELINE_TEST_FAULT"
FILE_VARIABLE = "KNEEPIPELINE_TEST_FAULT_FILE"
COUNT_VARIABLE = "KNEEPIPELINE_TEST_FAULT_COUNT"
RUN_PID_VARIABLE = "KNEEPIPELINE_RUN_PID"


def _armed() -> dict[str, str]:
    pairs = (part.partition("=") for part in os.environ.get(VARIABLE, "").split(";") if part)
    return {point.strip(): action.strip() for point, _, action in pairs}


def setting(name: str, default: float) -> float:
    """A number that a test may shorten, such as ``hang_after_s``."""
    return float(_armed().get(name, default)) if VARIABLE in os.environ else default


def hit(point: str) -> None:
    """Do at ``point`` what was asked for; nothing at all in ordinary life."""
    if VARIABLE not in os.environ:
        return
    action, _, times = _armed().get(point, "").partition("*")
    if not action or not _still_due(point, int(times or 1)):
        return
    _do(action)


def watch_writes(step: str, folder: Path) -> None:
    """Arm ``write:<step>:<n>``: the n-th file opened for writing below ``folder`` is left half written."""
    if VARIABLE not in os.environ:
        return
    seen = 0
    root = os.path.realpath(folder)

    def on_event(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event != "open" or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        path = os.path.realpath(os.fsdecode(arguments[0]))
        by_flags = (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        writing = by_flags or any(letter in (arguments[1] or "") for letter in "wxa+")
        if not writing or not path.startswith(root + os.sep):
            return
        seen += 1
        point = f"write:{step}:{seen}"
        if point in _armed():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600) if _counts_as(point) else None
            if handle is not None:
                os.write(handle, b"half of somethi")
                os.close(handle)
            hit(point)

    sys.addaudithook(on_event)


def _counts_as(point: str) -> bool:
    return _armed()[point].partition("*")[0] in ("kill_run", "kill_worker")


def _still_due(point: str, times: int) -> bool:
    counter = os.environ.get(COUNT_VARIABLE)
    if counter is None:
        return True
    with open(counter, "a+", encoding="utf-8") as file:
        file.seek(0)
        done = file.read().split("\n").count(point)
        if done >= times:
            return False
        file.write(point + "\n")
    return True


def _do(action: str) -> None:
    if action == "kill_run":
        os.kill(int(os.environ.get(RUN_PID_VARIABLE, os.getpid())), signal.SIGKILL)
        time.sleep(60)
    elif action == "kill_worker":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif action == "hang":
        time.sleep(3600)
    elif action == "pause":
        time.sleep(2)
    elif action == "grandchildren":
        sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(3600)"]
        subprocess.Popen(sleeper)
        subprocess.Popen(sleeper, start_new_session=True)
        time.sleep(3600)
    elif action == "stray":
        stray = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(120)"], start_new_session=True,
                                 env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        Path(os.environ[FILE_VARIABLE]).write_text(str(stray.pid), encoding="ascii")
    elif action == "fork_and_crash":
        if os.fork() == 0:
            time.sleep(3600)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif action == "remove_file":
        os.unlink(os.environ[FILE_VARIABLE])
    elif action == "memory":
        raise MemoryError
    elif action == "gpu_memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    elif action == "network":
        raise ConnectionError("Connection refused")
    elif action == "disk_full":
        raise OSError(errno.ENOSPC, "No space left on device")
    else:
        raise ValueError(f"'{action}' is not a fault that can be asked for")
