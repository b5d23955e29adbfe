"""Meniscus extrusion and coverage: boxes whose answers are plain, and the digital knee whose exact edges are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.morphometry import AnatomicalFrame, MorphometryOptions, measure_knee
from KneePipelineLib.morphometry.bones import bone_meshes, cartilage_mesh
from KneePipelineLib.morphometry.knee import bare_surface
from KneePipelineLib.morphometry.menisci import extrusion_mm, meniscus_measures
from KneePipelineLib.morphometry.thickness import with_thickness
from KneePipelineLib.morphometry.working import working_knee
from KneePipelineLib.phantom import DigitalKnee, Grid

MM = 0.5
LOW = np.array([-40.0, -28.0, -14.0])
"""Lowest corner of the boxes' grid: x to the left, y posterior, z superior."""

INNER, OUTER, FRONT, BACK = 6.0, 30.0, -16.0, 16.0
"""Each tibial cartilage: from 6 to 30 mm beside the middle, 32 mm deep, so 24 mm wide."""


def block(array: np.ndarray, label: int, x: tuple, y: tuple, z: tuple) -> None:
    """Fill a box given in mm (whole multiples of the spacing)."""
    bounds = [tuple(round((v - low) / MM) for v in limits) for limits, low in zip((x, y, z), LOW, strict=True)]
    array[tuple(slice(*b) for b in reversed(bounds))] = label


def plateau(reach_mm: float = 2.0, start_mm: float = 20.0, *, side: str = "right", lift_mm: float = 1.0,
            shift_mm: float = 0.0) -> Volume:
    """A flat tibia with two slabs of cartilage, each under a box of meniscus that reaches beyond its outer edge.

    ``side`` says which way medial lies; the menisci are moved backwards by ``shift_mm`` and lie ``lift_mm`` above.
    """
    array = np.zeros((72, 112, 160), np.uint8)
    block(array, 2, (-36, 36), (-24, 24), (-12, 0))
    medial_is_left = side == "right"
    for left in (True, False):
        cartilage, meniscus = (5, 8) if left == medial_is_left else (6, 9)
        for label, (a, b), (y0, y1), (z0, z1) in (
            (cartilage, (INNER, OUTER), (FRONT, BACK), (0, 2)),
            (meniscus, (start_mm, OUTER + reach_mm), (FRONT + shift_mm, BACK + shift_mm),
             (2 + lift_mm, 6 + lift_mm)),
        ):
            block(array, label, (a, b) if left else (-b, -a), (y0, y1), (z0, z1))
    return Volume(array, (MM, MM, MM), LOW + MM / 2)


def measured_menisci(labels: Volume, side: str = "right") -> dict:
    options = MorphometryOptions()
    knee = working_knee(labels)
    surface = bare_surface("tibia", bone_meshes(knee, 2, options.bone_variance_mm2, 12000, None).even)
    cartilages = {label: cartilage_mesh(knee, label, options.cartilage_variance_mm2) for label in (5, 6)
                  if label in knee.boxes}
    surface = with_thickness(surface, cartilages, knee, knee.volume, options)
    return meniscus_measures(knee, surface, AnatomicalFrame(np.zeros(3), np.eye(3), side),
                             options.cartilage_variance_mm2)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("reach_mm", [-3.0, 0.0, 2.0, 4.5])
def test_extrusion_of_boxes(side, reach_mm):
    """Outwards is positive on both sides of both knees; level edges give nought; inside is negative."""
    menisci = measured_menisci(plateau(reach_mm, side=side), side)
    assert set(menisci) == {"med_meniscus", "lat_meniscus"}
    for measures in menisci.values():
        assert measures["extrusion_mm"] == pytest.approx(reach_mm, abs=1e-6)
        assert measures["volume_mm3"] == pytest.approx((10 + reach_mm) * 32 * 4)


@pytest.mark.parametrize("reach_mm", [0.0, 3.0])
@pytest.mark.parametrize("shift_mm", [-5.0, 5.0])
def test_backwards_is_no_extrusion(reach_mm, shift_mm):
    for measures in measured_menisci(plateau(reach_mm, shift_mm=shift_mm)).values():
        assert measures["extrusion_mm"] == pytest.approx(reach_mm, abs=1e-6)


def test_extrusion_is_looked_for_in_the_middle_fifth_alone():
    labels = plateau(1.0)
    array = labels.array.copy()
    block(array, 8, (20, 38), (FRONT, FRONT + 6), (3, 7))  # a horn that sticks out in front
    assert measured_menisci(labels.with_array(array))["med_meniscus"]["extrusion_mm"] == pytest.approx(1.0)
    block(array, 8, (20, 38), (-1, 1), (3, 7))
    menisci = measured_menisci(labels.with_array(array))
    assert menisci["med_meniscus"]["extrusion_mm"] == pytest.approx(8.0)
    assert menisci["lat_meniscus"]["extrusion_mm"] == pytest.approx(1.0)


