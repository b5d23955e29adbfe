"""The real multi-echo series: equal to an independent implementation of the same fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.imaging import read_echoes, read_image, write_volume
from KneePipelineLib.relaxometry import SpinEchoes, Status, fit_decay, make_t2_map

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def echoes(shared: Path) -> list:
    return read_echoes(shared / "data" / "mese_dicom")


def test_map_of_a_real_knee(echoes: list, tmp_path: Path) -> None:
    found = make_t2_map(echoes)
    assert found.sequence == SpinEchoes((6.312, 12.624, 18.936, 25.248, 31.56, 37.872, 44.184, 50.496))
    measured = found.status.array == Status.MEASURED
    assert 0.2 < measured.mean() < 0.7
    assert 20 < np.median(found.t2_ms.array[measured]) < 60
    write_volume(found.t2_ms, tmp_path / "t2.nrrd")
    back = read_image(tmp_path / "t2.nrrd", allow_nan=True)
    np.testing.assert_array_equal(back.array, found.t2_ms.array)
    assert back.same_grid(echoes[0])


def test_linear_and_nonlinear_agree_with_pymskt(echoes: list) -> None:
    reference = pytest.importorskip("pymskt.image.t2", exc_type=ImportError)
    times = np.array([e.meta["echo_time_ms"] for e in echoes])
    arrays = [e.array[11:13] for e in echoes]
    stacked = np.stack(arrays, axis=-1).astype(np.float32)
    theirs = reference.calculate_t2_linear_fit(stacked, times)
    ours = fit_decay(arrays, times, fit="linear")
    alike = (theirs["t2"] > 20) & (theirs["t2"] < 80)
    assert alike.sum() > 10_000
    assert np.median(np.abs(ours.t2_ms - theirs["t2"])[alike]) <= 0.01
    np.testing.assert_allclose(ours.r2[alike], theirs["r2"][alike], atol=1e-3)
    few = np.zeros(alike.shape, bool)
    few.reshape(-1)[np.random.default_rng(0).choice(np.flatnonzero(alike), 1500, replace=False)] = True
    refined = reference.calculate_t2_nonlinear_fit(stacked, times, p0_maps=theirs, mask=few)
    ours = fit_decay(arrays, times, fit="nonlinear", mask=few)
    common = few & (refined["t2"] > 0)
    assert common.sum() > 1000
    assert np.median(np.abs(ours.t2_ms - refined["t2"])[common]) <= 0.01
