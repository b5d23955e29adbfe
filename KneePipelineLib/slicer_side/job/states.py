"""The states of a job, what it tells, and what makes it take its turns."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
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


class JobCallbacks:
    """What a job tells; all of it comes on the main thread, and nobody has to listen.

    Attributes
    ----------
    on_progress : callable (fraction, stage, message, eta_s)
        `fraction` 0..1 of the run, `eta_s` None where nobody knows.
    on_state : callable (JobState)
    on_done : callable (path of results.json)
    on_failed : callable (code, message, hint)
    on_cancelled : callable ()
    on_warning : callable (code, message)
    on_text : callable (line)
        What the run says to people, for the log.
    on_scene_close : callable () -> bool
        Asked when the scene is closed while the run is going: True lets it finish without showing its results.
    """

    def __init__(self) -> None:
        self.on_progress: Callable[[float, str, str, float | None], None] = lambda *_: None
        self.on_state: Callable[[JobState], None] = lambda state: None
        self.on_done: Callable[[Path], None] = lambda results: None
        self.on_failed: Callable[[str, str, str], None] = lambda code, message, hint: None
        self.on_cancelled: Callable[[], None] = lambda: None
        self.on_warning: Callable[[str, str], None] = lambda code, message: None
        self.on_text: Callable[[str], None] = lambda line: None
        self.on_scene_close: Callable[[], bool] = lambda: False


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
        self._retired: Any = None

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
            # Its connection keeps the job, and the job its volumes, in memory; the garbage collector does not see that.
            # It may be in the middle of its own signal: Qt deletes it later, Python must not drop it before.
            self._timer.deleteLater()
            self._retired, self._timer = self._timer, None


class NoTicker:
    """For scripts: whoever waits for the job turns it."""

    def start(self, function: Callable[[], None], interval_ms: int) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""
