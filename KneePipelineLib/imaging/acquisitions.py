"""Which acquisition a header speaks of, as far as relaxometry must know: words and codes, nothing about the pixels.

ScanningSequence is PS3.3 C.8.3.1, EchoPulseSequence C.8.13.4. A header that says nothing yields "": not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

DESS, SPIN_LOCK, SPIN_ECHO, GRADIENT_ECHO = "dess", "spin lock", "spin echo", "gradient echo"

_DESS = re.compile(r"DESS|DE-?SSFP|(?<![A-Z])DE3D|MENSA(?![A-Z])", re.IGNORECASE)
"""Names of the double-echo steady-state sequence: qDESS and 3D DESS, GE's MENSA, Siemens' ``*de3d1`` and others'."""
_SPIN_LOCK = re.compile(r"T1[\s_-]*(RHO|\u03c1)|(?<![A-Z0-9])T1R(?![A-Z0-9])|SPIN[\s_-]*LOCK|(?<![A-Z])TSL(?![A-Z])",
                        re.IGNORECASE)


def acquisition_of(scanning: Iterable[str], names: Iterable[str]) -> str:
    """``dess``, ``spin lock``, ``spin echo``, ``gradient echo``, or "" when the header does not tell.

    Parameters
    ----------
    scanning : iterable of str
        Values of ScanningSequence (SE, GR, RM, ...) or EchoPulseSequence (SPIN, GRADIENT, BOTH), upper case.
    names : iterable of str
        Series description and names of the pulse sequence; not the protocol's, which one examination shares.

    Notes
    -----
    A spin-echo code outweighs a name: descriptions are typed by people. A series that says both codes says nothing.
    """
    codes, text = set(scanning), " ".join(names)
    spin, gradient = bool(codes & {"SE", "SPIN"}), bool(codes & {"GR", "GRADIENT"})
    if _SPIN_LOCK.search(text) and not _DESS.search(text):
        return SPIN_LOCK
    if spin and not gradient:
        return SPIN_ECHO
    if _DESS.search(text):
        return DESS
    return GRADIENT_ECHO if gradient and not spin else ""


STEADY_STATE_BELOW_MS = 100.0
"""Repetition times of a double-echo steady state are 15 to 40 ms; at longer ones its second echo has decayed."""
SAME_TIME_MS = 0.05


def is_steady_state_pair(acquisition: str, spoiled: bool, times_ms: Sequence[float | None],
                         numbers: Sequence[int | None], tr_ms: float | None, flip_deg: float | None) -> bool:
    """Whether two echoes are, by positive evidence, the two of a double-echo steady state (qDESS).

    Evidence is the sequence's name, GE's spoiler elements, or a header as vendors write it for this sequence and no
    other: a short repetition time, a flip angle below 90 degrees and either one echo time for both with two echo
    numbers (GE) or a second echo time of TR - TE or 2 TR - TE. Two echoes of one gradient-echo readout (Dixon, field
    maps), two spin echoes and two repetitions have neither.

    Parameters
    ----------
    acquisition : str
        From `acquisition_of`.
    spoiled : bool
        Whether the header holds the spoiler's area and duration.
    times_ms, numbers : sequences of two
        Echo times and echo numbers.
    """
    if acquisition in (SPIN_ECHO, SPIN_LOCK):
        return False
    if acquisition == DESS or spoiled:
        return True
    if None in times_ms or tr_ms is None or flip_deg is None or not (tr_ms < STEADY_STATE_BELOW_MS and flip_deg < 90):
        return False
    first, second = times_ms
    if abs(second - first) <= SAME_TIME_MS:
        return None not in numbers and numbers[0] != numbers[1]
    return min(abs(second - (tr_ms - first)), abs(second - (2 * tr_ms - first))) <= 1.0
