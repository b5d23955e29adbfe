"""Toy runs: the real orchestrator and real workers, with steps that do what a test tells them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import run_job
from KneePipelineLib.pipeline.plan import STEPS, Step
from KneePipelineLib.pipeline.states import State

pytest.register_assert_rewrite("Testing.pipeline.run_case")

TOYS = Path(__file__).parent / "toys"
KEPT = ("input", "image", "segmentation", "surfaces", "thickness", "files")


def toy(name: str, state: State, *reads: str, **more: object) -> Step:
    """A toy step that leaves out.txt."""
    values = {"writes": ("out.txt",), "weight": 0.01, "body": "toy_plan.bodies:work", **more}
    return Step(name, state, name.capitalize(), reads=reads, **values)


def toy_plan() -> tuple[Step, ...]:
    """Every state once, two branches in ANALYSIS, one of which may fail."""
    return (
        toy("first", State.VALIDATION, inputs=("input",)),
        toy("second", State.DETECTION, "first", options=("batch_size",), uses_device=True,
            shrinks=lambda options, results: True),
        toy("left", State.ANALYSIS, "second", weight=1.0, failure_code="NSM_FAILED"),
        toy("right", State.ANALYSIS, "second", weight=1.0, degrades_to="everything but right"),
        toy("files", State.FORMATTING, "left?", "right?", body="toy_plan.bodies:publish", writes=("results.json",),
            inputs=("input",), options=("prefix",), spares="the pictures", publishes=True),
    )


def real_plan_with_toy_bodies() -> tuple[Step, ...]:
    """The product's own plan, its conditions and degradation rules, without its science."""
    return tuple(replace(step, body="toy_plan.bodies:publish" if step.publishes else "toy_plan.bodies:work",
                         writes=("results.json",) if step.publishes else ("out.txt",)) for step in STEPS)


@dataclass
class ToyRun:
    """A run folder and the means to run in it again and again."""

    folder: Path
    plan: tuple[Step, ...] = field(default_factory=toy_plan)
    events: list[dict] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def __call__(self, orders: dict | None = None, *, clock: object = None, stop: object = None,
                 **options: object) -> int:
        """Run with orders for the steps; the exit code."""
        self.events.clear()
        (self.folder / "knee.nrrd").touch()
        values = {"input": str(self.folder / "knee.nrrd"), "output": str(self.out), **(orders or {}), **options}
        return run_job(JobOptions.from_dict(values), events=self.events.append, steps=self.plan, clock=clock, stop=stop)

    @property
    def record(self) -> dict:
        """pipeline.json."""
        return json.loads((self.out / "pipeline.json").read_text(encoding="utf-8"))

    @property
    def executed(self) -> list[str]:
        """Steps done anew in the last run."""
        return self.record["pipeline_execution"]["branches_executed"]

    @property
    def retries(self) -> list[dict]:
        """What was tried again in the last run."""
        return self.record["retries"]

    def steps(self, status: str) -> dict[str, dict]:
        """The steps with that fate in the last run."""
        return {name: step for name, step in self.record["steps"].items() if step["status"] == status}

    def of(self, kind: str) -> list[dict]:
        """Events of one kind."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """Code and sentence of every warning, but the one about the tests' own orders."""
        return [(w["code"], w["message"]) for w in self.of("warning") if w["code"] != "UNKNOWN_OPTIONS"]

    @property
    def log(self) -> str:
        """log.txt."""
        return (self.out / "log.txt").read_text(encoding="utf-8")


@pytest.fixture
def toy_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyRun:
    """A run of toy steps in an empty folder."""
    monkeypatch.setenv("PYTHONPATH", str(TOYS))
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path / "home"))
    return ToyRun(tmp_path)


@pytest.fixture
def make_orders() -> Callable[..., dict]:
    """Orders by step, as options that JobOptions keeps without understanding."""
    return lambda **orders: orders
