"""Which knee it is: all witnesses are heard, and told when they disagree."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.morphometry.sides import (
    decided_side,
    disagreement,
    exchanged_menisci,
    side_of_bones,
    witnesses,
)
from KneePipelineLib.morphometry.working import working_knee
from KneePipelineLib.phantom import DigitalKnee, Grid

EXCHANGED_CARTILAGES, EXCHANGED_MENISCI = {5: 6, 6: 5}, {8: 9, 9: 8}
NO_FIBULA = {10: 0}


@pytest.fixture(scope="module")
def right() -> Volume:
    return DigitalKnee(0).labels(Grid.isotropic(1.5))


def changed(labels: Volume, *tables: dict[int, int]) -> Volume:
    values = np.arange(256, dtype=np.uint8)
    for table in tables:
        for old, new in table.items():
            values[old] = new
    return labels.with_array(values[labels.array])


def decided(labels: Volume, side: str = "auto") -> tuple[str, list[str]]:
    found, warnings = decided_side(working_knee(labels), side)
    return found, [code for code, _ in warnings]


def test_witnesses_that_agree_are_not_mentioned(right: Volume) -> None:
    assert decided(right) == ("right", [])
    assert {w.what for w in witnesses(working_knee(right))} == {
        "tibial cartilages", "menisci", "fibula", "bones' shape"}


@pytest.mark.parametrize(("tables", "side"), [
    ((EXCHANGED_CARTILAGES,), "right"), ((EXCHANGED_MENISCI,), "right"),
    ((EXCHANGED_CARTILAGES, EXCHANGED_MENISCI), "right"),
    ((EXCHANGED_CARTILAGES, EXCHANGED_MENISCI, NO_FIBULA), "left"),
])
def test_a_map_that_contradicts_itself_is_told(right: Volume, tables: tuple, side: str) -> None:
    """The side is right while bones or fibula outweigh the words medial and lateral, and told in any case."""
    labels = changed(right, *tables)
    assert decided(labels) == (side, ["SIDE_DOUBTFUL"])
    sentence = disagreement(witnesses(working_knee(labels)))
    assert "left" in sentence
    assert "right" in sentence


def test_a_declared_side_ends_the_doubt_but_is_told(right: Volume) -> None:
    assert decided(changed(right, EXCHANGED_MENISCI), "right") == ("right", ["SIDE_DOUBTFUL"])
    assert decided(changed(right, EXCHANGED_CARTILAGES), "right") == ("right", ["SIDE_CONTRADICTED"])
    assert decided(right, "left") == ("left", ["SIDE_CONTRADICTED"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_shape_of_the_bones_tells_the_side(seed: int, side: str) -> None:
    found, strength = side_of_bones(working_knee(DigitalKnee(seed, side).labels(Grid.isotropic(2.0))))
    assert found == side
    assert strength > 1.5


def test_exchanged_menisci_are_put_right_and_told(right: Volume) -> None:
    knee, warnings = exchanged_menisci(working_knee(changed(right, EXCHANGED_MENISCI)), "right")
    assert [code for code, _ in warnings] == ["MENISCI_EXCHANGED"]
    assert np.array_equal(knee.source.array, right.array)
    assert exchanged_menisci(working_knee(right), "right")[1] == []
