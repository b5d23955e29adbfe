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
    """

    def __init__(self, path: Path, options: JobOptions, clock: Clock) -> None:
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
        self._started = clock.stamp()

    def enter(self, state: State) -> None:
        """A state begins, and the one before ends."""
        now = self._clock.monotonic()
        if self._states:
            self._states[-1].setdefault("seconds", round(now - self._states[-1]["_began"], 4))
        self._states.append({"state": state.name, "_began": now})

    def write(self, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace pipeline.json."""
        now = self._clock.monotonic()
        done = [name for name, o in outcomes.items() if o["status"] == "done"]
        write_json(self._path, {
            "v": 1,
            "status": self.status,
            "stage_complete": self._stage_complete(),
            "pipeline_execution": {
                "states_traversed": [s["state"] for s in self._states],
                "branches_executed": [name for name in done if not outcomes[name].get("reused")],
                "branches_reused": [name for name in done if outcomes[name].get("reused")],
                "branches_skipped": {n: o["reason"] for n, o in outcomes.items() if o["status"] == "skipped"},
                "branches_failed": {n: o["error"] for n, o in outcomes.items() if o["status"] == "failed"},
                "checkpoints_saved": [n for n in done if outcomes[n].get("saved")],
                "retries_performed": self.retries,
                "total_time_ms": round(1000 * (now - self._began)),
            },
            "stage_timings": {
                "states_s": [{"state": s["state"], "seconds": s.get("seconds", round(now - s["_began"], 4))}
                             for s in self._states],
                "steps": {name: outcomes[name]["record"] for name in done},
            },
            "started": self._started,
            "written": self._clock.stamp(),
            "warnings": self.warnings,
            "error": self.error,
            "results": self.results,
            **self.values,
        })

    def _stage_complete(self) -> str | None:
        """The last state that was finished."""
        names = [s["state"] for s in self._states]
        if self.status in ("complete", "degraded"):
            return State.COMPLETE.name
        finished = [name for name in names[:-1] if name != State.ERROR.name]
        if names and names[-1] == State.ERROR.name:
            finished = finished[:-1]
        return finished[-1] if finished else None
