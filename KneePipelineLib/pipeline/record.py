"""pipeline.json: everything that was done in a run, step by step, for whoever wants to check it."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..job import JobOptions
from .clock import Clock
from .files import write_json
from .states import State

VERSION = 2
LIBRARIES = ("numpy", "scipy", "SimpleITK", "vtk", "pydicom", "torch", "nnunetv2", "mskt", "dosma")


def versions() -> dict[str, str]:
    """Versions of the package, of Python and of the libraries that are installed."""
    found = {"KneePipeline": __version__, "python": platform.python_version(), "platform": sys.platform}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


class RunRecord:
    """Collects what happens and writes pipeline.json.

    Parameters
    ----------
    path : Path
        The file.
    options : JobOptions
    clock : Clock
    published : dict, optional
        What lies in the run folder already (see `publish.Published`); kept until something else does.
    """

    def __init__(self, path: Path, options: JobOptions, clock: Clock, published: dict | None = None) -> None:
        self._path, self._clock = path, clock
        self._began = clock.monotonic()
        self._states: list[dict] = []
        self.status = "running"
        self.values: dict[str, Any] = {"options": options.without_paths(), "seed": options.seed, "weights": {},
                                       "inputs": {}, "versions": {}, "practice": options.practice}
        self.retries: list[dict] = []
        self.warnings: list[dict] = []
        self.error: dict | None = None
        self.results: dict[str, Any] = {"complete": False}
        self.published = published
        self._started = clock.stamp()

    def enter(self, state: State) -> None:
        """A state begins, and the one before ends."""
        now = self._clock.monotonic()
        if self._states:
            self._states[-1].setdefault("ms", _whole_ms(now - self._states[-1]["_began"]))
        self._states.append({"state": state.name, "_began": now})

    def write(self, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace pipeline.json.

        ``stage_complete``, ``pipeline_execution`` and ``stage_timings`` are the stage output of the orchestration
        document, to the letter; everything else that is known stands beside them.
        """
        now = self._clock.monotonic()
        traversed = [s for s in self._states if s["state"] != State.INIT.name]
        write_json(self._path, {
            "v": VERSION,
            "status": self.status,
            "stage_complete": "ORCHESTRATION" if self.status in ("complete", "degraded") else None,
            "pipeline_execution": {
                "states_traversed": [s["state"] for s in traversed],
                "branches_executed": [name for name, o in outcomes.items()
                                      if o["status"] == "done" and not o.get("reused")],
                "checkpoints_saved": sum(bool(o.get("saved")) for o in outcomes.values()),
                "retries_performed": len(self.retries),
                "total_time_ms": _whole_ms(now - self._began),
            },
            "stage_timings": {s["state"]: s.get("ms", _whole_ms(now - s["_began"])) for s in traversed},
            "last_state": self._last_state(),
            "steps": {name: _about(outcome) for name, outcome in outcomes.items()},
            "retries": self.retries,
            "started": self._started,
            "written": self._clock.stamp(),
            "warnings": self.warnings,
            "error": self.error,
            "results": self.results,
            "published": self.published,
            **self.values,
        })

    def _last_state(self) -> str | None:
        """The last state that was finished."""
        names = [s["state"] for s in self._states]
        if self.status in ("complete", "degraded"):
            return State.COMPLETE.name
        finished = [name for name in names[:-1] if name != State.ERROR.name]
        if names and names[-1] == State.ERROR.name:
            finished = finished[:-1]
        return finished[-1] if finished else None


def _whole_ms(seconds: float) -> int:
    return round(1000 * seconds)


def _about(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """A step's fate: ``done``, ``reused``, ``skipped`` (with the reason) or ``failed`` (with the error)."""
    status = "reused" if outcome.get("reused") else outcome["status"]
    more = {"skipped": "reason", "failed": "error"}.get(status)
    return {"status": status, **({more: outcome[more]} if more else {}), **outcome.get("record", {})}
