"""Meniscus extrusion and coverage: boxes whose answers are plain, and the digital knee whose exact edges are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.morphometry import AnatomicalFrame, MorphometryOptions, measure_knee
from KneePipelineLib.morphometry.bones import bone_meshes, cartilage_mesh
from KneePipelineLib.morphometry.knee import bare_surface
from KneePipelineLib.morphometry.menisci import meniscus_measures
from KneePipelineLib.morphometry.thickness import with_thickness
from KneePipelineLib.morphometry.working import working_knee
from KneePipelineLib.phantom import DigitalKnee, Grid

MM = 0.5
LOW = np.array([-46.0, -30.0, -20.0])
"""Lowest corner of the boxes' grid: x to the left, y posterior, z superior."""

SIZE = (80, 120, 184)
INNER, OUTER, FRONT, BACK = 6.0, 30.0, -16.0, 16.0
"""Each tibial cartilage: from 6 to 30 mm beside the middle, 32 mm deep, so 24 mm wide."""

RIM = 36.0
"""The tibia's margin."""


def block(array: np.ndarray, label: int, x: tuple, y: tuple, z: tuple) -> None:
    """Fill a box given in mm (whole multiples of the spacing)."""
    bounds = [tuple(round((v - low) / MM) for v in limits) for limits, low in zip((x, y, z), LOW, strict=True)]
    array[tuple(slice(*b) for b in reversed(bounds))] = label


def plateau(reach_mm: float = 2.0, start_mm: float = 20.0, *, side: str = "right", lift_mm: float = 1.0,
            shift_mm: float = 0.0) -> Volume:
    """A flat tibia with two slabs of cartilage, each under a box of meniscus that reaches beyond the bone's margin.

    ``side`` says which way medial lies; the menisci are moved backwards by ``shift_mm`` and lie ``lift_mm`` above.
    """
    array = np.zeros(SIZE, np.uint8)
    block(array, 2, (-RIM, RIM), (-24, 24), (-18, 0))
    medial_is_left = side == "right"
    for left in (True, False):
        cartilage, meniscus = (5, 8) if left == medial_is_left else (6, 9)
        for label, (a, b), (y0, y1), (z0, z1) in (
            (cartilage, (INNER, OUTER), (FRONT, BACK), (0, 2)),
            (meniscus, (start_mm, RIM + reach_mm), (FRONT + shift_mm, BACK + shift_mm),
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


def painted(labels: Volume, label: int, x: tuple, y: tuple, z: tuple) -> Volume:
    array = labels.array.copy()
    block(array, label, x, y, z)
    return labels.with_array(array)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("reach_mm", [-3.0, 0.0, 4.5])
def test_extrusion_of_boxes(side, reach_mm):
    """Outwards is positive on both sides of both knees; level edges give nought; inside is negative."""
    menisci = measured_menisci(plateau(reach_mm, side=side), side)
    assert set(menisci) == {"med_meniscus", "lat_meniscus"}
    for measures in menisci.values():
        assert measures["extrusion_mm"] == pytest.approx(reach_mm, abs=0.1)
        assert measures["volume_mm3"] == pytest.approx((RIM - 20 + reach_mm) * 32 * 4)


def test_backwards_is_no_extrusion():
    for measures in measured_menisci(plateau(3.0, shift_mm=5.0)).values():
        assert measures["extrusion_mm"] == pytest.approx(3.0, abs=0.1)


def test_extrusion_is_looked_for_in_the_middle_fifth_alone():
    horn = painted(plateau(1.0), 8, (20, 42), (FRONT, FRONT + 6), (3, 7))
    assert measured_menisci(horn)["med_meniscus"]["extrusion_mm"] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("gone", [(5,), (5, 6)])
def test_worn_cartilage_moves_no_meniscus(gone):
    """The bone's margin is what counts: an unmoved meniscus stays where it is however much cartilage is lost."""
    labels = plateau(2.0)
    intact, worn = (measured_menisci(volume) for volume in
                    (labels, labels.with_array(np.where(np.isin(labels.array, gone), 0, labels.array))))
    for name in intact:
        assert worn[name]["extrusion_mm"] == pytest.approx(intact[name]["extrusion_mm"], abs=1e-6)


def test_stray_voxels_are_no_extrusion():
    stray = painted(plateau(2.0), 8, (42, 43), (-0.5, 0.5), (3, 4))
    assert measured_menisci(stray)["med_meniscus"]["extrusion_mm"] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("size_mm", [3, 5])
def test_an_osteophyte_is_not_the_margin(size_mm):
    grown = painted(plateau(2.0), 2, (RIM, RIM + size_mm), (-size_mm, size_mm), (-7, -1))
    assert measured_menisci(grown)["med_meniscus"]["extrusion_mm"] == pytest.approx(2.0, abs=0.3)


def test_what_the_image_cuts_off_has_no_extrusion():
    labels = plateau(2.0)
    cut = labels.cropped((0, 0, 0), (round((RIM + 1 - LOW[0]) / MM), labels.size[1], labels.size[2]))
    menisci = measured_menisci(cut)
    assert np.isnan(menisci["med_meniscus"]["extrusion_mm"])
    assert menisci["lat_meniscus"]["extrusion_mm"] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("start_mm", "percent"), [(INNER, 100.0), (18.0, 50.0), (24.0, 25.0), (OUTER + 2, 0.0)])
def test_coverage_of_boxes(start_mm, percent):
    """The share of the 24 mm under the box, whatever reaches beyond the cartilage."""
    for measures in measured_menisci(plateau(6.0, start_mm)).values():
        assert measures["coverage_percent"] == pytest.approx(percent, abs=2.5)


def test_what_lies_higher_than_10_mm_does_not_cover():
    for measures in measured_menisci(plateau(0.0, 18.0, lift_mm=9.5)).values():
        assert measures["coverage_percent"] == 0


def extruded(knee: DigitalKnee, by_mm: float) -> DigitalKnee:
    return knee.with_parameters(meniscus=replace(knee.parameters.meniscus, extrusion=by_mm))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
def test_extrusion_of_the_digital_knee(seed):
    """A meniscus moved outwards by 2 mm is read as 2 mm further out; a rescan moves it by tenths."""
    grid = Grid.sagittal(size=(240, 240, 160), spacing=(0.5, 0.5, 0.7))
    knee = DigitalKnee(seed, "right" if seed % 2 else "left")
    found = {by_mm: measure_knee(extruded(knee, by_mm).labels(grid)).menisci for by_mm in (0.0, 2.0)}
    again = measure_knee(knee.with_parameters(meniscus=replace(knee.parameters.meniscus, extrusion=0.0)).labels(
        grid.rotated((2, -3, 3)).shifted((0.2, 0.1, 0.3)))).menisci
    for name in found[0.0]:
        grown = found[2.0][name]["extrusion_mm"] - found[0.0][name]["extrusion_mm"]
        assert grown == pytest.approx(2.0 * knee.frame.scale, abs=0.4), name
        assert again[name]["extrusion_mm"] == pytest.approx(found[0.0][name]["extrusion_mm"], abs=0.4), name
        assert 15 < found[0.0][name]["coverage_percent"] < 75
