"""One analysis from Apply to its results: export, child process, import, each in short steps of the event loop."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import EXIT_CANCELLED, EXIT_DONE, KneePipelineError
from ..failures import RunTold, errors_in, known
from ..inputs import ExportedInputs, export_inputs
from ..inputs.request import JobRequest
from ..process import JobProcess, PlainProcess, QtProcess, child_environment, leaving
from ..process.leaving import stop_all
from . import surroundings
from .states import JobCallbacks, JobState, NoTicker, QtTicker, Ticker
from .surroundings import RunFolder, remove_abandoned

STEP_BUDGET_S = 0.01
"""Steps of the export follow each other within one event-loop turn until this much time has passed."""
BUSY_MS, IDLE_MS = 1, 50
"""How often a job takes its turn while it works itself, and while its child does."""


class KneeJob(JobCallbacks):
    """One analysis. Set the callbacks, then `start`.

    Parameters
    ----------
    request : JobRequest
    process_factory : callable -> JobProcess, optional
        `QtProcess` by default; with `PlainProcess` nothing needs Qt and `wait` drives the job.
    importer : callable (path of results.json, the job) -> iterator, optional
        Brings the results into the scene, one node a ``next()``; called after success only.
    python : path, optional
        The interpreter of the run; by default the one of :mod:`.environment`.

    Attributes
    ----------
    exported : ExportedInputs or None
        What was handed to the run.
    results : Path or None
        results.json of the finished run.
    imported : object
        What the importer returned.
    replaces : object
        The earlier import whose place this one takes; for a repeated analysis.
    error : KneePipelineError or None
        Why it failed; a SegmentMappingError carries the mapping table.
    """

    def __init__(self, request: JobRequest, process_factory: Callable[[], JobProcess] = QtProcess, *,
                 importer: Callable[[Path, KneeJob], Iterator[Any]] | None = None, python: Path | str | None = None,
                 ) -> None:
        super().__init__()
        self.request, self.state = request, JobState.IDLE
        self.exported: ExportedInputs | None = None
        self.results: Path | None = None
        self.imported: Any = None
        self.replaces: Any = None
        self.error: KneePipelineError | None = None
        self.output: Path | None = None
        self._factory, self._importer, self._python = process_factory, importer, python
        self._ticker: Ticker = NoTicker() if process_factory is PlainProcess else QtTicker()
        self._process: JobProcess | None = None
        self._steps: Iterator[Any] | None = None
        self._folder: RunFolder | None = None
        self._own_output = self._cancelling = self._in_turn = False
        self._told = RunTold()
        self._unwatch: Callable[[], None] = lambda: None

    # --- what a person does ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin. What cannot begin is told through `on_failed`, like every later failure.

        Raises
        ------
        RuntimeError
            If it was started before: a job runs once.
        """
        from ..environment import python_for_runs

        if self.state is not JobState.IDLE:
            raise RuntimeError("A job runs once; make another one.")
        try:
            self.request.check()
            self._python, explicit = (self._python, True) if self._python else python_for_runs()
            self._explicit = explicit
            self._folder = RunFolder(surroundings.temporary_path())
            self.output, self._own_output = surroundings.make_output(self.request)
        except (KneePipelineError, OSError) as error:
            self._fail(known(error))
            return
        leaving.enlist(self)
        self._unwatch = surroundings.watch_scene(self._on_scene_close)
        remove_abandoned(surroundings.temporary_path())
        self._steps = export_inputs(self.request, self._folder.path, self.output)
        self._enter(JobState.EXPORTING)
        if self.state.active:
            self._ticker.start(self.turn, BUSY_MS)

    def cancel(self) -> None:
        """Stop as soon as possible and leave nothing behind. Returns at once; `on_cancelled` follows."""
        if not self.state.active or self._cancelling:
            return
        self._cancelling = True
        if self._process is not None and self._process.running:
            self._process.cancel()
        elif not self._in_turn:  # otherwise at the end of that turn: what it is doing cannot be taken back before
            self._end_cancelled()

    def kill(self) -> None:
        """Stop at once, waiting for it (about a second at most): the application or the module goes away."""
        if self.state.active:
            self._cancelling = True
            if self._process is not None and self._process.running:
                self._process.kill()
            if not self.state.over:
                self._end_cancelled()

    def wait(self, timeout_s: float | None = None, turn: Callable[[], None] | None = None) -> bool:
        """Drive it to its end; whether it got there. In Slicer the GUI stays alive meanwhile.

        Parameters
        ----------
        turn : callable, optional
            One turn of the event loop; by default ``slicer.app.processEvents`` for a job with a `QtProcess`.
        """
        if turn is None:
            turn = surroundings.turn_of_slicer if isinstance(self._ticker, QtTicker) else self._turn_of_script
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self.state.active and (end is None or time.monotonic() < end):
            turn()
        return self.state.over

    def _turn_of_script(self) -> None:
        self.turn()
        if self.state is JobState.RUNNING:
            time.sleep(0.01)

    # --- its steps ---------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """What there is to do in one turn of the event loop: at most about `STEP_BUDGET_S`, or one node."""
        if self._in_turn:  # a step of the import turns the event loop itself
            return
        self._in_turn = True
        try:
            if self.state is JobState.EXPORTING:
                self._export()
            elif self.state is JobState.RUNNING and self._process is not None:
                self._process.poll()
            elif self.state is JobState.IMPORTING:
                self._import()
        except Exception as error:
            self._fail(known(error))
        finally:
            self._in_turn = False
        if self._cancelling and self.state.active and not (self._process is not None and self._process.running):
            self._end_cancelled()

    def _export(self) -> None:
        end = time.perf_counter() + STEP_BUDGET_S
        while time.perf_counter() < end:
            exported = next(self._steps)
            if exported is not None:
                self._steps.close()
                self._run(exported)
                return

    def _run(self, exported: ExportedInputs) -> None:
        from ... import environment

        self.exported = exported
        for note in exported.notes:
            self.on_warning("NOTE", note)
        process = self._process = self._factory()
        process.on_event, process.on_text, process.on_finished = self._on_event, self.on_text, self._on_finished
        self._enter(JobState.RUNNING)
        if self._cancelling or self.state.over:  # a callback has ended it
            return
        self._ticker.start(self.turn, IDLE_MS)
        process.start(environment.command(self._python, self.request.arguments(exported, self.output)),
                      child_environment(self._python if self._explicit else None), self._folder.path)
        if process.running:
            self._folder.used_by(process.pid)

    def _on_event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "state" and event.get("state") != "ERROR":
            self.on_progress(float(event.get("fraction") or 0.0), str(event.get("state", "")),
                             str(event.get("message", "")), event.get("eta_s"))
        elif kind == "warning":
            self.on_warning(str(event.get("code", "")), str(event.get("message", "")))
        elif kind == "text":
            self.on_text(str(event.get("message", "")))
        else:
            self._told.remember(event)

    def _on_finished(self, exit_code: int, crashed: bool) -> None:
        self._ticker.stop()
        results = None if crashed else self._told.results(self.output)
        if self._cancelling or (exit_code == EXIT_CANCELLED and not crashed):
            self._end_cancelled()
        elif results is not None:
            self.results = results
            for code, sentence in errors_in(results) if exit_code != EXIT_DONE else ():
                self.on_warning(code, sentence)
            self._begin_import()
        else:
            self._fail(self._told.error(exit_code, crashed, list(self._process.last_lines)))

    def _begin_import(self) -> None:
        if self._importer is None:
            self._succeed()
            return
        self._enter(JobState.IMPORTING)
        if self.state.over:
            return
        try:
            self._steps = iter(self._importer(self.results, self))
        except Exception as error:
            self._fail(known(error))
            return
        self._ticker.start(self.turn, BUSY_MS)

    def _import(self) -> None:
        try:
            said = next(self._steps)
        except StopIteration as end:
            self.imported = end.value
            self._succeed()
            return
        if isinstance(said, str):
            self.on_progress(1.0, "IMPORTING", said, None)

    # --- its ends ----------------------------------------------------------------------------------------------------

    def _succeed(self) -> None:
        self._clear_up()
        self._enter(JobState.DONE)
        self.on_done(self.results)

    def _end_cancelled(self) -> None:
        finished = self.results is not None  # the run had ended, only the import was cut short
        if self.state.over:
            return
        self._clear_up()
        if self._own_output and not finished and self.output is not None:
            shutil.rmtree(self.output, ignore_errors=True)
        self._enter(JobState.CANCELLED)
        self.on_cancelled()

    def _fail(self, error: KneePipelineError) -> None:
        if self.state.over:
            return
        self.error = error
        self._clear_up()
        if self._own_output and self.output is not None:
            with contextlib.suppress(OSError):  # only an empty one goes: what is in it may tell more
                self.output.rmdir()
        self._enter(JobState.FAILED)
        self.on_failed(error.code, error.message, error.hint)

    def _clear_up(self) -> None:
        """Stop what still moves and remove the temporary folder, whatever the end."""
        self._ticker.stop()
        leaving.dismiss(self)
        self._unwatch()
        if hasattr(self._steps, "close"):
            with contextlib.suppress(ValueError):  # it is at work this very moment: the application is being left
                self._steps.close()
        if self._process is not None and self._process.running:
            self._process.kill()
        if self._folder is not None:
            self._folder.remove()

    def _enter(self, state: JobState) -> None:
        self.state = state
        self.on_state(state)

    def _on_scene_close(self, caller: Any, event: str) -> None:
        """Before it has been exported, the input goes; afterwards only the place for the results does."""
        goes_on = self.state is JobState.RUNNING and not self._cancelling and self.on_scene_close()
        # The question may have stood there until the run had ended and its import begun, in the scene that now goes.
        if goes_on and self.state is JobState.RUNNING:
            self._importer = None
        else:
            self.cancel()


__all__ = ["JobRequest", "JobState", "KneeJob", "stop_all"]
