"""The one rule of geometry: array[k, j, i] lies at origin + direction @ (spacing * (i, j, k))."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from KneePipelineLib.imaging import Volume

ORIENTATIONS = ["".join(letters) for axes in permutations(("RL", "AP", "IS")) for letters in product(*axes)]

angles = st.floats(-180, 180)
millimetres = st.floats(-500, 500)
spacings = st.floats(0.05, 20)


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    """Any size up to 4 x 4 x 4, any right- or left-handed rotation."""
    size = draw(st.tuples(*[st.integers(1, 4)] * 3))
    turn = Rotation.from_euler("xyz", draw(st.tuples(angles, angles, angles)), degrees=True).as_matrix()
    flip = np.diag([draw(st.sampled_from([1.0, -1.0])), 1.0, 1.0])
    array = np.arange(np.prod(size)).reshape(size)
    return Volume(array, draw(st.tuples(spacings, spacings, spacings)),
                  draw(st.tuples(millimetres, millimetres, millimetres)), turn @ flip)


def test_a_voxel_lies_where_the_formula_says() -> None:
    direction = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    volume = Volume(np.zeros((5, 6, 7)), (0.5, 0.75, 2.0), (10, 20, 30), direction)
    assert volume.size == (7, 6, 5)
    assert volume.to_physical((2, 4, 1)).tolist() == [10 - 2.0, 20 + 1.0, 30 - 3.0]
    assert volume.affine @ [2, 4, 1, 1] == pytest.approx([8, 21, 27, 1])
    assert volume.voxel_volume_mm3 == 0.75
    assert volume.orientation == "PIR"


@given(volumes(), st.tuples(millimetres, millimetres, millimetres))
@settings(max_examples=100, deadline=None)
def test_indices_and_points_are_each_others_inverse(volume: Volume, indices: tuple[float, ...]) -> None:
    assert volume.to_indices(volume.to_physical(indices)) == pytest.approx(np.array(indices), abs=1e-8)


@given(volumes(), st.sampled_from(ORIENTATIONS))
@settings(max_examples=150, deadline=None)
def test_reorienting_keeps_every_value_at_its_point(volume: Volume, orientation: str) -> None:
    turned = volume.reoriented(orientation)
    k, j, i = np.indices(turned.array.shape)
    points = turned.to_physical(np.stack([i, j, k], axis=-1).reshape(-1, 3))
    back = np.rint(volume.to_indices(points)).astype(int)
    assert np.abs(volume.to_physical(back) - points).max() < 1e-8
    assert (volume.array[back[:, 2], back[:, 1], back[:, 0]] == turned.array.ravel()).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_all_48_orientations_are_reached_and_left_again(orientation: str, make: object) -> None:
    volume = make.volume(make.oblique())
    turned = volume.reoriented(orientation)
    assert turned.orientation == orientation
    assert make.points(turned) == make.points(volume)
    again = turned.reoriented(volume.orientation)
    assert again.same_grid(volume, 1e-9)
    assert (again.array == volume.array).all()


def test_orientation_names_where_each_index_grows(make: object) -> None:
    found = {make.volume(direction).orientation for direction in make.permutations}
    assert len(found) == 48
    assert make.volume(np.diag([-1.0, -1.0, 1.0])).orientation == "RAS"


def test_cropping_keeps_points(make: object) -> None:
    volume = make.volume(make.oblique())
    part = volume.cropped((1, 2, 1), (5, 6, 4))
    assert part.size == (4, 4, 3)
    whole = make.points(volume)
    assert all(whole[p] == v for p, v in make.points(part).items())


def test_same_grid_sees_a_shift_a_turn_and_another_size(make: object) -> None:
    volume = make.volume()
    assert volume.same_grid(make.volume(seed=4))
    assert not volume.same_grid(make.volume(origin=(-31.5, 12.26, 101.125)))
    assert not volume.same_grid(make.volume(make.oblique((0.1, 0, 0))))
    assert not volume.same_grid(make.volume(size=(7, 6, 4)))


def test_with_array_keeps_the_place_and_adds_facts() -> None:
    volume = Volume(np.zeros((2, 3, 4)), meta={"a": 1})
    other = volume.with_array(np.ones((2, 3, 4)), b=2)
    assert other.meta == {"a": 1, "b": 2}
    assert volume.meta == {"a": 1}
    with pytest.raises(ValueError, match="grid holds"):
        volume.with_array(np.ones((2, 3, 5)))


@pytest.mark.parametrize(("change", "message"), [
    ({"array": np.zeros((3, 3))}, "3-D"),
    ({"spacing": (1, 0, 1)}, "spacing"),
    ({"spacing": (1, np.nan, 1)}, "spacing"),
    ({"origin": (0, np.inf, 0)}, "origin"),
    ({"direction": np.diag([1, 1, 1.1])}, "orthonormal"),
    ({"direction": np.full((3, 3), np.nan)}, "orthonormal"),
])
def test_impossible_geometry_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Volume(**{"array": np.zeros((2, 2, 2)), **change})


@pytest.mark.parametrize("wrong", ["", "LP", "LPX", "LRS", "LPSS"])
def test_an_orientation_must_name_three_axes(wrong: str, make: object) -> None:
    with pytest.raises(ValueError, match="not an orientation"):
        make.volume().reoriented(wrong)


def test_geometry_cannot_be_changed_by_accident(make: object) -> None:
    with pytest.raises(ValueError, match="read-only"):
        make.volume().spacing[0] = 3.0
