"""Processes that outlive their asker by a moment, to end what it left behind when it was killed.

They wait on a pipe that only the asker holds open, in a session of their own: a signal to the asker's whole process
group (Ctrl-C, ``timeout``, a batch system's cancel, a closed ssh) does not reach them, and one that is sent to them
alone is not heard. There are two: one runs a command and is its parent; the other watches over a token.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .processes import die_with_parent, kill_token, kill_tree

FAREWELL = b"farewell"
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
# Not ``-m``: that would look for the package in the current folder too, or nowhere when Python is isolated (-I).
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from KneePipelineLib.system.guard import main; main()"
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")


def guarded(python: str, command: Sequence[str], token: str = "") -> list[str]:
    """The command line that runs `command` below a guard.

    Start it with :func:`apart` and a pipe as standard input. Its exit code is the command's. When the pipe closes, the
    command is ended with all it started.

    Parameters
    ----------
    python : str
        The interpreter of the guard.
    command : sequence of str
        What it runs, with an empty standard input.
    token : str
        What the command's whole family carries as ``KNEEPIPELINE_RUN_TOKEN``.
    """
    return [python, "-I", "-S", "-c", _START, _PACKAGE_PARENT, "run", token, *command]


def apart() -> dict:
    """Arguments of ``subprocess.Popen`` for a process that signals to our group do not reach."""
    if os.name == "posix":
        return {"start_new_session": True}
    return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}


class Guardian:
    """Ends everything that carries `token` if this process is killed before it says farewell (Linux).

    The kernel ends a worker with its parent, but not what the worker started.
    """

    def __init__(self, token: str) -> None:
        self._process: subprocess.Popen | None = None
        if sys.platform.startswith("linux"):
            line = [sys.executable, "-I", "-S", "-c", _START, _PACKAGE_PARENT, "watch", token]
            self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                             stderr=subprocess.DEVNULL, env={}, **apart())

    def dismiss(self) -> None:
        """The run has ended by itself; a guardian that is too slow to hear it is ended, and fails no run."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(FAREWELL, timeout=2)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            with contextlib.suppress(OSError):
                process.kill()


def main() -> None:
    """Body of a guard process: ``run TOKEN COMMAND...`` or ``watch TOKEN``."""
    for name in _SIGNALS:
        if hasattr(signal, name):
            # A function, not SIG_IGN: the command would inherit that, and could no longer be interrupted itself.
            signal.signal(getattr(signal, name), _hear_nothing)
    what, token, *command = sys.argv[1:]
    if what == "run":
        os._exit(_run(command, token))
    if sys.stdin.buffer.read() != FAREWELL:
        while kill_token(token):
            time.sleep(0.05)


def _hear_nothing(number: int, frame: object) -> None:
    """A signal that was meant for the asker."""


def _run(command: list[str], token: str) -> int:
    me = os.getpid()
    options = apart()
    if sys.platform.startswith("linux"):  # should the guard itself be killed, its command goes, too
        options["preexec_fn"] = lambda: die_with_parent(me)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    except OSError as problem:
        print(f"error: {command[0]} does not start: {problem.strerror or problem}", file=sys.stderr, flush=True)
        return 127
    threading.Thread(target=_end_with_asker, args=(child.pid, token), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_with_asker(pid: int, token: str) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    kill_tree(pid, token)
    os._exit(1)
