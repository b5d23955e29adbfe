"""Time as the orchestrator sees it, in one object that a test can replace.

Durations and deadlines use the monotonic clock only, so a wall clock that is set back changes nothing but the dates
printed in log.txt and pipeline.json.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone


class Clock:
    """The machine's own clocks.

    Attributes
    ----------
    standby_s : float
        When the orchestrator, which looks at the clock several times a second, sees that more than this has passed,
        the computer slept or the process was stopped. The monotonic clock goes on meanwhile on Windows.
    """

    standby_s = 60.0

    def monotonic(self) -> float:
        """Seconds that never go backwards; only differences mean something."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970; may jump in either direction."""
        return time.time()

    def stamp(self) -> str:
        """The wall clock as ISO 8601 in UTC, to the second."""
        return datetime.fromtimestamp(self.wall(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
