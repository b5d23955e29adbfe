"""How long each step has taken on this machine, for the time left. Seconds only: nothing about whose knee it was."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Mapping
from pathlib import Path

from .files import read_json, write_json

KEPT = 12


def history_file() -> Path | None:
    """Where this machine's history lies; None when there is no place for it."""
    with contextlib.suppress(Exception):
        from ..environment import home

        return Path(home()) / "history.json"
    folder = os.environ.get("KNEEPIPELINE_HOME")
    return Path(folder) / "history.json" if folder else None


class History:
    """Durations of finished steps, the latest dozen of each.

    Parameters
    ----------
    path : Path or None
        The file; None remembers nothing.
    kind : str
        Practice runs and real ones, GPU and CPU, do not mix.
    """

    def __init__(self, path: Path | None, kind: str = "cpu") -> None:
        self._path, self._kind = path, kind
        values = read_json(path) if path else None
        self._all: dict = values if isinstance(values, dict) else {}
        own = self._all.get(kind)
        self._seconds: dict[str, list[float]] = {
            str(step): [float(s) for s in taken if isinstance(s, (int, float))][-KEPT:]
            for step, taken in (own.items() if isinstance(own, dict) else ()) if isinstance(taken, list)}

    def expected_s(self, step: str) -> float | None:
        """Median seconds of a step, or None when it never ran here."""
        taken = self._seconds.get(step)
        return statistics.median(taken) if taken else None

    def add(self, taken: Mapping[str, float]) -> None:
        """Remember how long steps took; a folder that cannot be written is no reason to fail."""
        for step, seconds in taken.items():
            self._seconds[step] = [*self._seconds.get(step, []), round(seconds, 3)][-KEPT:]
        if self._path is None or not taken:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {**self._all, self._kind: self._seconds})
