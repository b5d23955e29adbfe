"""T2 from a train of spin echoes: S = A exp(-TE / T2), fitted to every voxel at once.

Three fits of one model. ``linear`` regresses ln S on TE: fast, but the logarithm lifts late, noisy echoes to the weight
of early ones. ``weighted`` gives every echo the weight S^2, the inverse variance of ln S when the noise of S is even.
``nonlinear`` minimises the squared residuals of S itself, starting from ``weighted``.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

FITS = ("weighted", "linear", "nonlinear")
CHUNK = 1 << 14
"""Voxels fitted together: all temporaries of a chunk fit into the processor's cache."""

THREADS = 2
MOST_STEPS = 30
CONVERGED = 1e-5
"""Relative change of the decay rate at which an iteration has found its minimum."""


@dataclass(frozen=True, eq=False)
class Decay:
    """What a fit found, one value for each voxel, float32.

    Attributes
    ----------
    t2_ms : array
        May be negative or infinite where the signal does not decay; NaN where nothing was fitted or no minimum found.
    amplitude : array
        A: the signal at TE = 0; NaN where nothing was fitted.
    r2 : array
        Coefficient of determination, in the quantity and with the weights that were fitted; NaN with ``amplitude``.
    """

    t2_ms: np.ndarray
    amplitude: np.ndarray
    r2: np.ndarray


def fit_decay(echoes: Sequence[np.ndarray], echo_times_ms: Sequence[float], *, fit: str = "weighted",
              mask: np.ndarray | None = None) -> Decay:
    """Fit every voxel whose signal is positive in all echoes.

    Parameters
    ----------
    echoes : sequence of arrays
        Magnitudes of one shape, any numeric type, one array an echo.
    echo_times_ms : sequence of float
        At least two, in the order of the echoes.
    fit : str
        One of `FITS`.
    mask : array of bool, optional
        Fit only these voxels.

    Raises
    ------
    ValueError
        If the fit is unknown or the numbers of echoes and echo times differ.
    """
    if fit not in FITS:
        raise ValueError(f"'{fit}' is not a fit; choose one of {', '.join(FITS)}")
    if len(echoes) != len(echo_times_ms) or len(echoes) < 2:
        raise ValueError(f"{len(echoes)} echoes cannot be fitted with {len(echo_times_ms)} echo times")
    shape, times = echoes[0].shape, np.asarray(echo_times_ms, np.float64)
    flat = [np.ascontiguousarray(echo).reshape(-1) for echo in echoes]
    chosen = None if mask is None else np.flatnonzero(mask.reshape(-1))
    maps = [np.full(flat[0].size, np.nan, np.float32) for _ in range(3)]
    total = flat[0].size if chosen is None else chosen.size

    def work(start: int) -> None:
        stop = min(start + CHUNK, total)
        where = slice(start, stop) if chosen is None else chosen[start:stop]
        signal = np.stack([echo[where] for echo in flat]).astype(np.float32)
        positive = (signal > 0).all(axis=0)
        everywhere = bool(positive.all())
        found = _FITTERS[fit](signal if everywhere else signal[:, positive], times)
        for target, values in zip(maps, found, strict=True):
            if everywhere:
                target[where] = values
            else:
                part = np.full(stop - start, np.nan, np.float32)
                part[positive] = values
                target[where] = part

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(0, total, CHUNK)))
    return Decay(*(values.reshape(shape) for values in maps))


