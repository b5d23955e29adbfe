"""The orchestrator's end of a worker: start it, give it a step, hear what it says, end it.

Two threads a worker read its answers and its stderr into one queue, so that the orchestrator waits in one place for
everything. Both end with the worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from ..system.processes import TOKEN_VARIABLE, kill_tree
from . import faults
from .failures import Failure, from_exit

PACKAGE_PARENT = Path(__file__).resolve().parents[2]
LAST_WORDS = 60
EXIT_WAIT_S = 5.0
READ_BYTES = 1 << 16
_LINE_END = re.compile(rb"[\r\n]")


class Lane:
    """One worker process.

    Parameters
    ----------
    number : int
        Tells lanes apart in the queue.
    inbox : queue.SimpleQueue
        Receives (lane number, message); messages are the worker's events, ``{"event": "output", "line"}`` and, last,
        ``{"event": "gone"}``.
    token : str
        The run's token; the worker and everything it starts inherit it with the lane's number behind it.
    preload : tuple of str
        Modules to import while the orchestrator is busy.
    """

    def __init__(self, number: int, inbox: queue.SimpleQueue, token: str, preload: tuple[str, ...] = ()) -> None:
        self.number = number
        self.step: str | None = None
        self._token = f"{token}.{number}"
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS)
        path = os.pathsep.join(filter(None, [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, TOKEN_VARIABLE: self._token, faults.RUN_PID_VARIABLE: str(os.getpid()),
                       "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
        # Threads that wait for one another sleep instead of spinning: other steps, and other people, use the cores too.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "KneePipelineLib.pipeline.worker", *preload], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._threads = [threading.Thread(target=self._read_answers, args=(inbox,), daemon=True),
                         threading.Thread(target=self._read_output, args=(inbox,), daemon=True)]
        for thread in self._threads:
            thread.start()

    def _read_output(self, inbox: queue.SimpleQueue) -> None:
        """Lines as they come, those too that a progress bar ends with a carriage return to write over them."""
        rest = b""
        while True:
            chunk = self.process.stderr.read1(READ_BYTES)
            *pieces, rest = _LINE_END.split(rest + chunk)
            if not chunk or len(rest) > READ_BYTES:
                pieces, rest = [*pieces, rest], b""
            for piece in filter(None, pieces):
                line = piece.decode("utf-8", "replace")
                self._last_words.append(line)
                inbox.put((self.number, {"event": "output", "line": line}))
            if not chunk:
                return

    def _read_answers(self, inbox: queue.SimpleQueue) -> None:
        for raw in self.process.stdout:
            # A line may be cut short when the worker is killed in the middle of it.
            with contextlib.suppress(ValueError):
                inbox.put((self.number, json.loads(raw)))
        inbox.put((self.number, {"event": "gone"}))

    def give(self, request: dict[str, Any]) -> None:
        """Ask for one step. A worker that is gone is noticed by its ``gone`` message."""
        self.step = request["step"]
        self._last_words.clear()  # what an earlier step said does not explain the end of this one
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    def how_it_ended(self) -> Failure:
        """Why the worker is gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_WAIT_S)
        self._threads[1].join(1.0)
        return from_exit(self.process.returncode if self.process.returncode is not None else 1,
                         "\n".join(self._last_words))

    def kill(self) -> None:
        """End the worker and everything it started, now."""
        kill_tree(self.process.pid, self._token)
        self._close()

    def stop(self) -> None:
        """Let an idle worker go: closing its stdin ends it."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.process.wait(EXIT_WAIT_S)
        for thread in self._threads:
            thread.join(1.0)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
