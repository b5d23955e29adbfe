"""Writing to whoever listens without ever waiting for them: a reader that stalls must not hold up a run's deadline."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections import deque
from typing import IO

MOST_WAITING = 500
"""Pieces that may wait for a slow reader before droppable ones are left out, the oldest first."""
PATIENCE_S = 1.0
"""How long the end of a run waits for a reader that takes nothing."""
_PAUSE_S = 0.01


class DirectOutlet:
    """A stream in memory: written at once, since nothing can stall there."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def put(self, text: str, droppable: bool = False) -> None:
        """Write it now; a stream that was closed meanwhile takes no more."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def close(self) -> None:
        """Nothing waits here."""


class ThreadedOutlet:
    """A file descriptor, written by a thread of its own.

    The thread writes past Python's buffers: one of those, locked by a thread that hangs in a write, would keep the
    interpreter from ending.

    Parameters
    ----------
    stream : text stream
        One with a file descriptor; kept, because a stream that nobody holds closes its descriptor.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._descriptor = stream.fileno()
        self._waiting: deque[tuple[str, bool]] = deque()
        self._news = threading.Condition()
        self._written = 0
        self._busy = self._gone = False
        threading.Thread(target=self._write_all, daemon=True).start()

    def put(self, text: str, droppable: bool = False) -> None:
        """Have it written. When too much waits, the oldest droppable piece is left out; no other ever is."""
        with self._news:
            if self._gone:
                return
            if len(self._waiting) >= MOST_WAITING:
                oldest = next((entry for entry in self._waiting if entry[1]), None)
                if oldest is not None:
                    self._waiting.remove(oldest)
                elif droppable:
                    return
            self._waiting.append((text, droppable))
            self._news.notify_all()

    def close(self) -> None:
        """Wait until all is written, the reader is gone, or it has taken nothing for `PATIENCE_S`."""
        with self._news:
            while (self._waiting or self._busy) and not self._gone:
                before = self._written
                self._news.wait(PATIENCE_S)
                if self._written == before:
                    return

    def _write_all(self) -> None:
        while True:
            with self._news:
                self._busy = False
                self._news.notify_all()
                while not self._waiting:
                    self._news.wait()
                text, self._busy = self._waiting.popleft()[0], True
            try:
                self._write(text.encode("utf-8", "replace"))
            except OSError:
                with self._news:
                    self._gone, self._busy = True, False
                    self._waiting.clear()
                    self._news.notify_all()
                return


    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data):]
                self._written += 1
            except BlockingIOError:  # a descriptor that does not wait by itself: its reader is slow, not gone
                time.sleep(_PAUSE_S)


def outlet_for(stream: IO[str] | None) -> DirectOutlet | ThreadedOutlet:
    """A way to write to a stream that never blocks the caller for long; without one (``pythonw``) it goes nowhere."""
    if stream is None:
        return DirectOutlet(io.StringIO())
    try:
        stream.flush()
        return ThreadedOutlet(stream)
    except (AttributeError, OSError, ValueError):
        return DirectOutlet(stream)