def _linear(signal: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ordinary least squares of ln S on TE for (echoes, n) signals: T2, A, R^2."""
    log = np.log(signal)
    centred_times = (times - times.mean()).astype(np.float32)
    mean = log.mean(axis=0)
    log -= mean
    across = centred_times @ log
    return _line(across, np.float32(centred_times @ centred_times), np.einsum("en,en->n", log, log), mean, times.mean())


def _weighted(signal: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of ln S on TE with the weights S^2; R^2 with the same weights."""
    log = np.log(signal)
    weight = signal * signal
    weight /= weight.sum(axis=0)
    mean_time = times.astype(np.float32) @ weight
    mean = np.einsum("en,en->n", weight, log)
    log -= mean
    centred = times.astype(np.float32)[:, None] - mean_time
    weighted_log = weight * log
    across, variance = (np.einsum("en,en->n", weighted_log, other) for other in (centred, log))
    weight *= centred
    return _line(across, np.einsum("en,en->n", weight, centred), variance, mean, mean_time)


def _line(across: np.ndarray, spread: np.ndarray, variance: np.ndarray, mean: np.ndarray,
          mean_time: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T2, A and R^2 from the (weighted) moments of TE and ln S."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope = across / spread
        r2 = np.where(variance > 0, across * slope / variance, 0)
        return -1 / slope, np.exp(mean - slope * mean_time), np.clip(r2, 0, 1)


def _nonlinear(signal: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of S by Levenberg-Marquardt in the rate R = 1 / T2, the amplitude being eliminated.

    For a given rate the best amplitude is A = sum(S e) / sum(e^2) with e = exp(-R TE); what remains is one unknown
    (variable projection: Golub and Pereyra, SIAM J Numer Anal 1973;10:413).
    """
    t2, amplitude, r2 = (values.astype(np.float64) for values in _weighted(signal, times))
    start = np.flatnonzero(np.isfinite(t2) & (t2 > 0))
    s = signal.astype(np.float64)
    rate = np.zeros(len(t2))
    rate[start] = 1 / t2[start]
    done = np.zeros(len(t2), bool)
    open_, s_open, r, damping = start, s[:, start], rate[start], np.full(len(start), 1e-3)
    amp, cost, gradient, curvature = _project(s_open, r, times)
    for _ in range(MOST_STEPS):
        step = -gradient / (curvature * (1 + damping))
        trial = r + step
        trial_amp, trial_cost, trial_gradient, trial_curvature = _project(s_open, trial, times)
        better = trial_cost <= cost
        settled = np.abs(step) <= CONVERGED * np.abs(r)
        r, amp, cost = np.where(better, trial, r), np.where(better, trial_amp, amp), np.where(better, trial_cost, cost)
        gradient = np.where(better, trial_gradient, gradient)
        curvature = np.where(better, trial_curvature, curvature)
        damping = np.where(better, damping / 10, damping * 10)
        rate[open_], amplitude[open_] = r, amp
        r2[open_] = cost
        done[open_] = settled
        keep = ~settled
        if not keep.any():
            break
        open_, damping, r, amp, cost = open_[keep], damping[keep], r[keep], amp[keep], cost[keep]
        gradient, curvature, s_open = gradient[keep], curvature[keep], s_open[:, keep]
    spread = np.square(s - s.mean(axis=0)).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t2 = np.where(done, 1 / rate, np.where(rate == 0, t2, np.nan))
        r2 = np.where(done, np.where(spread > 0, 1 - r2 / spread, 0), np.where(rate == 0, r2, 0))
    return t2, amplitude, np.clip(r2, 0, 1)


def _project(signal: np.ndarray, rate: np.ndarray,
             times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Best amplitude, squared residual, and its gradient and Gauss-Newton curvature in the rate (each halved)."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        decay = np.exp(-times[:, None] * rate)
        norm = np.einsum("en,en->n", decay, decay)
        amplitude = np.einsum("en,en->n", signal, decay) / norm
        residual = signal - amplitude * decay
        cost = np.einsum("en,en->n", residual, residual)
        slope = times[:, None] * decay
        gradient = amplitude * np.einsum("en,en->n", residual, slope)
        along = np.einsum("en,en->n", slope, decay)
        curvature = amplitude**2 * (np.einsum("en,en->n", slope, slope) - along**2 / norm)
    return amplitude, cost, gradient, np.maximum(curvature, np.finfo(float).tiny)


_FITTERS = {"linear": _linear, "weighted": _weighted, "nonlinear": _nonlinear}
