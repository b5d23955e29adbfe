"""A run from INIT to COMPLETE: the folder locked, the states in order, and an honest end whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from ..errors import EXIT_DONE, EXIT_PIPELINE_ERROR, CancelledError, ConfigError, KneePipelineError
from ..job import JobOptions
from ..measures_version import MEASURES_VERSION, changed_since, version_in
from ..system.guard import Guardian
from ..system.memory import check_memory
from ..system.processes import kill_token
from ..system.signals import heeded
from . import faults
from .clock import Clock
from .events import LogFile, sinks_for
from .execution import StateExecution
from .failures import from_exception
from .files import write_json
from .history import History, history_file
from .job_state import HANG_AFTER_S, Job
from .locking import RunLock
from .plan import STEPS, Step, step_names, steps_of, wanted_steps
from .progress import Progress
from .publish import Publisher
from .published import Published
from .receipt import open_folder, take_stock
from .record import RunRecord
from .scrubbing import Scrubber, paths_in
from .states import WORKING_STATES, State
from .workers import Workers

RESULTS = "results.json"


def run_job(options: JobOptions, *, events: object = None, clock: Clock | None = None,
            stop: threading.Event | None = None, steps: tuple[Step, ...] = STEPS) -> int:
    """Run one knee and return the exit code of the design's section 4.

    Parameters
    ----------
    options : JobOptions
        With ``input`` (not needed in practice mode) and ``output``.
    events : None, "-", callable, EventSink or text stream
        Who hears the event protocol beside the person at stderr; see `events.sinks_for`.
    clock : Clock, optional
        For tests.
    stop : threading.Event, optional
        Set it from another thread to cancel. SIGINT and SIGTERM do the same when this is the main thread.
    steps : tuple of Step, optional
        Another plan, for tests.
    """
    return Orchestrator(options.resolved(), events, clock or Clock(), stop or threading.Event(), steps).run()


class Orchestrator:
    """One run. Everything heavy happens in its workers; this process stays small and in control."""

    def __init__(self, options: JobOptions, events: object, clock: Clock, stop: threading.Event,
                 steps: tuple[Step, ...]) -> None:
        self.options, self.clock, self.stop, self.steps = options, clock, stop, steps
        self._sinks = sinks_for(events)
        self._job: Job | None = None
        self._workers: Workers | None = None
        self._code: int | None = None

    def run(self) -> int:
        """Carry the run through; errors become events and exit codes, never a traceback on the screen."""
        try:
            self._check_request()
            check_memory()
            checkpoints = self._make_folders()
            token = uuid.uuid4().hex
            with self._signals(), RunLock(checkpoints, token) as lock:
                publisher = open_folder(self.options, checkpoints, self.steps)
                self._job = self._make_job(token, publisher)
                guardian = Guardian(token)
                try:
                    self._code = self._run_states(lock)
                except Exception as error:
                    self._code = self._fail(error)
                finally:
                    self._clean_up(token, guardian)
        except KeyboardInterrupt:
            self._end_with(CancelledError("The run was cancelled.", "Run the same command again to go on from here."))
        except Exception as error:
            self._end_with(error)
        finally:
            for sink in self._sinks:
                getattr(sink, "close", lambda: None)()
        return self._code

    def _end_with(self, error: Exception) -> None:
        """An error that nobody expected; once the end of the run was told, nothing more is said about it."""
        if self._code is None:
            self._code = self._fail(error)

    def _clean_up(self, token: str, guardian: Guardian) -> None:
        """End what still runs. Whatever goes wrong here, the run has ended as it was told."""
        for act in (self._workers.end_all, lambda: kill_token(token), guardian.dismiss):
            try:
                act()
            except Exception as error:
                self._log_traceback(error)

    def _log_traceback(self, error: Exception) -> None:
        if self._job is not None:
            self._job.log.line(self._job.scrub.foreign("".join(traceback.format_exception(error))))

    def _emit(self, event: dict) -> None:
        for sink in list(self._sinks):
            try:
                sink.emit(event)
            except Exception as error:  # a listener that fails is not told any more, and fails no run
                self._sinks.remove(sink)
                self._log_traceback(error)

    def _check_request(self) -> None:
        options, problems = self.options, []
        if not options.output:
            problems.append("no output folder was given")
        if not (options.input or options.practice):
            problems.append("no input was given")
        unknown = [name for name in options.steps if name.lower() not in step_names(self.steps)]
        if unknown:
            problems.append(f"--steps {', '.join(unknown)}: there are {', '.join(step_names(self.steps))}")
        problems += _collisions(options)
        if problems:
            raise ConfigError("The run cannot begin: " + "; ".join(problems) + ".", "Correct this and start again.",
                              problems=problems)

    def _make_folders(self) -> Path:
        checkpoints = Path(self.options.output) / "checkpoints"
        try:
            checkpoints.mkdir(parents=True, exist_ok=True)
            probe = checkpoints / ".probe"
            probe.unlink(missing_ok=True)  # a link there would be written through
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise KneePipelineError(f"The output folder cannot be made or written: {reason}.",
                                    "Give a folder in which you may write, on a disk with room.") from None
        return checkpoints

    def _make_job(self, token: str, publisher: Publisher) -> Job:
        options, out, store = self.options, publisher.out, publisher.store
        log = LogFile(out / "log.txt", self.clock)
        self._sinks.append(log)
        recorded = asdict(publisher.recorded) if publisher.recorded else None
        job = Job(
            options=options, out=out, token=token, steps=self.steps, wanted=wanted_steps(options.steps, self.steps),
            clock=self.clock, store=store, publisher=publisher,
            progress=Progress(self.steps, {}, self.clock, self._emit), history=History(history_file()),
            record=RunRecord(out / "pipeline.json", options, self.clock, recorded), log=log,
            scrub=Scrubber(paths_in(options)), emit=self._emit,
            stop_asked=self.stop.is_set, hang_after_s=faults.setting("hang_after_s", HANG_AFTER_S),
            began=(now := self.clock.monotonic()), looked=now,
        )
        job.progress.expect(job.known_s())
        job.publisher.on_set_aside = lambda name: job.warn(
            "LABELS_SET_ASIDE", f"A label map in the output folder that this run does not know was kept as {name}.")
        self._workers = Workers(job)
        return job

    def _run_states(self, lock: RunLock) -> int:
        job = self._job
        self._enter(State.INIT, "Starting")
        if lock.was_stale:
            job.warn("RECOVERED", "The run before this one was ended from outside; finished steps are kept.")
        changed = changed_since(version_in(job.out) or MEASURES_VERSION)
        if changed:
            job.warn("MEASURES_CHANGED", f"Results of an earlier version lie here and are replaced. {changed} "
                     "Do not compare the new numbers with the old ones.")
        write_json(job.out / "config.json", self.options.to_dict())
        if self.options.unknown:
            job.warn("UNKNOWN_OPTIONS", "Not understood, but kept in config.json: "
                     + ", ".join(sorted(self.options.unknown)) + ".")
        if self.options.restart or not job.store.folder(self.steps[0].folder).exists():
            self._workers.warm_up()
        self._enter(State.RECEIPT, "Taking stock")
        take_stock(job)
        for state in WORKING_STATES:
            self._enter(state, state.name.capitalize())
            StateExecution(job, self._workers, steps_of(state, self.steps)).run()
            if state == State.VALIDATION:
                self._foresee()
        return self._complete()

    def _foresee(self) -> None:
        """Take the steps that will be skipped out of the progress bar, now that the case is known."""
        job = self._job
        for step in self.steps:
            if step.name not in job.wanted or (not self.options.practice and step.applies(self.options, job.results)):
                job.progress.drop(step.name)
        job.progress.expect(job.known_s())

    def _enter(self, state: State, message: str) -> None:
        job = self._job
        job.check_stop()
        job.record.enter(state)
        job.progress.enter(state, message)
        with contextlib.suppress(OSError):
            job.record.write(job.outcomes)
        faults.hit(f"state:{state.name}")

    def _complete(self) -> int:
        job = self._job
        failed = [name for name, outcome in job.outcomes.items() if outcome["status"] == "failed"]
        job.record.values["segmentation"] = _what_segmented(job.results.get("segmentation", {}))
        job.record.enter(State.COMPLETE)
        job.record.status = "degraded" if failed else "complete"
        job.record.error = job.outcomes[failed[0]]["error"] if failed else None
        job.record.results = {"complete": True, "degraded": failed}
        published = next((job.manifests[s.name] for s in self.steps if s.publishes and s.name in job.manifests), None)
        job.record.published = asdict(Published.from_manifest(published)) if published else None
        job.record.write(job.outcomes)
        self._remember_times()
        faults.hit("state:COMPLETE")
        self._emit({"v": 1, "event": "result", "path": RESULTS})
        job.progress.enter(State.COMPLETE, "Done")
        # Where the segmentation failed, nothing of the knee was measured: the T2 map is delivered, but is no success.
        return EXIT_PIPELINE_ERROR if any(step.essential and step.name in failed for step in self.steps) else EXIT_DONE

    def _remember_times(self) -> None:
        job, taken, last = self._job, [], None
        for step in self.steps:
            outcome = job.outcomes.get(step.name, {})
            if outcome.get("status") == "done" and not outcome.get("reused"):
                device = outcome["record"].get("device")
                taken.append((step.name, job.kind_of(step, device or "cpu"), outcome["record"]["seconds"]))
                last = device or last
        job.history.add(taken, last if self.options.device == "auto" else None)

    def _fail(self, raised: Exception) -> int:
        """Say what happened, keep the folder resumable, and return the exit code."""
        error = from_exception(raised, "PIPELINE_ERROR").error
        job = self._job
        values = error.to_dict()
        if job is not None:
            if self._workers is not None:
                self._workers.end_all()
            values = job.scrub.error(values)
            job.record.error = values
            job.record.status = {"CANCELLED": "cancelled"}.get(error.code, "failed")
            job.record.enter(State.ERROR)
            with contextlib.suppress(OSError):
                job.record.write(job.outcomes)
            if not isinstance(raised, KneePipelineError):
                self._log_traceback(raised)
        self._emit({"v": 1, "event": "error", **values})
        if job is not None:
            job.progress.enter(State.ERROR, values["message"])
        return error.exit_code

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP cancel; outside the main thread only `stop` does."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def cancel(number: int, frame: FrameType | None) -> None:
            self.stop.set()
            if self._job is not None:
                self._job.inbox.put((0, {"event": "wake"}))

        before: dict[int, Callable | int | None] = {number: signal.signal(number, cancel) for number in heeded()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _what_segmented(result: Mapping) -> dict:
    """For pipeline.json: where the labels came from and, of a network, which of its parts ran and how."""
    model = {key: value for key, value in (result.get("model") or {}).items() if key != "first_stage"}
    return {"source": result.get("source", "none"), **({"model": model} if model else {})}


def _collisions(options: JobOptions) -> list[str]:
    """Ways in which the run would write over what it reads."""
    if not options.output:
        return []
    out, problems = os.path.realpath(options.output), []
    for role in ("input", "segmentation", "echoes"):
        path = getattr(options, role)
        if not path:
            continue
        real = os.path.realpath(path)
        if os.path.isdir(real) and (out + os.sep).startswith(real + os.sep):
            problems.append(f"the output folder lies inside the folder given as {role}")
        elif os.path.dirname(real) == out and os.path.basename(real).startswith(f"{options.prefix}_"):
            problems.append(f"the {role} has the name of a result file in the output folder (corrections of the label "
                            "map there are taken over without naming it)")
    return problems
