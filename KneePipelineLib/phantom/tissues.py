"""What each tissue is made of, and the signal that each pulse sequence gets from it.

Relaxation times are those of 3 tesla (Gold et al., AJR 2004;183:343; Stanisz et al., MRM 2005;54:507; Jordan et al.,
J Magn Reson Imaging 2014;39:1287), rounded; they make a plausible contrast and are exactly known, which is the point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from .epg import dess_steady_state, spin_echo_train


@dataclass(frozen=True)
class Tissue:
    """Proton density (fluid 1), T1 and T2 of the water (ms), diffusivity, share of fat, strength of its texture."""

    density: float
    t1_ms: float
    t2_ms: float
    diffusivity_m2_s: float = 1.5e-9
    fat: float = 0.0
    texture: float = 0.0


FAT_T1_MS, FAT_T2_MS = 370.0, 75.0
CARTILAGE_T1_MS, CARTILAGE_DENSITY, CARTILAGE_DIFFUSIVITY = 1200.0, 0.85, 1.25e-9

TISSUES = {
    "air": Tissue(0.0, 1000, 50),
    "skin": Tissue(0.6, 800, 22, texture=0.10),
    "fat": Tissue(0.95, 1000, 40, fat=0.92, texture=0.08),
    "muscle": Tissue(0.85, 1400, 33, fat=0.05, texture=0.16),
    "tendon": Tissue(0.35, 600, 7),
    "ligament": Tissue(0.55, 800, 16, texture=0.10),
    "vessel": Tissue(0.9, 1900, 120, 2.2e-9),
    "fluid": Tissue(1.0, 3600, 750, 2.4e-9),
    "meniscus": Tissue(0.65, 950, 13, texture=0.05),
    "cortex": Tissue(0.15, 400, 3),
    "marrow": Tissue(0.85, 1100, 45, fat=0.80, texture=0.14),
}


SOFT_TISSUE_VALUES = {"muscle": 20, "fat": 21, "skin": 22, "fluid": 23, "tendon": 24, "vessel": 25, "air": 26,
                      "ligament": 27}
"""The values that a tissue map gives to what the label scheme leaves as background."""


@dataclass(frozen=True)
class CartilageT2:
    """True T2 of cartilage as a function of relative depth u (0 at the bone, 1 at the surface): linear."""

    deep_ms: float = 27.0
    superficial_ms: float = 52.0

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """T2 in ms at relative depth."""
        return self.deep_ms + (self.superficial_ms - self.deep_ms) * depth


LINEAR_T2 = CartilageT2()
"""The gradient of every image unless another is asked for."""


@dataclass(frozen=True)
class Dess:
    """A double-echo steady-state acquisition; the default is a common qDESS protocol. One channel an echo."""

    tr_ms: float = 20.0
    te_ms: float = 6.0
    flip_deg: float = 20.0
    gl_area: float = 3132.0
    tg_us: float = 1560.0
    fat_suppression: float = 0.92
    gain: float = 60_000.0

    @property
    def echo_times_ms(self) -> tuple[float, ...]:
        """As headers give them: the same TE for the pair."""
        return (self.te_ms, self.te_ms)

    def signal(self, t1_ms: float, t2_ms: np.ndarray, diffusivity_m2_s: float) -> np.ndarray:
        """(n, 2) signals of unit proton density."""
        return np.stack(dess_steady_state(
            t1_ms, t2_ms, tr_ms=self.tr_ms, te_ms=self.te_ms, flip_deg=self.flip_deg, gl_area=self.gl_area,
            tg_us=self.tg_us, diffusivity_m2_s=diffusivity_m2_s), axis=1)


@dataclass(frozen=True)
class SpinEcho:
    """A spin-echo acquisition: S = (1 - exp(-TR/T1)) exp(-TE/T2)."""

    tr_ms: float
    te_ms: float
    fat_suppression: float = 0.0
    gain: float = 8_000.0
    flip_deg: float = 90.0

    @property
    def echo_times_ms(self) -> tuple[float, ...]:
        """The one echo time."""
        return (self.te_ms,)

    def signal(self, t1_ms: float, t2_ms: np.ndarray, diffusivity_m2_s: float) -> np.ndarray:
        """(n, 1) signals of unit proton density."""
        return (1 - np.exp(-self.tr_ms / t1_ms)) * np.exp(-self.te_ms / np.atleast_1d(t2_ms))[:, None]


@dataclass(frozen=True)
class MultiEchoSpinEcho:
    """A train of spin echoes; below 180 degrees refocusing, stimulated echoes mix in (extended phase graph)."""

    tr_ms: float = 2450.0
    spacing_ms: float = 6.3125
    echoes: int = 8
    refocusing_deg: float = 180.0
    fat_suppression: float = 0.0
    gain: float = 12_000.0
    flip_deg: float = 90.0

    @property
    def echo_times_ms(self) -> tuple[float, ...]:
        """6.3125 to 50.5 ms by default."""
        return tuple(self.spacing_ms * (n + 1) for n in range(self.echoes))

    def signal(self, t1_ms: float, t2_ms: np.ndarray, diffusivity_m2_s: float) -> np.ndarray:
        """(n, echoes) signals of unit proton density."""
        train = spin_echo_train(t1_ms, t2_ms, echoes=self.echoes, spacing_ms=self.spacing_ms,
                                refocusing_deg=self.refocusing_deg)
        return (1 - np.exp(-self.tr_ms / t1_ms)) * train


Sequence = Dess | SpinEcho | MultiEchoSpinEcho

QDESS, MESE = Dess(), MultiEchoSpinEcho()
CONTRASTS: dict[str, Sequence] = {
    "dess": QDESS,
    "t1": SpinEcho(600, 12),
    "pd": SpinEcho(3200, 28),
    "pd_fs": SpinEcho(3200, 32, fat_suppression=0.93),
    "t2": SpinEcho(4200, 78),
    "t2_fs": SpinEcho(4200, 70, fat_suppression=0.93),
}
"""Ready-made contrasts of ``DigitalKnee.image``."""


@lru_cache(maxsize=512)
def tissue_signal(name: str, sequence: Sequence) -> tuple[float, ...]:
    """The tissue's signal in every channel of the sequence, in image units: water, plus fat as far as it is left."""
    tissue = TISSUES[name]
    water = sequence.signal(tissue.t1_ms, np.array([tissue.t2_ms]), tissue.diffusivity_m2_s)[0]
    fat = sequence.signal(FAT_T1_MS, np.array([FAT_T2_MS]), 0.0)[0] if tissue.fat else 0.0
    mixed = (1 - tissue.fat) * water + tissue.fat * (1 - sequence.fat_suppression) * fat
    return tuple((sequence.gain * tissue.density * mixed).tolist())


