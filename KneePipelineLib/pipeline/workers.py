"""The worker processes of a run, started when there is work for them and kept for more."""

from __future__ import annotations

from .job_state import Job
from .lanes import Lane

PRELOAD = ("KneePipelineLib.pipeline.stages.validation", "KneePipelineLib.imaging.reading")
"""What a new worker imports while the orchestrator is still taking stock."""
WORKER_START_S = 0.5
"""What starting one more worker costs; a shorter step rather waits for one that is free."""


class Workers:
    """The worker processes of a run, started when there is work and kept for more."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._lanes: dict[int, Lane] = {}
        self._started = 0

    def idle(self, expected_s: float) -> Lane | None:
        """A worker that has nothing to do; None when all work and a step of that length does not repay a new one."""
        for lane in self._lanes.values():
            if lane.step is None:
                return lane
        if self._lanes and expected_s < WORKER_START_S:
            return None
        return self._start()

    def warm_up(self) -> None:
        """Start a first worker now, so that its imports happen while the orchestrator takes stock."""
        if not self._lanes:
            self._start()

    def _start(self) -> Lane:
        self._started += 1
        preload = () if self._job.options.practice else PRELOAD
        lane = Lane(self._started, self._job.inbox, self._job.token, preload)
        self._lanes[lane.number] = lane
        return lane

    def get(self, number: int) -> Lane | None:
        """The worker of that number, unless it has been ended."""
        return self._lanes.get(number)

    def discard(self, lane: Lane) -> None:
        """End a worker in the middle of whatever it does."""
        self._lanes.pop(lane.number, None)
        lane.kill()

    def end_all(self) -> None:
        """End every worker: those at work at once, the idle ones by closing their pipe."""
        for lane in list(self._lanes.values()):
            self._lanes.pop(lane.number, None)
            if lane.step is None:
                lane.stop()
            else:
                lane.kill()
