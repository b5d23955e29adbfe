"""Two knees in one label map, knees of impossible proportions, and segments that name the other side."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.errors import SegmentationError
from KneePipelineLib.imaging import Volume
from KneePipelineLib.imaging.labels import BY_VALUE, codes_of
from KneePipelineLib.morphometry import canonical_labels, prepare_knee
from KneePipelineLib.morphometry.proportions import odd_proportions
from KneePipelineLib.morphometry.working import working_knee
from KneePipelineLib.phantom import DigitalKnee, Grid

GRID = Grid.isotropic(2.0)


@pytest.fixture(scope="module")
def right() -> Volume:
    return DigitalKnee(0).labels(GRID)


@pytest.fixture(scope="module")
def both(right: Volume) -> Volume:
    """A right knee and beside it, further to the patient's left, a left one."""
    left = DigitalKnee(1, "left").labels(GRID)
    array = np.concatenate([right.reoriented("LPS").array, left.reoriented("LPS").array], axis=2)
    return Volume(array, right.spacing, right.reoriented("LPS").origin, np.eye(3))


def test_two_knees_are_refused_by_name(both: Volume) -> None:
    """They were measured as one, with the lateral side of the one beside the medial side of the other."""
    with pytest.raises(SegmentationError, match=r"shows two knees, [0-9]+ mm apart") as caught:
        canonical_labels(both)
    assert "--side left or --side right" in caught.value.hint


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("orientation", ["LPS", "PIR", "SRA"])
def test_a_side_says_which_of_two_knees_is_meant(both: Volume, side: str, orientation: str) -> None:
    found = canonical_labels(both.reoriented(orientation), side=side)
    assert [code for code, _ in found.meta["warnings"]] == ["TWO_KNEES"]
    alone = DigitalKnee(0 if side == "right" else 1, side).labels(GRID)
    assert np.array_equal(*(np.bincount(labels.array.ravel())[1:] for labels in (found, alone)))
    assert prepare_knee(found).side == side


def test_one_knee_in_pieces_is_no_pair(right: Volume) -> None:
    """Condyles cut off below the notch are two pieces, and so is a bone with a stroke of the pencil through it."""
    array = right.reoriented("LPS").array.copy()
    femur = np.argwhere(array == 1)
    array[femur[:, 0].min() + 9 :][array[femur[:, 0].min() + 9 :] == 1] = 0
    canonical_labels(right.reoriented("LPS").with_array(array), "canonical")


@pytest.mark.parametrize("seed", range(4))
def test_knees_have_the_proportions_of_knees(seed: int) -> None:
    assert odd_proportions(working_knee(DigitalKnee(seed, "left", 1.5).labels(GRID))) == []


@pytest.mark.parametrize(("factors", "shape"), [((1.25, 1.25, 0.67), "deep"), ((1, 1, 0.55), "deep"),
                                                ((0.5, 0.5, 1), "wide"), ((1, 1, 2), "wide")])
def test_a_wrong_voxel_size_is_told(factors: tuple, shape: str) -> None:
    """Of 0.8 x 0.8 x 1.5 mm, said to be 1 x 1 x 1 for example: all was "ok" and 25 % off."""
    labels = DigitalKnee(0).labels(Grid.sagittal((120, 120, 80), (1.2, 1.2, 1.5)))
    said = Volume(labels.array, labels.spacing * factors, labels.origin, labels.direction)
    [sentence] = [words for code, words in prepare_knee(said).warnings if code == "UNUSUAL_PROPORTIONS"]
    assert f"as {shape} for their" in sentence
    assert " x ".join(f"{s:.3g}" for s in said.spacing) in sentence


def test_bones_that_the_image_cuts_off_say_nothing_of_proportions(right: Volume) -> None:
    lps = right.reoriented("LPS")
    held = np.flatnonzero((lps.array == 1).any(axis=(0, 1)))
    half = lps.cropped((0, 0, 0), (int(held.mean()), lps.size[1], lps.size[2]))
    assert odd_proportions(working_knee(half)) == []


@pytest.mark.parametrize("said", ["names", "codes"])
def test_the_side_that_segments_speak_of_is_kept(right: Volume, said: str) -> None:
    def segment(value: int, side: str) -> dict:
        structure = BY_VALUE[value]
        codes = codes_of(structure, side)
        return {"value": value, "name": f"{side.title()} {structure.title}" if said == "names" else structure.title,
                "terminology": None if said == "names" else {
                    "type": codes.type, "modifier": codes.modifier, "region": codes.region,
                    "region_modifier": codes.region_modifier}}

    def named(sides: list[str]) -> str | None:
        segments = [segment(value, sides[value % len(sides)]) for value in range(1, 11)]
        return canonical_labels(right.with_array(right.array, segments=segments)).meta["named_side"]

    assert named(["left"]) == "left"
    assert named(["right"]) == "right"
    assert named(["left", "right"]) is None
    assert canonical_labels(right).meta["named_side"] is None
