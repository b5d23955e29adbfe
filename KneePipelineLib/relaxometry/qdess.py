"""T2 from a double-echo steady-state pair in closed form.

Sveinsson, Chaudhari, Gold, Hargreaves. A simple analytic method for estimating T2 in the knee from DESS. Magn Reson
Imaging 2017;38:63-70, equations 6 and 7. It keeps the leading terms of the steady state, so it reads cartilage a little
too long (about 1 % at 25 ms, 8 % at 60 ms at TR 20 ms and 20 degrees); measured T2 is comparable between knees scanned
alike, not between methods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

GAMMA_RAD_PER_G_S = 4258 * 2 * math.pi
CARTILAGE_T1_MS = 1200.0
CARTILAGE_DIFFUSIVITY_M2_S = 1.25e-9
SPOILED, LOW_SPOILING = "spoiled", "low_spoiling"


@dataclass(frozen=True)
class Spoiler:
    """The spoiler gradient between the two echoes.

    Attributes
    ----------
    gl_area : float
        GLarea, private tag (0019,10B6), G/cm us.
    tg_us : float
        Duration Tg, private tag (0019,10B7), us.
    """

    gl_area: float
    tg_us: float

    @property
    def dephasing_rad_per_m(self) -> float:
        """dk = gamma Gl Tg with Gl = 100 GLarea / Tg (G/m) and Tg in s."""
        return GAMMA_RAD_PER_G_S * (self.gl_area / self.tg_us * 100) * self.tg_us * 1e-6


@dataclass(frozen=True)
class ClosedForm:
    """The two constants of the closed form: T2 = factor_ms / (ln(S2 / S1) - ln_k + c1).

    Attributes
    ----------
    factor_ms : float
        -2 (TR - TE).
    offset : float
        c1 - ln k.
    """

    factor_ms: float
    offset: float

    def t2_ms(self, ratio: np.ndarray) -> np.ndarray:
        """T2 of |S2 / S1|, any shape; negative or infinite where the ratio is larger than any decay explains."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.factor_ms / (np.log(ratio) + self.offset)

    def ratio(self, t2_ms: np.ndarray) -> np.ndarray:
        """The |S2 / S1| that reads as this T2: the inverse of :meth:`t2_ms`."""
        return np.exp(self.factor_ms / np.asarray(t2_ms, dtype=np.float64) - self.offset)


def closed_form(tr_ms: float, te_ms: float, flip_deg: float, spoiler: Spoiler | None, *,
                t1_ms: float = CARTILAGE_T1_MS,
                diffusivity_m2_s: float = CARTILAGE_DIFFUSIVITY_M2_S) -> ClosedForm:
    """The constants for one acquisition.

    k = sin^2(a/2) (1 + E) / (1 - E cos a), E = exp(-TR/T1 - TR dk^2 D), c1 = (TR - Tg/3) dk^2 D.

    Parameters
    ----------
    tr_ms, te_ms, flip_deg : float
        TR, TE of the first echo (ms) and flip angle a (degrees).
    spoiler : Spoiler or None
        None takes dk = 0 (low spoiling): diffusion between the echoes is then read as decay, so T2 comes out short.
    t1_ms, diffusivity_m2_s : float
        Of cartilage.
    """
    dephasing, tg_s = (spoiler.dephasing_rad_per_m, spoiler.tg_us * 1e-6) if spoiler else (0.0, 0.0)
    weighting = dephasing**2 * diffusivity_m2_s
    flip = math.radians(flip_deg)
    decay = math.exp(-tr_ms / t1_ms - tr_ms * 1e-3 * weighting)
    k = math.sin(flip / 2) ** 2 * (1 + decay) / (1 - math.cos(flip) * decay)
    return ClosedForm(-2 * (tr_ms - te_ms), (tr_ms * 1e-3 - tg_s / 3) * weighting - math.log(k))


def qdess_t2_ms(first: np.ndarray, second: np.ndarray, form: ClosedForm) -> np.ndarray:
    """T2 in ms, float32, of magnitudes S1 and S2 of one shape; NaN where either is not positive.

    What is negative, infinite or beyond any tissue is returned as it comes out: judging it is the caller's business.
    """
    out = np.full(first.shape, np.nan, np.float32)
    for k in range(len(first)):  # slice by slice: temporaries stay in the cache
        s1, s2 = first[k].astype(np.float32), second[k].astype(np.float32)
        measured = (s1 > 0) & (s2 > 0)
        out[k][measured] = form.t2_ms(s2[measured] / s1[measured])
    return out


def low_spoiling_bias(t2_ms: np.ndarray, tr_ms: float, te_ms: float, flip_deg: float, spoiler: Spoiler, *,
                      t1_ms: float = CARTILAGE_T1_MS,
                      diffusivity_m2_s: float = CARTILAGE_DIFFUSIVITY_M2_S) -> np.ndarray:
    """Relative error of leaving this spoiler out: low-spoiling T2 over spoiled T2, minus 1.

    Parameters
    ----------
    t2_ms : array
        What the spoiled form reads, ms.
    """
    tissue = {"t1_ms": t1_ms, "diffusivity_m2_s": diffusivity_m2_s}
    full = closed_form(tr_ms, te_ms, flip_deg, spoiler, **tissue)
    without = closed_form(tr_ms, te_ms, flip_deg, None, **tissue)
    return without.t2_ms(full.ratio(t2_ms)) / np.asarray(t2_ms, dtype=np.float64) - 1
