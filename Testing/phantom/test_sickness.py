"""The digital knee, sick: what it shows, and that the truth of its cartilage stays."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.phantom import Defect, DigitalKnee, Grid, Osteophyte, Sickness

COARSE = Grid.isotropic(1.2)


@pytest.fixture(scope="module")
def knee() -> DigitalKnee:
    return DigitalKnee(2, "right", 0.0)


def test_osteophytes_add_bone_and_touch_no_cartilage_truth(knee):
    knobs = Osteophyte("tibia", (39, 0, -7), 6.0), Osteophyte("femur", (38, 2, 12), 5.0)
    sick = knee.with_sickness(osteophytes=knobs)
    before, after = knee.labels(COARSE).array, sick.labels(COARSE).array
    for bone in (1, 2):
        assert 40 < ((after == bone) & (before != bone)).sum() * 1.2**3 < 1200
    assert sick.truth(1.5, regions=("med_tib_cart",)) == knee.truth(1.5, regions=("med_tib_cart",))
    assert np.array_equal(sick.with_sickness().labels(COARSE).array, before)


def test_growth_plates_part_the_bones_at_their_height(knee):
    from scipy.ndimage import label

    sick = knee.with_sickness(femoral_physis_mm=24.0, tibial_physis_mm=16.0)
    labels = sick.labels(Grid.isotropic(0.8))
    heights = labels.to_physical(np.argwhere(labels.array == 2)[:, ::-1])[:, 2]
    for bone in (1, 2):
        pieces, count = label(labels.array == bone)
        sizes = np.bincount(pieces.ravel())[1:]
        assert count >= 2
        assert np.sort(sizes)[-2] > 0.1 * sizes.sum()
    gap = [h for h in np.arange(heights.max() - 25, heights.max() - 8, 0.8) if not (np.abs(heights - h) < 0.4).any()]
    assert heights.max() - np.mean(gap) == pytest.approx(16.0, abs=1.0)


def test_flexion_bends_the_femur_only(knee):
    bent = knee.with_flexion(25)
    assert bent.parameters.femur.flexion_deg == 25
    assert bent.sickness == knee.sickness
    truth = [k.truth(1.0, regions=("med_wb_fem_cart",))["med_wb_fem_cart"]["tAB_mm2"] for k in (knee, bent)]
    assert truth[1] == pytest.approx(truth[0], rel=0.03)


def test_an_effusion_fills_the_recesses(knee):
    plain, full = (k.tissues(COARSE).array for k in (knee, knee.with_sickness(effusion=1.0)))
    assert (full == 23).sum() > 2 * (plain == 23).sum()


def test_a_short_field_of_view_shows_what_was_asked_for(knee):
    grid = knee.showing(Grid.sagittal((140, 140, 60), (1.0, 1.0, 1.9)), femur_mm=20.0, tibia_mm=30.0)
    labels = knee.labels(grid)
    heights = {bone: labels.to_physical(np.argwhere(labels.array == bone)[:, ::-1])[:, 2] for bone in (1, 2)}
    assert np.ptp(heights[1]) == pytest.approx(20, abs=2)
    assert np.ptp(heights[2]) == pytest.approx(30, abs=2)


def test_a_whole_plate_can_be_lost(knee):
    for cartilage, region in (("medial_tibial", "med_tib_cart"), ("lateral_tibial", "lat_tib_cart"),
                              ("patellar", "pat_cart"), ("femoral", "fem_cart")):
        bare = knee.with_defects(Defect.whole(cartilage)).truth(1.5, regions=(region,))[region]
        assert bare["dAB_percent"] == pytest.approx(100)
        assert bare["ThC_tAB_mm"] == 0


@pytest.mark.parametrize("wrong", [
    lambda: Osteophyte("patella", (0, 0, 0)), lambda: Osteophyte("tibia", (0, 0, 0), 0.0),
    lambda: Sickness(physis_gap_mm=0), lambda: Sickness(effusion=2.0),
])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError):
        wrong()


@pytest.mark.parametrize(("seed", "side"), [(0, "right"), (5, "left")])
def test_areas_lie_in_the_range_of_real_knees(seed, side):
    """Two real label maps and published tables (OAI): plates about 900 to 1,300 mm2, trochlea 1,900 to 2,900; more
    where all of a knee is large."""
    truth = DigitalKnee(seed, side).truth(1.0)
    for region, (low, high) in {"med_tib_cart": (850, 1350), "lat_tib_cart": (750, 1300), "pat_cart": (850, 1350),
                                "ant_fem_cart": (1900, 3200), "fem_cart": (4900, 7000)}.items():
        assert low < truth[region]["tAB_mm2"] < high, region
        assert 1.5 < truth[region]["ThC_tAB_mm"] < 3.6
