"""What real label maps are like: incomplete, wrong in places, cropped, tiny, huge."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.errors import ConfigError, SegmentationError
from KneePipelineLib.imaging import Volume
from KneePipelineLib.imaging.labels import REGIONS
from KneePipelineLib.morphometry import (
    MEASURES,
    MENISCUS_MEASURES,
    WARNINGS,
    canonical_labels,
    laterality,
    measure_knee,
)
from KneePipelineLib.phantom import DigitalKnee, Grid


def codes(result) -> set[str]:
    found = {code for code, _ in result.warnings}
    assert found <= set(WARNINGS)
    return found


def test_everything_is_there_in_a_whole_knee(measured):
    assert codes(measured) == set()
    assert list(measured.regions) == list(REGIONS)
    for measures in measured.regions.values():
        assert tuple(measures) == MEASURES
        assert all(np.isfinite(v) for v in measures.values())
    assert set(measured.menisci) == {"med_meniscus", "lat_meniscus"}
    for measures in measured.menisci.values():
        assert tuple(measures) == MENISCUS_MEASURES
    assert set(measured.cartilage_surfaces) == {("femur", 0), ("tibia", 0), ("tibia", 1), ("patella", 0)}
    assert len(measured.raw_femur[0]) > 20000


def test_depth_layers_halve_each_cartilage(measured):
    labels, depth = measured.subregions.array, measured.depth.array
    cartilage = np.isin(labels, (5, 6, 7, 11, 12, 13, 14, 15))
    assert np.array_equal(depth > 0, cartilage)
    assert np.array_equal(depth[cartilage] % 100, labels[cartilage])
    assert set(np.unique(depth[cartilage] // 100)) == {1, 2}
    for label in (5, 6, 7, 11):
        deep = np.count_nonzero(depth == label + 100)
        assert 0.35 < deep / np.count_nonzero(labels == label) < 0.6
    from scipy.ndimage import distance_transform_edt

    far = distance_transform_edt(measured.labels.array != 1, sampling=measured.labels.spacing[::-1])
    assert far[depth == 111].mean() + 0.7 < far[depth == 211].mean()


def test_missing_patella(relabelled, measured):
    result = measure_knee(relabelled({3: 0, 7: 0}))
    assert codes(result) == {"PATELLA_MISSING"}
    assert "patella" not in result.surfaces
    assert "pat_cart" not in result.regions
    assert result.regions["fem_cart"] == measured.regions["fem_cart"]


def test_patellar_cartilage_without_patella_is_left_out(relabelled):
    result = measure_knee(relabelled({3: 0}))
    assert ("patella", 0) not in result.cartilage_surfaces
    assert not (result.depth.array % 100 == 7).any()


@pytest.mark.parametrize("absent", [4, 5, 7])
def test_absent_cartilage(relabelled, measured, absent):
    result = measure_knee(relabelled({absent: 0}))
    assert "CARTILAGE_MISSING" in codes(result)
    assert ("SUBREGIONS_UNAVAILABLE" in codes(result)) == (absent == 4)
    region = {4: "fem_cart", 5: "med_tib_cart", 7: "pat_cart"}[absent]
    assert result.regions[region]["VC_mm3"] == 0
    assert np.isnan(result.regions[region]["mm_mean"])
    assert np.isnan(result.regions[region]["ThC_cAB_mm"])
    assert result.regions["lat_tib_cart"]["ThC_cAB_mm"] == pytest.approx(
        measured.regions["lat_tib_cart"]["ThC_cAB_mm"], abs=0.02)
    assert result.side == "right"


@pytest.mark.parametrize("side", ["right", "left"])
def test_bones_alone(digital_knee, small_grid, side):
    knee = digital_knee if side == "right" else digital_knee.mirrored()
    labels = knee.labels(small_grid)
    bones = labels.with_array(np.where(labels.array <= 3, labels.array, 0).astype(np.uint8))
    with pytest.raises(SegmentationError, match="right or a left"):
        laterality(bones)
    result = measure_knee(bones)
    assert result.side == side
    assert {"SIDE_GUESSED", "CARTILAGE_MISSING", "MENISCUS_MISSING"} <= codes(result)
    assert set(result.surfaces) == {"femur", "tibia", "patella"}
    assert np.isnan(result.surfaces["femur"].thickness_mm).all()
    assert result.cartilage_surfaces == {}
    assert not result.depth.array.any()


def test_laterality_by_menisci_then_by_fibula(relabelled):
    assert laterality(relabelled({5: 0})) == "right"
    assert laterality(relabelled({5: 0, 6: 0, 8: 0, 9: 0})) == "right"


def test_swapped_tibial_voxels_are_put_right(knee_labels, measured):
    rng = np.random.default_rng(0)
    array = knee_labels.array.copy()
    for label, other in ((5, 6), (6, 5)):
        voxels = np.flatnonzero(knee_labels.array == label)
        array.flat[rng.choice(voxels, len(voxels) // 4, replace=False)] = other
    result = measure_knee(knee_labels.with_array(array))
    assert codes(result) == {"TIBIAL_SIDES_SWAPPED"}
    assert np.array_equal(result.labels.array, knee_labels.array)
    assert result.regions == measured.regions


def test_declared_side_exchanges_medial_and_lateral(relabelled, measured):
    result = measure_knee(relabelled({5: 6, 6: 5, 8: 9, 9: 8}), side="right")
    assert "SIDE_CONTRADICTED" in codes(result)
    assert result.side == "right"
    assert np.array_equal(result.labels.array, measured.labels.array)
    assert result.regions == measured.regions


def test_declared_side_that_agrees_changes_nothing(knee_labels, measured):
    assert measure_knee(knee_labels, side="right").regions == measured.regions


def test_unknown_side(knee_labels):
    with pytest.raises(ConfigError, match="auto, right or left"):
        measure_knee(knee_labels, side="both")


def test_several_components(knee_labels, measured):
    array = knee_labels.array.copy()
    free = array == 0
    block = np.zeros_like(free)
    block[:20, :30, -40:] = True
    array[block & free] = 1
    result = measure_knee(knee_labels.with_array(array))
    assert codes(result) == {"SEVERAL_COMPONENTS"}
    for region in REGIONS:
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(measured.regions[region]["ThC_cAB_mm"], abs=0.02)


def test_stray_voxels_everywhere(knee_labels, measured):
    rng = np.random.default_rng(5)
    array = knee_labels.array.copy()
    free = np.flatnonzero(array == 0)
    array.flat[rng.choice(free, 600, replace=False)] = rng.integers(1, 10, 600)
    result = measure_knee(knee_labels.with_array(array))
    assert result.side == measured.side
    for region in REGIONS:
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(measured.regions[region]["ThC_cAB_mm"], abs=0.05)


def test_lesion_holes_in_bone_do_not_count_as_surface(knee_labels, measured):
    from scipy.ndimage import binary_erosion

    array = knee_labels.array.copy()
    deep = np.argwhere(binary_erosion(array == 1, iterations=9))
    center = deep[len(deep) // 2]
    ball = np.linalg.norm((np.indices(array.shape).T - center).T * np.array([1, 0.5, 0.5])[:, None, None, None],
                          axis=0) < 3
    array[ball] = 0
    result = measure_knee(knee_labels.with_array(array))
    assert np.array_equal(result.surfaces["tibia"].points, measured.surfaces["tibia"].points)
    assert result.surfaces["femur"].vertex_area_mm2.sum() == pytest.approx(
        measured.surfaces["femur"].vertex_area_mm2.sum(), rel=1e-3)


def test_full_thickness_defect_becomes_denuded_area(digital_knee, small_grid):
    from KneePipelineLib.phantom import Defect

    hurt = digital_knee.with_defects(Defect("femoral", (21, -5), 6.0))
    result = measure_knee(hurt.labels(small_grid))
    true = hurt.truth()["fem_cart"]
    found = result.regions["fem_cart"]
    assert found["dAB_mm2"] == pytest.approx(true["dAB_mm2"], rel=0.08)
    assert found["ThC_tAB_mm"] < found["ThC_cAB_mm"]
    assert found["tAB_mm2"] == pytest.approx(found["cAB_mm2"] + found["dAB_mm2"])
    assert found["dAB_percent"] == pytest.approx(100 * found["dAB_mm2"] / found["tAB_mm2"])


@pytest.mark.parametrize("kept_mm", [46, 60])
def test_cropped_shafts_do_not_move_the_measures(knee_labels, measured, kept_mm):
    """Even when the femur is cut at a slant."""
    where = knee_labels.to_physical(np.argwhere(knee_labels.array == 1)[:, ::-1])
    slant = where[:, 2] + 0.25 * where[:, 1] - 0.2 * where[:, 0]
    array = knee_labels.array.copy()
    voxels = np.argwhere(array == 1)[slant > np.quantile(slant, 0.001) + kept_mm]
    array[tuple(voxels.T)] = 0
    result = measure_knee(knee_labels.with_array(array))
    assert codes(result) <= {"SHORT_SHAFT"}
    assert np.degrees(np.arccos(np.clip(np.diag(result.frame.axes @ measured.frame.axes.T), -1, 1))).max() < 1.0
    for region in REGIONS:
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(measured.regions[region]["ThC_cAB_mm"], abs=0.04)


def test_short_shaft_is_said(knee_labels):
    femur = knee_labels.to_physical(np.argwhere(knee_labels.array == 1)[:, ::-1])[:, 2]
    array = knee_labels.array.copy()
    high = np.argwhere(array == 1)[femur > femur.min() + 45]
    array[tuple(high.T)] = 0
    assert codes(measure_knee(knee_labels.with_array(array))) == {"SHORT_SHAFT"}


def test_femur_is_cropped_to_its_width(measured, knee_labels):
    axes = measured.frame.axes
    femur = knee_labels.to_physical(np.argwhere(knee_labels.array == 1)[:, ::-1])
    width = np.ptp(femur @ axes[0])
    height = np.ptp(measured.surfaces["femur"].points @ axes[2])
    assert height == pytest.approx(0.8 * width, abs=1.5)


def test_image_border_may_cut_the_knee(knee_labels, measured):
    k, j, _ = np.nonzero(np.isin(knee_labels.array, (4, 5, 6)))
    tight = knee_labels.cropped((0, int(j.min()) - 20, int(k.min())), (256, int(j.max()) + 60, int(k.max()) + 1))
    result = measure_knee(tight)
    for region in ("med_tib_cart", "lat_tib_cart", "fem_cart"):
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(measured.regions[region]["ThC_cAB_mm"], abs=0.06)


def test_tiny_map(digital_knee):
    result = measure_knee(digital_knee.labels(Grid.isotropic(2.0)))
    truth = digital_knee.truth()
    assert result.side == "right"
    for region in ("fem_cart", "med_tib_cart", "lat_tib_cart", "pat_cart"):
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(truth[region]["ThC_cAB_mm"], abs=0.5)


HUGE = (200, 512, 512)


def in_a_large_field(labels: Volume, kind: type) -> Volume:
    """The same knee in a large field of view, in an integer type it does not need."""
    array = np.zeros(HUGE, kind)
    k, j, i = (60, 120, 200)
    size = labels.array.shape
    array[k:k + size[0], j:j + size[1], i:i + size[2]] = labels.array
    return Volume(array, labels.spacing, labels.to_physical(np.array([-i, -j, -k])), labels.direction)


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_huge_map_is_made_small_without_copies(knee_labels, kind):
    """Besides what came in: the bytes it becomes, and less than half as much again on the way."""
    import tracemalloc

    volume = in_a_large_field(knee_labels, kind)
    tracemalloc.start()
    try:
        found = canonical_labels(volume)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.array.dtype == np.uint8
    assert np.array_equal(found.array, volume.array)
    assert peak < 1.5 * found.array.nbytes


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_huge_map(knee_labels, measured, kind):
    result = measure_knee(canonical_labels(in_a_large_field(knee_labels, kind)))
    assert result.subregions.array.shape == HUGE
    for region in REGIONS:
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(measured.regions[region]["ThC_cAB_mm"], abs=0.02)


@pytest.mark.parametrize("array", [
    np.zeros((8, 8, 8), np.uint8), np.full((8, 8, 8), 4, np.uint8), np.pad(np.full((8, 8, 8), 1, np.uint8), 3),
])
def test_no_knee_is_said_in_a_sentence(array):
    with pytest.raises(SegmentationError) as caught:
        measure_knee(Volume(array))
    assert str(caught.value).endswith(".")
    assert caught.value.hint


def test_bones_apart_are_no_knee():
    array = np.zeros((150, 40, 40), np.uint8)
    array[130:, 5:35, 5:35], array[:20, 5:35, 5:35] = 1, 2
    with pytest.raises(SegmentationError, match="too far apart"):
        measure_knee(Volume(array, (2, 2, 2)))


def test_extreme_digital_knee(small_grid):
    """A strongly varied knee, to leave the beaten track."""
    knee = DigitalKnee(11, "left", variation=1.8)
    result = measure_knee(knee.labels(small_grid))
    truth = knee.truth()
    assert result.side == "left"
    for region in ("fem_cart", "med_tib_cart", "lat_tib_cart", "pat_cart"):
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(truth[region]["ThC_cAB_mm"], abs=0.12)
