"""Segments that overlap: anatomy decides, and what was lost to what is told."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.errors import InvalidFormatError
from KneePipelineLib.imaging.labels import BY_NAME, codes_of, overlap_rank
from KneePipelineLib.imaging.segments import is_segmentation, merge_layers, overlap_sentence

NAMES = ("Femur", "Medial meniscus", "Femoral cartilage")


def segments(order: tuple[int, ...], named: bool) -> list[dict]:
    found = []
    for n in order:
        structure = next(s for s in BY_NAME.values() if s.title == NAMES[n])
        codes = codes_of(structure)
        found.append({"name": NAMES[n] if named else f"Segment_{n}", "value": 1, "layer": n, "terminology":
                      None if named else {"type": codes.type, "modifier": codes.modifier, "region": codes.region}})
    return found


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_cartilage_over_meniscus_over_bone_in_whatever_order(order: tuple, named: bool) -> None:
    layers = [np.zeros((4, 4, 4), np.uint8) for _ in NAMES]
    layers[0][:] = 1
    layers[1][1:3] = 1
    layers[2][2:4] = 1
    merged, _, overlaps = merge_layers(layers, segments(order, named))
    wanted = np.choose((layers[1] > 0) + 2 * (layers[2] > 0), [0, 1, 2, 2])
    assert np.array_equal(np.array([order.index(w) + 1 for w in wanted.ravel()]).reshape(wanted.shape), merged)
    assert sum(o.voxels for o in overlaps) == 16 * 4
    names = {n: NAMES[n] if named else f"Segment_{n}" for n in range(3)}
    assert {(o.lost, o.kept): o.voxels for o in overlaps} == {
        (names[0], names[1]): 32, (names[0], names[2]): 16, (names[1], names[2]): 16}
    assert f"'{names[0]}' lost 0.032 ml to '{names[1]}'" in overlap_sentence(overlaps, 1.0)


def test_what_is_not_known_follows_the_list() -> None:
    layers = [np.ones((2, 2, 2), np.uint8)] * 2
    unknown = [{"name": n, "value": 1, "layer": i, "terminology": None} for i, n in enumerate(("one", "other"))]
    merged, _, [overlap] = merge_layers(layers, unknown)
    assert (merged == 2).all()
    assert (overlap.kept, overlap.lost, overlap.voxels) == ("other", "one", 8)
    assert overlap_rank(None) == 0


def test_two_segments_that_are_the_same_voxels_are_refused() -> None:
    """Which of both they are nobody knows; the later one took all, and the other was told to be missing."""
    layers = [np.array([[[1, 2, 0]]], np.uint8)] * 2
    same = [{"name": n, "value": 2, "layer": 0, "terminology": None} for n in ("Medial", "Lateral")]
    with pytest.raises(InvalidFormatError, match="'Medial' and 'Lateral' are the same voxels: value 2 of layer 0"):
        merge_layers(layers, same)
    merge_layers(layers, [same[0], same[1] | {"layer": 1}])
    merge_layers(layers, [s | {"value": 7} for s in same])  # two empty ones


def test_a_segmentation_is_known_by_its_header() -> None:
    assert is_segmentation({"Segment0_ID": "Segment_1"})
    assert not is_segmentation({"modality": "MR"})
