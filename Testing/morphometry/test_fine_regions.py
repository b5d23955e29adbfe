"""The sixteen subregions, the halves of trochlea and patella, the sums and the joint's own measures."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.imaging.labels import BY_NAME, FINE_NAMES, FINE_REGIONS, PLATES, REGION_OF, SUMS
from KneePipelineLib.morphometry import AREA_MEASURES, JOINT_MEASURES
from KneePipelineLib.morphometry.measures import area_measures


def test_every_fine_region_has_every_measure(measured):
    assert tuple(measured.fine) == (*PLATES, *FINE_NAMES)
    assert all(tuple(measures) == AREA_MEASURES for measures in measured.fine.values())
    assert tuple(measured.joint) == JOINT_MEASURES
    assert tuple(measured.sums) == tuple(SUMS)


def test_the_parts_make_up_their_plate(measured):
    for plate, parts in PLATES.items():
        region = measured.regions[REGION_OF[plate]]
        for measure in ("tAB_mm2", "cAB_mm2", "VC_mm3", "AC_mm2"):
            total = sum(measured.fine[part][measure] for part in parts)
            assert measured.fine[plate][measure] == pytest.approx(total, rel=1e-6), (plate, measure)
            assert region[measure] == pytest.approx(total, rel=1e-6), (plate, measure)
    trochlea = sum(measured.fine[name]["tAB_mm2"] for name in ("mTrF", "lTrF"))
    assert trochlea == pytest.approx(measured.regions["ant_fem_cart"]["tAB_mm2"], rel=1e-6)


def test_the_centre_of_a_plate_is_a_fifth_and_its_thirds_are_alike(measured):
    for plate in ("MT", "LT"):
        share = measured.fine[f"c{plate}"]["tAB_mm2"] / measured.fine[plate]["tAB_mm2"]
        assert share == pytest.approx(0.20, abs=0.01)
        for part in "eiap":
            share = measured.fine[f"{part}{plate}"]["tAB_mm2"] / measured.fine[plate]["tAB_mm2"]
            assert share == pytest.approx(0.2, abs=0.05)
    for plate in ("cMF", "cLF"):
        widths = [_width(measured, name) for name in PLATES[plate]]
        assert max(widths) / min(widths) < 1.2


def _width(measured, name: str) -> float:
    femur = measured.surfaces["femur"]
    chosen = femur.subregion == BY_NAME[name].value
    return float(np.ptp(np.quantile(femur.points[chosen] @ measured.frame.medial, [0.02, 0.98])))


def test_the_parts_lie_where_their_names_say(measured):
    def middle(name: str) -> np.ndarray:
        surface = measured.surfaces["tibia" if name.endswith("T") else "patella" if name in ("mP", "lP") else "femur"]
        chosen = surface.subregion == BY_NAME[name].value
        points = np.average(surface.points[chosen], axis=0, weights=surface.vertex_area_mm2[chosen])
        left, posterior, _ = measured.frame.to_frame(points[None])[0]
        return np.array([left if measured.side == "right" else -left, posterior])

    for plate, outwards in (("MT", 1), ("LT", -1)):
        assert outwards * (middle(f"e{plate}") - middle(f"c{plate}"))[0] > 3
        assert outwards * (middle(f"c{plate}") - middle(f"i{plate}"))[0] > 3
        assert (middle(f"p{plate}") - middle(f"c{plate}"))[1] > 3
        assert (middle(f"c{plate}") - middle(f"a{plate}"))[1] > 3
    for plate, outwards in (("MF", 1), ("LF", -1)):
        assert outwards * (middle(f"ec{plate}") - middle(f"cc{plate}"))[0] > 3
        assert outwards * (middle(f"cc{plate}") - middle(f"ic{plate}"))[0] > 3
    assert (middle("mTrF") - middle("lTrF"))[0] > 5
    assert (middle("mP") - middle("lP"))[0] > 5


def test_the_label_map_agrees_with_the_surfaces(measured):
    assert set(np.unique(measured.fine_labels.array)) <= {0, *(s.value for s in FINE_REGIONS)}
    inside = measured.fine_labels.array > 0
    assert np.isin(measured.labels.array[inside], (4, 5, 6, 7)).all()
    tibial = np.isin(measured.labels.array, (5, 6))
    assert (measured.fine_labels.array[tibial] > 0).all()


def test_joint_space_width_and_sums(measured, digital_knee):
    joint, scale = measured.joint, digital_knee.parameters.scale
    for side in ("med", "lat"):
        assert 2.5 < joint[f"{side}_JSW_min_mm"] < joint[f"{side}_JSW_mean_mm"] < 9
    assert joint["tibial_width_mm"] == pytest.approx(2 * digital_knee.parameters.tibia.half_width * scale, rel=0.03)
    for name, (tibia, femur) in SUMS.items():
        total = measured.fine[tibia]["ThC_tAB_mm"] + measured.fine[femur]["ThC_tAB_mm"]
        assert measured.sums[name]["ThC_tAB_mm"] == pytest.approx(total)


def test_extremes_spread_and_articular_area_by_hand():
    from types import SimpleNamespace

    count = 1000
    thickness = np.linspace(1, 3, count).astype(np.float32)
    surface = SimpleNamespace(vertex_area_mm2=np.full(count, 0.5, np.float32), thickness_mm=thickness)
    found = area_measures(surface, np.ones(count, bool), 1100.0, np.full(count, 0.6))
    assert found["aMiv_mm"] == pytest.approx(thickness[:10].mean(), abs=1e-6)
    assert found["aMav_mm"] == pytest.approx(thickness[-10:].mean(), abs=1e-6)
    assert found["ThC_cAB_std_mm"] == pytest.approx(thickness.std(), abs=1e-5)
    assert found["ThC_cAB_cv_percent"] == pytest.approx(100 * thickness.std() / 2, abs=1e-3)
    assert found["VCtAB_mm"] == pytest.approx(1100 / 500)
    assert found["AC_mm2"] == pytest.approx(600)
