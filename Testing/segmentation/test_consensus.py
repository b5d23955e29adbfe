"""STAPLE and majority: agreement, errors of one rater, ties, empty labels."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.errors import SegmentationError
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.segmentation import majority, staple

RULES = pytest.mark.parametrize("rule", [staple, majority])


def volume(array: np.ndarray) -> Volume:
    return Volume(array.astype(np.uint8), (0.5, 0.5, 1.0))


def block(shape=(12, 16, 16)) -> np.ndarray:
    array = np.zeros(shape, np.uint8)
    array[3:9, 3:9, 4:12] = 1
    array[3:9, 9:11, 4:12] = 4
    return array


@RULES
def test_unanimous_maps_stay_as_they_are(rule) -> None:
    answer, warnings = rule([volume(block())] * 3)
    assert np.array_equal(answer.array, block())
    assert answer.array.dtype == np.uint8
    assert warnings == []


@RULES
def test_one_erring_rater_is_outvoted(rule) -> None:
    wrong = np.roll(block(), 3, axis=2)
    answer, _ = rule([volume(block()), volume(wrong), volume(block())])
    assert np.array_equal(answer.array, block())


def test_staple_weighs_raters_by_their_quality() -> None:
    """Two raters with many random errors against one good one: STAPLE trusts the good one, majority cannot."""
    rng = np.random.default_rng(0)
    truth = np.zeros((20, 30, 30), np.uint8)
    truth[4:16, 6:24, 6:24] = 1
    raters = []
    for error in (0.01, 0.30, 0.30, 0.30, 0.30):
        flip = rng.random(truth.shape) < error
        raters.append(volume(np.where(flip, 1 - truth, truth)))
    by_staple, by_majority = staple(raters)[0].array, majority(raters)[0].array
    inside = (slice(2, 18), slice(4, 26), slice(4, 26))
    assert (by_staple[inside] != truth[inside]).mean() < 0.5 * (by_majority[inside] != truth[inside]).mean()


def test_a_label_only_one_knows_is_left_out_with_a_warning() -> None:
    with_patella = block()
    with_patella[0:2, 0:2, 0:2] = 3
    answer, warnings = staple([volume(block()), volume(with_patella), volume(block())])
    assert 3 not in answer.array
    assert [code for code, _ in warnings] == ["CONSENSUS_DROPPED"]
    assert "Patella" in warnings[0][1]
    assert "1 of 3" in warnings[0][1]


def test_a_label_two_of_three_know_stays() -> None:
    without = np.where(block() == 4, 0, block())
    answer, warnings = staple([volume(block()), volume(without), volume(block())])
    assert np.array_equal(answer.array == 4, block() == 4)
    assert warnings == []


def test_empty_maps() -> None:
    empty = volume(np.zeros((4, 4, 4)))
    for rule in (staple, majority):
        assert not rule([empty, empty, empty])[0].array.any()


def test_majority_ties_go_to_the_first_map() -> None:
    maps = [volume(np.full((2, 2, 2), v)) for v in (7, 4, 0)]
    assert np.all(majority(maps)[0].array == 7)
    assert np.all(majority(maps[::-1])[0].array == 0)


def test_staple_ties_are_decided_the_same_way_every_time() -> None:
    """Half of the maps say 1, half say 4, symmetrically: the first map's label stands, whatever its number."""
    one, four = np.zeros((6, 8, 8), np.uint8), np.zeros((6, 8, 8), np.uint8)
    one[1:5, 2:6, 2:6] = 1
    four[1:5, 2:6, 2:6] = 4
    both = [np.maximum(one, 0), four]
    shared = np.zeros_like(one)
    shared[1:5, 2:4, 2:6], shared[1:5, 4:6, 2:6] = 1, 4
    first = staple([volume(both[0]), volume(both[1]), volume(shared)])[0].array
    again = staple([volume(both[0]), volume(both[1]), volume(shared)])[0].array
    assert np.array_equal(first, again)
    assert np.array_equal(first, shared)


@RULES
def test_maps_that_do_not_fit_are_refused(rule) -> None:
    with pytest.raises(SegmentationError, match="at least two"):
        rule([volume(block())])
    with pytest.raises(SegmentationError, match="different grids"):
        rule([volume(block()), volume(block()[:-1])])


@RULES
def test_a_label_that_is_nowhere_agreed_upon_is_told(rule) -> None:
    """Three networks that see the same structure at three places leave none of it."""
    maps = []
    for place in (2, 8, 14):
        array = np.zeros((18, 18, 18), np.uint8)
        array[place:place + 3, 4:8, 4:8] = 4
        maps.append(Volume(array))
    found, warnings = rule(maps)
    assert not (found.array == 4).any()
    assert [code for code, _ in warnings] == ["CONSENSUS_DROPPED"]
    assert "Femoral cartilage was found by 3 of 3 networks" in warnings[0][1]
