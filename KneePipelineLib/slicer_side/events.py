"""The event stream of a child process, put together again from the pieces in which a pipe delivers it."""

from __future__ import annotations

import json
import re
from typing import Any

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
