"""The answer belongs to the knee, not to the grid it was drawn on."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.morphometry import KneeMorphometry, femoral_subregions, laterality, measure_knee

AXES = [order + signs for order in permutations("RAS") for signs in product((0, 1), repeat=3)]
OPPOSITE = {"R": "L", "A": "P", "S": "I"}
ORIENTATIONS = [
    "".join(OPPOSITE[letter] if flip else letter for letter, flip in zip(code[:3], code[3:], strict=True))
    for code in AXES
]
QUICK = ["LPS", "RAS", "PIR", "SLA"]
THICKNESSES = ("mm_mean", "mm_median", "ThC_tAB_mm", "ThC_cAB_mm")
AREAS = ("VC_mm3", "tAB_mm2", "cAB_mm2")


def assert_same(one: KneeMorphometry, other: KneeMorphometry, thickness_mm: float, relative: float) -> None:
    assert one.regions.keys() == other.regions.keys()
    for region, measures in one.regions.items():
        for name in THICKNESSES:
            assert other.regions[region][name] == pytest.approx(measures[name], abs=thickness_mm), (region, name)
        for name in AREAS:
            assert other.regions[region][name] == pytest.approx(measures[name], rel=relative), (region, name)


def dice(a: np.ndarray, b: np.ndarray, label: int) -> float:
    return 2 * np.count_nonzero((a == label) & (b == label)) / (np.count_nonzero(a == label)
                                                               + np.count_nonzero(b == label))


def assert_same_after_turning(measured, knee_labels, orientation):
    turned = knee_labels.reoriented(orientation)
    result = measure_knee(turned)
    assert result.subregions.same_grid(turned)
    assert result.depth.same_grid(turned)
    back = result.subregions.reoriented(knee_labels.orientation)
    assert np.array_equal(back.array, measured.subregions.array)
    assert np.array_equal(result.depth.reoriented(knee_labels.orientation).array, measured.depth.array)
    assert_same(measured, result, 1e-3, 1e-4)
    assert result.menisci["med_meniscus"] == pytest.approx(measured.menisci["med_meniscus"], rel=1e-3)


@pytest.mark.parametrize("orientation", QUICK)
def test_flips_and_permutations(measured, knee_labels, orientation):
    assert_same_after_turning(measured, knee_labels, orientation)


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [o for o in ORIENTATIONS if o not in QUICK])
def test_every_flip_and_permutation(measured, knee_labels, orientation):
    assert len(set(ORIENTATIONS)) == 48
    assert_same_after_turning(measured, knee_labels, orientation)


def turned_labels(digital_knee, small_grid, degrees):
    return digital_knee.labels(small_grid.rotated(degrees))


@pytest.mark.parametrize("degrees", [
    (15, 0, 0), pytest.param((0, -15, 0), marks=pytest.mark.slow), pytest.param((0, 0, 15), marks=pytest.mark.slow),
    pytest.param((-15, 15, -15), marks=pytest.mark.slow),
])
def test_rotated_grid(measured, digital_knee, small_grid, degrees):
    labels = turned_labels(digital_knee, small_grid, degrees)
    result = measure_knee(labels)
    assert result.side == measured.side
    assert_same(measured, result, 0.05, 0.04)
    assert min(subregion_dice(measured.subregions, result.subregions).values()) >= 0.95
    assert np.degrees(np.arccos(np.clip(np.diag(result.frame.axes @ measured.frame.axes.T), -1, 1))).max() < 1.5


def subregion_dice(one: Volume, other: Volume) -> dict[int, float]:
    """Dice of each subregion on the voxels of ``other`` that are femoral cartilage in both."""
    where = np.argwhere((other.array >= 11) & (other.array <= 15))
    index = np.rint(one.to_indices(other.to_physical(where[:, ::-1]))).astype(int)
    inside = ((index >= 0) & (index < one.size)).all(axis=1)
    there = one.array[tuple(index[inside].T[::-1])]
    here = other.array[tuple(where[inside].T)]
    both = (there >= 11) & (there <= 15)
    assert both.mean() > 0.7
    return {label: dice(there[both], here[both], label) for label in range(11, 16)}


def test_mirrored_knee_gives_the_same_numbers(measured, knee_labels):
    mirrored = Volume(knee_labels.array[::-1], knee_labels.spacing, knee_labels.origin, knee_labels.direction)
    result = measure_knee(mirrored)
    assert (measured.side, result.side) == ("right", "left")
    assert np.mean(result.subregions.array[::-1] == measured.subregions.array) > 0.9999
    assert_same(measured, result, 0.02, 0.02)
    for meniscus, measures in measured.menisci.items():
        assert result.menisci[meniscus]["volume_mm3"] == pytest.approx(measures["volume_mm3"])
        assert result.menisci[meniscus]["extrusion_mm"] == pytest.approx(measures["extrusion_mm"], abs=0.2)


def test_left_and_right_of_the_digital_knee(digital_knee, small_grid, measured):
    left = digital_knee.mirrored().labels(small_grid)
    assert laterality(left) == "left"
    assert_same(measured, measure_knee(left), 0.05, 0.03)


def test_subregions_alone_are_those_of_the_whole_measurement(measured, knee_labels):
    assert np.array_equal(femoral_subregions(knee_labels, "right").array, measured.subregions.array)
    assert np.array_equal(femoral_subregions(knee_labels).array, measured.subregions.array)


def test_surfaces_are_even_and_in_lps(measured, knee_labels):
    for bone, value, vertices in (("femur", 1, 20000), ("tibia", 2, 20000), ("patella", 3, 10000)):
        surface = measured.surfaces[bone]
        assert len(surface.points) == pytest.approx(vertices, rel=0.03)
        assert surface.points.dtype == np.float32
        assert surface.triangles.dtype == np.int32
        areas = surface.vertex_area_mm2
        assert areas.std() / areas.mean() < 0.45
        index = np.rint(knee_labels.to_indices(surface.points - surface.normals * 1.2)).astype(int)
        index = np.clip(index, 0, np.array(knee_labels.size) - 1)
        assert (knee_labels.array[tuple(index.T[::-1])] == value).mean() > 0.98


@pytest.mark.slow
def test_repeated_runs_and_threads_agree(measured, knee_labels):
    for _ in range(5):
        again = measure_knee(knee_labels)
        for bone, surface in again.surfaces.items():
            assert np.array_equal(surface.points, measured.surfaces[bone].points)
        assert again.regions == measured.regions
