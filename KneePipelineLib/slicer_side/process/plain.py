"""A child process on `subprocess`, for scripts without an event loop and for tests."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import FAILED_TO_START, Listening, end_family


class PlainProcess(Listening):
    """A process on `subprocess`, for scripts without an event loop and for tests; `poll` or `wait` deliver."""

    def __init__(self) -> None:
        super().__init__()
        self._process: subprocess.Popen | None = None
        self._arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._open = 0
        self._finished = False
        self._deadline: float | None = None

    def start(self, arguments: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """See :class:`~.base.JobProcess`."""
        flags = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)} if os.name == "nt" else {
            "start_new_session": True}
        try:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=dict(environment), cwd=str(directory), **flags)
        except OSError as error:
            self.last_lines.append(error.strerror or str(error))
            self._arrived.put(("failed", b""))
            return
        for name, stream in (("events", self._process.stdout), ("text", self._process.stderr)):
            self._open += 1
            threading.Thread(target=self._listen, args=(name, stream), daemon=True).start()

    def _listen(self, name: str, stream: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 1 << 16):
                self._arrived.put((name, data))
        self._arrived.put(("closed", b""))

    @property
    def running(self) -> bool:
        """See :class:`~.base.JobProcess`."""
        return not self._finished and (self._process is not None or not self._arrived.empty())

    @property
    def pid(self) -> int:
        """See :class:`~.base.JobProcess`."""
        return self._process.pid if self.running and self._process is not None else 0

    def cancel(self) -> None:
        """See :class:`~.base.JobProcess`."""
        if self.running and self._process is not None and self._deadline is None:
            if os.name == "nt":
                end_family(self._process.pid)
            else:
                self._process.terminate()
            self._deadline = time.monotonic() + self.grace_s

    def kill(self) -> None:
        """See :class:`~.base.JobProcess`."""
        if self.running and self._process is not None:
            end_family(self._process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            self.poll()

    def poll(self) -> None:
        """Deliver what has arrived on the calling thread."""
        while not self._finished:
            try:
                kind, data = self._arrived.get_nowait()
            except queue.Empty:
                break
            self._deliver(kind, data)
        if self._finished or self._process is None:
            return
        if self._deadline is not None and time.monotonic() > self._deadline:
            self._deadline = float("inf")
            end_family(self._process.pid)
        code = self._process.poll()
        # A daemon of the child may hold the pipes open for ever: the process's own end is what counts.
        if code is not None and (self._open == 0 or self._arrived.empty()):
            self._finish(code)

    def _deliver(self, kind: str, data: bytes) -> None:
        if kind == "events":
            self._hear(data)
        elif kind == "text":
            self._overhear(data)
        elif kind == "closed":
            self._open -= 1
        elif kind == "failed":
            self._finished = True
            self.on_finished(FAILED_TO_START, True)

    def _finish(self, code: int) -> None:
        self._finished = True  # before anybody hears the rest: what is over cannot be cancelled any more
        time.sleep(0.02 if self._open else 0.0)  # the readers' last pieces
        while not self._arrived.empty():
            self._deliver(*self._arrived.get_nowait())
        self._hear_the_rest()
        self.on_finished(abs(code), code < 0)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Deliver until it has ended; whether it has."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self.running and (end is None or time.monotonic() < end):
            self.poll()
            time.sleep(0.01)
        return not self.running
