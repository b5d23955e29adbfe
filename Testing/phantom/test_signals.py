"""The signals are physics: against brute-force spins, closed forms where they are exact, and published checks."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.phantom import CartilageT2, Dess, MultiEchoSpinEcho, SpinEcho
from KneePipelineLib.phantom.epg import dess_steady_state, spin_echo_train, spoiler_rad_per_m
from KneePipelineLib.phantom.tissues import CARTILAGE_DENSITY, TISSUES, CartilageTable, tissue_signal

PROTOCOL = {"tr_ms": 20.0, "te_ms": 6.0, "flip_deg": 20.0}
SPOILER = {"gl_area": 3132.0, "tg_us": 1560.0}


def spoiled_closed_form(s1: np.ndarray, s2: np.ndarray, diffusivity: float = 1.25e-9, t1_s: float = 1.2) -> np.ndarray:
    """T2 in ms by Sveinsson et al., eqs. 6 and 7, TR 20 ms, TE 6 ms, 20 degrees."""
    tr, te, tg, angle = 0.020, 0.006, SPOILER["tg_us"] * 1e-6, np.radians(20)
    weight = spoiler_rad_per_m(**SPOILER) ** 2 * diffusivity
    e = np.exp(-tr / t1_s - tr * weight)
    k = np.sin(angle / 2) ** 2 * (1 + e) / (1 - np.cos(angle) * e)
    return -2000 * (tr - te) / (np.log(s2 / s1 / k) + (tr - tg / 3) * weight)


def test_the_exact_steady_state_reads_as_published_through_the_closed_form() -> None:
    true_ms = np.array([25.0, 35.0, 45.0, 60.0, 75.0])
    s1, s2 = dess_steady_state(1200, true_ms, **PROTOCOL, **SPOILER, diffusivity_m2_s=1.25e-9)
    np.testing.assert_allclose(spoiled_closed_form(s1, s2), [25.2, 35.9, 47, 65, 85], rtol=0.004)


@pytest.mark.parametrize(("t1_ms", "t2_ms"), [(1200, 35), (1400, 60), (600, 20)])
def test_the_steady_state_equals_a_crowd_of_spins(t1_ms: float, t2_ms: float) -> None:
    """Bloch simulation of 512 isochromats, one turn of dephasing per TR, until nothing changes; no diffusion."""
    spins, angle = 512, np.radians(PROTOCOL["flip_deg"])
    turn = np.exp(1j * 2 * np.pi * np.arange(spins) / spins)
    e1, e2 = np.exp(-20 / t1_ms), np.exp(-20 / t2_ms)
    transverse, along = np.zeros(spins, complex), np.ones(spins)
    for _ in range(int(12 * t1_ms / 20)):
        x = transverse.real * np.cos(angle) + along * np.sin(angle)
        along = along * np.cos(angle) - transverse.real * np.sin(angle)
        after = x + 1j * transverse.imag
        transverse, along = after * e2 * turn, 1 + (along - 1) * e1
    first = abs(after.mean()) * np.exp(-6 / t2_ms)
    second = abs(transverse.mean()) * np.exp(6 / t2_ms)
    s1, s2 = dess_steady_state(t1_ms, [t2_ms], **PROTOCOL, gl_area=0, tg_us=1560, diffusivity_m2_s=0)
    assert s1[0] == pytest.approx(first, rel=1e-6)
    assert s2[0] == pytest.approx(second, rel=1e-6)


def test_diffusion_equals_a_long_walk_of_the_phase_graph() -> None:
    """The fixed point equals thousands of repetitions of pulse, dephasing and attenuation written out plainly."""
    t1, t2, d, n = 1200.0, 45.0, 2.0e-9, 40
    dk = spoiler_rad_per_m(**SPOILER)
    tr, tg = 0.020, 1560e-6
    f, z = dict.fromkeys(range(-n, n + 1), 0.0), dict.fromkeys(range(n + 1), 0.0)
    z[0] = 1.0
    a = np.radians(20)
    rest = (tr - tg) / 2
    b = {k: dk**2 * (k * k * rest + (k * k + k + 1 / 3) * tg + (k + 1) ** 2 * rest) for k in f}
    transverse = {k: np.exp(-tr * 1e3 / t2 - b[k] * d) for k in f}
    for _ in range(900):
        mixed = {k: np.cos(a / 2) ** 2 * f[k] - np.sin(a / 2) ** 2 * f[-k] + np.sin(a) * z[abs(k)] for k in f}
        stored = {k: np.cos(a) * z[k] - np.sin(a) / 2 * (f[k] + f[-k]) for k in z}
        f = {k: mixed[k - 1] * transverse[k - 1] if k > -n else 0.0 for k in mixed}
        z = {k: stored[k] * np.exp(-tr * 1e3 / t1 - dk**2 * d * k * k * tr) for k in stored}
        z[0] += 1 - np.exp(-tr * 1e3 / t1)
    s1, s2 = dess_steady_state(t1, [t2], **PROTOCOL, **SPOILER, diffusivity_m2_s=d)
    assert s1[0] == pytest.approx(abs(mixed[0]) * np.exp(-6 / t2), rel=1e-6)
    # Order 0 before the pulse, with the last 6 ms of decay taken back (nothing diffuses there: it is order 0).
    assert s2[0] == pytest.approx(abs(f[0]) * np.exp(6 / t2), rel=1e-6)


def test_diffusion_weakens_the_second_echo_more() -> None:
    plain = dess_steady_state(3600, [750.0], **PROTOCOL, gl_area=0, tg_us=1560, diffusivity_m2_s=2.4e-9)
    spoiled = dess_steady_state(3600, [750.0], **PROTOCOL, **SPOILER, diffusivity_m2_s=2.4e-9)
    assert spoiled[1] / plain[1] < spoiled[0] / plain[0] < 1


def test_more_orders_change_nothing() -> None:
    for t1, t2, d in ((1200, 40.0, 1.25e-9), (3600, 750.0, 0.0)):
        few, many = (dess_steady_state(t1, [t2], **PROTOCOL, **SPOILER, diffusivity_m2_s=d, orders=n) for n in (32, 96))
        np.testing.assert_allclose(few, many, rtol=1e-6)


def test_the_spoiler_has_its_units() -> None:
    """4258 Hz/G, 3132 G/cm us: 2 pi 4258 x 3132e-6 x 100 rad/m whatever the duration."""
    assert spoiler_rad_per_m(3132, 1560) == pytest.approx(2 * np.pi * 4258 * 3132e-4, rel=1e-12)
    assert spoiler_rad_per_m(3132, 0) == 0


def test_ideal_refocusing_is_one_exponential() -> None:
    t2 = np.array([20.0, 40.0, 80.0])
    train = spin_echo_train(1200, t2, echoes=8, spacing_ms=6.3, refocusing_deg=180)
    np.testing.assert_allclose(train, np.exp(-6.3 * np.arange(1, 9) / t2[:, None]), rtol=1e-12)


@pytest.mark.parametrize("refocusing_deg", [150.0, 120.0, 165.0])
def test_stimulated_echoes_equal_a_crowd_of_spins(refocusing_deg: float) -> None:
    """Bloch simulation of isochromats between crushers, pulses along the magnetisation (CPMG)."""
    t1, t2, spacing, spins = 1200.0, 40.0, 6.3125, 720
    turn = np.exp(1j * 2 * np.pi * (np.arange(spins) + 0.5) / spins)
    e1, e2, a = np.exp(-spacing / 2 / t1), np.exp(-spacing / 2 / t2), np.radians(refocusing_deg)
    m, z = np.ones(spins, complex), np.zeros(spins)
    echoes = []
    for _ in range(8):
        m, z = m * e2 * turn, z * e1
        y = m.imag * np.cos(a) - z * np.sin(a)
        z = m.imag * np.sin(a) + z * np.cos(a)
        m = (m.real + 1j * y) * e2 * turn
        z = z * e1
        echoes.append(abs(m.mean()))
    train = spin_echo_train(t1, [t2], echoes=8, spacing_ms=spacing, refocusing_deg=refocusing_deg)[0]
    np.testing.assert_allclose(train, echoes, rtol=1e-9)


def test_spin_echo_is_its_formula() -> None:
    signal = SpinEcho(600, 12).signal(1000, np.array([50.0]), 0.0)[0, 0]
    assert signal == pytest.approx((1 - np.exp(-0.6)) * np.exp(-12 / 50))


@pytest.mark.parametrize("sequence", [Dess(), MultiEchoSpinEcho(refocusing_deg=150), SpinEcho(3200, 30)])
def test_the_cartilage_table_interpolates_finely(sequence: object) -> None:
    t2 = np.array([27.13, 33.33, 44.87, 51.9])
    exact = sequence.signal(1200.0, t2, 1.25e-9) * CARTILAGE_DENSITY * sequence.gain
    np.testing.assert_allclose(CartilageTable(sequence, CartilageT2())(t2), exact, rtol=2e-4)


def test_contrasts_are_those_of_the_clinic() -> None:
    signal = {c: {t: tissue_signal(t, s)[0] for t in TISSUES}
              for c, s in {"t1": SpinEcho(600, 12), "pd_fs": SpinEcho(3200, 32, fat_suppression=0.93)}.items()}
    assert signal["t1"]["fat"] > signal["t1"]["muscle"] > signal["t1"]["fluid"] > signal["t1"]["cortex"]
    assert signal["pd_fs"]["fluid"] > signal["pd_fs"]["muscle"] > signal["pd_fs"]["marrow"]
    assert signal["pd_fs"]["meniscus"] < 0.3 * signal["pd_fs"]["fluid"]
