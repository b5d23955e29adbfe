"""Growing bones, thick slices and thin cartilage: what healthy adult knees on fine grids never show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.imaging.bone_pieces import whole_bone
from KneePipelineLib.imaging.labels import REGIONS
from KneePipelineLib.imaging.slices import slice_axis
from KneePipelineLib.morphometry import measure_knee
from KneePipelineLib.morphometry.coverage import layer_thickness_mm
from KneePipelineLib.morphometry.slices import interpolated
from KneePipelineLib.phantom import Grid
from KneePipelineLib.segmentation.postprocess import clean_labels


def with_physis(labels: Volume, femur_mm: float, tibia_mm: float, gap_mm: float = 2.4) -> Volume:
    """A level gap through femur and tibia, so far from the joint's end of each."""
    array = labels.array.copy()
    rows = np.arange(labels.size[1])
    height = labels.to_physical(np.stack([0 * rows, rows, 0 * rows], axis=-1))
    height = np.broadcast_to(height[:, 2][None, :, None], array.shape)
    low, top = height[array == 1].min(), height[array == 2].max()
    for bone, level in ((1, low + femur_mm), (2, top - tibia_mm)):
        array[(array == bone) & (np.abs(height - level) < gap_mm / 2)] = 0
    return labels.with_array(array)


@pytest.mark.parametrize("heights", [(22, 20), (30, 26)])
def test_growth_plates_change_no_measure(knee_labels, measured, heights):
    result = measure_knee(with_physis(knee_labels, *heights))
    assert [code for code, _ in result.warnings].count("GROWTH_PLATES") == 2
    for region in REGIONS:
        before, after = measured.regions[region], result.regions[region]
        for name in ("ThC_cAB_mm", "mm_mean"):
            assert after[name] == pytest.approx(before[name], abs=0.05), (region, name)
        assert after["tAB_mm2"] == pytest.approx(before["tAB_mm2"], rel=0.03), region


def test_the_labels_that_are_handed_out_keep_the_growth_plates(knee_labels):
    divided = with_physis(knee_labels, 24, 18)
    result = measure_knee(divided)
    assert np.array_equal(result.labels.array, divided.array)
    assert np.array_equal(result.subregions.array == 1, divided.array == 1)


def test_a_network_keeps_the_epiphysis(knee_labels):
    divided = with_physis(knee_labels, 24, 18)
    cleaned = clean_labels(divided)
    assert min(cleaned.kept_share[bone] for bone in (1, 2)) > 0.999
    assert not cleaned.warnings


def bone_with(*blocks: tuple[slice, slice, slice], cartilage: tuple | None = None) -> np.ndarray:
    array = np.zeros((60, 40, 40), np.uint8)
    for block in blocks:
        array[block] = 1
    if cartilage is not None:
        array[cartilage] = 4
    return array


BOX = (slice(0, 60), slice(0, 40), slice(0, 40))
EPIPHYSIS, SHAFT = (slice(10, 20), slice(5, 35), slice(5, 35)), (slice(22, 60), slice(5, 35), slice(5, 35))
FAR_SHAFT = (slice(28, 60), slice(5, 35), slice(5, 35))
ON_JOINT = (slice(8, 10), slice(8, 30), slice(8, 30))


def test_the_smaller_piece_that_carries_cartilage_is_the_bone():
    found = whole_bone(bone_with(EPIPHYSIS, FAR_SHAFT, cartilage=ON_JOINT), 1, BOX, np.ones(3))
    assert (found.pieces, found.left_out, found.gap_mm) == (2, 1, 0.0)
    assert found.mask[15, 20, 20]
    assert not found.mask[40, 20, 20]


def test_a_narrow_gap_over_a_wide_area_is_bridged():
    found = whole_bone(bone_with(EPIPHYSIS, SHAFT, cartilage=ON_JOINT), 1, BOX, np.ones(3))
    assert (found.pieces, found.left_out) == (2, 0)
    assert found.gap_mm == pytest.approx(2.0, abs=0.6)
    assert found.mask[10:60, 10:30, 10:30].all()
    assert not found.mask[:, :3].any()


def test_a_speck_beside_the_bone_is_not_bridged():
    speck = (slice(22, 30), slice(5, 12), slice(5, 12))
    found = whole_bone(bone_with(EPIPHYSIS, speck, cartilage=ON_JOINT), 1, BOX, np.ones(3))
    assert (found.left_out, found.gap_mm) == (1, 0.0)


