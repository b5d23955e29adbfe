"""Cleaning up and judging: pieces, holes, sides, and the verdict that switches the shape branch off."""

from __future__ import annotations

import json

import numpy as np
import pytest

from KneePipelineLib.imaging import labels as L
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.segmentation import clean_labels, correct_sides, judge, shown_side
from KneePipelineLib.segmentation.confidence import PLAUSIBLE_ML

MARGINS = {s.value: 0.9 for s in L.STRUCTURES}


@pytest.fixture(scope="module")
def knee() -> Volume:
    return DigitalKnee(2, side="right").labels(Grid.sagittal((140, 140, 80), (1.0, 1.0, 1.4)))


def changed(volume: Volume, place: tuple, value: int) -> Volume:
    array = volume.array.copy()
    array[place] = value
    return volume.with_array(array)


def inner_voxel(volume: Volume, value: int) -> tuple[int, int, int]:
    """A voxel deep inside a structure."""
    from scipy.ndimage import distance_transform_edt

    return np.unravel_index(distance_transform_edt(volume.array == value).argmax(), volume.array.shape)


def box_around(voxel: tuple, radius: int) -> tuple[slice, ...]:
    return tuple(slice(max(int(v) - radius, 0), int(v) + radius + 1) for v in voxel)


def test_a_good_knee_is_left_alone_and_believed(knee: Volume) -> None:
    cleaned = clean_labels(knee)
    assert (cleaned.labels.array != knee.array).mean() < 1e-4
    assert cleaned.warnings == []
    verdict = judge(cleaned, MARGINS)
    assert verdict.level == "ok", verdict.reasons
    assert [m.level for m in verdict.structures.values()] == ["ok"] * len(verdict.structures)
    assert json.loads(json.dumps(verdict.to_dict()))["structures"]["femur"]["volume_ml"] > 50


def test_input_is_never_written_to(knee: Volume) -> None:
    before = knee.array.copy()
    clean_labels(changed(knee, (0, 0, 0), L.FEMUR))
    clean_labels(knee)
    assert np.array_equal(knee.array, before)


def test_stray_bone_is_dropped_and_holes_are_filled(knee: Volume) -> None:
    dirty = changed(knee, (slice(1, 4), slice(1, 4), slice(1, 4)), L.TIBIA)
    hole = box_around(inner_voxel(knee, L.FEMUR), 2)
    dirty = changed(dirty, hole, 0)
    speck = inner_voxel(knee, L.TIBIA)
    dirty = changed(dirty, speck, L.FEMORAL_CARTILAGE)
    cleaned = clean_labels(dirty)
    assert np.array_equal(cleaned.labels.array, clean_labels(knee).labels.array)
    assert cleaned.pieces[L.TIBIA] == 2


def test_cartilage_in_pieces_on_its_bone_stays(knee: Volume) -> None:
    """A full-thickness defect across the patella leaves two pieces: both are cartilage."""
    mask = knee.array == L.PATELLAR_CARTILAGE
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    middle = int(np.median(slices))
    split = knee.array.copy()
    gap = split[middle - 1:middle + 2]
    gap[gap == L.PATELLAR_CARTILAGE] = 0
    cleaned = clean_labels(knee.with_array(split))
    assert cleaned.pieces[L.PATELLAR_CARTILAGE] == 2
    assert np.array_equal(cleaned.labels.array == L.PATELLAR_CARTILAGE, split == L.PATELLAR_CARTILAGE)


