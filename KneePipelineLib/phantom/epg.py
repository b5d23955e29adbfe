"""Extended phase graphs: exact signals of the double-echo steady state and of a spin-echo train.

Weigel, J Magn Reson Imaging 2015;41:266 (extended phase graphs, with diffusion after Weigel et al., J Magn Reson 2010).
Magnetisation is expanded in configuration orders k, each a helix of k times the spoiler's dephasing; a pulse mixes +k,
-k and the longitudinal order, a spoiler raises every transverse order by one. With pulses about y and magnetisation
starting along z every coefficient is real.
"""

from __future__ import annotations

import numpy as np

GAMMA_RAD_PER_G_S = 4258 * 2 * np.pi
"""Gyromagnetic ratio as the qDESS literature writes it, rad / (gauss second)."""


def spoiler_rad_per_m(gl_area: float, tg_us: float) -> float:
    """Dephasing dk (rad/m) of a spoiler: private tags GLarea (0019,10B6) in G/cm us and Tg (0019,10B7) in us."""
    if not tg_us:
        return 0.0
    amplitude_g_per_m = gl_area / tg_us * 100
    return GAMMA_RAD_PER_G_S * amplitude_g_per_m * tg_us * 1e-6


def dess_steady_state(t1_ms: float, t2_ms: np.ndarray, *, tr_ms: float, te_ms: float, flip_deg: float,
                      gl_area: float, tg_us: float, diffusivity_m2_s: float,
                      orders: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Both echoes of the double-echo steady state for unit proton density, exactly (no closed-form approximation).

    The steady state is the fixed point of pulse and evolution over one TR, found by solving the linear system for the
    orders -``orders`` to ``orders``. The spoiler is one lobe of duration Tg in the middle of the interval; diffusion
    attenuates order k by exp(-b D) with b = dk^2 (k^2 t + (k^2 + k + 1/3) Tg + (k + 1)^2 t), t the rest to either side.

    Parameters
    ----------
    t2_ms : (n,) array
    gl_area, tg_us : float
        The spoiler as in the private tags; 0 area means no diffusion weighting (dephasing is still complete).

    Returns
    -------
    (n,), (n,) arrays
        |S1| at TE after the pulse and |S2| at TE before the next pulse.
    """
    t2 = np.atleast_1d(np.asarray(t2_ms, dtype=np.float64))
    half = np.radians(flip_deg) / 2
    c2, s2, sine, cosine = np.cos(half) ** 2, np.sin(half) ** 2, np.sin(2 * half), np.cos(2 * half)
    k = np.arange(-orders, orders + 1)
    tr, tg = tr_ms * 1e-3, tg_us * 1e-6
    rest = (tr - tg) / 2
    weight = spoiler_rad_per_m(gl_area, tg_us) ** 2 * diffusivity_m2_s
    transverse = np.exp(-weight * (k**2 * rest + (k**2 + k + 1 / 3) * tg + (k + 1) ** 2 * rest))
    positive = np.arange(orders + 1)
    longitudinal = np.exp(-tr_ms / t1_ms - weight * positive**2 * tr)

    size, zero = len(k), orders
    total = size + orders + 1
    # Evolution: F_k -> F_(k+1), Z_k stays; then the pulse mixes. Columns: state after a pulse, rows: after the next.
    shift = np.zeros((total, total))
    shift[np.arange(1, size), np.arange(size - 1)] = transverse[:-1]
    shift[size + positive, size + positive] = longitudinal
    pulse = np.zeros((total, total))
    rows = np.arange(size)
    pulse[rows, rows] = c2
    pulse[rows, rows[::-1]] -= s2
    pulse[rows, size + np.abs(k)] = sine
    pulse[size + positive, size + positive] = cosine
    pulse[size + positive, zero + positive] -= sine / 2
    pulse[size + positive, zero - positive] -= sine / 2
    decay = np.ones((len(t2), total))
    decay[:, :size] = np.exp(-tr_ms / t2)[:, None]
    system = np.eye(total) - (pulse @ shift)[None] * decay[:, None, :]
    recovery = pulse[:, size] * (1 - np.exp(-tr_ms / t1_ms))
    state = np.linalg.solve(system, np.broadcast_to(recovery[:, None], (len(t2), total, 1)))[..., 0]
    to_echo = np.exp(-weight * (rest + tg / 3))
    first = np.abs(state[:, zero]) * np.exp(-te_ms / t2)
    second = np.abs(state[:, zero - 1]) * np.exp(-(tr_ms - te_ms) / t2) * to_echo
    return first, second


def spin_echo_train(t1_ms: float, t2_ms: np.ndarray, *, echoes: int, spacing_ms: float,
                    refocusing_deg: float) -> np.ndarray:
    """Echo amplitudes of a CPMG train after a 90 degree pulse, unit proton density, shape (n, echoes).

    Crushers surround every refocusing pulse, so that only spin and stimulated echoes are seen; 180 degrees give
    exp(-TE/T2) exactly. Recovery between pulses never reaches an echo and is left out.
    """
    t2 = np.atleast_1d(np.asarray(t2_ms, dtype=np.float64))
    half = np.radians(refocusing_deg) / 2
    c2, s2, sine, cosine = np.cos(half) ** 2, np.sin(half) ** 2, np.sin(2 * half), np.cos(2 * half)
    e1, e2 = np.exp(-spacing_ms / 2 / t1_ms), np.exp(-spacing_ms / 2 / t2)[:, None]
    orders = 2 * echoes + 1
    plus, minus, stored = (np.zeros((len(t2), orders + 1)) for _ in range(3))
    plus[:, 0] = minus[:, 0] = 1.0
    out = np.empty((len(t2), echoes))
    for n in range(echoes):
        plus, minus, stored = _dephase(plus * e2, minus * e2), _rephase(minus * e2), stored * e1
        plus[:, 0] = minus[:, 0]
        plus, minus, stored = (c2 * plus + s2 * minus - sine * stored, s2 * plus + c2 * minus + sine * stored,
                               sine / 2 * (plus - minus) + cosine * stored)
        plus, minus, stored = _dephase(plus * e2, minus * e2), _rephase(minus * e2), stored * e1
        plus[:, 0] = minus[:, 0]
        out[:, n] = np.abs(plus[:, 0])
    return out


def _dephase(plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    shifted = np.empty_like(plus)
    shifted[:, 1:] = plus[:, :-1]
    shifted[:, 0] = minus[:, 1]
    return shifted


def _rephase(minus: np.ndarray) -> np.ndarray:
    shifted = np.zeros_like(minus)
    shifted[:, :-1] = minus[:, 1:]
    return shifted
