"""The three fits of a train of spin echoes, against NumPy's and SciPy's own and against known decays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from KneePipelineLib.errors import ConfigError
from KneePipelineLib.phantom.epg import spin_echo_train
from KneePipelineLib.relaxometry import FITS, Status, T2Options, fit_decay, make_t2_map

TIMES = np.array([6.312, 12.624, 18.936, 25.248, 31.56, 37.872, 44.184, 50.496])


def train(t2_ms: np.ndarray, amplitude: float = 2000.0, times: np.ndarray = TIMES) -> np.ndarray:
    """(echoes, ...) magnitudes of pure decay."""
    return amplitude * np.exp(-times.reshape(-1, *[1] * np.ndim(t2_ms)) / t2_ms)


def noisy(t2_ms: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    return np.abs(train(t2_ms) + np.random.default_rng(seed).normal(0, sigma, (len(TIMES), *np.shape(t2_ms))))


@pytest.mark.parametrize("fit", FITS)
def test_pure_decay_is_found(fit: str) -> None:
    t2 = np.linspace(5, 150, 400).reshape(4, 10, 10)
    found = fit_decay(train(t2), TIMES, fit=fit)
    np.testing.assert_allclose(found.t2_ms, t2, rtol=2e-4)
    np.testing.assert_allclose(found.amplitude, 2000, rtol=2e-4)
    np.testing.assert_allclose(found.r2, 1, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.floats(8, 120), st.floats(1, 1e5), st.lists(st.floats(1, 15), min_size=3, max_size=12), st.sampled_from(FITS))
def test_any_echo_times(t2: float, amplitude: float, steps: list[float], fit: str) -> None:
    times = np.cumsum(steps)
    found = fit_decay(list(train(np.array([t2]), amplitude, times)), times, fit=fit)
    assert found.t2_ms[0] == pytest.approx(t2, rel=5e-3)


@pytest.mark.parametrize("fit", ["linear", "weighted"])
def test_straight_lines_equal_polyfit(fit: str) -> None:
    signal = noisy(np.full(60, 35.0), 60.0)
    found = fit_decay(signal, TIMES, fit=fit)
    for n in range(60):
        s, log = signal[:, n], np.log(signal[:, n])
        weight = s if fit == "weighted" else np.ones_like(s)  # polyfit squares its weights
        slope, offset = np.polyfit(TIMES, log, 1, w=weight)
        assert found.t2_ms[n] == pytest.approx(-1 / slope, rel=2e-4)
        assert found.amplitude[n] == pytest.approx(np.exp(offset), rel=2e-4)
        mean = np.average(log, weights=weight**2)
        left = (weight**2 * (log - offset - slope * TIMES) ** 2).sum() / (weight**2 * (log - mean) ** 2).sum()
        assert found.r2[n] == pytest.approx(1 - left, abs=2e-4)


def test_nonlinear_equals_scipy() -> None:
    from scipy.optimize import curve_fit

    signal = noisy(np.linspace(12, 90, 60), 80.0, seed=1)
    found = fit_decay(signal, TIMES, fit="nonlinear")
    for n in range(60):
        (amplitude, t2), _ = curve_fit(lambda t, a, b: a * np.exp(-t / b), TIMES, signal[:, n], p0=(2000, 40))
        assert found.t2_ms[n] == pytest.approx(t2, rel=1e-4)
        assert found.amplitude[n] == pytest.approx(amplitude, rel=1e-4)


def test_noise_scatters_the_unweighted_line_most() -> None:
    """Short T2: late echoes are noise. This is why weights are the default."""
    signal = noisy(np.full(20000, 15.0), 40.0)
    found = {fit: fit_decay(signal, TIMES, fit=fit).t2_ms for fit in FITS}
    scatter = {fit: np.subtract(*np.percentile(values, (75, 25))) for fit, values in found.items()}
    assert scatter["weighted"] < 1.2 * scatter["nonlinear"]
    assert scatter["linear"] > 2 * scatter["weighted"]
    assert abs(np.median(found["nonlinear"]) - 15) < 0.05


def test_mask_and_voxels_without_signal() -> None:
    signal = train(np.full((3, 40, 500), 30.0))  # more than one chunk
    signal[4, 0, 0, 0] = 0
    mask = np.zeros(signal.shape[1:], bool)
    mask[0, 0, :2] = mask[2, 5] = True
    for fit in FITS:
        found = fit_decay(signal, TIMES, fit=fit, mask=mask)
        assert np.isnan(found.t2_ms[~mask]).all()
        assert np.isnan(found.t2_ms[0, 0, 0])
        assert np.isnan(found.amplitude[0, 0, 0])
        np.testing.assert_allclose(found.t2_ms[2, 5], 30, rtol=1e-4)
        everywhere = fit_decay(signal, TIMES, fit=fit)
        np.testing.assert_allclose(everywhere.t2_ms[mask], found.t2_ms[mask], rtol=1e-6)


@pytest.mark.parametrize("fit", FITS)
def test_signal_that_does_not_decay(fit: str) -> None:
    rising, constant = train(np.array([30.0]))[::-1], np.full((8, 1), 500.0)
    assert fit_decay(rising, TIMES, fit=fit).t2_ms[0] < 0
    assert not 0 < fit_decay(constant, TIMES, fit=fit).t2_ms[0] < 1000


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match="cubic"):
        fit_decay(train(np.array([30.0])), TIMES, fit="cubic")
    with pytest.raises(ValueError, match="8 echoes"):
        fit_decay(train(np.array([30.0])), TIMES[:7])
    with pytest.raises(ConfigError):
        T2Options(fit="cubic")


def as_echoes(volume: Callable, signal: np.ndarray) -> list:
    return [volume(s.reshape(1, 1, -1), echo_time_ms=t, flip_angle_deg=90.0)
            for s, t in zip(signal, TIMES, strict=True)]


def test_map_of_a_train(volume: Callable) -> None:
    signal = train(np.array([30.0, 45.0, 99.0, 101.0, 30.0, 30.0]))
    signal[:, 4] = np.random.default_rng(0).uniform(900, 1000, 8) * np.where(np.arange(8) % 2, 1.0, 0.3)
    signal[3, 5] = 0
    found = make_t2_map(as_echoes(volume, signal))
    assert found.method == "weighted"
    expected = [Status.MEASURED] * 3 + [Status.ABOVE_RANGE]
    np.testing.assert_array_equal(found.status.array[0, 0, :4], expected)
    assert found.status.array[0, 0, 4] in (Status.POOR_FIT, Status.NO_DECAY, Status.ABOVE_RANGE)
    assert found.status.array[0, 0, 5] == Status.NO_SIGNAL
    assert found.r2.array[0, 0, 0] == pytest.approx(1)
    assert found.facts()["echo_times_ms"] == TIMES.tolist()


def test_poor_fit_does_not_count(volume: Callable) -> None:
    signal = train(np.full(300, 40.0)) * np.random.default_rng(2).uniform(0.5, 1.5, (8, 300))
    loose, strict = (make_t2_map(as_echoes(volume, signal), T2Options(r2_minimum=r)) for r in (0.0, 0.8))
    poor = loose.r2.array < 0.8
    assert 20 < poor.sum() < 280
    was_measured = loose.status.array == Status.MEASURED
    np.testing.assert_array_equal(strict.status.array == Status.POOR_FIT, poor & was_measured)


def test_leaving_out_the_first_echo_lessens_the_stimulated_ones(volume: Callable) -> None:
    true = np.array([25.0, 35.0, 45.0, 60.0])
    signal = 5000 * spin_echo_train(1200.0, true, echoes=8, spacing_ms=6.312, refocusing_deg=150.0).T
    with_first = make_t2_map(as_echoes(volume, signal)).t2_ms.array[0, 0]
    without = make_t2_map(as_echoes(volume, signal), T2Options(skip_first_echo=True))
    assert without.facts()["skip_first_echo"] is True
    assert (with_first > 1.01 * true).all()
    assert (np.abs(without.t2_ms.array[0, 0] - true) < 0.7 * np.abs(with_first - true)).all()


def test_too_few_echoes_to_leave_one_out(volume: Callable) -> None:
    echoes = as_echoes(volume, train(np.array([30.0])))[:3]
    with pytest.raises(ConfigError, match="first"):
        make_t2_map(echoes, T2Options(skip_first_echo=True))
