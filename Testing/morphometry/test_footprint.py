"""Bare bone counts where cartilage would lie in health: open to the margin, enclosed, or all of a plate."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.morphometry import MorphometryOptions, measure_knee, prepare_knee
from KneePipelineLib.morphometry.correspondence import correspond
from KneePipelineLib.morphometry.footprint import MOST_RESIDUAL_MM, footprint, in_right_knee
from KneePipelineLib.morphometry.templates import FILE, PLATES, make_template, shipped_templates
from KneePipelineLib.phantom import Defect, DigitalKnee, Grid

GRID = Grid.sagittal((200, 200, 100), (0.7, 0.7, 1.1))
MARGINAL = (Defect("medial_tibial", (27, 0), 12.0), Defect("femoral", (31, -10), 10.0),
            Defect("patellar", (-15, 2), 8.0))
WORN = {"med_tib_cart": 4.0, "med_wb_fem_cart": 6.0, "fem_cart": 3.0, "pat_cart": 4.0}
"""Regions of the marginal wear and by how many points dAB may be off on a grid as coarse as this."""


@pytest.fixture(scope="module")
def knee() -> DigitalKnee:
    return DigitalKnee(3, "left")


@pytest.fixture(scope="module")
def intact(knee):
    return measure_knee(knee.labels(GRID))


@pytest.fixture(scope="module")
def worn(knee):
    hurt = knee.with_defects(*MARGINAL)
    return measure_knee(hurt.labels(GRID)), hurt.truth(1.0)


def test_rims_of_intact_knees_are_not_denuded(intact):
    for region, measures in intact.regions.items():
        assert measures["dAB_percent"] <= 0.5, region


def test_wear_open_to_the_margin_counts(worn):
    result, truth = worn
    for region, points in WORN.items():
        assert truth[region]["dAB_percent"] > 3
        assert result.regions[region]["dAB_percent"] == pytest.approx(truth[region]["dAB_percent"], abs=points), region
        assert result.regions[region]["ThC_tAB_mm"] == pytest.approx(truth[region]["ThC_tAB_mm"], abs=0.15), region


def test_wear_moves_no_region(intact, worn):
    """tAB of every region stays, although half of one is bare; so do the finer regions'."""
    result, _ = worn
    for region, measures in intact.regions.items():
        assert result.regions[region]["tAB_mm2"] == pytest.approx(measures["tAB_mm2"], rel=0.07), region
    for name, measures in intact.fine.items():
        assert result.fine[name]["tAB_mm2"] == pytest.approx(measures["tAB_mm2"], rel=0.12, abs=12), name
    for name in ("lat_tib_cart", "lat_post_fem_cart"):
        assert result.regions[name]["dAB_percent"] <= 0.5


def test_denuded_bone_is_marked_on_the_surface(worn):
    surface = worn[0].surfaces["tibia"]
    bare = (surface.total_region == 5) & np.isnan(surface.thickness_mm)
    assert surface.vertex_area_mm2[bare].sum() == pytest.approx(worn[0].regions["med_tib_cart"]["dAB_mm2"], rel=1e-3)
    assert (surface.subregion[surface.total_region > 0] > 0).all()
    assert (surface.subregion[surface.total_region == 0] == 0).all()


def test_a_wholly_bare_plate_is_all_denuded(knee):
    result = measure_knee(knee.with_defects(Defect.whole("medial_tibial")).labels(GRID))
    plate = result.regions["med_tib_cart"]
    assert plate["dAB_percent"] == 100
    assert plate["ThC_tAB_mm"] == 0
    assert plate["VC_mm3"] == 0
    assert plate["tAB_mm2"] == pytest.approx(knee.truth(1.0, regions=("med_tib_cart",))["med_tib_cart"]["tAB_mm2"],
                                             rel=0.15)
    assert np.isnan(plate["mm_mean"])
    assert np.isnan(plate["ThC_cAB_mm"])
    assert "PLATE_BARE" in [code for code, _ in result.warnings]
    assert result.sums["MFTC"]["ThC_tAB_mm"] == pytest.approx(result.regions["med_wb_fem_cart"]["ThC_tAB_mm"])


def test_a_bone_without_any_cartilage_was_not_segmented_rather_than_worn(knee):
    labels = knee.labels(GRID)
    result = measure_knee(labels.with_array(np.where(np.isin(labels.array, (4, 5, 6, 7)), 0, labels.array)))
    for region, measures in result.regions.items():
        assert measures["tAB_mm2"] == 0, region
        assert np.isnan(measures["dAB_percent"]), region


def test_without_templates_only_enclosed_bone_counts(knee):
    hurt = knee.with_defects(Defect("medial_tibial", (27, 0), 12.0), Defect("lateral_tibial", (-20, 2), 6.0))
    old = measure_knee(hurt.labels(GRID), options=MorphometryOptions(templates=False))
    assert old.regions["med_tib_cart"]["dAB_percent"] == 0
    assert old.regions["lat_tib_cart"]["dAB_percent"] > 5


