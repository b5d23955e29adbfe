"""A T2 map on another grid: positions kept, values interpolated among good neighbours only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.relaxometry import SpinEchoes, Status, T2Map, T2Options, place


def ramp_map(grid: Volume) -> T2Map:
    """T2 = 40 + x / 2 - y / 4 + z ms at LPS point (x, y, z), so its value tells its place."""
    status = grid.with_array(np.zeros(grid.array.shape, np.uint8))
    return T2Map(grid.with_array(truth(grid)), status, grid.with_array(np.ones(grid.array.shape, np.float32)),
                 "weighted", SpinEchoes((10.0, 20.0, 30.0)), T2Options())


def truth(grid: Volume) -> np.ndarray:
    k, j, i = np.indices(grid.array.shape)
    return (40 + grid.to_physical(np.stack([i, j, k], -1)) @ [0.5, -0.25, 1.0]).astype(np.float32)


@pytest.fixture
def source() -> Volume:
    direction = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return Volume(np.zeros((6, 20, 24), np.float32), (0.6, 0.6, 4.0), (12.0, -6.0, 7.0), direction)


def test_equal_grid_is_left_alone(source: Volume) -> None:
    t2 = ramp_map(source)
    assert place(t2, source) is t2


@pytest.mark.parametrize("angle", [0.0, 12.0])
def test_values_stay_at_their_place(source: Volume, angle: float) -> None:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.eye(3)[:, [1, 2, 0]]
    target = Volume(np.zeros((30, 16, 18), np.uint8), (0.5, 0.7, 0.4), (-4.0, -3.0, -2.0), turned)
    placed = place(ramp_map(source), target)
    assert placed.t2_ms.same_grid(target)
    assert placed.status.same_grid(target)
    k, j, i = np.indices(target.array.shape)
    index = source.to_indices(target.to_physical(np.stack([i, j, k], -1)))
    inside = ((index >= 0) & (index <= np.array(source.size) - 1)).all(-1)
    assert inside.sum() > 500
    np.testing.assert_allclose(placed.t2_ms.array[inside], truth(target)[inside], atol=2e-3)
    far = ((index < -0.51) | (index > np.array(source.size) - 0.49)).any(-1)
    assert far.any()
    assert (placed.status.array[far] == Status.OUTSIDE).all()
    assert np.isnan(placed.t2_ms.array[far]).all()


def test_fluid_and_holes_do_not_mix_into_cartilage(source: Volume) -> None:
    t2 = ramp_map(source)
    values, status = np.full(source.array.shape, 40.0, np.float32), np.zeros(source.array.shape, np.uint8)
    values[:, :, 12:18], status[:, :, 12:18] = 400.0, Status.ABOVE_RANGE
    values[:, :, 18:], status[:, :, 18:] = np.nan, Status.NO_SIGNAL
    t2 = replace(t2, t2_ms=source.with_array(values), status=source.with_array(status))
    fine = Volume(np.zeros((11, 39, 47), np.uint8), source.spacing / 2, source.origin, source.direction)
    placed = place(t2, fine)
    measured = placed.status.array == Status.MEASURED
    assert measured[:, :, :23].all()
    assert not measured[:, :, 25:].any()
    np.testing.assert_allclose(placed.t2_ms.array[measured], 40, rtol=1e-6)
    above = placed.status.array == Status.ABOVE_RANGE
    np.testing.assert_allclose(placed.t2_ms.array[above], 400)
    assert np.isnan(placed.t2_ms.array[placed.status.array == Status.NO_SIGNAL]).all()
