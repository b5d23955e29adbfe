"""The states of a job, and what makes it take its turns."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Protocol


class JobState(enum.Enum):
    """A job's life; it goes through these in this order and ends in one of the last three."""

    IDLE = "idle"
    EXPORTING = "exporting"
    RUNNING = "running"
    IMPORTING = "importing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)

    @property
    def active(self) -> bool:
        """Whether it is at work."""
        return self in (JobState.EXPORTING, JobState.RUNNING, JobState.IMPORTING)


class Ticker(Protocol):
    """Something that calls a function again and again."""

    def start(self, function: Callable[[], None], interval_ms: int) -> None:
        """Call it that often from now on (instead of what was called before)."""

    def stop(self) -> None:
        """Call nothing any more."""


class QtTicker:
    """A timer of Slicer's event loop."""

    def __init__(self) -> None:
        self._timer: Any = None

    def start(self, function: Callable[[], None], interval_ms: int) -> None:
        """See :class:`Ticker`."""
        import qt

        if self._timer is None:
            self._timer = qt.QTimer()
            self._timer.connect("timeout()", function)
        self._timer.start(interval_ms)

    def stop(self) -> None:
        """See :class:`Ticker`."""
        if self._timer is not None:
            self._timer.stop()


class NoTicker:
    """For scripts: whoever waits for the job turns it."""

    def start(self, function: Callable[[], None], interval_ms: int) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""