@dataclass(frozen=True)
class CartilageTable:
    """Cartilage signal by T2 on a table of 0.5 ms steps, fine enough for linear interpolation (1e-4 relative)."""

    sequence: Sequence
    t2: CartilageT2 = CartilageT2()
    values: np.ndarray = field(init=False)
    start_ms: float = field(init=False)
    STEP_MS = 0.5

    def __post_init__(self) -> None:
        low, high = sorted((self.t2.deep_ms, self.t2.superficial_ms))
        grid = np.arange(max(low - 1, 1.0), high + 1.5, self.STEP_MS)
        signal = self.sequence.signal(CARTILAGE_T1_MS, grid, CARTILAGE_DIFFUSIVITY)
        scaled = (signal * CARTILAGE_DENSITY * self.sequence.gain).astype(np.float32)
        object.__setattr__(self, "values", scaled)
        object.__setattr__(self, "start_ms", float(grid[0]))

    def __call__(self, t2_ms: np.ndarray) -> np.ndarray:
        """(n, channels) signals in image units."""
        t = (t2_ms - self.start_ms) / self.STEP_MS
        index = np.clip(t.astype(np.int32), 0, len(self.values) - 2)
        part = (t - index)[:, None].astype(np.float32)
        return self.values[index] * (1 - part) + self.values[index + 1] * part
