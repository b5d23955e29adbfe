"""A femur on its way into the model's coordinates: alignment, mirror, clip, samples, and surfaces on the way back."""

from __future__ import annotations

import numpy as np
import pytest
from digital_femurs import femur_surfaces

from KneePipelineLib.errors import ShapeModelError
from KneePipelineLib.shape import clip_shaft, prepare_femur, surface_distances, surface_samples
from KneePipelineLib.shape.alignment import apply, similarity_icp, umeyama
from KneePipelineLib.shape.reconstruction import zero_contour
from KneePipelineLib.shape.samples import signed_distance

from .conftest import body_surfaces, mirrored


def rotation(x_deg: float, y_deg: float, z_deg: float) -> np.ndarray:
    a, b, c = np.radians([x_deg, y_deg, z_deg])
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx


def ball(radius: float, cells: int = 60) -> tuple:
    """A sphere around the origin."""
    axis = np.linspace(-1.2, 1.2, cells + 1)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return zero_contour((np.sqrt(x**2 + y**2 + z**2) - radius).astype(np.float32), 2.4 / cells)


def tube(height: float, width: float = 80.0, depth: float = 60.0) -> tuple:
    """An elliptic cylinder standing on z = 10 mm, closed at both ends."""
    spacing = 2.0
    n = [round(v / spacing) + 8 for v in (height, depth, width)]
    z, y, x = np.meshgrid(*[(np.arange(k) - (k - 1) / 2) * spacing for k in n], indexing="ij")
    field = np.maximum((np.sqrt((x / (width / 2)) ** 2 + (y / (depth / 2)) ** 2) - 1) * 30, np.abs(z) - height / 2)
    points, triangles = zero_contour(field.astype(np.float32), spacing)
    return points + np.array([5, -3, 10 + height / 2], np.float32), triangles


class TestAlignment:
    def test_a_known_similarity_is_found(self) -> None:
        points = np.random.default_rng(0).normal(size=(50, 3))
        turn = np.eye(4)
        turn[:3, :3], turn[:3, 3] = 0.03 * rotation(40, -100, 170), [3, -4, 5]
        assert np.allclose(umeyama(points, apply(turn, points)), turn, atol=1e-12)

    def test_never_a_reflection(self) -> None:
        points = np.random.default_rng(0).normal(size=(50, 3))
        assert np.linalg.det(umeyama(points, points * [-1, 1, 1])[:3, :3]) > 0

    def test_a_turned_femur_comes_back(self) -> None:
        mesh = femur_surfaces(3, spacing_mm=1.5)[0]
        fixed = mesh[0].astype(float)
        turn = np.eye(4)
        turn[:3, :3], turn[:3, 3] = 47 * rotation(12, -9, 14), [300, 20, -80]
        moving = apply(turn, fixed)
        back = apply(similarity_icp(moving, mesh), moving)
        assert np.sqrt(np.mean(np.sum((back - fixed) ** 2, axis=1))) < 0.01
        before = (moving - moving.mean(0)) / 47 + fixed.mean(0)
        assert np.sqrt(np.mean(np.sum((before - fixed) ** 2, axis=1))) > 5


class TestPreparation:
    mean = body_surfaces((0, 0, 0), 2.4)[0]

    def test_normalised_and_back(self) -> None:
        bone, cartilage = body_surfaces((0.5, 0.1, -0.7))
        femur = prepare_femur(bone, cartilage, "right", self.mean, clip=False)
        points = np.concatenate([points for points, _ in femur.surfaces])
        assert np.allclose(femur.surfaces[0][0].mean(0), 0, atol=1e-9)
        assert np.linalg.norm(points, axis=1).max() == pytest.approx(1)
        for (points, triangles), mesh in zip(femur.surfaces, femur.original, strict=True):
            back = femur.to_original((points, triangles))
            assert np.abs(back[0] - mesh[0]).max() < 1e-4
            assert np.array_equal(back[1], mesh[1])
            assert np.allclose(apply(femur.to_model, mesh[0]), points, atol=1e-6)
        published = (apply(femur.icp_transform, bone[0]) - femur.center) / femur.scale
        assert np.allclose(published, femur.surfaces[0][0])

    def test_a_left_knee_becomes_the_right_one(self) -> None:
        bone, cartilage = body_surfaces((0.5, 0.1, -0.7))
        right = prepare_femur(bone, cartilage, "right", self.mean, clip=False)
        left = prepare_femur(mirrored(bone), mirrored(cartilage), "left", self.mean, clip=False)
        assert left.mirrored
        for a, b in zip(right.surfaces, left.surfaces, strict=True):
            assert np.allclose(a[0], b[0], atol=1e-5)
            assert np.array_equal(a[1], b[1])
        back = left.to_original(left.surfaces[1])
        assert np.abs(back[0] - mirrored(cartilage)[0]).max() < 1e-4
        assert np.array_equal(back[1], mirrored(cartilage)[1])
        assert np.allclose(apply(left.to_model, mirrored(bone)[0]), left.surfaces[0][0], atol=1e-6)
        wrong = prepare_femur(mirrored(bone), mirrored(cartilage), "right", self.mean, clip=False)
        assert np.abs(wrong.surfaces[0][0] - right.surfaces[0][0]).max() > 0.05

    def test_where_the_scanner_put_it_does_not_matter(self) -> None:
        bone, cartilage = body_surfaces((0.5, 0.1, -0.7))
        here = prepare_femur(bone, cartilage, "right", self.mean, clip=False)
        shift = np.array([150, -90, 400], np.float32)
        there = prepare_femur((bone[0] + shift, bone[1]), (cartilage[0] + shift, cartilage[1]), "right", self.mean,
                              clip=False)
        assert np.allclose(here.surfaces[0][0], there.surfaces[0][0], atol=1e-4)

    @pytest.mark.parametrize(("bone", "side"), [((np.zeros((0, 3)), np.zeros((0, 3), int)), "right"),
                                                ((np.full((9, 3), np.nan), np.zeros((9, 3), int)), "right"),
                                                (body_surfaces((0, 0, 0), 4)[0], "unknown")])
    def test_what_is_no_femur_is_refused(self, bone: tuple, side: str) -> None:
        with pytest.raises(ShapeModelError):
            prepare_femur(bone, None, side, self.mean)


