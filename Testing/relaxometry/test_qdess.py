"""The closed form of the double-echo steady state, against literature values, an independent package and itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from KneePipelineLib.imaging import Volume
from KneePipelineLib.phantom.epg import dess_steady_state, spoiler_rad_per_m
from KneePipelineLib.relaxometry import (
    Spoiler,
    Status,
    T2Options,
    closed_form,
    low_spoiling_bias,
    make_t2_map,
    qdess_t2_ms,
    root_sum_of_squares,
)

TR_MS, TE_MS, FLIP_DEG, SPOILER = 20.0, 6.0, 20.0, Spoiler(3132.0, 1560.0)
HEADER = {"repetition_time_ms": TR_MS, "echo_time_ms": TE_MS, "flip_angle_deg": FLIP_DEG, "gl_area": SPOILER.gl_area,
          "tg_us": SPOILER.tg_us, "acquisition": "dess"}


def pair_of(volume: Callable, t2_ms: np.ndarray, **changes: object) -> tuple[Volume, Volume]:
    """Echoes whose ratio reads as these T2, shape (z, y, x)."""
    ratio = closed_form(TR_MS, TE_MS, FLIP_DEG, SPOILER).ratio(t2_ms)
    meta = {**HEADER, **changes}
    return volume(np.full(ratio.shape, 1000.0), **meta), volume(1000.0 * ratio, **meta)


def test_exact_signals_read_as_published() -> None:
    """Reference values for TR 20, TE 6, 20 degrees, T1 1200: the closed form reads long T2 too long."""
    true = np.array([25.0, 35.0, 45.0, 60.0, 75.0])
    first, second = dess_steady_state(1200.0, true, tr_ms=TR_MS, te_ms=TE_MS, flip_deg=FLIP_DEG,
                                      gl_area=SPOILER.gl_area, tg_us=SPOILER.tg_us, diffusivity_m2_s=1.25e-9)
    read = closed_form(TR_MS, TE_MS, FLIP_DEG, SPOILER).t2_ms(second / first)
    np.testing.assert_allclose(read, [25.2, 35.9, 47, 65, 85], rtol=0.006)


def test_dephasing_does_not_depend_on_duration() -> None:
    assert Spoiler(3132.0, 1560.0).dephasing_rad_per_m == pytest.approx(Spoiler(3132.0, 900.0).dephasing_rad_per_m)
    assert SPOILER.dephasing_rad_per_m == pytest.approx(spoiler_rad_per_m(3132.0, 1560.0))
    assert SPOILER.dephasing_rad_per_m == pytest.approx(4258 * 2 * np.pi * 3132e-4)


@given(st.floats(5, 200), st.floats(8, 40), st.floats(0.1, 0.45), st.floats(5, 60), st.floats(0, 6000))
def test_ratio_and_t2_are_inverse(t2: float, tr: float, te_share: float, flip: float, area: float) -> None:
    form = closed_form(tr, tr * te_share, flip, Spoiler(area, 1500.0) if area > 1 else None)
    assert form.t2_ms(form.ratio(np.array([t2])))[0] == pytest.approx(t2, rel=1e-9)


@pytest.mark.parametrize(("tr", "te", "flip", "area", "tg"), [
    (20.0, 6.0, 20.0, 3132.0, 1560.0), (18.2, 5.7, 25.0, 1560.0, 3400.0), (30.0, 9.0, 35.0, 5000.0, 1000.0)])
def test_agrees_with_dosma(tr: float, te: float, flip: float, area: float, tg: float) -> None:
    """Within 0.1 ms, the step to which that package rounds."""
    if not hasattr(np, "round_"):
        np.round_ = np.round  # the alias that NumPy 2 dropped
    dosma = pytest.importorskip("dosma.scan_sequences", exc_type=ImportError)
    med_volume = pytest.importorskip("dosma.core.med_volume", exc_type=ImportError)
    rng = np.random.default_rng(3)
    first = rng.uniform(300, 4000, (6, 20, 20))
    second = first * rng.uniform(0.02, 0.7, first.shape)
    theirs = dosma.QDess([med_volume.MedicalVolume(a, np.eye(4)) for a in (first, second)]).generate_t2_map(
        gl_area=area, tg=tg, tr=tr, te=te, alpha=flip, t1=1200.0, nan_to_num=None).volumetric_map.volume
    ours = qdess_t2_ms(first, second, closed_form(tr, te, flip, Spoiler(area, tg)))
    common = np.isfinite(theirs) & (theirs > 0)
    assert common.sum() > 1000
    assert np.abs(ours - theirs)[common].max() <= 0.0501
    np.testing.assert_array_equal(common, (ours > 0.05) & (ours < 100.05) & common)


def test_low_spoiling_reads_short_as_the_facts_say() -> None:
    bias = low_spoiling_bias(np.array([10.0, 20.0, 60.0, 80.0]), TR_MS, TE_MS, FLIP_DEG, SPOILER)
    assert (bias < 0).all()
    assert (np.diff(bias) < 0).all()
    true = np.array([20.0, 60.0])
    ratio = closed_form(TR_MS, TE_MS, FLIP_DEG, SPOILER).ratio(true)
    read = closed_form(TR_MS, TE_MS, FLIP_DEG, None).t2_ms(ratio)
    np.testing.assert_allclose(bias[1:3], read / true - 1)
    none = low_spoiling_bias(np.array([40.0]), TR_MS, TE_MS, FLIP_DEG, Spoiler(1e-6, 1000.0))
    assert abs(none[0]) < 1e-9


@pytest.mark.parametrize("missing", [
    {"gl_area": None}, {"tg_us": None}, {"gl_area": 0.0, "tg_us": 0.0}, {"gl_area": "removed"},
    {"gl_area": float("nan")}])
def test_without_spoiler_low_spoiling_is_used_and_said(volume: Callable, missing: dict) -> None:
    t2 = np.full((2, 3, 4), 40.0)
    found = make_t2_map(pair_of(volume, t2, **missing))
    assert found.method == found.facts()["t2_method"] == "low_spoiling"
    assert [code for code, _ in found.warnings] == ["T2_LOW_SPOILING"]
    expected = 40 * (1 + low_spoiling_bias(np.array([40.0]), TR_MS, TE_MS, FLIP_DEG, SPOILER)[0])
    np.testing.assert_allclose(found.t2_ms.array, expected, rtol=1e-5)


def test_map_status_and_what_is_recorded(volume: Callable) -> None:
    t2 = np.array([[[20.0, 79.9, 80.1, 500.0]], [[40.0, 40.0, 40.0, 40.0]]])
    first, second = pair_of(volume, t2)
    second.array[1, 0, :3] = [0, 900.0, 1000.0]
    first.array[1, 0, 3] = -5.0
    found = make_t2_map([first, second])
    assert found.method == "spoiled"
    assert found.r2 is None
    np.testing.assert_array_equal(found.status.array[0, 0], [Status.MEASURED] * 2 + [Status.ABOVE_RANGE] * 2)
    np.testing.assert_array_equal(found.status.array[1, 0],
                                  [Status.NO_SIGNAL, Status.NO_DECAY, Status.NO_DECAY, Status.NO_SIGNAL])
    np.testing.assert_allclose(found.t2_ms.array[0, 0], t2[0, 0], rtol=1e-4)
    assert np.isnan(found.t2_ms.array[1]).all()
    facts = found.facts()
    assert facts["spoiler"] == {"gl_area": 3132.0, "tg_us": 1560.0}
    assert facts["repetition_time_ms"] == 20
    assert facts["valid_below_ms"] == 80
    assert found.t2_ms.same_grid(first)


def test_range_is_an_option(volume: Callable) -> None:
    found = make_t2_map(pair_of(volume, np.full((1, 1, 2), 60.0)), T2Options(qdess_below_ms=50))
    assert (found.status.array == Status.ABOVE_RANGE).all()


def test_exchanged_echoes_are_put_right_and_said(volume: Callable) -> None:
    first, second = pair_of(volume, np.linspace(20, 60, 24).reshape(2, 3, 4))
    found = make_t2_map([second, first])
    assert [code for code, _ in found.warnings] == ["T2_ECHOES_SWAPPED"]
    np.testing.assert_array_equal(found.t2_ms.array, make_t2_map([first, second]).t2_ms.array)


def test_integer_magnitudes_do_not_overflow(volume: Callable) -> None:
    first, second = pair_of(volume, np.full((1, 2, 2), 40.0))
    big = [echo.with_array(np.round(echo.array * 30).astype(np.int16)) for echo in (first, second)]
    np.testing.assert_allclose(make_t2_map(big).t2_ms.array, 40, rtol=1e-3)


def test_root_of_the_sum_of_squares(volume: Callable) -> None:
    combined = root_sum_of_squares([volume(np.full((1, 2, 2), 3e4)), volume(np.full((1, 2, 2), 4e4))])
    np.testing.assert_allclose(combined.array, 5e4)