def test_the_face_of_a_cut_is_not_denuded(knee):
    """The image ends within the lateral compartment, and a knob of bone grows on the medial margin."""
    from KneePipelineLib.phantom import Osteophyte

    labels = knee.with_sickness(osteophytes=(Osteophyte("tibia", (38.5, 2, -6), 6.0),)).labels(GRID)
    at = labels.to_physical(np.argwhere(np.isin(labels.array, (1, 2)))[:, ::-1])[:, 0]
    place = labels.to_physical(np.stack([np.zeros(100), np.zeros(100), np.arange(100)], axis=1))[:, 0]
    kept = np.flatnonzero(place < at.max() - 14)  # a left knee's lateral side is the patient's left
    cut = measure_knee(labels.cropped((0, 0, int(kept[0])), (200, 200, int(kept[-1]) + 1)))
    for region, measures in cut.regions.items():
        assert measures["dAB_percent"] <= 1.0, region
    assert "FOOTPRINT_NOT_FITTED" in [code for code, _ in cut.warnings]


def test_a_bone_that_the_template_does_not_fit_is_told(knee, monkeypatch):
    from KneePipelineLib.morphometry import footprint as room

    monkeypatch.setattr(room, "MOST_RESIDUAL_MM", 0.05)
    prepared = prepare_knee(knee.labels(GRID))
    told = [sentence for code, sentence in prepared.warnings if code == "FOOTPRINT_NOT_FITTED"]
    assert len(told) == 3
    assert all("open to the margin" in sentence for sentence in told)
    assert prepared.pose is None
    assert MOST_RESIDUAL_MM > 0.05


def test_a_bone_is_found_on_itself_however_it_was_turned():
    from scipy.spatial.transform import Rotation

    template = shipped_templates("femur")[0]
    turn = Rotation.from_euler("XYZ", [22, 6, -8], degrees=True).as_matrix()
    points, normals = template.points @ turn.T + [4, -3, 6], template.normals @ turn.T
    found = correspond(points, normals, template, np.ones(len(points), bool),
                       lambda there: template.shows("femur", there))
    assert found.residual_mm < 0.1
    assert np.abs(found.onto(points) - template.points).max() < 0.5
    assert Rotation.from_matrix(found.turn @ turn).magnitude() < np.radians(1)


@pytest.mark.parametrize("bone", PLATES)
def test_a_template_s_own_footprint_comes_back(bone):
    """Cartilage gone from a third of a plate: the rest of the rim and the template say what was there."""
    template = shipped_templates(bone)[0]
    for plate in PLATES[bone]:
        inside = template.depth_mm[plate] > 0
        lost = inside & (template.points[:, 1] > np.quantile(template.points[inside, 1], 0.67))
        triangles = _hull_triangles(template.points)
        areas = np.full(len(inside), 0.5)
        covered = np.where(inside & ~lost, plate, 0).astype(np.uint8)
        found = footprint(bone, (template.points, triangles), template.normals, areas, covered, 0.0,
                          templates=(template,)).plate == plate
        assert (found & lost).sum() > 0.75 * lost.sum(), plate
        assert (found & ~inside).sum() < 0.03 * inside.sum(), plate


def _hull_triangles(points: np.ndarray) -> np.ndarray:
    """Triangles between each point and pairs of its neighbours: enough of a mesh for distances along it."""
    from scipy.spatial import cKDTree

    near = cKDTree(points).query(points, k=7)[1]
    return np.concatenate([np.stack([near[:, 0], near[:, i], near[:, i + 1]], axis=1) for i in range(1, 6)])


def test_left_is_the_mirror_of_right():
    template = shipped_templates("tibia")[0]
    mirrored = make_template(in_right_knee(template.points, True), in_right_knee(template.normals, True), {})
    assert np.allclose(in_right_knee(mirrored.points, True), template.points)


def test_the_data_file_is_the_one_whose_licence_is_told():
    told = Path(FILE).with_suffix(".txt").read_text(encoding="utf-8")
    assert hashlib.sha256(Path(FILE).read_bytes()).hexdigest() in told
    assert "mskt 0.1.22" in told
    assert "MIT" in told
    assert Path(FILE).stat().st_size < 1_000_000


@pytest.mark.slow
@pytest.mark.shared
def test_wear_on_a_real_knee(shared):
    """The outer third of a real medial tibial plate taken off: about a third of it reads as bare."""
    from KneePipelineLib.imaging import read_labels
    from KneePipelineLib.morphometry import canonical_labels

    labels = canonical_labels(read_labels(shared / "data" / "knee_dess_right_labels.nrrd"))
    whole = measure_knee(labels)
    assert all(whole.regions[r]["dAB_percent"] <= 0.5 for r in whole.regions if r != "pat_cart")
    at = np.argwhere(labels.array == 5)
    across = labels.to_physical(at[:, ::-1])[:, 0]
    array = labels.array.copy()
    array[tuple(at[across > np.quantile(across, 0.6)].T)] = 0
    hurt = measure_knee(labels.with_array(array)).regions["med_tib_cart"]
    covered = whole.regions["med_tib_cart"]["cAB_mm2"]
    assert hurt["dAB_percent"] == pytest.approx(100 * (1 - hurt["cAB_mm2"] / covered), abs=4)


def test_a_bent_knee_keeps_its_regions_and_tells_how_far_it_is_bent(knee, intact):
    bent = measure_knee(knee.with_flexion(knee.parameters.femur.flexion_deg + 20).labels(GRID))
    assert bent.joint["flexion_deg"] - intact.joint["flexion_deg"] == pytest.approx(20, abs=4)
    for region, measures in bent.regions.items():
        assert measures["dAB_percent"] <= 1.5, region