class TestClip:
    def test_a_tall_femur_is_cut_at_a_part_of_its_width(self) -> None:
        points, triangles = clip_shaft(tube(90))
        low, high = tube(90)[0].min(0), tube(90)[0].max(0)
        assert points[:, 2].max() == pytest.approx(low[2] + 0.7 * (high - low)[0], abs=1e-3)
        assert points[:, 2].min() == pytest.approx(low[2])
        assert len(triangles) > 100

    def test_a_short_one_at_a_part_of_its_height(self) -> None:
        mesh = tube(38)
        low, high = mesh[0].min(0), mesh[0].max(0)
        assert clip_shaft(mesh)[0][:, 2].max() == pytest.approx(low[2] + 0.95 * (high - low)[2], abs=1e-3)

    def test_a_stump_between_the_rules_is_left_alone(self) -> None:
        mesh = tube(50)
        assert clip_shaft(mesh)[0] is mesh[0]

    def test_it_is_closed_and_its_cap_has_points_on_the_rim_only(self) -> None:
        points, triangles = clip_shaft(tube(90))
        inside = np.array([[5, -3, 15.0], [5, -3, 64.0], [20, 5, 40]])
        outside = np.array([[5, -3, 68.0], [5, -3, 95.0], [60, 0, 40], [5, -3, 8.0]])
        assert (signed_distance(inside, (points, triangles)) < 0).all()
        assert (signed_distance(outside, (points, triangles)) > 0).all()
        top = points[points[:, 2] > points[:, 2].max() - 1e-3]
        assert (np.hypot((top[:, 0] - 5) / 40, (top[:, 1] + 3) / 30) > 0.95).all()


class TestSamplesAndDistances:
    def test_distances_to_the_other_surface_are_signed(self) -> None:
        samples = surface_samples((ball(0.8), ball(0.5)))
        first, second = samples.distances[:samples.starts[1]], samples.distances[samples.starts[1]:]
        assert samples.starts[-1] == len(samples.points)
        assert not first[:, 0].any()
        assert not second[:, 1].any()
        assert np.allclose(first[:, 1], 0.3, atol=0.003)
        assert np.allclose(second[:, 0], -0.3, atol=0.003)

    def test_concentric_spheres(self) -> None:
        found = surface_distances(ball(0.8), ball(0.5))
        assert found.assd == pytest.approx(0.3, abs=0.003)
        assert found.hausdorff95 == pytest.approx(0.3, abs=0.005)

    def test_a_surface_and_itself(self) -> None:
        found = surface_distances(ball(0.8), ball(0.8))
        assert found.assd == pytest.approx(0, abs=1e-6)

    def test_a_bump_on_one_side_shows_in_hausdorff(self) -> None:
        bumped = ball(0.8)
        shift = np.where(bumped[0][:, 2:] > 0.6, 0.2, 0).astype(np.float32)
        found = surface_distances((bumped[0] * (1 + shift), bumped[1]), ball(0.8))
        assert found.hausdorff95 > 0.12
        assert found.assd < 0.05

    def test_the_contour_faces_outward(self) -> None:
        points, triangles = ball(0.8)
        corners = points[triangles].astype(float)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        outward = np.einsum("ij,ij->i", normals, corners.mean(1))
        assert (outward >= -1e-9).all()
        assert (outward > 0).mean() > 0.95  # the others have no area
        assert np.linalg.norm(points, axis=1) == pytest.approx(0.8, abs=0.002)
