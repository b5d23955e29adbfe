"""The event protocol and those who listen: a stream of JSON lines, a person at a terminal, log.txt.

An event is a plain dict with ``"v": 1``; `events.schema.json` beside this file describes every kind.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from .clock import Clock
from .outlets import outlet_for

SCHEMA_FILE = Path(__file__).with_name("events.schema.json")
Event = dict


class EventSink(Protocol):
    """Anything that takes events, one after another, from one thread."""

    def emit(self, event: Event) -> None:
        """Take one event."""


class JsonLines:
    """Events as JSON, one a line. A reader that went away or has stopped reading does not stop the run."""

    def __init__(self, stream: IO[str]) -> None:
        self._outlet = outlet_for(stream)

    def emit(self, event: Event) -> None:
        """Write one line, or leave it to a thread to write."""
        self._outlet.put(json.dumps(event, allow_nan=False) + "\n", droppable=event["event"] == "state")

    def close(self) -> None:
        """Give a reader that is merely slow the time to read the rest."""
        self._outlet.close()


class Callback:
    """Events handed to a function."""

    def __init__(self, function: Callable[[Event], None]) -> None:
        self.emit = function


class Terminal:
    """For a person: one line that changes on a terminal, one line a message anywhere else."""

    def __init__(self, stream: IO[str]) -> None:
        self._outlet = outlet_for(stream)
        self._live = bool(getattr(stream, "isatty", lambda: False)())
        self._last = ""

    def emit(self, event: Event) -> None:
        """Show one event."""
        self._show(event)

    def close(self) -> None:
        """Write what is still waiting."""
        self._outlet.close()

    def _show(self, event: Event) -> None:
        if event["event"] == "state":
            if event["state"] != "ERROR":
                self._show_state(event)
            return
        if event["event"] == "warning":
            text = f"Warning: {event['message']}"
        elif event["event"] == "error":
            text = f"Error ({event['code']}): {event['message']}" + (f"\n  {event['hint']}" if event["hint"] else "")
        else:
            return
        self._outlet.put(self._cleared() + text + "\n")

    def _show_state(self, event: Event) -> None:
        if not self._live:
            if event["message"] != self._last:
                self._outlet.put(f"{event['fraction']:4.0%}  {event['message']}\n", droppable=True)
            self._last = event["message"]
            return
        width = shutil.get_terminal_size().columns - 1
        bar = "#" * round(20 * event["fraction"])
        left = f", about {_duration(event['eta_s'])} left" if event.get("eta_s") else ""
        line = f"[{bar:<20}] {event['fraction']:4.0%}  {event['message']}{left}"
        done = event["state"] == "COMPLETE"
        self._outlet.put("\r" + line[:width].ljust(width) + "\n" * done, droppable=not done)

    def _cleared(self) -> str:
        return "\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r" if self._live else ""


class LogFile:
    """log.txt: dated lines, appended. A disk that is full does not stop the run here."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._last = ""
        if path.is_symlink():  # in a folder that somebody handed over it could lead to any file
            path.unlink()

    def emit(self, event: Event) -> None:
        """Write one event; progress within one message is left out."""
        kind = event["event"]
        if kind == "state":
            if (event["state"], event["message"]) == self._last:
                return
            self._last = (event["state"], event["message"])
            self.line(f"{event['state']:13} {event['message']}")
        elif kind in ("warning", "error"):
            self.line(f"{kind.upper():13} {event['code']}: {event['message']}")
            if event.get("hint"):
                self.line(f"{'':13} {event['hint']}")

    def line(self, text: str) -> None:
        """Append one or more lines."""
        with contextlib.suppress(OSError), open(self._path, "a", encoding="utf-8", errors="replace") as file:
            for part in text.splitlines() or [""]:
                file.write(f"{self._clock.stamp()}  {part}\n")


def sinks_for(events: object, stderr: IO[str] | None = None) -> list[EventSink]:
    """The listeners that ``run_job(events=...)`` means.

    Parameters
    ----------
    events : None, "-", callable, EventSink or text stream
        ``"-"`` is JSON lines on stdout; a callable or a sink takes the dicts; a stream takes JSON lines.
    stderr : text stream, optional
        Where a person reads; ``sys.stderr`` by default.
    """
    sinks: list[EventSink] = [Terminal(stderr or sys.stderr)]
    if events is None:
        return sinks
    if events == "-":
        return [JsonLines(sys.stdout), *sinks]
    if hasattr(events, "emit"):
        return [events]
    if callable(events):
        return [Callback(events)]
    return [JsonLines(events)]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
