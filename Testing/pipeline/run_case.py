"""What the tests of runs share: a clock that races, and events held against their schema."""

from __future__ import annotations

import json
import time

from KneePipelineLib.pipeline.clock import Clock
from KneePipelineLib.pipeline.events import SCHEMA_FILE


class FastClock(Clock):
    """Every real second counts as many."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self.standby_s = Clock.standby_s * speed

    def monotonic(self) -> float:
        return time.monotonic() * self._speed


def check_events(events: list[dict]) -> None:
    """Every event is as the schema says, and the fraction done never falls."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    for event in events:
        validator.validate(event)
    fractions = [event["fraction"] for event in events if event["event"] == "state"]
    assert fractions == sorted(fractions)
