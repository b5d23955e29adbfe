"""The worker processes of a run, started when there is work for them and kept for more."""

from __future__ import annotations

from collections.abc import Collection

from .cores import cores
from .job_state import Job
from .lanes import Lane
from .plan import Step

PRELOAD = ("KneePipelineLib.pipeline.stages.validation", "KneePipelineLib.imaging.reading")
"""What a new worker imports while the orchestrator is still taking stock."""
WORKER_START_S = 0.5
"""What starting one more worker costs; a shorter step rather waits for one that is free."""


class Workers:
    """The worker processes of a run, started when there is work, kept for more; never more than cores, or than two.

    Parameters
    ----------
    job : Job
    most : int, optional
        How many at once; default: the cores that this process may use, but two at least.
    """

    def __init__(self, job: Job, most: int | None = None) -> None:
        self._job = job
        self._most = most or max(2, cores())
        self._lanes: dict[int, Lane] = {}
        self._kept_for: dict[int, str] = {}
        self._started = 0

    def idle(self, step: str, expected_s: float, awaited: Collection[str] = ()) -> Lane | None:
        """A worker for a step that can begin; None when it rather waits until one is free.

        Parameters
        ----------
        step : str
        expected_s : float
            How long it is likely to take.
        awaited : collection of str
            Steps still to come: a worker that was prepared for one of them is not given away.
        """
        idle = [lane for lane in self._lanes.values() if lane.step is None]
        mine = [lane for lane in idle if self._kept_for.get(lane.number) == step]
        free = [lane for lane in idle if self._kept_for.get(lane.number) not in awaited]
        if mine or free:
            lane = (mine or free)[0]
            self._kept_for.pop(lane.number, None)
            return lane
        others = [lane for lane in self._lanes.values() if self._kept_for.get(lane.number) not in awaited]
        if others and expected_s < WORKER_START_S:
            return None
        return self._start() if len(self._lanes) < self._most else None

    def prepare(self, step: Step) -> None:
        """Start a worker that imports what a step will need, and keep it for that step; one is left for the others."""
        if len(self._lanes) < self._most and len(self._kept_for) < self._most - 1:
            self._kept_for[self._start(step.libraries).number] = step.name

    def warm_up(self) -> None:
        """Start a first worker now, so that its imports happen while the orchestrator takes stock."""
        if not self._lanes:
            self._start()

    def _start(self, libraries: tuple[str, ...] = PRELOAD) -> Lane:
        self._started += 1
        preload = () if self._job.options.practice else libraries
        lane = Lane(self._started, self._job.inbox, self._job.token, preload)
        self._lanes[lane.number] = lane
        return lane

    def get(self, number: int) -> Lane | None:
        """The worker of that number, unless it has been ended."""
        return self._lanes.get(number)

    def discard(self, lane: Lane) -> None:
        """End a worker in the middle of whatever it does."""
        self._lanes.pop(lane.number, None)
        self._kept_for.pop(lane.number, None)
        lane.kill()

    def end_idle(self) -> None:
        """Let idle workers go, with the memory that they hold; new ones start when there is work."""
        for lane in [lane for lane in self._lanes.values() if lane.step is None]:
            self._lanes.pop(lane.number)
            self._kept_for.pop(lane.number, None)
            lane.stop()

    def end_all(self) -> None:
        """End every worker: those at work at once, the idle ones by closing their pipe."""
        for lane in list(self._lanes.values()):
            self._lanes.pop(lane.number, None)
            if lane.step is None:
                lane.stop()
            else:
                lane.kill()
