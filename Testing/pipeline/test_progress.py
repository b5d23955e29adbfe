"""Progress: a fraction that never falls, and the time left from the history, by device and by network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.clock import Clock
from KneePipelineLib.pipeline.history import KEPT, History, kind_of
from KneePipelineLib.pipeline.plan import step_named
from KneePipelineLib.pipeline.progress import Progress
from KneePipelineLib.pipeline.states import State


class Manual(Clock):
    """A clock that stands still until it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_fraction_never_goes_backwards_and_the_time_left_comes_from_history() -> None:
    events: list[dict] = []
    progress = Progress([step_named("input"), step_named("image")], {"input": 1.0, "image": 3.0}, Manual(),
                        events.append)
    progress.enter(State.VALIDATION, "a")
    assert events[-1]["eta_s"] == 4.0
    progress.advance("input", 1.0, "b")
    assert events[-1]["fraction"] == pytest.approx(0.25)
    progress.advance("image", 0.5, "c")
    assert events[-1]["eta_s"] == 1.5
    progress.expect({"input": 1.0, "image": 30.0})
    progress.say("the device is known now")
    assert events[-1]["eta_s"] == 15.0
    progress.advance("image", 0.1, "d")
    progress.drop("input")
    progress.say("e")
    fractions = [event["fraction"] for event in events]
    assert fractions == sorted(fractions)
    progress.enter(State.COMPLETE, "f")
    assert (events[-1]["fraction"], events[-1]["eta_s"]) == (1.0, 0.0)


def test_no_time_left_is_claimed_without_history() -> None:
    events: list[dict] = []
    Progress([step_named("image")], {}, Manual(), events.append).say("a")
    assert events[-1]["eta_s"] is None


def test_history_keeps_the_latest_and_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    for seconds in range(30):
        History(path).add([("image", "any", float(seconds))])
    History(path).add([("image", "practice", 0.1)])
    kept = json.loads(path.read_text())
    assert len(kept["seconds"]["image"]["any"]) == KEPT
    assert History(path).expected_s("image", "any") == pytest.approx(23.5)
    assert History(path).expected_s("image", "practice") == 0.1
    for damaged in ('{"v": 2, "seconds": {"image": {"any": ["x", 2', "[]", '{"v": 2, "seconds": [1]}',
                    '{"cpu": {"image": [1.0]}}'):
        path.write_text(damaged)
        assert History(path).expected_s("image", "any") is None
    path.write_text('{"v": 2, "seconds": {"image": {"any": ["x", 2], "y": 3}}}')
    assert History(path).expected_s("image", "any") == 2


def test_what_a_network_took_on_a_gpu_says_nothing_about_another_network_or_the_cpu(tmp_path: Path) -> None:
    step, path = step_named("segmentation"), tmp_path / "history.json"
    fullres = JobOptions.from_dict({"segmentation_model": "nnunet_fullres"})
    cascade = JobOptions.from_dict({"segmentation_model": "nnunet_cascade"})
    History(path).add([("segmentation", kind_of(step, fullres, "cuda:0", {}), 20.0),
                       ("segmentation", kind_of(step, fullres, "cpu", {}), 3000.0)], device="cuda:0")
    history = History(path)
    assert history.device("auto") == "cuda:0"
    assert history.expected_s("segmentation", kind_of(step, fullres, "cuda:0", {})) == 20.0
    assert history.expected_s("segmentation", kind_of(step, fullres, "cpu", {})) == 3000.0
    assert history.expected_s("segmentation", kind_of(step, cascade, "cuda:0", {})) is None
    given = fullres.with_changes(segmentation="labels.nrrd")
    assert history.expected_s("segmentation", kind_of(step, given, "cuda:0", {})) is None
    assert kind_of(step, fullres, "cpu", {"input": {"kind": "labels"}}) == kind_of(step, given, "cpu", {})
    # What never runs on a GPU takes as long beside one.
    step = step_named("thickness")
    assert kind_of(step, fullres, "cuda:0", {}) == kind_of(step, cascade, "cpu", {})
