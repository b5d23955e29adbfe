"""How far the run is: one fraction from weighted steps that never goes backwards, and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .clock import Clock
from .plan import Step
from .states import State

ALMOST = 0.99
"""Until COMPLETE the fraction stays below 1."""


class Progress:
    """Turns what steps report into ``state`` events.

    Parameters
    ----------
    steps : iterable of Step
        The plan.
    known : mapping
        Step -> expected seconds, of those that this machine knows; they replace the plan's weights.
    clock : Clock
    emit : callable
        Takes the events.
    """

    def __init__(self, steps: Iterable[Step], known: Mapping[str, float], clock: Clock,
                 emit: Callable[[dict], None]) -> None:
        self._expected = {step.name: step.weight for step in steps}
        self._known: set[str] = set()
        self.expect(known)
        self._states = {step.name: step.state for step in steps}
        self._done = dict.fromkeys(self._expected, 0.0)
        self._highest = 0.0
        self._clock, self._emit = clock, emit
        self._began = clock.monotonic()
        self.state = State.INIT

    def expect(self, known: Mapping[str, float]) -> None:
        """Steps are likely to take so many seconds: known from the start, or since the device is known."""
        self._known = set(known)
        self._expected |= {step: max(known.get(step, seconds), 0.01) for step, seconds in self._expected.items()}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._clock.monotonic() - self._began

    def drop(self, step: str) -> None:
        """A step will not run: its share of the bar vanishes."""
        self._expected.pop(step, None)
        self._done.pop(step, None)

    def advance(self, step: str, fraction: float, message: str = "") -> None:
        """A step has come to ``fraction``; without a message nothing is emitted."""
        if step in self._done:
            self._done[step] = max(self._done[step], min(fraction, 1.0))
        if message:
            self.say(message)

    def enter(self, state: State, message: str) -> None:
        """The run has entered a state."""
        self.state = state
        self.say(message)

    def say(self, message: str) -> None:
        """Emit a ``state`` event."""
        if self.state != State.ERROR:
            self._highest = 1.0 if self.state == State.COMPLETE else max(self._highest, min(self._fraction(), ALMOST))
        self._emit({"v": 1, "event": "state", "state": self.state.name, "fraction": round(self._highest, 4),
                    "stage_fraction": round(self._stage_fraction(), 4), "message": message,
                    "elapsed_s": round(self.elapsed_s, 2), "eta_s": self._eta_s()})

    def _fraction(self) -> float:
        total = sum(self._expected.values())
        return sum(self._expected[step] * done for step, done in self._done.items()) / total if total else 1.0

    def _stage_fraction(self) -> float:
        mine = [step for step in self._done if self._states[step] == self.state]
        total = sum(self._expected[step] for step in mine)
        if not total:
            return 1.0 if self.state == State.COMPLETE else 0.0
        return min(sum(self._expected[step] * self._done[step] for step in mine) / total, 1.0)

    def _eta_s(self) -> float | None:
        """Seconds left by this machine's own history; None while some step to come has never run here."""
        if self.state == State.COMPLETE:
            return 0.0
        left = {step: 1 - done for step, done in self._done.items() if done < 1}
        if self.state == State.ERROR or not left.keys() <= self._known:
            return None
        return round(sum(self._expected[step] * part for step, part in left.items()), 1)
