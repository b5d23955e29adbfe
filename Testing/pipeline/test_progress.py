"""Progress: foreign bars understood, a fraction that never falls, time left from the history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from KneePipelineLib.pipeline.clock import Clock
from KneePipelineLib.pipeline.foreign_progress import Progress as ForeignProgress
from KneePipelineLib.pipeline.foreign_progress import parse_progress
from KneePipelineLib.pipeline.history import KEPT, History
from KneePipelineLib.pipeline.plan import step_named
from KneePipelineLib.pipeline.progress import Progress
from KneePipelineLib.pipeline.states import State


@pytest.mark.parametrize(("text", "expected"), [
    ("[PROGRESS] 3/10: Creating meshes", ForeignProgress(0.3, "Creating meshes")),
    ("[progress] 10/10", ForeignProgress(1.0)),
    ("[PROGRESS] 1/0: x", None),
    ("45%", ForeignProgress(0.45)),
    ("done: 12.5 %", ForeignProgress(0.125)),
    (" 45%|####5     | 9/20 [00:04<00:05,  2.15it/s]", ForeignProgress(0.45)),
    ("Predicting:  50%|#####     | 4/8 [00:04<00:05]", ForeignProgress(0.5, "Predicting")),
    (" 10%|#| 1/10 [..]\r 20%|##| 2/10 [..]", ForeignProgress(0.2)),
    ("", None), ("\r\n", None), ("Dice 0.9 after 12 epochs", None), ("150%", None), ("100%natural", None),
])
def test_foreign_progress(text: str, expected: ForeignProgress | None) -> None:
    assert parse_progress(text) == expected


class Manual(Clock):
    """A clock that stands still until it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_fraction_never_goes_backwards_and_the_time_left_comes_from_history(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    history.add({"input": 1.0, "image": 3.0})
    events: list[dict] = []
    clock = Manual()
    progress = Progress([step_named("input"), step_named("image")], History(tmp_path / "history.json"), clock,
                        events.append)
    progress.enter(State.VALIDATION, "a")
    assert events[-1]["eta_s"] == 4.0
    progress.advance("input", 1.0, "b")
    assert events[-1]["fraction"] == pytest.approx(0.25)
    progress.advance("image", 0.5, "c")
    assert events[-1]["eta_s"] == 1.5
    progress.advance("image", 0.1, "d")
    progress.drop("input")
    progress.say("e")
    fractions = [event["fraction"] for event in events]
    assert fractions == sorted(fractions)
    progress.enter(State.COMPLETE, "f")
    assert (events[-1]["fraction"], events[-1]["eta_s"]) == (1.0, 0.0)


def test_no_time_left_is_claimed_without_history() -> None:
    events: list[dict] = []
    Progress([step_named("image")], History(None), Manual(), events.append).say("a")
    assert events[-1]["eta_s"] is None


def test_history_keeps_the_latest_and_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    for seconds in range(30):
        History(path).add({"image": float(seconds)})
    History(path, "practice").add({"image": 0.1})
    kept = json.loads(path.read_text())
    assert len(kept["cpu"]["image"]) == KEPT
    assert History(path).expected_s("image") == pytest.approx(23.5)
    assert History(path, "practice").expected_s("image") == 0.1
    path.write_text('{"cpu": {"image": ["x", 2')
    assert History(path).expected_s("image") is None
    path.write_text('{"cpu": {"image": ["x", 2]}}')
    assert History(path).expected_s("image") == 2
