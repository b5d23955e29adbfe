"""Which of the branches that may begin together gets the worker that is there already."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .conftest import ToyRun


@pytest.mark.parametrize(("weights", "first"), [((1.0, 20.0), "Right"), ((20.0, 1.0), "Left"), ((1.0, 2.0), "Left"),
                                                ((6.0, 30.0), "Right")])
def test_longest_branch_begins_first(toy_run: ToyRun, weights: tuple[float, float], first: str) -> None:
    """Steps of a second or two keep the plan's order."""
    by_name = dict(zip(("left", "right"), weights, strict=True))
    toy_run.plan = tuple(replace(s, weight=by_name.get(s.name, s.weight)) for s in toy_run.plan)
    assert toy_run() == 0
    begun = [e["message"] for e in toy_run.of("state") if e["message"] in ("Left", "Right")]
    assert begun[0] == first
