"""Which pulse sequence a set of echoes comes from, decided from the facts in their header and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import DicomError, InvalidFormatError
from ..imaging import Volume
from ..imaging.acquisitions import GRADIENT_ECHO, SPIN_ECHO, SPIN_LOCK, is_steady_state_pair
from .qdess import Spoiler

GRADIENT_ECHO_BELOW_DEG = 60.0
"""A train of echoes with a smaller flip angle was not refocused by pulses (spin-echo series carry 90 or more)."""

TIME_TOLERANCE_MS = 0.05
_WHAT_TO_GIVE = "Give the DICOM series of a qDESS or a multi-echo spin-echo acquisition."


@dataclass(frozen=True)
class Qdess:
    """A double-echo steady-state acquisition.

    Attributes
    ----------
    tr_ms, te_ms, flip_deg : float
        Repetition time, echo time of the first echo (the second lies as long before the next pulse), flip angle.
    spoiler : Spoiler or None
        None where the header does not tell it, the normal state of anonymised data.
    """

    tr_ms: float
    te_ms: float
    flip_deg: float
    spoiler: Spoiler | None = None
    name = "qdess"

    @property
    def echo_count(self) -> int:
        """Always two."""
        return 2


@dataclass(frozen=True)
class SpinEchoes:
    """A multi-echo spin-echo acquisition: its echo times in ms, increasing."""

    echo_times_ms: tuple[float, ...]
    name = "mese"

    @property
    def echo_count(self) -> int:
        """How many echoes there are."""
        return len(self.echo_times_ms)


def sequence_of(echoes: Sequence[Volume]) -> Qdess | SpinEchoes:
    """The acquisition that these echoes are, in the order in which :func:`~KneePipelineLib.imaging.read_echoes` gives.

    Two echoes with positive evidence of a double-echo steady state
    (:func:`~KneePipelineLib.imaging.acquisitions.is_steady_state_pair`) are a qDESS pair; three or more with increasing
    echo times and pulses that refocus are a spin-echo train.

    Raises
    ------
    DicomError
        If a fact that T2 needs is missing from the header or contradicts itself.
    InvalidFormatError
        If the echoes are of another kind (gradient echoes, spin-lock images, two spin echoes, maps, one echo) or do not
        share a grid.
    """
    if len(echoes) < 2:
        raise InvalidFormatError("T2 needs at least two echoes, but there is one.", _WHAT_TO_GIVE)
    if not all(echo.same_grid(echoes[0]) for echo in echoes[1:]):
        raise InvalidFormatError("The echoes do not lie on one grid, so no voxel can be followed from echo to echo.",
                                 "Give echoes of one acquisition.")
    if echoes[0].meta.get("acquisition") == SPIN_LOCK:
        raise InvalidFormatError("These are spin-lock images: their decay is T1rho, not T2.", _WHAT_TO_GIVE)
    return _qdess(echoes) if len(echoes) == 2 else _spin_echoes(echoes)


def _qdess(echoes: Sequence[Volume]) -> Qdess:
    meta = echoes[0].meta
    spoiler = spoiler_of(meta) or spoiler_of(echoes[1].meta)
    times = [_number(echo.meta, "echo_time_ms") for echo in echoes]
    tr, flip = _number(meta, "repetition_time_ms"), _number(meta, "flip_angle_deg")
    if _is_spin_echo(meta) or (flip is not None and flip >= 90 and spoiler is None):
        raise InvalidFormatError("Two spin echoes are too few for a T2 map whose fit can be judged.", _WHAT_TO_GIVE)
    if None in times and spoiler is None:
        raise _missing("echo times" if flip is not None else "echo times and the flip angle", 2)
    lacking = [words for words, value in (("the repetition time", tr), ("the echo time", times[0]),
                                          ("the flip angle", flip)) if value is None]
    if lacking:
        raise _missing(" and ".join(lacking), 2)
    if not (times[0] < tr and 0 < flip < 180):
        raise DicomError(f"The header of the qDESS pair cannot be right: TR {tr:g} ms, TE {times[0]:g} ms, flip angle "
                         f"{flip:g} degrees.", "Check the export; T2 is computed from these numbers.")
    numbers = [_number(echo.meta, "echo_number") for echo in echoes]
    if not is_steady_state_pair(str(meta.get("acquisition") or ""), spoiler is not None, times, numbers, tr, flip):
        raise InvalidFormatError(
            "Nothing in the header says that these two gradient echoes are a double-echo steady state (qDESS): two "
            "echoes of one readout, as of Dixon or field maps, and two repetitions give no T2.", _WHAT_TO_GIVE)
    return Qdess(tr, times[0], flip, spoiler)


def has_unusual_times(echoes: Sequence[Volume], sequence: Qdess) -> bool:
    """Whether the second echo time fits no qDESS header: neither TE again, nor TR - TE, nor 2 TR - TE.

    Only a pair that is named a double-echo steady state, without its spoiler, gets so far.
    """
    second = _number(echoes[1].meta, "echo_time_ms")
    usual = (sequence.te_ms, sequence.tr_ms - sequence.te_ms, 2 * sequence.tr_ms - sequence.te_ms)
    return sequence.spoiler is None and second is not None and min(abs(second - t) for t in usual) > 1.0


def _spin_echoes(echoes: Sequence[Volume]) -> SpinEchoes:
    times = [_number(echo.meta, "echo_time_ms") for echo in echoes]
    flip = _number(echoes[0].meta, "flip_angle_deg")
    if None in times:
        raise _missing("echo times", len(echoes))
    if any(b - a <= TIME_TOLERANCE_MS for a, b in pairwise(times)):
        raise DicomError(f"The {len(echoes)} echoes do not have increasing echo times: "
                         f"{', '.join(f'{t:g}' for t in times)} ms.", _WHAT_TO_GIVE)
    if (flip is not None and flip < GRADIENT_ECHO_BELOW_DEG) or _is_gradient_echo(echoes[0].meta):
        raise InvalidFormatError("These are gradient echoes: their decay is T2*, not T2.", _WHAT_TO_GIVE)
    return SpinEchoes(tuple(times))


def spoiler_of(meta: Mapping) -> Spoiler | None:
    """The spoiler from GLarea and Tg; None where either is absent, zero or not a number."""
    area, duration = _number(meta, "gl_area"), _number(meta, "tg_us")
    return Spoiler(area, duration) if area is not None and duration is not None else None


def _is_gradient_echo(meta: Mapping) -> bool:
    words = _sequence_words(meta)
    return meta.get("acquisition") == GRADIENT_ECHO or ("GR" in words and "SE" not in words)


def _is_spin_echo(meta: Mapping) -> bool:
    words = _sequence_words(meta)
    return meta.get("acquisition") == SPIN_ECHO or ("SE" in words and "GR" not in words)


def _sequence_words(meta: Mapping) -> str:
    return str((meta.get("header") or {}).get("scanning_sequence") or "").upper()


def _number(meta: Mapping, key: str) -> float | None:
    """A positive finite number, or None: zero says "not known" in these headers."""
    try:
        value = float(meta.get(key))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _missing(what: str, count: int) -> DicomError:
    return DicomError(f"The {count} echoes carry no header with {what}, which T2 is computed from.",
                      "Give the DICOM series instead of a converted file.")
