"""The images of one series sorted into sets that hold every slice once: kinds apart, echoes apart, repetitions apart.

What is called an echo has to be told apart as one: by EchoNumbers or by echo time. Images of one slice that differ in
anything else (time point, acquisition, flip angle, contrast agent ...) are repetitions, and of those one set is read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np

from ..errors import DicomError
from .acquisitions import DESS
from .dicom_frames import SETTINGS, Frame
from .image_kinds import IMAGINARY, PHASE, PREFERRED, REAL

SAME_POSITION_MM = 0.08
"""Positions closer than this along the normal are the same slice: echoes jitter by hundredths of a millimetre, and no
knee MRI has slices that thin."""
SAME_ECHO_TIME_MS = 0.02
"""Echo times closer than this are one; headers round them, and no two echoes of a knee lie that near."""

Slotted = list[tuple[int, Frame]]


@dataclass
class Sets:
    """Sets of images, each holding every slice once.

    Attributes
    ----------
    groups : list of list of Frame
    echoes : bool
        Whether the header tells the groups apart as echoes; otherwise they are repetitions of one image, or unknown.
    notes : list of (code, sentence)
        What a person should know about what was left out.
    """

    groups: list[list[Frame]]
    echoes: bool = False
    notes: list[tuple[str, str]] = field(default_factory=list)


def of_one_kind(frames: list[Frame], wanted: str = "") -> tuple[list[Frame], list[tuple[str, str]]]:
    """The images of one kind: the wanted one, else the anatomy that is preferred; maps only where nothing else is.

    Returns
    -------
    frames : list of Frame
    notes : list of (code, sentence)
        That others were left out; nothing about phase, real and imaginary images, which always are.
    """
    kinds = Counter(f.kind for f in frames)
    if wanted in kinds:
        return [f for f in frames if f.kind == wanted], []
    chosen = next((k for k in PREFERRED if k in kinds), None) or kinds.most_common(1)[0][0]
    others = {k: n for k, n in kinds.items() if k not in (chosen, PHASE, REAL, IMAGINARY)}
    notes = []
    if others:
        text = ", ".join(f"{n} {k}" for k, n in others.items())
        notes.append(("KINDS_LEFT_OUT", f"The series also holds images of another kind ({text}); the {kinds[chosen]} "
                      f"{chosen} images were read. --echo \"{next(iter(others))}\" reads the others."))
    return [f for f in frames if f.kind == chosen], notes


def sort_images(frames: list[Frame], normal: np.ndarray) -> Sets:
    """Images of the same slices apart: as echoes, else as repetitions, else by their order at each position.

    Some scanners give both echoes of a qDESS pair the same echo time, and anonymised exports may have lost the echo
    numbers too; what is left then is that each slice position occurs twice, first echo first. That is believed of a
    double-echo steady-state series only.

    Raises
    ------
    DicomError
        Slices that are missing in one echo, or doubled.
    """
    slots = _slots(np.array([f.position for f in frames]) @ normal)
    images = list(zip(slots, frames, strict=True))
    counts = Counter(slots)
    if max(counts.values()) == 1:
        return Sets([frames])
    if len(counts) == 1:
        raise DicomError(f"All {len(frames)} images of the series lie at one and the same place: it shows one slice "
                         "many times, or its slices have lost their positions.",
                         "Give a whole stack of slices, as the scanner exported it.", images=len(frames))
    echoes = _echoes(images, len(counts))
    if echoes is not None:
        return Sets(echoes, echoes=True)
    partitions = _echo_partitions(images)
    for groups in partitions:
        if all(len({s for s, _ in g}) == len(g) for g in groups):
            text = ", ".join(str(len(g)) for g in groups)
            raise DicomError(f"The {len(groups)} echoes do not hold the same slices ({text}); some are missing.",
                             "Export the whole series again.", slices=[len(g) for g in groups])
    return _repetitions(images, len(counts)) or _by_order(images, counts, bool(partitions))


def _echoes(images: Slotted, slices: int) -> list[list[Frame]] | None:
    """The echoes, if echo numbers or echo times give every slice to each of them once."""
    for groups in _echo_partitions(images):
        if all(len({s for s, _ in g}) == len(g) == slices for g in groups):
            return [[f for _, f in g] for g in groups]
    return None


def _echo_partitions(images: Slotted) -> list[list[Slotted]]:
    times = sorted({f.echo_time_ms for _, f in images if f.echo_time_ms is not None})
    steps = np.cumsum([0.0, *(np.diff(times) > SAME_ECHO_TIME_MS)]) if times else []
    numbered = dict(zip(times, steps, strict=True))
    keys = (lambda f: f.echo_number, lambda f: numbered.get(f.echo_time_ms))
    return [groups for key in keys if (groups := _partition(images, key))]


def _repetitions(images: Slotted, slices: int) -> Sets | None:
    """Sets that differ in one of SETTINGS, the first of them with its echoes if it has several."""
    frame = images[0][1]
    spoiled = bool(frame.header.gl_area and frame.header.tg_us)  # a qDESS pair whose echo numbers are lost
    for n, name in enumerate(SETTINGS[:1] if spoiled else SETTINGS):
        groups = _partition(images, lambda f, n=n: f.settings[n])
        if not groups:
            continue
        if name == "image types":
            groups.sort(key=lambda g: (not g[0][1].original, min(f.instance for _, f in g)))
        if len({s for s, _ in groups[0]}) != slices:
            continue
        note = ("REPETITIONS", f"The series holds {len(groups)} images of every slice that differ in their {name}, not "
                "in their echo; the first were read.")
        if len(groups[0]) == slices:
            whole = [[f for _, f in g] for g in groups if len({s for s, _ in g}) == len(g) == slices]
            choice = f" --echo 1 to {len(whole)} reads another." if len(whole) > 1 else ""
            return Sets(whole, notes=[(note[0], note[1] + choice)])
        echoes = _echoes(groups[0], slices)
        if echoes is not None:
            return Sets(echoes, echoes=True, notes=[note])
    return None


def _by_order(images: Slotted, counts: Counter, numbered: bool) -> Sets:
    """By the order at each position, which only in a double-echo steady-state series tells the echoes."""
    by_slot: dict[int, list[Frame]] = defaultdict(list)
    for slot, frame in images:
        by_slot[slot].append(frame)
    ordered = [sorted(group, key=lambda f: f.instance) for group in by_slot.values()]
    repeats = len(ordered[0])
    distinct = all(len({f.instance for f in group}) == len(group) for group in ordered)
    if numbered or not distinct or any(n != repeats for n in counts.values()):
        doubled = sum(n > 1 for n in counts.values())
        raise DicomError(
            f"{doubled} of the series' {len(counts)} slice positions occur more than once within one echo.",
            "Export the series again without duplicates and without images computed from the echoes, or choose another "
            "one.", positions=len(counts), doubled=doubled)
    groups = [[group[n] for group in ordered] for n in range(repeats)]
    header = images[0][1].header
    if repeats == 2 and (header.acquisition == DESS or (header.gl_area and header.tg_us)):
        return Sets(groups, echoes=True)
    return Sets(groups, notes=[("REPEATS_UNKNOWN", f"The series holds {repeats} images of every slice, and nothing in "
                                "its header tells what they are; the first were read and they were not taken for "
                                f"echoes. --echo 1 to {repeats} reads another, --echo rss all of them combined.")])


def _partition(images: Slotted, key: Callable[[Frame], Hashable]) -> list[Slotted] | None:
    """(slot, frame) grouped by a key, in the key's order; None if it does not tell the frames apart."""
    groups: dict[Hashable, Slotted] = defaultdict(list)
    for slot, frame in images:
        value = key(frame)
        if value is None:
            return None
        groups[value].append((slot, frame))
    return [groups[k] for k in sorted(groups)] if len(groups) > 1 else None


def _slots(heights: np.ndarray) -> list[int]:
    """Number the distinct slice positions, given in mm along the normal."""
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order]) > SAME_POSITION_MM
    slots = np.empty(len(heights), dtype=int)
    slots[order] = np.concatenate([[0], np.cumsum(steps)])
    return slots.tolist()
