"""Echoes in, T2 map out: with the method that was used and, for every voxel without a usable value, the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum

import numpy as np

from ..errors import ConfigError
from ..imaging import Volume
from .decay import FITS, fit_decay
from .qdess import (
    CARTILAGE_DIFFUSIVITY_M2_S,
    CARTILAGE_T1_MS,
    LOW_SPOILING,
    SPOILED,
    closed_form,
    low_spoiling_bias,
    qdess_t2_ms,
)
from .sequences import Qdess, SpinEchoes, has_unusual_times, sequence_of

SHOWN_BELOW_MS = 1000.0
"""Longer T2 is nobody's: the map holds NaN there."""


class Status(IntEnum):
    """What a voxel's T2 is worth. Only `MEASURED` counts in statistics."""

    MEASURED = 0
    NO_SIGNAL = 1
    NO_DECAY = 2
    ABOVE_RANGE = 3
    POOR_FIT = 4
    OUTSIDE = 5


STATUS_WORDS = {
    Status.NO_SIGNAL: "no_signal", Status.NO_DECAY: "no_decay", Status.ABOVE_RANGE: "above_range",
    Status.POOR_FIT: "poor_fit", Status.OUTSIDE: "outside_field_of_view",
}
"""Reasons of exclusion as the result files name them."""


@dataclass(frozen=True)
class T2Options:
    """How to compute T2.

    Attributes
    ----------
    fit : str
        Spin echoes: ``weighted``, ``linear`` or ``nonlinear``.
    skip_first_echo : bool
        Spin echoes: leave out the first echo, which alone holds no stimulated echo. With refocusing at 150 degrees
        this takes the error of the weighted fit from +6 % to below 1 % (extended phase graph, 8 echoes 6.3 ms apart).
    r2_minimum : float
        Spin echoes: a worse fit does not count.
    qdess_below_ms, spin_echo_below_ms : float
        Statistics count 0 < T2 < this.
    t1_ms, diffusivity_m2_s : float
        qDESS: of cartilage.
    """

    fit: str = "weighted"
    skip_first_echo: bool = False
    r2_minimum: float = 0.7
    qdess_below_ms: float = 80.0
    spin_echo_below_ms: float = 100.0
    t1_ms: float = CARTILAGE_T1_MS
    diffusivity_m2_s: float = CARTILAGE_DIFFUSIVITY_M2_S

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ConfigError(f"'{self.fit}' is not a way to fit T2.", f"Choose one of {', '.join(FITS)}.")


@dataclass(frozen=True, eq=False)
class T2Map:
    """A T2 map and what it is worth.

    Attributes
    ----------
    t2_ms : Volume
        float32; NaN where there is no positive, finite value.
    status : Volume
        uint8, the same grid: `Status` of every voxel.
    r2 : Volume or None
        Coefficient of determination of the fit; None for qDESS, which has nothing left over to judge a fit by.
    method : str
        ``spoiled`` or ``low_spoiling`` for qDESS; ``weighted``, ``linear`` or ``nonlinear`` for spin echoes.
    sequence : Qdess or SpinEchoes
        What it was computed from.
    options : T2Options
        How.
    warnings : list of (code, sentence)
        What a reader must know.
    """

    t2_ms: Volume
    status: Volume
    r2: Volume | None
    method: str
    sequence: Qdess | SpinEchoes
    options: T2Options
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def facts(self) -> dict:
        """Everything that a methods section needs, JSON-serialisable."""
        below = self.options.qdess_below_ms if isinstance(self.sequence, Qdess) else self.options.spin_echo_below_ms
        common = {"sequence": self.sequence.name, "t2_method": self.method, "valid_below_ms": below}
        if isinstance(self.sequence, SpinEchoes):
            return {**common, "echo_times_ms": list(self.sequence.echo_times_ms),
                    "skip_first_echo": self.options.skip_first_echo, "r2_minimum": self.options.r2_minimum}
        s, tissue = self.sequence, {"t1_ms": self.options.t1_ms, "diffusivity_m2_s": self.options.diffusivity_m2_s}
        facts = {**common, "echo_times_ms": [s.te_ms, s.te_ms], "repetition_time_ms": s.tr_ms,
                 "flip_angle_deg": s.flip_deg, **tissue}
        if s.spoiler:
            bias = low_spoiling_bias(np.array([20.0, 40.0, 60.0]), s.tr_ms, s.te_ms, s.flip_deg, s.spoiler, **tissue)
            facts["spoiler"] = asdict(s.spoiler)
            facts["low_spoiling_would_differ_percent"] = {
                f"{t2:g} ms": round(100 * float(b), 3) for t2, b in zip((20.0, 40.0, 60.0), bias, strict=True)}
        return facts


