"""What a run knows while it runs, shared by the orchestrator and the execution of its states."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CancelledError, TimedOutError
from ..job import JobOptions
from .checkpoints import CheckpointStore, Manifest
from .clock import Clock
from .events import LogFile
from .history import History, kind_of
from .plan import Step
from .progress import Progress
from .publish import Publisher
from .record import RunRecord
from .scrubbing import Scrubber

POLL_S = 0.2
GPU_DEADLINE_S = 30 * 60.0
HANG_AFTER_S = 10 * 60.0


@dataclass
class Job:
    """One run's folder, listeners, clocks and findings."""

    options: JobOptions
    out: Path
    token: str
    steps: tuple[Step, ...]
    wanted: set[str]
    clock: Clock
    store: CheckpointStore
    publisher: Publisher
    progress: Progress
    history: History
    record: RunRecord
    log: LogFile
    scrub: Scrubber
    emit: Callable[[dict], None]
    stop_asked: Callable[[], bool]
    hang_after_s: float = HANG_AFTER_S
    inbox: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)
    inputs: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    device: str | None = None
    device_changed: bool = False
    began: float = 0.0
    looked: float = 0.0
    asleep_s: float = 0.0

    def awake(self) -> float:
        """Monotonic seconds without those in which the computer slept: for deadlines and signs of life.

        It is asked several times a second, so a long time between two questions was a standby (or a stopped process).
        """
        now = self.clock.monotonic()
        since, self.looked = now - self.looked, now
        if since > self.clock.standby_s:
            self.asleep_s += since
            self.log.line(f"The computer slept, or this run was stopped, for {since:.0f} s; they do not count.")
        return now - self.asleep_s

    @property
    def results(self) -> dict[str, dict]:
        """Step -> what its body returned, for the steps that finished."""
        return {name: manifest.result for name, manifest in self.manifests.items()}

    def expected_s(self, step: Step) -> float:
        """How long a step is likely to take: by this machine's history, else by the plan."""
        known = self.history.expected_s(step.name, self.kind_of(step))
        return known if known is not None else 0.1 if self.options.practice else step.weight

    def kind_of(self, step: Step, device: str | None = None) -> str:
        """What a step's duration hangs on, with the device it ran on or is likely to run on."""
        device = device or self.device or self.history.device(self.options.device)
        return kind_of(step, self.options, device, self.results)

    def known_s(self) -> dict[str, float]:
        """Step -> seconds it is likely to take, of those that ran here before in this way."""
        found = {step.name: self.history.expected_s(step.name, self.kind_of(step)) for step in self.steps}
        return {name: seconds for name, seconds in found.items() if seconds is not None}

    def warn(self, code: str, message: str) -> None:
        """Tell the person, log.txt and pipeline.json; the same thing once, whichever steps say it."""
        message = self.scrub(message)
        if {"code": code, "message": message} in self.record.warnings:
            return
        self.record.warnings.append({"code": code, "message": message})
        self.emit({"v": 1, "event": "warning", "code": code, "message": message})

    def wait(self, until: float) -> tuple[int, dict] | None:
        """The next message of a worker, or None at ``until`` (monotonic seconds) or a little earlier.

        Raises
        ------
        CancelledError, TimedOutError
            When somebody asked the run to stop, or its deadline has passed.
        """
        self.check_stop()
        pause = min(POLL_S, max(until - self.clock.monotonic(), 0.0))
        try:
            return self.inbox.get(timeout=pause) if pause else self.inbox.get_nowait()
        except queue.Empty:
            return None
        finally:
            self.check_stop()

    def check_stop(self) -> None:
        """Raise when the run has to end."""
        if self.stop_asked():
            raise CancelledError("The run was cancelled.", "Run the same command again to go on from here.")
        deadline_s, now = self.deadline_s, self.awake()
        if deadline_s is not None and now - self.began > deadline_s:
            raise TimedOutError(f"The run did not finish within {deadline_s:g} s.",
                                "Run the same command again to go on from here, or give a longer --timeout.",
                                timeout_s=deadline_s)

    @property
    def deadline_s(self) -> float | None:
        """Seconds the whole run may take: --timeout, else 30 minutes on one and the same GPU, else no limit."""
        if self.options.timeout is not None:
            return self.options.timeout
        on_gpu = self.device is not None and self.device != "cpu"
        return GPU_DEADLINE_S if on_gpu and not self.device_changed else None

    def note_device(self, device: str) -> None:
        """A step says on which device it computes."""
        if self.device is not None and device != self.device:
            self.device_changed = True
        self.device = device
