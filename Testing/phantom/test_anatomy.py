"""The digital knee looks like a knee: sizes, neighbours, symmetry, the same place whatever the grid."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.imaging import labels as L
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.phantom.anatomy import Fields

COARSE = Grid.sagittal((140, 140, 80), (1.0, 1.0, 1.4))

VOLUMES_ML = {
    L.FEMUR: (60, 300), L.TIBIA: (50, 250), L.PATELLA: (8, 35), L.FEMORAL_CARTILAGE: (9, 18),
    L.MEDIAL_TIBIAL_CARTILAGE: (1.1, 3.5), L.LATERAL_TIBIAL_CARTILAGE: (1.1, 3.5), L.PATELLAR_CARTILAGE: (1.8, 4.5),
    L.MEDIAL_MENISCUS: (1.0, 3.5), L.LATERAL_MENISCUS: (1.0, 3.5), L.FIBULA: (2, 15),
}


@pytest.mark.parametrize("seed", range(6))
def test_volumes_are_those_of_knees(seed: int) -> None:
    labels = DigitalKnee(seed).labels(COARSE)
    count = np.bincount(labels.array.ravel(), minlength=11)
    for value, (low, high) in VOLUMES_ML.items():
        assert low < count[value] * labels.voxel_volume_mm3 / 1000 < high, L.BY_VALUE[value].title


@pytest.mark.parametrize("seed", range(12))
def test_no_two_structures_overlap(seed: int) -> None:
    """Every pair of solids is disjoint at 400,000 random points around the joint."""
    knee = DigitalKnee(seed, variation=1.5)
    rng = np.random.default_rng(seed)
    p = tuple(rng.uniform((-45, -70, -30), (45, 35, 60), (400_000, 3)).T)
    f = Fields(knee.anatomy, p)
    inside = {bone: getattr(f, bone) < 0 for bone in ("femur", "tibia", "patella", "fibula")}
    for cartilage, bone in (("femoral", "femur"), ("medial_tibial", "tibia"), ("lateral_tibial", "tibia"),
                            ("patellar", "patella")):
        inside[cartilage] = (f.outer(cartilage)[0] < 0) & ~inside[bone]
    inside |= {side: f.meniscus(side) < 0 for side in ("medial", "lateral")}
    overlaps = sum(mask.astype(int) for mask in inside.values()) > 1
    assert not overlaps.any(), [name for name, mask in inside.items() if mask[overlaps].any()]


@pytest.mark.parametrize("seed", [0, 4])
def test_each_cartilage_lies_on_its_own_bone(seed: int) -> None:
    labels = DigitalKnee(seed).labels(Grid.sagittal((192, 192, 120), (0.73, 0.73, 0.93))).array
    from scipy.ndimage import binary_dilation

    for bone, cartilages in L.BONE_CARTILAGES.items():
        near = binary_dilation(labels == bone, iterations=7)
        touching = binary_dilation(labels == bone)
        for cartilage in cartilages:
            mask = labels == cartilage
            assert (mask & ~near).sum() == 0
            assert (mask & touching).sum() > 0.2 * mask.sum()


def test_dimensions_of_the_typical_femur_and_tibia() -> None:
    labels = DigitalKnee(variation=0).labels(COARSE)
    k, j, i = np.nonzero(labels.array == L.FEMUR)
    femur = labels.to_physical(np.stack([i, j, k], 1))
    distal = femur[femur[:, 2] < 45]
    assert 72 < np.ptp(distal[:, 0]) < 86
    assert 58 < np.ptp(distal[:, 1]) < 70
    k, j, i = np.nonzero(labels.array == L.TIBIA)
    tibia = labels.to_physical(np.stack([i, j, k], 1))
    assert 70 < np.ptp(tibia[:, 0]) < 80
    assert femur[:, 2].mean() > tibia[:, 2].mean()


def test_a_right_knee_has_its_medial_side_to_the_left_and_a_left_knee_is_its_mirror() -> None:
    grid = Grid.isotropic(1.5, centre_mm=(0.0, -8.0, 4.0))
    right, left = (DigitalKnee(7, side).labels(grid).array for side in ("right", "left"))
    x = [np.nonzero(right == v)[2].mean() for v in (L.MEDIAL_TIBIAL_CARTILAGE, L.LATERAL_TIBIAL_CARTILAGE)]
    assert x[0] > x[1]
    np.testing.assert_array_equal(left, right[:, :, ::-1])


def test_the_same_place_has_the_same_label_on_every_grid() -> None:
    """Blocks and batches must not show: labels by blocks equal the functions evaluated voxel by voxel."""
    knee = DigitalKnee(2)
    for grid in (Grid.sagittal((60, 64, 30), (2.1, 2.0, 3.3)), Grid.axial((70, 66, 41), (1.7, 1.9, 3.0)),
                 Grid.coronal((50, 62, 30), (2.2, 2.3, 4.0)).rotated((12, -9, 14)), Grid.isotropic(3.1),
                 Grid.sagittal((90, 90, 90), (0.5, 0.5, 0.5), (20, 5, 0)).rotated((30, 20, 10))):
        labels = knee.labels(grid).array
        p = tuple(c.astype(np.float32) for c in knee.frame.to_canonical(grid.points()).reshape(-1, 3).T)
        f = Fields(knee.anatomy, p)
        expected = np.zeros(len(p[0]), np.uint8)
        for side, value in (("medial", 8), ("lateral", 9)):
            expected[f.meniscus(side) < 0] = value
        for cartilage, value in (("femoral", 4), ("medial_tibial", 5), ("lateral_tibial", 6), ("patellar", 7)):
            expected[f.outer(cartilage)[0] < 0] = value
        for bone, value in (("femur", 1), ("tibia", 2), ("patella", 3), ("fibula", 10)):
            expected[getattr(f, bone) < 0] = value
        differing = np.count_nonzero(labels.ravel() != expected)
        assert differing <= 2  # points exactly on a boundary, where float32 sums in another order


def test_seeds_differ_and_repeat() -> None:
    grid = Grid.isotropic(3.0)
    first, again, other = (DigitalKnee(s).labels(grid).array for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.01


def test_a_wrong_side_is_refused() -> None:
    with pytest.raises(ValueError, match="'right' or 'left'"):
        DigitalKnee(0, side="both")


def test_grid_geometry_is_that_of_the_volume() -> None:
    grid = Grid.sagittal((11, 12, 13), (0.5, 0.6, 0.7)).rotated((5, -3, 8)).shifted((1, 2, 3))
    volume = grid.volume(np.zeros(grid.shape))
    points = grid.points()
    np.testing.assert_allclose(points[3, 2, 1], volume.to_physical((1, 2, 3)), atol=1e-12)
    assert Grid.of(volume).size == grid.size
    assert Grid.sagittal().volume(np.zeros((160, 384, 384), np.uint8)).orientation == "PIR"


def test_tissue_map_agrees_with_the_labels_and_fills_the_rest() -> None:
    knee, grid = DigitalKnee(seed=3), Grid.isotropic(2.0)
    labels, tissues = knee.labels(grid).array, knee.tissues(grid).array
    assert np.array_equal(np.where(tissues <= 10, tissues, 0), labels)
    assert {20, 21, 22, 26} <= set(np.unique(tissues).tolist())
    assert not (tissues == 0).any()
