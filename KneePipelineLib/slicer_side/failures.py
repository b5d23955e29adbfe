"""The errors of a run as the Slicer side tells them: the cause quoted, and the button that mends it named."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from ..errors import KneePipelineError
from .process.base import FAILED_TO_START

_MISSING = re.compile(r"ModuleNotFoundError|ImportError|No module named|DLL load failed|cannot open shared object")
_NOISE = re.compile(r"^\s*(File \"|Traceback|\^+|~+|at )|^\s*\d+%|^\[[#\s]*\]")
REPAIR = "Press Repair in the section Set up."
SHOW_LOG = "Press Show log for the details, and Diagnose in the section Set up if it happens again."


class RunError(KneePipelineError):
    """An error that a run told about itself, with its own code (design, section 5)."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


def silent_end(exit_code: int, crashed: bool, last_lines: list[str]) -> RunError:
    """The error of a run that ended without telling why.

    Parameters
    ----------
    exit_code : int
        The signal's number when it `crashed` (POSIX).
    last_lines : list of str
        The last lines of stderr.
    """
    words = last_words(last_lines)
    quoted = f" Its last words: \"{words}\"" if words else ""
    if exit_code == FAILED_TO_START:
        return RunError("NO_ENVIRONMENT", f"The Python of the private environment does not start.{quoted}", REPAIR)
    if _MISSING.search(" ".join(last_lines)):
        return RunError("NO_ENVIRONMENT", f"The private environment is incomplete.{quoted}", REPAIR)
    if crashed and exit_code == 9:
        return RunError("E_HARD_002", "The analysis was ended by the operating system, most often because the "
                        f"computer's memory was used up.{quoted}",
                        "Close other programs, or choose a smaller model or batch size, then press Apply.")
    how = f"signal {exit_code}" if crashed else f"exit code {exit_code}"
    return RunError("PIPELINE_ERROR", f"The analysis ended unexpectedly ({how}).{quoted}", SHOW_LOG)


def last_words(lines: list[str], most: int = 300) -> str:
    """The line that says most about an end: the last one of a traceback, else the last one.

    >>> last_words(["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: 3 is no knee"])
    'ValueError: 3 is no knee'
    """
    said = [line.strip() for line in lines if line.strip() and not _NOISE.search(line)]
    errors = [line for line in said if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (errors or said or [""])[-1][:most]


def known(error: BaseException) -> KneePipelineError:
    """Any exception as one with a code, a sentence and a way out; nothing reaches a person as a traceback."""
    if isinstance(error, KneePipelineError):
        return error
    if isinstance(error, OSError):
        reason = (error.strerror or type(error).__name__).lower()
        return RunError("PIPELINE_ERROR", f"A file or folder could not be used: {reason}.",
                        "Check the output folder under Outputs, that its disk is connected and that it has room.")
    import logging

    logging.getLogger("KneePipeline").error("Unexpected error", exc_info=error)
    return RunError("PIPELINE_ERROR", f"Something unexpected happened: {type(error).__name__}: {error}", SHOW_LOG)


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
