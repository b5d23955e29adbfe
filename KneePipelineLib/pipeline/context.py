"""What a step's body is given: where its inputs lie, where its outputs go, and how to say how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..job import JobOptions

EVENTS_PER_SECOND = 10


@dataclass
class StageContext:
    """The world of one step, inside the worker.

    Attributes
    ----------
    step : str
        Name of the step.
    options : JobOptions
    out : Path
        An empty folder; what the body leaves there becomes the step's files.
    folders : mapping
        Step -> folder of its files; only those finished before and declared in ``reads``.
    results : mapping
        Step -> what its body returned.
    outcomes : mapping
        Step -> {"status": "done" | "skipped" | "failed", ...}; what FORMATTING reports.
    edited : Path or None
        A person's edit of the published label map.
    scale : float
        Factor on batch and tile size: 1, less after a failure for want of memory, 0 for the smallest there is.
    force_cpu : bool
        Stay away from the GPU in this attempt.
    spare : bool
        Leave out what the step can do without (`Step.spares`): an attempt with it has failed.
    provenance : mapping
        Versions, model and the like, for the files a person reads; free of dates, names and paths.
    send : callable
        Takes one event.
    """

    step: str
    options: JobOptions
    out: Path
    folders: Mapping[str, Path] = field(default_factory=dict)
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    edited: Path | None = None
    scale: float = 1.0
    force_cpu: bool = False
    spare: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)
    send: Callable[[dict], None] = lambda event: None
    _last_sent: float = 0.0

    def path(self, step: str, name: str) -> Path:
        """A file that an earlier step left."""
        return self.folders[step] / name

    def has(self, step: str) -> bool:
        """Whether that step finished."""
        return step in self.folders

    def result(self, step: str) -> Mapping[str, Any]:
        """What that step's body returned; empty when it did not run."""
        return self.results.get(step, {})

    @property
    def batch_size(self) -> int:
        """Slices or tiles to compute at once in this attempt, at least 1."""
        return max(1, int(self.options.batch_size * self.scale))

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the step has come (0 to 1). Cheap: at most ten a second are passed on."""
        now = time.monotonic()
        if fraction < 1 and now - self._last_sent < 1 / EVENTS_PER_SECOND:
            return
        self._last_sent = now
        self.send({"event": "progress", "fraction": min(max(float(fraction), 0.0), 1.0), "message": message})

    def warn(self, code: str, message: str) -> None:
        """Tell the person something that does not stop the work. Never names, UIDs or input paths."""
        self.send({"event": "warning", "code": code, "message": message})

    def use_device(self, device: str) -> None:
        """Record on which device the step computes (``cpu``, ``cuda:0``, ``mps``)."""
        self.send({"event": "device", "device": device})
