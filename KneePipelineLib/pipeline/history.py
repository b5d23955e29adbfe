"""How long each step has taken on this machine, for the time left. Seconds only: nothing about whose knee it was.

A network takes seconds on a GPU and an hour on a CPU, and each network its own time; so what a step took is kept by
what it hangs on.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterable
from pathlib import Path

from ..job import JobOptions
from .files import read_json, write_json
from .plan import Results, Step

KEPT = 12
VERSION = 2


def history_file() -> Path | None:
    """Where this machine's history lies; None when there is no place for it."""
    with contextlib.suppress(Exception):
        from ..environment import home

        return Path(home()) / "history.json"
    folder = os.environ.get("KNEEPIPELINE_HOME")
    return Path(folder) / "history.json" if folder else None


def kind_of(step: Step, options: JobOptions, device: str, results: Results) -> str:
    """What the duration of a step hangs on, such as ``nnunet_fullres cuda:0``; the same words, the same history."""
    if options.practice:
        return "practice"
    words = [step.timed_by(options, results), device if step.uses_device else ""]
    return " ".join(filter(None, words)) or "any"


class History:
    """Durations of finished steps, the latest dozen of each, and the device that ``auto`` came to mean.

    Parameters
    ----------
    path : Path or None
        The file; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seconds, self._devices = _read(path)

    def expected_s(self, step: str, kind: str) -> float | None:
        """Median seconds of a step, or None when it never ran here in that way."""
        taken = self._seconds.get(step, {}).get(kind)
        return statistics.median(taken) if taken else None

    def device(self, asked: str) -> str:
        """The device that a run which asks for this one is likely to get."""
        return asked if asked != "auto" else self._devices.get("auto", "cpu")

    def add(self, taken: Iterable[tuple[str, str, float]], device: str | None = None) -> None:
        """Remember how long steps took; a folder that cannot be written is no reason to fail.

        Parameters
        ----------
        taken : iterable of (step, kind, seconds)
        device : str, optional
            What ``auto`` meant in this run.
        """
        # Read again: other runs on this machine may have ended meanwhile.
        self._seconds, self._devices = _read(self._path)
        for step, kind, seconds in taken:
            kinds = self._seconds.setdefault(step, {})
            kinds[kind] = [*kinds.get(kind, []), round(seconds, 3)][-KEPT:]
        if device is not None:
            self._devices["auto"] = device
        if self._path is None or not self._seconds:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {"v": VERSION, "seconds": self._seconds, "devices": self._devices})


def _read(path: Path | None) -> tuple[dict[str, dict[str, list[float]]], dict[str, str]]:
    """What the file holds, as far as it is sound."""
    values = read_json(path) if path else None
    if not isinstance(values, dict) or values.get("v") != VERSION:
        return {}, {}
    seconds: dict[str, dict[str, list[float]]] = {}
    for step, kinds in _items(values.get("seconds")):
        for kind, taken in _items(kinds):
            numbers = [float(s) for s in taken if isinstance(s, (int, float))] if isinstance(taken, list) else []
            if numbers:
                seconds.setdefault(step, {})[kind] = numbers[-KEPT:]
    return seconds, {asked: str(device) for asked, device in _items(values.get("devices"))}


def _items(values: object) -> list[tuple[str, object]]:
    return [(str(key), value) for key, value in values.items()] if isinstance(values, dict) else []
