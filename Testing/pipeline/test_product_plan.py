"""The product's own plan: what needs what, and its conditions and degradation rules with toy bodies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from KneePipelineLib.pipeline.plan import STEPS, wanted_steps
from KneePipelineLib.pipeline.states import WORKING_STATES

from .conftest import ToyRun, real_plan_with_toy_bodies


class TestTheProductsOwnPlan:
    """Conditions and degradation rules of the real plan, with toy bodies."""

    @pytest.fixture(autouse=True)
    def _plan(self, toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
        from KneePipelineLib.pipeline import plan

        monkeypatch.setattr(plan, "missing_shape_models", lambda options, cartilage: "")
        monkeypatch.setattr(plan, "missing_scores", lambda options, fits: "")
        toy_run.plan = real_plan_with_toy_bodies()

    def outcomes(self, toy_run: ToyRun) -> str:
        return (toy_run.out / "results.json").read_text()

    @staticmethod
    def with_body(toy_run: ToyRun, name: str, body: str) -> None:
        """Give one step another toy body: those called like an option cannot take orders."""
        toy_run.plan = tuple(replace(s, body=f"toy_plan.dicom:{body}") if s.name == name else s for s in toy_run.plan)

    def steps(self, toy_run: ToyRun, orders: dict) -> int:
        """Run on a DICOM series of two echoes."""
        self.with_body(toy_run, "input", "found")
        return toy_run(orders)

    @pytest.mark.parametrize("name", ["thickness", "detection"])
    def test_a_part_alone_finds_what_it_finds_in_a_whole_run(self, toy_run: ToyRun, name: str) -> None:
        """With a network: the segmentation used to miss its image."""
        self.with_body(toy_run, "input", "found")
        assert toy_run({}, steps=[name]) == 0
        done = toy_run.steps("done")
        assert {"image", "segmentation"} <= set(done)
        assert ("thickness" in done) == (name == "thickness")
        assert "t2" not in done

    def test_everything_works(self, toy_run: ToyRun) -> None:
        assert self.steps(toy_run, {}) == 0
        assert "failed" not in self.outcomes(toy_run)
        assert "skipped" not in self.outcomes(toy_run)

    @pytest.mark.parametrize("step", ["t2", "shape", "metadata"])
    def test_a_branch_fails_and_the_rest_is_delivered(self, toy_run: ToyRun, step: str) -> None:
        assert self.steps(toy_run, {step: {"fail": "KneePipelineError"}}) == 0
        assert f"{step} failed" in self.outcomes(toy_run)
        assert "thickness done" in self.outcomes(toy_run)

    def test_segmentation_fails_with_echoes_and_t2_alone_is_delivered(self, toy_run: ToyRun) -> None:
        self.with_body(toy_run, "segmentation", "fails")
        assert self.steps(toy_run, {}) == 1
        text = self.outcomes(toy_run)
        assert "segmentation failed It failed. SEGMENTATION_FAILED" in text
        assert "t2 done" in text
        assert "thickness skipped" in text
        assert "shape skipped" in text

    def test_segmentation_fails_without_echoes_and_nothing_is_delivered(self, toy_run: ToyRun) -> None:
        self.with_body(toy_run, "segmentation", "fails")
        assert toy_run() == 1
        assert not (toy_run.out / "results.json").exists()

    def test_low_confidence_skips_the_shape_model(self, toy_run: ToyRun) -> None:
        self.with_body(toy_run, "segmentation", "unsure")
        assert self.steps(toy_run, {}) == 0
        assert "shape skipped the confidence in the segmentation is low" in self.outcomes(toy_run)
        assert "thickness done" in self.outcomes(toy_run)

    def test_fusion_fails_and_each_branch_delivers(self, toy_run: ToyRun) -> None:
        assert self.steps(toy_run, {"table": {"fail": "KneePipelineError"}}) == 0
        text = self.outcomes(toy_run)
        assert "table failed" in text
        assert "t2 done" in text
        assert "thickness done" in text


def test_every_step_of_the_plan_reads_only_what_comes_before() -> None:
    seen: set[str] = set()
    for step in STEPS:
        earlier_or_sibling = seen | {s.name for s in STEPS if s.state == step.state and s.name != step.name}
        assert set(step.uses()) <= earlier_or_sibling, step.name
        seen.add(step.name)


@pytest.mark.parametrize("name", [*(s.name for s in STEPS), *(state.name.lower() for state in WORKING_STATES)])
def test_every_part_brings_all_that_it_reads(name: str) -> None:
    wanted = wanted_steps((name,))
    assert {step.name for step in STEPS if name in (step.name, step.state.name.lower())} <= wanted
    for step in STEPS:
        assert step.publishes or step.name not in wanted or set(step.uses()) <= wanted, step.name


def test_wanted_steps_bring_what_they_need() -> None:
    assert wanted_steps(()) == {step.name for step in STEPS}
    wanted = wanted_steps(("thickness",))
    assert {"review", "surfaces", "thickness", "files", "input", "image"} <= wanted
    assert not {"t2", "shape", "table"} & wanted
    assert {"segmentation", "image"} <= wanted_steps(("DETECTION",))
    assert {"thickness", "t2"} <= wanted_steps(("fusion",))