def test_without_cartilage_the_piece_nearest_the_joint_is_the_bone():
    array = bone_with(EPIPHYSIS, FAR_SHAFT)
    array[0:6, 5:35, 5:35] = 2
    assert whole_bone(array, 1, BOX, np.ones(3)).mask[15, 20, 20]


def test_interpolation_of_a_cone_between_slices():
    """Circles of radius 4 to 16 mm, 3 mm apart: the discs between have the radii between."""
    y, x = np.mgrid[-20:20.5:0.5, -20:20.5:0.5]
    slices = np.stack([(np.hypot(x, y) < r).astype(np.uint8) for r in (4, 8, 12, 16)])
    fine = interpolated(slices, 4, np.array([0.5, 0.5]))
    assert fine.shape == (16, *slices.shape[1:])
    radius = np.sqrt(fine.sum(axis=(1, 2)) * 0.25 / np.pi)
    expected = np.interp(np.arange(16) / 4 + 0.125 - 0.5, range(4), (4, 8, 12, 16))
    assert radius == pytest.approx(expected, abs=0.3)


def test_interpolation_ends_half_way_and_keeps_the_volume():
    slices = np.zeros((6, 30, 30), np.uint8)
    slices[2:4, 5:25, 5:25] = 7
    slices[3, 5:25, 5:25] = 8
    fine = interpolated(slices, 4, np.ones(2))
    for label in (7, 8):
        assert np.count_nonzero(fine == label) == 4 * np.count_nonzero(slices == label)
    assert set(np.unique(fine)) == {0, 7, 8}


@pytest.mark.parametrize(("spacing", "axis"), [((0.36, 0.36, 0.7), None), ((0.3, 0.3, 3.0), 2), ((3.0, 0.4, 0.5), 0),
                                               ((1.2, 1.2, 2.0), None), ((0.5, 0.5, 1.0), None)])
def test_slice_axis(spacing, axis):
    assert slice_axis(np.array(spacing)) == axis


@pytest.mark.parametrize("orientation", ["sagittal", "coronal"])
def test_central_femorotibial_cartilage_on_thick_slices(digital_knee, orientation):
    grid = {"sagittal": Grid.sagittal((256, 256, 36), (0.5, 0.5, 3.0)),
            "coronal": Grid.coronal((240, 256, 40), (0.5, 0.5, 3.0))}[orientation]
    result, truth = measure_knee(digital_knee.labels(grid)), digital_knee.truth()
    for region in ("med_tib_cart", "lat_tib_cart"):
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(truth[region]["ThC_cAB_mm"], abs=0.1), region
        assert result.regions[region]["cAB_mm2"] == pytest.approx(truth[region]["cAB_mm2"], rel=0.06), region


@pytest.mark.parametrize("true_mm", [0.45, 0.6, 0.8, 1.0, 2.0])
def test_the_known_response_of_smoothing_is_inverted(true_mm):
    from scipy.special import ndtr

    width = np.sqrt(0.3125)
    z = np.linspace(0, 6, 60001)
    read = (ndtr((true_mm - z) / width) - 0.5 * ndtr(-z / width) >= 0.5).sum() * 1e-4
    assert layer_thickness_mm(np.array([read]), 0.3125)[0] == pytest.approx(true_mm, abs=0.01)
    assert layer_thickness_mm(np.zeros(1), 0.3125)[0] == 0


@pytest.mark.parametrize("share", [0.18, 0.28])
def test_thin_cartilage_is_not_lost(digital_knee, small_grid, share):
    """Everything 0.35 to 0.9 mm thick, on voxels of 0.5 x 0.5 x 1 mm."""
    whole = digital_knee.parameters.cartilage
    thick = ("trochlea", "weight_bearing", "posterior", "medial_tibia", "lateral_tibia", "patella")
    knee = digital_knee.with_parameters(
        cartilage=replace(whole, **{name: share * getattr(whole, name) for name in thick}))
    result, truth = measure_knee(knee.labels(small_grid)), knee.truth()
    for region in REGIONS:
        assert result.regions[region]["ThC_cAB_mm"] == pytest.approx(truth[region]["ThC_cAB_mm"], abs=0.1), region
        assert result.regions[region]["cAB_mm2"] > 0.75 * truth[region]["cAB_mm2"], region
