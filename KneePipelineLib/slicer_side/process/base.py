"""What a child process is to a job: the protocol, its events, what both implementations share, ending a family."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

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
        self._tell_events(self._events.feed(data))

    def _overhear(self, data: bytes) -> None:
        self._tell_lines(self._lines.feed(data))

    def _hear_the_rest(self) -> None:
        self._tell_events(self._events.close())
        self._tell_lines(self._lines.close())

    def _tell_events(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            _tell(self.on_event, event)

    def _tell_lines(self, lines: list[str]) -> None:
        for line in lines:
            self.last_lines.append(line)
            _tell(self.on_text, line)


def _tell(listener: Callable[[Any], None], said: Any) -> None:
    """A listener that fails is noted and does not keep the others, or the end, from being told."""
    try:
        listener(said)
    except Exception as error:
        logging.getLogger("KneePipeline").error("A listener of a process failed", exc_info=error)


def end_family(pid: int, wait: bool = True) -> None:
    """End the process `pid` and everything it started, by force.

    Parameters
    ----------
    wait : bool
        Return when it is done (Windows: a few tenths of a second).
    """
    if pid <= 0:
        return
    if os.name == "nt":
        killer = subprocess.Popen(taskkill_line(pid), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
        if wait:
            killer.wait()
        return
    from ...system.processes import kill_tree

    kill_tree(pid)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def taskkill_line(pid: int) -> list[str]:
    """The command that ends a process and its children on Windows."""
    return ["taskkill", "/T", "/F", "/PID", str(pid)]


MOST_BYTES = 1 << 20
"""A line longer than this is no event; it is given as text, cut."""
_PROGRESS = re.compile(r"^\[\s*(\d{1,3})\s?%\]\s*(.*)$")


class EventReader:
    """Turns bytes into events: one JSON object a line (design, section 6).

    A line that is no event (a library that prints on stdout) becomes ``{"event": "text", "message": line}``: nothing
    is lost and nothing raises.

    >>> reader = EventReader()
    >>> reader.feed(b'{"v": 1, "event": "result", "pa')
    []
    >>> reader.feed(b'th": "results.json"}\\nhello\\n')
    [{'v': 1, 'event': 'result', 'path': 'results.json'}, {'event': 'text', 'message': 'hello'}]
    """

    def __init__(self) -> None:
        self._lines = LineReader()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The events that are complete after these bytes."""
        return [_event_of(line) for line in self._lines.feed(data)]

    def close(self) -> list[dict[str, Any]]:
        """What is left when the stream ends without a line break."""
        return [_event_of(line) for line in self._lines.close()]


class LineReader:
    """Turns bytes into lines of text; a carriage return, with which bars redraw themselves, ends a line too."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete after these bytes, without empty ones."""
        *whole, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(rest) > MOST_BYTES:
            whole, rest = [*whole, rest[:MOST_BYTES]], b""
        self._rest = rest
        return [text for line in whole if (text := line.decode("utf-8", "replace").rstrip())]

    def close(self) -> list[str]:
        """The last line, if it has no end."""
        rest, self._rest = self._rest, b""
        text = rest.decode("utf-8", "replace").rstrip()
        return [text] if text else []


def _event_of(line: str) -> dict[str, Any]:
    if line.startswith("{"):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            return event
    return {"event": "text", "message": line}


def progress_of(line: str) -> tuple[float, str] | None:
    """(fraction, message) of a line such as ``[ 42 %] Installing``, as Set up writes them; None for any other.

    >>> progress_of("[ 42 %] Installing torch")
    (0.42, 'Installing torch')
    """
    found = _PROGRESS.match(line)
    return (min(int(found.group(1)), 100) / 100, found.group(2)) if found else None
