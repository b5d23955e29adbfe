"""Carrying out the steps of one state: side by side, reused where nothing changed, repeated where that can help."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import KneePipelineError, MemoryCriticalError, TimedOutError
from .checkpoints import Manifest
from .failures import MEMORY, MODEL_LOAD, TIMEOUT, Failure, Hints, error_from_dict, next_attempt, out_of_memory
from .job_state import Job
from .keys import step_key
from .lanes import Lane
from .plan import Step
from .workers import Workers

LONG_STEP_S = 5.0
"""From here on the start of a worker is small beside a step, and when it ends matters to the whole state."""


@dataclass
class Attempt:
    """One step at work, or waiting for its next try."""

    step: Step
    key: dict
    lane: Lane | None = None
    hints: Hints = field(default_factory=Hints)
    tries: Counter = field(default_factory=Counter)
    due: float = 0.0
    last_sign: float = 0.0
    warnings: list[tuple[str, str]] = field(default_factory=list)
    device: str | None = None


class StateExecution:
    """The steps of one state.

    Parameters
    ----------
    job : Job
    workers : Workers
    steps : list of Step
    """

    def __init__(self, job: Job, workers: Workers, steps: list[Step]) -> None:
        self.job, self.workers = job, workers
        self._waiting = list(steps)
        self._attempts: dict[str, Attempt] = {}
        self._prepared: set[str] = set()

    def run(self) -> None:
        """Return when every step is done, skipped or has failed in a way that others survive (the barrier).

        Raises
        ------
        KneePipelineError
            The error of a step without which nothing can be delivered.
        """
        while self._waiting or self._attempts:
            self._begin_ready()
            if not self._attempts:
                continue
            now = self.job.clock.monotonic()
            for attempt in sorted(self._attempts.values(), key=self._turn):
                if attempt.lane is None and attempt.due <= now and self._may_begin(attempt):
                    self._launch(attempt, self.workers.idle(attempt.step.name, self.job.expected_s(attempt.step),
                                                            [step.name for step in self._waiting]))
            self._prepare_later_ones()
            self._hear(self.job.wait(now + 1.0))
            self._look_for_hangs()

    def _may_begin(self, attempt: Attempt) -> bool:
        """A step that had too little memory and cannot make do with less gets all there is."""
        at_work = [other for other in self._attempts.values() if other.lane is not None]
        if attempt.hints.alone and not at_work:
            self.workers.end_idle()
        return not at_work if attempt.hints.alone else not any(other.hints.alone for other in at_work)

    def _turn(self, attempt: Attempt) -> float:
        """Long steps first, the longest before all: it ends last, so it gets the worker that has its libraries loaded
        already. Short ones keep the plan's order, in which a step finds what the one before it has read."""
        expected_s = self.job.expected_s(attempt.step)
        return -expected_s if expected_s >= LONG_STEP_S else 0.0

    def _prepare_later_ones(self) -> None:
        """While long steps wait for others, a worker imports their libraries: unless they will be skipped or reused."""
        job = self.job
        for step in self._waiting:
            if step.name in self._prepared or not step.libraries or job.expected_s(step) < LONG_STEP_S:
                continue
            self._prepared.add(step.name)
            done = step.checkpointed and not job.options.restart and job.store.load(step.folder)[0] is not None
            if step.name in job.wanted and not done and not step.applies(job.options, job.results):
                self.workers.prepare(step)

    def _begin_ready(self) -> None:
        here = {step.name for step in self._waiting} | set(self._attempts)
        for step in [s for s in self._waiting if not here & set(s.uses())]:
            self._waiting.remove(step)
            reason = self._reason_to_skip(step)
            if reason:
                self.job.progress.drop(step.name)
                self.job.outcomes[step.name] = {"status": "skipped", "reason": reason}
                self.job.log.line(f"{step.title}: skipped, {reason}")
                continue
            key = step_key(step, self.job.options, self.job.inputs, self.job.manifests, self.job.outcomes,
                           self._edit_for(step), self.job.check_stop)
            if not self._reuse(step, key):
                self._attempts[step.name] = Attempt(step, key)

    def _reason_to_skip(self, step: Step) -> str:
        job = self.job
        if step.name not in job.wanted:
            return "not asked for (--steps)"
        if not job.options.practice:
            reason = step.applies(job.options, job.results)
            if reason:
                return reason
        for name in step.needs():
            if name not in job.manifests:
                outcome = job.outcomes.get(name, {})
                return outcome.get("reason") or f"the step before it failed ({name})"
        return ""

    def _reuse(self, step: Step, key: dict) -> bool:
        """Take over a finished result when nothing that matters has changed and every byte is as it was."""
        job = self.job
        if not step.checkpointed or job.options.restart:
            return False
        manifest, damaged = job.store.load(step.folder)
        if damaged:
            job.warn("CHECKPOINT_DAMAGED", f"The checkpoint '{step.name}' is damaged; the step is done again.")
        if manifest is None or manifest.key != key or manifest.result.get("incomplete"):
            return False
        lost = job.store.damaged_files(step.folder, manifest, job.out if step.publishes else None)
        if lost:
            what = "result files are" if step.publishes else f"files of the checkpoint '{step.name}' are"
            job.warn("CHECKPOINT_DAMAGED", f"{len(lost)} {what} missing or changed; the step is done again.")
            return False
        for code, message in manifest.warnings:
            job.warn(code, message)
        job.manifests[step.name] = manifest
        job.outcomes[step.name] = {"status": "done", "reused": True, "record": manifest.record}
        job.progress.advance(step.name, 1.0)
        job.log.line(f"{step.title}: unchanged, taken from the earlier run")
        return True

    def _launch(self, attempt: Attempt, lane: Lane | None) -> None:
        if lane is None:
            return
        job, step = self.job, attempt.step
        attempt.lane = lane
        attempt.last_sign = job.awake()
        attempt.warnings.clear()
        job.progress.advance(step.name, 0.0, step.title)
        uses = [name for name in step.uses() if name in job.manifests]
        by_name = {s.name: s for s in job.steps}
        edit = self._edit_for(step)
        attempt.lane.give({
            "step": step.name, "body": step.body_in(job.options.practice),
            "options": job.options.to_dict(), "out": str(job.store.working_folder(step.folder)),
            "folders": {name: str(self._files_of(by_name[name])) for name in uses},
            "results": {name: job.manifests[name].result for name in uses},
            "outcomes": {name: _told(o) for name, o in job.outcomes.items()} if step.publishes else {},
            "edited": str(edit) if edit else None, "scale": attempt.hints.scale,
            "force_cpu": attempt.hints.force_cpu, "spare": attempt.hints.spare,
            "provenance": self._provenance() if step.publishes else {},
            "writes": list(step.writes), "failure_code": step.failure_code,
        })

    def _edit_for(self, step: Step) -> Path | None:
        """A person's correction of the labels; one of an earlier, different segmentation is kept but not used."""
        publisher = self.job.publisher
        if not step.edited or publisher.edit is None:
            return None
        edit = publisher.edit_of(self.job.manifests[publisher.edited_step].content())
        if edit is None:
            name = publisher.set_edit_aside()
            self.job.warn("EDIT_SET_ASIDE", "The segmentation itself has changed; the corrected label map of the "
                          f"earlier one was kept as {name} and is not used.")
        return edit

    def _provenance(self) -> dict:
        """What the results may say about the run: the steps' own warnings, none about how the run went."""
        told = [tuple(w) for step in self.job.steps if step.name in self.job.manifests
                for w in self.job.manifests[step.name].warnings]
        # Two steps may find the same; whether both do depends on which worker each of them got.
        return {**self.job.provenance, "warnings": [list(w) for w in dict.fromkeys(told)]}

    def _files_of(self, step: Step) -> Path:
        return self.job.out if step.publishes else self.job.store.folder(step.folder)

    def _hear(self, message: tuple[int, dict] | None) -> None:
        if message is None:
            return
        number, event = message
        lane = self.workers.get(number)
        attempt = next((a for a in self._attempts.values() if a.lane is not None and a.lane is lane), None)
        kind = event["event"]
        if kind == "gone":
            if lane is not None:
                failure = lane.how_it_ended()
                self.workers.discard(lane)
                if attempt is not None:
                    self._failed(attempt, failure)
            return
        if attempt is not None:
            attempt.last_sign = self.job.awake()
        if kind == "output":
            self.job.log.line(self.job.scrub.foreign(event["line"]))
        elif attempt is not None:
            self._hear_step(attempt, kind, event)

    def _hear_step(self, attempt: Attempt, kind: str, event: dict) -> None:
        job, step = self.job, attempt.step
        if kind == "progress":
            job.progress.advance(step.name, event["fraction"], job.scrub(event["message"]) or step.title)
        elif kind == "warning":
            attempt.warnings.append((event["code"], job.scrub(event["message"])))
            job.warn(event["code"], event["message"])
        elif kind == "device":
            attempt.device = event["device"]
            job.note_device(event["device"])
            job.progress.expect(job.known_s())
        elif kind == "done":
            self._done(attempt, event)
        elif kind == "failed":
            job.log.line(job.scrub.foreign(event["traceback"]))
            attempt.lane.step = None
            self._failed(attempt, Failure(error_from_dict(job.scrub.error(event["error"])), event["kind"]))

    def _done(self, attempt: Attempt, event: dict) -> None:
        job, step = self.job, attempt.step
        attempt.lane.step = None
        del self._attempts[step.name]
        if step.edited and attempt.key.get("edit") and event["result"].get("edited") is False:
            self._set_refused_aside(attempt)
        record = {**event["record"], "attempts": 1 + sum(attempt.tries.values()) + attempt.hints.spare}
        if attempt.device:
            record["device"] = attempt.device
        manifest = Manifest(step.name, attempt.key, event["outputs"], event["result"], attempt.warnings, record)
        if step.publishes:
            job.record.status = "publishing"
            job.record.write(job.outcomes)
            job.publisher.publish(manifest)
        else:
            job.store.commit(step.folder, manifest)
        job.manifests[step.name] = manifest
        job.outcomes[step.name] = {"status": "done", "reused": False, "saved": step.checkpointed, "record": record}
        job.progress.advance(step.name, 1.0)

    def _set_refused_aside(self, attempt: Attempt) -> None:
        """A correction that could not be taken over: keep it under a name of its own, and the result as without it."""
        name = self.job.publisher.set_edit_aside()
        self.job.warn("EDIT_SET_ASIDE", f"The label map that was not taken over was kept as {name}.")
        attempt.key = {**attempt.key, "edit": None}
        attempt.warnings[:] = [w for w in attempt.warnings if w[0] != "EDIT_REFUSED"]

    def _failed(self, attempt: Attempt, failure: Failure) -> None:
        job, step = self.job, attempt.step
        lane, attempt.lane = attempt.lane, None
        if lane is not None and failure.kind in (MEMORY, MODEL_LOAD, TIMEOUT):
            self.workers.discard(lane)
        on_gpu = step.uses_device and attempt.device not in (None, "cpu")
        shrinks = step.shrinks(job.options, job.results)
        retry = next_attempt(failure.kind, attempt.tries[failure.kind], attempt.hints, on_gpu, shrinks)
        if retry is not None:
            attempt.tries[failure.kind] += 1
            attempt.hints = retry.hints
            attempt.due = job.clock.monotonic() + retry.delay_s
            job.record.retries.append({"step": step.name, "kind": failure.kind, "code": failure.error.code,
                                       "delay_s": retry.delay_s, "scale": retry.hints.scale,
                                       "cpu": retry.hints.force_cpu, "alone": retry.hints.alone})
            job.warn("RETRY", f"{step.title}: {retry.sentence}")
            return
        if step.spares and failure.is_unexpected and not attempt.hints.spare:
            attempt.hints = replace(attempt.hints, spare=True)
            job.record.retries.append({"step": step.name, "kind": failure.kind, "code": failure.error.code,
                                       "without": step.spares})
            job.warn("RETRY", f"{step.title}: this failed; once more without {step.spares}.")
            return
        del self._attempts[step.name]
        # A final error says that nothing of this input is worth delivering: it is not what it was taken for.
        final = bool(failure.error.details.get("final"))
        degrades = bool(not final and step.degrades_to and step.degrades_when(job.options, job.results))
        error = failure.error
        if failure.kind == MEMORY:
            code = step.failure_code if degrades else MemoryCriticalError.code
            error = out_of_memory(error, attempt.hints, step.title, shrinks, code)
        if not degrades:
            raise error
        self._degrade(step, error)

    def _degrade(self, step: Step, error: KneePipelineError) -> None:
        job = self.job
        values = job.scrub.error(error.to_dict())
        job.outcomes[step.name] = {"status": "failed", "error": values, "reason": values["message"]}
        job.progress.drop(step.name)
        job.emit({"v": 1, "event": "error", **values})
        job.warn("DEGRADED", f"{step.title} failed; what is delivered is {step.degrades_to}.")

    def _look_for_hangs(self) -> None:
        job, now = self.job, self.job.awake()
        for attempt in list(self._attempts.values()):
            if attempt.lane is None:
                continue
            if attempt.lane.is_dead():
                # A process that the worker forked may hold its pipe, and then nobody says that it is gone.
                self._hear((attempt.lane.number, {"event": "gone"}))
            elif now - attempt.last_sign > job.hang_after_s:
                error = TimedOutError(f"'{attempt.step.title}' gave no sign of life for {job.hang_after_s:g} s.",
                                      "Run the same command again; log.txt has the last words.", step=attempt.step.name)
                self._failed(attempt, Failure(error, TIMEOUT))


def _told(outcome: dict) -> dict:
    """What the results may say about a step: nothing that differs between a run at one go and a resumed one."""
    return {key: outcome[key] for key in ("status", "reason", "error") if key in outcome}