def test_extrusion_follows_the_axes_it_is_given():
    rng = np.random.default_rng(0)
    cartilage = rng.uniform((0, -10, 0), (10, 10, 1), (4000, 3))
    cartilage[:2] = (10, 0, 0), (10, 0, 1)
    meniscus = np.array([[12.5, 0, 3], [5, 9, 3], [5, -9, 3.0]])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    outwards, posterior = turn[0], turn[1]
    assert extrusion_mm(meniscus @ turn, cartilage @ turn, outwards, posterior) == pytest.approx(2.5)
    assert np.isnan(extrusion_mm(meniscus[1:] @ turn, cartilage @ turn, outwards, posterior))
    assert np.isnan(extrusion_mm(meniscus, np.zeros((0, 3)), outwards, posterior))


@pytest.mark.parametrize(("start_mm", "percent"), [(INNER, 100.0), (18.0, 50.0), (24.0, 25.0), (OUTER + 2, 0.0)])
def test_coverage_of_boxes(start_mm, percent):
    """The share of the 24 mm under the box, whatever reaches beyond the cartilage."""
    menisci = measured_menisci(plateau(6.0, start_mm))
    for measures in menisci.values():
        assert measures["coverage_percent"] == pytest.approx(percent, abs=2.0)


def test_what_lies_higher_than_10_mm_does_not_cover():
    for measures in measured_menisci(plateau(0.0, 18.0, lift_mm=9.5)).values():
        assert measures["coverage_percent"] == 0


def test_no_cartilage_below():
    labels = plateau()
    menisci = measured_menisci(labels.with_array(np.where(labels.array == 5, 0, labels.array)))
    assert np.isnan(menisci["med_meniscus"]["extrusion_mm"])
    assert np.isnan(menisci["med_meniscus"]["coverage_percent"])
    assert menisci["lat_meniscus"]["extrusion_mm"] == pytest.approx(2.0)


def exact_extrusion_mm(knee: DigitalKnee, side: str) -> float:
    """From the knee's own functions in its own axes, without labels, frames or voxels: edges to 0.1 mm."""
    from KneePipelineLib.phantom.anatomy import Fields

    step, sign = 0.1, 1.0 if side == "medial" else -1.0
    x, y, z = np.meshgrid(sign * np.arange(24, 42, step), np.arange(-3.5, 3.6, 0.5), np.arange(-6, 10, 0.2),
                          indexing="ij")
    fields = Fields(knee.anatomy, (x, y, z))
    meniscus = fields.meniscus(side) < 0
    cartilage = (fields.outer(f"{side}_tibial")[0] < 0) & (fields.tibia > 0)
    return float((sign * x[meniscus]).max() - (sign * x[cartilage]).max()) * knee.frame.scale


def extruded(knee: DigitalKnee, by_mm: float) -> DigitalKnee:
    return knee.with_parameters(meniscus=replace(knee.parameters.meniscus, extrusion=by_mm))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
def test_extrusion_of_the_digital_knee(seed):
    grid = Grid.sagittal(size=(240, 240, 220), spacing=(0.5, 0.5, 0.5))
    knee = DigitalKnee(seed, "right" if seed % 2 else "left")
    found = {}
    for by_mm in (0.0, 2.0):
        moved = extruded(knee, by_mm)
        found[by_mm] = measure_knee(moved.labels(grid)).menisci
        for name, side in (("med_meniscus", "medial"), ("lat_meniscus", "lateral")):
            # two edges, each known to half a voxel of 0.5 mm, and axes to a degree or two
            assert found[by_mm][name]["extrusion_mm"] == pytest.approx(exact_extrusion_mm(moved, side), abs=0.6)
            assert 15 < found[by_mm][name]["coverage_percent"] < 75
    for name in found[0.0]:
        grown = found[2.0][name]["extrusion_mm"] - found[0.0][name]["extrusion_mm"]
        assert grown == pytest.approx(2.0 * knee.frame.scale, abs=0.5), name


@pytest.mark.parametrize("side", ["medial", "lateral"])
def test_the_typical_knee_extrudes_by_its_parameter_and_the_gap_between_its_ellipses(side):
    """Outer half axis of the meniscus less that of the cartilage: 15.5 - 13 and 16 - 13.5 mm."""
    knee = DigitalKnee(0, variation=0.0)
    for by_mm in (0.0, 2.0):
        assert exact_extrusion_mm(extruded(knee, by_mm), side) == pytest.approx(2.5 + by_mm, abs=0.15)
