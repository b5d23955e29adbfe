"""The digital knee's truth against computations that share nothing with it but the implicit functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from KneePipelineLib.imaging import labels as L
from KneePipelineLib.phantom import Defect, DigitalKnee, Grid
from KneePipelineLib.phantom.anatomy import CARTILAGE_BONE, Anatomy, Fields
from KneePipelineLib.phantom.parameters import KneeParameters
from KneePipelineLib.phantom.surfaces import prism_volumes, true_surface

KNEE = DigitalKnee(1)
CENTRE, RADIUS_MM, HEIGHT_MM, OPENING = np.array([0.0, -9.0, 26.0]), 20.0, 2.5, np.radians(55)


class SphericalKnee(Anatomy):
    """A femur that is a ball with a cap of cartilage of constant thickness: everything has a closed form."""

    def bone(self, name: str):
        return lambda p: np.sqrt(sum((c - o) ** 2 for c, o in zip(p, CENTRE, strict=True))) - RADIUS_MM

    def coverage(self, cartilage: str, q: tuple) -> np.ndarray:
        x, y, z = (c - o for c, o in zip(q, CENTRE, strict=True))
        return RADIUS_MM * (OPENING - np.arctan2(np.hypot(x, y), -z))

    def intact_thickness(self, cartilage: str, q: tuple) -> np.ndarray:
        edge = self.coverage(cartilage, q)
        return np.where(edge > 0, HEIGHT_MM, np.maximum(edge, -2))


def test_a_spherical_cap_has_its_closed_form() -> None:
    knee = SphericalKnee(KneeParameters())
    surface = true_surface(knee, "femoral", 0.3)
    covered = surface.thickness_mm > 0
    np.testing.assert_allclose(surface.thickness_mm[covered], HEIGHT_MM, atol=4e-3)
    solid_angle = 2 * np.pi * (1 - np.cos(OPENING))
    assert surface.area_mm2.sum() == pytest.approx(solid_angle * RADIUS_MM**2, rel=0.001)
    volume = prism_volumes(surface.points, surface.normals, surface.thickness_mm, surface.triangles)
    interior = knee.coverage("femoral", tuple(surface.points.T)) > 1  # the stand-in's edge is a cliff, a knee's is not
    per_area = ((RADIUS_MM + HEIGHT_MM) ** 3 - RADIUS_MM**3) / (3 * RADIUS_MM**2)
    assert volume[interior].sum() / surface.area_mm2[interior].sum() == pytest.approx(per_area, rel=0.002)


def test_a_round_defect_on_a_sphere_denudes_pi_r_squared() -> None:
    """The part of a sphere within the chord r of a point has the area pi r^2 whatever the sphere's radius."""
    knee = SphericalKnee(KneeParameters())
    knee.defects = ((Defect("femoral", (0, 0), 6.0), CENTRE + [0, 0, -RADIUS_MM]),)
    surface = true_surface(knee, "femoral", 0.4)
    denuded = surface.area_mm2.sum() - surface.covered_mm2.sum()
    assert denuded == pytest.approx(np.pi * 36, rel=0.003)


@pytest.mark.parametrize("structure", ["fem_cart", "med_tib_cart", "lat_tib_cart", "pat_cart"])
def test_thickness_equals_marching_along_the_normal(structure: str) -> None:
    """Length inside the cartilage in steps of 0.004 mm, from 300 points that also lie where there is none."""
    knee = DigitalKnee(3, variation=1.2, defects=(Defect("femoral", (20, -10), 5), Defect("patellar", (0, 3), 4)))
    surface = knee.true_surface(structure)
    cartilage = {"fem_cart": "femoral", "med_tib_cart": "medial_tibial", "lat_tib_cart": "lateral_tibial",
                 "pat_cart": "patellar"}[structure]
    chosen = np.random.default_rng(0).choice(len(surface.points), 300, replace=False)
    step = 0.004
    t = np.arange(step / 2, 7, step)
    rays = surface.points[chosen, None] + t[None, :, None] * surface.normals[chosen, None]
    f = Fields(knee.anatomy, tuple(knee.frame.to_canonical(rays.reshape(-1, 3)).T))
    inside = (f.outer(cartilage)[0] < 0) & (getattr(f, CARTILAGE_BONE[cartilage]) > 0)
    length = inside.reshape(len(chosen), -1).sum(1) * step
    difference = np.abs(length - surface.thickness_mm[chosen])
    assert np.quantile(difference, 0.99) < 0.01  # a ray along a defect's or edge's wall may graze it again
    assert (surface.thickness_mm[chosen] > 0).sum() > 150


