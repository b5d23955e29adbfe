"""Commands of KneePipelineLib as child processes with callbacks: about the environment, and for the panel."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .failures import REPAIR, RunError, known, silent_end
from .process import JobProcess, QtProcess, child_environment
from .process.base import progress_of
from .process.leaving import dismiss, enlist

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


class Task:
    """One command at work. Set the callbacks before the event loop turns again.

    Attributes
    ----------
    on_progress : callable (fraction, message)
    on_text : callable (line)
        Everything the command says, for the log.
    on_done : callable (result)
        `result` is the interpreter (setup, repair, use_python), None (remove) or the findings (diagnose).
    on_failed : callable (code, message, hint)
    on_cancelled : callable ()
    """

    def __init__(self, arguments: Sequence[str], finish: Callable[[str], Any], *, may_fail: bool = False,
                 python: Path | None = None, as_private: Path | None = None,
                 process_factory: Callable[[], JobProcess] = QtProcess) -> None:
        self.on_progress: Callable[[float, str], None] = lambda fraction, message: None
        self.on_text: Callable[[str], None] = lambda line: None
        self.on_done: Callable[[Any], None] = lambda result: None
        self.on_failed: Callable[[str, str, str], None] = lambda code, message, hint: None
        self.on_cancelled: Callable[[], None] = lambda: None
        self._finish, self._may_fail, self._cancelled = finish, may_fail, False
        self._said: list[str] = []
        process = self.process = process_factory()
        process.on_event, process.on_text, process.on_finished = self._event, self._text, self._finished
        variables = child_environment(as_private)
        if as_private is None:
            variables.pop("KNEEPIPELINE_PYTHON", None)  # these commands are about the environment, not about that one
        process.start([str(python or slicers_python()), "-m", "KneePipelineLib", *arguments], variables, PACKAGE_FOLDER)
        enlist(self)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.running

    def cancel(self) -> None:
        """Stop; what was there before stays as it was."""
        self._cancelled = True
        self.process.cancel()

    def kill(self) -> None:
        """Stop now: the application goes away."""
        self._cancelled = True
        self.process.kill()

    def _event(self, event: dict[str, Any]) -> None:
        self._said.append(str(event.get("message", "")))

    def _text(self, line: str) -> None:
        progress = progress_of(line)
        if progress is not None:
            self.on_progress(*progress)
        self.on_text(progress[1] if progress is not None else line)

    def _finished(self, exit_code: int, crashed: bool) -> None:
        dismiss(self)
        if self._cancelled:
            self.on_cancelled()
        elif crashed or (exit_code != 0 and not (self._may_fail and self._said)):
            error = _error_of(exit_code, crashed, list(self.process.last_lines))
            self.on_failed(error.code, error.message, error.hint)
        else:
            try:
                result = self._finish("\n".join(self._said))
            except Exception as error:  # whatever it is, somebody waits for the end
                failure = known(error)
                self.on_failed(failure.code, failure.message, failure.hint)
            else:
                self.on_done(result)


def _error_of(exit_code: int, crashed: bool, lines: list[str]) -> RunError:
    """The error as the command printed it: its sentence, then what to do."""
    starts = [n for n, line in enumerate(lines) if line.startswith("KneePipeline: ")]
    if not starts or crashed:
        return silent_end(exit_code, crashed, lines)
    message, *rest = lines[starts[-1]:]
    return RunError("SETUP_ERROR", message[len("KneePipeline: "):], " ".join(line.strip() for line in rest))


def slicers_python() -> Path:
    """The interpreter that Slicer comes with, started through its launcher so that it finds its libraries."""
    for folder in (Path(sys.executable).parent, Path(sys.prefix) / "bin", Path(sys.prefix)):
        for name in ("PythonSlicer", "PythonSlicer.exe"):
            if (folder / name).is_file():
                return folder / name
    return Path(sys.executable)


def findings_of(said: str) -> dict[str, Any]:
    """The JSON that the doctor printed."""
    try:
        return json.loads(said[said.index("{"):])
    except ValueError:
        raise RunError("PIPELINE_ERROR", "The diagnosis ended without a result.", REPAIR) from None


def start_command(arguments: list[str], on_event: Callable[[dict[str, Any]], None] | None = None,
                  on_text: Callable[[str], None] | None = None,
                  on_finished: Callable[[int, bool], None] | None = None) -> JobProcess:
    """Start ``python -m KneePipelineLib ARGUMENTS`` and return the process that runs.

    The environment's interpreter runs it, or, before there is one, Slicer's own: the commands that are used this way
    need the standard library only.
    """
    from .environment import OWN, state

    found = state()
    private: Path | None = found.python if found.usable else None
    process = QtProcess()
    for name, callback in (("on_event", on_event), ("on_text", on_text), ("on_finished", on_finished)):
        if callback is not None:
            setattr(process, name, callback)
    process.start([str(private or slicers_python()), "-m", "KneePipelineLib", *arguments],
                  child_environment(private if found.state == OWN else None), PACKAGE_FOLDER)
    return process