def make_t2_map(echoes: Sequence[Volume], options: T2Options | None = None) -> T2Map:
    """The T2 map of a qDESS pair or a spin-echo train, on the grid of the echoes.

    Parameters
    ----------
    echoes : sequence of Volume
        As :func:`~KneePipelineLib.imaging.read_echoes` gives them, first echo first.
    options : T2Options, optional

    Raises
    ------
    DicomError, InvalidFormatError
        From :func:`~.sequences.sequence_of`.
    ConfigError
        If leaving out the first echo leaves fewer than three.
    """
    options = options or T2Options()
    sequence = sequence_of(echoes)
    if isinstance(sequence, Qdess):
        return _qdess_map(echoes, sequence, options)
    return _spin_echo_map(echoes, sequence, options)


def _qdess_map(echoes: Sequence[Volume], sequence: Qdess, options: T2Options) -> T2Map:
    first, second, warnings = echoes[0], echoes[1], []
    if _total(second.array) > _total(first.array):
        first, second = second, first
        warnings.append(("T2_ECHOES_SWAPPED", "The second echo of the qDESS pair was brighter than the first, which no "
                         "tissue explains; they were taken in the reverse order."))
    if has_unusual_times(echoes, sequence):
        warnings.append(("T2_SEQUENCE_ASSUMED", "The series is named as a double-echo steady state, but the echo times "
                         "of the pair are unusual for it; if it is another acquisition, its T2 map means nothing."))
    if sequence.spoiler is None:
        warnings.append(("T2_LOW_SPOILING", "The header does not tell the spoiler (GLarea, Tg); T2 was computed for "
                         "low spoiling and reads a few per cent short if the spoiler was strong."))
    form = closed_form(sequence.tr_ms, sequence.te_ms, sequence.flip_deg, sequence.spoiler, t1_ms=options.t1_ms,
                       diffusivity_m2_s=options.diffusivity_m2_s)
    t2 = qdess_t2_ms(first.array, second.array, form)
    status = _status(t2, options.qdess_below_ms)
    return T2Map(first.with_array(_shown(t2), **_META), first.with_array(status, **_META), None,
                 SPOILED if sequence.spoiler else LOW_SPOILING, sequence, options, warnings)


def _spin_echo_map(echoes: Sequence[Volume], sequence: SpinEchoes, options: T2Options) -> T2Map:
    skip = int(options.skip_first_echo)
    if len(echoes) - skip < 3:
        raise ConfigError(f"Of {len(echoes)} echoes, leaving out the first leaves too few for a fit that can be "
                          "judged.", "Keep the first echo.")
    found = fit_decay([echo.array for echo in echoes[skip:]], sequence.echo_times_ms[skip:], fit=options.fit)
    status = _status(found.t2_ms, options.spin_echo_below_ms)
    status[(status == Status.MEASURED) & ~(found.r2 >= options.r2_minimum)] = Status.POOR_FIT
    status[np.isnan(found.t2_ms) & np.isfinite(found.amplitude)] = Status.POOR_FIT
    grid = echoes[0]
    return T2Map(grid.with_array(_shown(found.t2_ms), **_META), grid.with_array(status, **_META),
                 grid.with_array(found.r2, **_META), options.fit, sequence, options)


_META = {"units": None, "echo_time_ms": None, "echo_number": None}
"""What of an echo's facts is not true of the map."""


def _total(array: np.ndarray) -> float:
    return float(np.sum(array, dtype=np.float64))


def _status(t2_ms: np.ndarray, below_ms: float) -> np.ndarray:
    """Status of each T2 as it was computed; NaN says that there was nothing to compute it from."""
    status = np.full(t2_ms.shape, Status.MEASURED, np.uint8)
    with np.errstate(invalid="ignore"):
        status[t2_ms >= below_ms] = Status.ABOVE_RANGE
        status[t2_ms <= 0] = Status.NO_DECAY
    status[np.isinf(t2_ms)] = Status.NO_DECAY
    status[np.isnan(t2_ms)] = Status.NO_SIGNAL
    return status


def _shown(t2_ms: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where((t2_ms > 0) & (t2_ms < SHOWN_BELOW_MS), t2_ms, np.float32(np.nan))
