"""Confidence falls with the segmentation: what is erased shows, structure by structure, in the order of the damage."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.imaging import labels as L
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.segmentation import clean_labels, judge

CARTILAGES = {"pat_cart": 7, "fem_cart": 4, "med_tib_cart": 5, "lat_tib_cart": 6}


@pytest.fixture(scope="module", params=[0, 3])
def knee(request: pytest.FixtureRequest) -> Volume:
    return DigitalKnee(request.param).labels(Grid.isotropic(1.2))


def without(labels: Volume, value: int, share: float, axis: int) -> tuple[Volume, float]:
    """The labels without a share of a structure, from one end of an axis, and the Dice that is left."""
    voxels = np.argwhere(labels.array == value)
    order = np.argsort(voxels[:, axis], kind="stable")[: round(share * len(voxels))]
    array = labels.array.copy()
    array[tuple(voxels[order].T)] = 0
    left = len(voxels) - len(order)
    return labels.with_array(array), 2 * left / (left + len(voxels))


def verdict(labels: Volume):
    return judge(clean_labels(labels), dict.fromkeys(range(1, 11), 0.9))


def test_a_whole_knee_is_not_doubted(knee: Volume) -> None:
    found = verdict(knee)
    assert found.level == "ok", found.reasons
    assert all(0.7 < m.coverage < 1.4 for name, m in found.structures.items() if name in CARTILAGES)


@pytest.mark.parametrize("name", CARTILAGES)
@pytest.mark.parametrize("axis", [1, 2])
def test_half_a_cartilage_is_doubted(knee: Volume, name: str, axis: int) -> None:
    found = verdict(without(knee, CARTILAGES[name], 0.5, axis)[0])
    assert found.structures[name].level == "low"
    assert "bare bone, or a part that was not found" in " ".join(found.structures[name].reasons)
    assert found.level == ("low" if name == "fem_cart" else "check")


@pytest.mark.parametrize("name", CARTILAGES)
def test_the_score_ranks_as_dice_does(knee: Volume, name: str) -> None:
    damaged = [without(knee, CARTILAGES[name], share, axis) for axis in (0, 1, 2) for share in (0, 0.3, 0.6, 0.9)]
    scores = [verdict(labels).structures[name].score for labels, _ in damaged]
    dice = [left for _, left in damaged]
    ranks = [np.argsort(np.argsort(values)) for values in (scores, dice)]
    assert np.corrcoef(*ranks)[0, 1] > 0.85


def test_thick_slices_cover_as_much(knee: Volume) -> None:
    labels = DigitalKnee(0).labels(Grid.sagittal(size=(160, 160, 40), spacing=(0.9, 0.9, 3.0)))
    assert verdict(labels).level == "ok", verdict(labels).reasons


def test_what_is_absent_scores_nothing(knee: Volume) -> None:
    labels, _ = without(knee, L.PATELLAR_CARTILAGE, 1.0, 0)
    mark = verdict(labels).structures["pat_cart"]
    assert (mark.level, mark.score, mark.reasons) == ("low", 0.0, ["not found"])