def test_cartilage_far_from_its_bone_and_specks_go(knee: Volume) -> None:
    dirty = changed(knee, (slice(1, 6), slice(1, 8), slice(1, 8)), L.PATELLAR_CARTILAGE)  # in the corner: 340 mm3
    cleaned = clean_labels(dirty)
    assert not cleaned.labels.array[:8, :10, :10].any()
    tibia = np.argwhere(knee.array == L.TIBIA)
    surface = tibia[tibia[:, 1].argmin()]  # one voxel on the bone, but too small to be a piece
    speck = changed(knee, tuple(surface - [0, 1, 0]), L.PATELLAR_CARTILAGE)
    assert clean_labels(speck).labels.array[tuple(surface - [0, 1, 0])] == 0


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("orientation", ["PIR", "LPS", "RSA"])
def test_pieces_on_the_wrong_side_are_relabelled(side: str, orientation: str) -> None:
    truth = DigitalKnee(1, side=side).labels(Grid.sagittal((90, 90, 60), (1.6, 1.6, 2.0))).reoriented(orientation)
    assert shown_side(truth) == side
    array = truth.array.copy()
    lateral = np.argwhere(array == L.LATERAL_TIBIAL_CARTILAGE)
    across = int(np.abs(truth.direction[0]).argmax())  # which of i, j, k runs left-right
    outer = lateral[:, 2 - across]
    middle = np.median(np.argwhere(array == L.MEDIAL_TIBIAL_CARTILAGE)[:, 2 - across])
    far = lateral[np.abs(outer - middle) >= np.quantile(np.abs(outer - middle), 0.6)]
    array[tuple(far.T)] = L.MEDIAL_TIBIAL_CARTILAGE
    assert (array != truth.array).sum() > 10
    corrected, warnings = correct_sides(truth.with_array(array))
    assert np.array_equal(corrected, truth.array)
    assert [code for code, _ in warnings] == ["SIDES_CORRECTED"]


def test_side_is_unknown_without_paired_structures(knee: Volume) -> None:
    lonely = np.where(np.isin(knee.array, (L.FEMUR, L.TIBIA)), knee.array, 0)
    assert shown_side(knee.with_array(lonely)) is None


# --- the verdict ----------------------------------------------------------------------------------------------------

def test_a_missing_femur_is_low(knee: Volume) -> None:
    verdict = judge(clean_labels(knee.with_array(np.where(knee.array == L.FEMUR, 0, knee.array))), MARGINS)
    assert verdict.level == "low"
    assert verdict.structures["femur"].reasons == ["not found"]


def test_a_missing_meniscus_alone_is_not(knee: Volume) -> None:
    verdict = judge(clean_labels(knee.with_array(np.where(knee.array == L.MEDIAL_MENISCUS, 0, knee.array))), MARGINS)
    assert verdict.level == "check"
    assert verdict.structures["med_meniscus"].level == "low"
    assert verdict.reasons == ["Medial meniscus: not found."]


def test_three_doubtful_structures_are_low(knee: Volume) -> None:
    missing = (L.MEDIAL_MENISCUS, L.LATERAL_MENISCUS, L.PATELLA)
    verdict = judge(clean_labels(knee.with_array(np.where(np.isin(knee.array, missing), 0, knee.array))), MARGINS)
    assert verdict.level == "low"


def test_an_undecided_network_is_low(knee: Volume) -> None:
    verdict = judge(clean_labels(knee), {**MARGINS, L.FEMORAL_CARTILAGE: 0.3})
    assert verdict.level == "low"
    assert "undecided" in verdict.structures["fem_cart"].reasons[0]
    assert judge(clean_labels(knee), {}).level == "ok"  # no margins known: judged by the rest


def test_a_femur_in_scattered_pieces_is_low(knee: Volume) -> None:
    array = knee.array.copy()
    bone = array == L.FEMUR
    array[bone & (np.indices(array.shape)[1] % 6 < 2)] = 0
    verdict = judge(clean_labels(knee.with_array(array)), MARGINS)
    assert verdict.level == "low"
    assert any("hung together" in r for r in verdict.structures["femur"].reasons)


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_implausible_volumes_are_low(knee: Volume, factor: float) -> None:
    """The same map with other spacing is a knee of another size."""
    scaled = Volume(knee.array, knee.spacing * factor, knee.origin, knee.direction)
    verdict = judge(clean_labels(scaled), MARGINS)
    assert verdict.level == "low"
    assert "outside" in verdict.structures["femur"].reasons[0]


def test_cartilage_cut_by_the_border(knee: Volume) -> None:
    i = np.nonzero(knee.array == L.PATELLAR_CARTILAGE)[2]
    cut = knee.cropped((int(np.median(i)), 0, 0), knee.size)
    verdict = judge(clean_labels(cut), MARGINS)
    assert "cut off by the image's border" in verdict.structures["pat_cart"].reasons


def test_every_structure_has_a_plausible_range() -> None:
    assert set(PLAUSIBLE_ML) == {s.value for s in L.STRUCTURES}
