"""Which images of an input are echoes of one acquisition: those of one series, or one series for each echo."""

from __future__ import annotations

from dataclasses import dataclass

from .acquisitions import is_steady_state_pair
from .dicom_geometry import Stack, on_one_grid
from .dicom_series import Series
from .dicom_sorting import SAME_ECHO_TIME_MS
from .image_kinds import is_picture
from .limits import Limits


@dataclass
class EchoSet:
    """Stacks of the same place at several echoes, from one series or one series each."""

    stacks: list[Stack]
    series: list[Series]


def echo_sets(series: list[Series], limits: Limits) -> list[EchoSet]:
    """Multi-echo series, and sibling series that hold one echo each of the same place.

    Siblings agree in study, grid, kind of image, repetition time and flip angle and differ in echo time or, as the two
    halves of a qDESS pair may, in echo number only. Repetitions and maps are no echoes.
    """
    sets, singles = [], []
    for one in series:
        if one.problem:
            continue
        limits.check_voxels(one.stacks[0].size)
        if not is_picture(one.stacks[0].frames[0].kind):
            continue
        if one.reading().echoes:
            sets.append(EchoSet(one.stacks, [one]))
        else:
            singles.append(one)
    while singles:
        first = singles.pop(0)
        family = [first, *(s for s in singles if _siblings(first, s))]
        by_echo: dict[tuple, Series] = {}
        for member in family:
            frame = member.stacks[0].frames[0]
            by_echo.setdefault((round((frame.echo_time_ms or 0.0) / SAME_ECHO_TIME_MS), frame.echo_number or 0), member)
        if len(by_echo) > 1:
            members = [by_echo[k] for k in sorted(by_echo)]
            sets.append(EchoSet(on_one_grid([m.stacks[0] for m in members]), members))
            singles = [s for s in singles if s not in family]
    return sets


def set_of(series: Series, sets: list[EchoSet]) -> EchoSet | None:
    """The acquisition whose echoes are series of their own, this one among them: a qDESS pair, or three and more."""
    for found in sets:
        if series in found.series and len(found.series) > 1 and (len(found.stacks) > 2 or is_pair(found.stacks)):
            return found
    return None


def is_pair(stacks: list[Stack]) -> bool:
    """Whether two stacks are the echoes of a double-echo steady state; see `is_steady_state_pair`."""
    if len(stacks) != 2:
        return False
    first, second = (s.frames[0] for s in stacks)
    return is_steady_state_pair(first.header.acquisition, bool(first.header.gl_area and first.header.tg_us),
                                (first.echo_time_ms, second.echo_time_ms), (first.echo_number, second.echo_number),
                                first.repetition_time_ms, first.flip_angle_deg)


def _siblings(a: Series, b: Series) -> bool:
    one, other = a.stacks[0].frames[0], b.stacks[0].frames[0]
    return (a.header.study_uid == b.header.study_uid and a.header.modality == b.header.modality
            and one.kind == other.kind and a.header.acquisition == b.header.acquisition
            and _close(one.repetition_time_ms, other.repetition_time_ms)
            and _close(one.flip_angle_deg, other.flip_angle_deg)
            and a.stacks[0].same_place(b.stacks[0]))


def _close(a: float | None, b: float | None) -> bool:
    return a is b or (a is not None and b is not None and abs(a - b) <= 1e-3 * max(abs(a), abs(b)))
