"""What a run has told about its own end: where its results are, or why there are none."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from ..errors import KneePipelineError
from .failures import RunError, silent_end


class RunTold:
    """The events ``result`` and ``error`` of one run; the latest of each counts."""

    def __init__(self) -> None:
        self._last: dict[str, dict[str, Any]] = {}

    def remember(self, event: dict[str, Any]) -> None:
        """Keep an event that speaks of the end."""
        if event["event"] in ("result", "error"):
            self._last[event["event"]] = event

    def results(self, output: Path) -> Path | None:
        """results.json below the run's folder; None when the run told of none, or it is not there."""
        if "result" not in self._last:
            return None
        path = output / str(self._last["result"].get("path") or "results.json")
        return path if path.is_file() else None

    def error(self, exit_code: int, crashed: bool, last_lines: list[str]) -> KneePipelineError:
        """The run's own error, else what can be said of how it ended (see :func:`.failures.silent_end`)."""
        told = self._last.get("error")
        if told is None:
            return silent_end(exit_code, crashed, last_lines)
        return RunError(*(str(told.get(key) or "") for key in ("code", "message", "hint")))


def errors_in(results: Path) -> list[tuple[str, str]]:
    """(code, sentence) of what failed in a run that delivers the rest, such as one without a segmentation."""
    found = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        for error in json.loads(results.read_text(encoding="utf-8"))["errors"]:
            found.append((error["code"], f"{error['message']} {error.get('hint') or ''}".strip()))
    return found