def test_normals_are_unit_outward_and_perpendicular() -> None:
    knee = KNEE
    surface = knee.true_surface("fem_cart")
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-9)
    shape = knee.anatomy.bone("femur")
    ahead = shape(tuple(knee.frame.to_canonical(surface.points + 0.1 * surface.normals).T))
    assert (ahead > 0.05).all()
    a, b, c = (surface.points[surface.triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    big = np.linalg.norm(face, axis=1) > 0.05
    cosine = (face * surface.normals[surface.triangles[:, 0]]).sum(1)[big] / np.linalg.norm(face, axis=1)[big]
    assert abs(np.median(cosine)) > 0.999
    assert (np.sign(cosine) == np.sign(cosine[0])).all()


@pytest.mark.parametrize(("structure", "value"), [("med_tib_cart", 5), ("lat_tib_cart", 6), ("pat_cart", 7)])
def test_volume_equals_counting_fine_voxels(structure: str, value: int) -> None:
    knee = DigitalKnee(2)
    surface = knee.true_surface(structure)
    low, high = surface.points.min(0) - 5, surface.points.max(0) + 5
    grid = Grid.isotropic(0.2, tuple(high - low), tuple((low + high) / 2))
    count = np.count_nonzero(knee.labels(grid).array == value)
    assert knee.truth(regions=(structure,))[structure]["VC_mm3"] == pytest.approx(count * 0.008, rel=0.004)


def test_femoral_volumes_and_subregions_equal_counting_voxels() -> None:
    """Each voxel is put into the subregion where it lies itself, as a label map would have it."""
    knee = KNEE
    truth, regions = knee.truth(), knee.true_regions
    grid = Grid.isotropic(0.4, (96, 96, 76), (0.0, -8.0, 24.0))
    mask = knee.labels(grid).array == L.FEMORAL_CARTILAGE
    k, j, i = np.nonzero(mask)
    own = knee.anatomy.to_femur(tuple(knee.frame.to_canonical(grid.to_physical(np.stack([i, j, k], 1))).T))
    label = regions.classify(np.stack(own, axis=1))
    assert truth["fem_cart"]["VC_mm3"] == pytest.approx(len(label) * 0.064, rel=0.005)
    for structure in L.SUBREGIONS:
        counted = np.count_nonzero(label == structure.value) * 0.064
        assert truth[structure.name]["VC_mm3"] == pytest.approx(counted, rel=0.02), structure.title
        assert counted > 300


def test_the_subregions_add_up() -> None:
    truth = KNEE.with_defects(Defect("femoral", (-21, -8), 5)).truth()
    parts = ("ant_fem_cart", "med_wb_fem_cart", "lat_wb_fem_cart", "med_post_fem_cart", "lat_post_fem_cart")
    for measure in ("VC_mm3", "tAB_mm2", "cAB_mm2", "dAB_mm2"):
        assert sum(truth[p][measure] for p in parts) == pytest.approx(truth["fem_cart"][measure], rel=1e-6)


@pytest.mark.parametrize(("defect", "region"), [
    (Defect("femoral", (21, -8), 5.0), "med_wb_fem_cart"),
    (Defect("femoral", (-21, -80), 5.0), "lat_post_fem_cart"),
    (Defect("femoral", (0, 85), 5.0), "ant_fem_cart"),
    (Defect("medial_tibial", (20, 0), 4.0), "med_tib_cart"),
    (Defect("lateral_tibial", (-20, 2), 6.0), "lat_tib_cart"),
    (Defect("patellar", (8, 4), 5.0), "pat_cart"),
])
def test_a_defect_denudes_its_own_region_by_its_own_area(defect: Defect, region: str) -> None:
    knee = KNEE.with_defects(defect)
    truth, intact = knee.truth(0.45, regions=(region,)), KNEE.truth(0.45, regions=(region,))
    assert truth[region]["dAB_mm2"] == pytest.approx(np.pi * defect.radius_mm**2, rel=0.05)
    assert truth[region]["tAB_mm2"] == pytest.approx(intact[region]["tAB_mm2"], rel=1e-9)
    assert truth[region]["VC_mm3"] < intact[region]["VC_mm3"]
    assert truth[region]["ThC_tAB_mm"] < truth[region]["ThC_cAB_mm"]
    assert intact[region]["dAB_mm2"] == 0


def test_partial_thinning_removes_its_fraction_at_the_middle() -> None:
    knee = KNEE
    thin = knee.with_defects(Defect("femoral", (21, -8), 8.0, depth=0.4))
    centre = thin.frame.to_physical(thin.anatomy.defects[0][1])
    ratio = thin.true_thickness(centre, "fem_cart") / knee.true_thickness(centre, "fem_cart")
    assert ratio[0] == pytest.approx(0.6, abs=0.01)
    assert thin.truth(regions=("fem_cart",))["fem_cart"]["dAB_mm2"] == 0


def test_the_mirrored_knee_has_the_same_truth() -> None:
    mirrored = KNEE.mirrored()
    assert mirrored.side == "left"
    assert KNEE.truth() == mirrored.truth()
    r, m = KNEE.true_surface("pat_cart"), mirrored.true_surface("pat_cart")
    np.testing.assert_allclose(m.points, r.points * [-1, 1, 1], atol=1e-9)
    np.testing.assert_allclose(m.normals, r.normals * [-1, 1, 1], atol=1e-9)


def test_thickness_does_not_depend_on_the_sampling() -> None:
    coarse, fine = KNEE.truth(0.6), KNEE.truth(0.4)
    for region in L.REGIONS:
        assert coarse[region]["mm_mean"] == pytest.approx(fine[region]["mm_mean"], abs=0.01)
        # a border between regions of the femur runs through triangles, of which a vertex takes its part whole
        limit = 0.008 if region.endswith("_fem_cart") else 0.004
        assert coarse[region]["tAB_mm2"] == pytest.approx(fine[region]["tAB_mm2"], rel=limit)


def test_a_thicker_cartilage_is_thicker_by_as_much() -> None:
    """The thickness scale of one compartment changes that compartment and nothing else."""
    knee = DigitalKnee(variation=0)
    more = knee.with_parameters(cartilage=replace(knee.parameters.cartilage,
                                                  patella=1.2 * knee.parameters.cartilage.patella))
    a, b = (k.truth(regions=("pat_cart", "med_tib_cart")) for k in (knee, more))
    assert b["pat_cart"]["mm_mean"] / a["pat_cart"]["mm_mean"] == pytest.approx(1.18, abs=0.03)
    assert b["med_tib_cart"]["mm_mean"] == pytest.approx(a["med_tib_cart"]["mm_mean"], abs=1e-6)


def test_an_unknown_structure_is_refused() -> None:
    with pytest.raises(ValueError, match="not a cartilage"):
        DigitalKnee(0).true_surface("meniscus")
    with pytest.raises(ValueError, match="defect's cartilage"):
        Defect("femur", (0, 0))
