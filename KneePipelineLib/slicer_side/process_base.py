"""What a child process is to a job: the protocol, what both implementations share, and ending a whole family."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .events import EventReader, LineReader

LAST_LINES = 40
FAILED_TO_START = 127
"""Exit code told when nothing could be started (that of a shell)."""


class JobProcess(Protocol):
    """A child process. Callbacks come on the thread that owns it, and none after `on_finished`.

    Attributes
    ----------
    on_event : callable (dict)
        For each event on stdout; other lines come as ``{"event": "text", ...}``.
    on_text : callable (str)
        For each line on stderr.
    on_finished : callable (exit_code: int, crashed: bool)
        Once. `crashed` tells a process that was killed or broke down from one that ended with an exit code.
    last_lines : deque of str
        The last lines of stderr, for an error message.
    grace_s : float
        How long it may take to leave by itself after `cancel` before it is ended by force.
    """

    on_event: Callable[[dict[str, Any]], None]
    on_text: Callable[[str], None]
    on_finished: Callable[[int, bool], None]
    last_lines: deque[str]
    grace_s: float

    def start(self, arguments: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """Start ``arguments`` (the program first) with exactly these variables in `directory`."""

    @property
    def running(self) -> bool:
        """Whether it was started and `on_finished` has not been called."""

    @property
    def pid(self) -> int:
        """Process id; 0 when there is none."""

    def cancel(self) -> None:
        """Ask it to end, and end it and all it started when it has not gone after `grace_s`. Returns at once."""

    def kill(self) -> None:
        """End it and all it started, now. For leaving the application; waits for the end of it, a second at most."""

    def poll(self) -> None:
        """Deliver what has arrived; nothing to do where an event loop does it."""


class Listening:
    """What both kinds share: callbacks, the two readers and the last words."""

    def __init__(self) -> None:
        self.on_event: Callable[[dict[str, Any]], None] = lambda event: None
        self.on_text: Callable[[str], None] = lambda line: None
        self.on_finished: Callable[[int, bool], None] = lambda exit_code, crashed: None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.grace_s = 3.0
        self._events, self._lines = EventReader(), LineReader()

    def _hear(self, data: bytes) -> None:
        for event in self._events.feed(data):
            self.on_event(event)

    def _overhear(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self.last_lines.append(line)
            self.on_text(line)

    def _hear_the_rest(self) -> None:
        for event in self._events.close():
            self.on_event(event)
        for line in self._lines.close():
            self.last_lines.append(line)
            self.on_text(line)


def end_family(pid: int) -> None:
    """End the process `pid` and everything it started, by force."""
    if pid <= 0:
        return
    if os.name == "nt":
        subprocess.run(taskkill_line(pid), capture_output=True, check=False,
                       creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
        return
    from ..pipeline.processes import kill_tree

    kill_tree(pid, "")
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def taskkill_line(pid: int) -> list[str]:
    """The command that ends a process and its children on Windows."""
    return ["taskkill", "/T", "/F", "/PID", str(pid)]
