"""The orchestrator's end of a worker: start it, give it a step, hear what it says, end it.

Two threads a worker read its answers and its stderr into one queue, so that the orchestrator waits in one place for
everything. Both end with the worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..system.processes import TOKEN_VARIABLE, kill_tree
from . import faults
from .failures import Failure, from_exit

PACKAGE_PARENT = Path(__file__).resolve().parents[2]
LAST_WORDS = 60
EXIT_WAIT_S = 5.0
READ_BYTES = 1 << 16
DEAD_FOR_S = 2.0
"""After this long a worker that has ended will say no more."""


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
        self._dead_since = 0.0
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS)
        path = os.pathsep.join(filter(None, [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, TOKEN_VARIABLE: self._token, faults.RUN_PID_VARIABLE: str(os.getpid()),
                       "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8",
                       # Or a queue.py in the folder where the person stands would be taken for Python's own; from 3.11.
                       "PYTHONSAFEPATH": "1"}
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
        """Lines as a terminal would leave them: what a progress bar wrote over is gone."""
        for raw in _lines(self.process.stderr.fileno(), most_bytes=READ_BYTES):
            line = raw.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
            if line:
                self._last_words.append(line)
                inbox.put((self.number, {"event": "output", "line": line}))

    def _read_answers(self, inbox: queue.SimpleQueue) -> None:
        for raw in _lines(self.process.stdout.fileno()):
            # A line may be cut short when the worker is killed in the middle of it.
            with contextlib.suppress(ValueError):
                inbox.put((self.number, json.loads(raw)))
        inbox.put((self.number, {"event": "gone"}))

    def is_dead(self) -> bool:
        """Whether the worker ended a while ago, though its pipe is open still."""
        if self.process.poll() is None:
            return False
        self._dead_since = self._dead_since or time.monotonic()
        return time.monotonic() - self._dead_since > DEAD_FOR_S

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
        kill_tree(self.process.pid, self._token, waited_for=self.process.poll() is not None)
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
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        for thread, stream in zip(self._threads, (self.process.stdout, self.process.stderr), strict=True):
            thread.join(1.0)
            # A process that got away may hold a pipe open for ever; its reader is left to wait, and nobody for it.
            if not thread.is_alive():
                with contextlib.suppress(OSError):
                    stream.close()


def _lines(descriptor: int, most_bytes: int = 1 << 30) -> Iterator[bytes]:
    """Lines of a pipe until it ends, without their ends. Read past Python's buffers: a thread that hangs in the read
    of one holds its lock, and whoever closes it waits for that."""
    waiting: list[bytes] = []
    size = 0
    while chunk := os.read(descriptor, READ_BYTES):
        *whole, rest = chunk.split(b"\n")
        if whole:
            whole[0] = b"".join([*waiting, whole[0]])
            waiting, size = [], 0
            yield from whole
        waiting.append(rest)
        size += len(rest)
        if size > most_bytes:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
