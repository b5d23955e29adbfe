"""Which worker gets a step: never more than cores, one kept for the step it was prepared for, short steps wait."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from KneePipelineLib.pipeline import workers as workers_module
from KneePipelineLib.pipeline.plan import step_named
from KneePipelineLib.pipeline.workers import Workers

LONG, SHORT = 9.0, 0.1
SHAPE = step_named("shape")


class FakeLane:
    """A worker that is only a number, the step it was given and what it was told to import."""

    def __init__(self, number: int, inbox: object, token: str, preload: tuple[str, ...] = ()) -> None:
        self.number, self.preload, self.step = number, preload, None

    def kill(self) -> None:
        """Nothing to end."""


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """Two workers at most, none started."""
    monkeypatch.setattr(workers_module, "Lane", FakeLane)
    return Workers(SimpleNamespace(options=SimpleNamespace(practice=False), inbox=None, token="t"), most=2)


def give(pool: Workers, step: str, expected_s: float = LONG, awaited: tuple[str, ...] = ()) -> FakeLane | None:
    """As the orchestrator does: the worker that is found gets the step."""
    lane = pool.idle(step, expected_s, awaited)
    if lane is not None:
        lane.step = step
    return lane


def test_no_more_workers_than_cores(pool: Workers) -> None:
    """A third step waits, and gets the first worker that is free."""
    first, second = give(pool, "surfaces"), give(pool, "t2")
    assert first is not second
    assert give(pool, "thickness") is None
    first.step = None
    assert give(pool, "thickness") is first


def test_a_short_step_waits_for_a_worker(pool: Workers) -> None:
    """Starting one would cost more; unless there is none at all."""
    first = give(pool, "review", SHORT)
    assert first is not None
    assert give(pool, "score", SHORT) is None


def test_the_prepared_worker_is_kept(pool: Workers) -> None:
    """It imports the step's libraries; another step does not get it while its own is still to come."""
    first = give(pool, "surfaces")
    pool.prepare(SHAPE)
    assert give(pool, "t2", awaited=("shape",)) is None
    first.step = None
    kept = give(pool, "shape")
    assert kept is not first
    assert "torch" in kept.preload
    assert give(pool, "t2") is first


def test_a_prepared_worker_whose_step_is_skipped_serves_others(pool: Workers) -> None:
    """Once the step is no longer awaited."""
    give(pool, "surfaces")
    pool.prepare(SHAPE)
    assert give(pool, "t2", awaited=()) is not None


def test_one_worker_is_left_for_the_steps_before(pool: Workers) -> None:
    """A resumed run has no worker yet: the prepared one must not keep a short step from ever beginning."""
    pool.prepare(SHAPE)
    pool.prepare(step_named("t2"))
    lane = give(pool, "review", SHORT, awaited=("shape",))
    assert lane is not None
    assert lane.preload == workers_module.PRELOAD


def test_a_worker_that_died_makes_room(pool: Workers) -> None:
    """Also when it was kept for a step."""
    give(pool, "surfaces")
    pool.prepare(SHAPE)
    kept = pool.idle("shape", LONG)
    pool.discard(kept)
    assert pool.get(kept.number) is None
    assert give(pool, "shape") is not None


def test_practice_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its steps need no library."""
    monkeypatch.setattr(workers_module, "Lane", FakeLane)
    pool = Workers(SimpleNamespace(options=SimpleNamespace(practice=True), inbox=None, token="t"), most=3)
    pool.prepare(SHAPE)
    assert pool.idle("shape", LONG).preload == ()
