"""Frames to regular stacks: which image belongs to which echo, in which order, at which distance.

Nothing is believed but ImagePositionPatient and ImageOrientationPatient (DICOM PS3.3 C.7.6.2.1.1): slices are ordered
by their position projected on the normal of the image plane, and their distance is measured, not read. Regular slices
with gaps between them (spacing above SliceThickness) are normal in 2-D multi-slice MRI.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import DicomError
from .dicom_frames import Frame
from .formats import check_spacing

SAME_POSITION_MM = 0.01
"""Positions closer than this along the normal are the same slice; no knee MRI has slices that thin."""

GAP_TOLERANCE = 0.05
"""Largest relative deviation of one slice distance from the median; headers round positions to 1e-3 mm or better."""

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine inside a stack (0.06 degrees)."""


@dataclass(frozen=True)
class Stack:
    """One echo: frames in slice order on one regular grid (see :class:`~KneePipelineLib.imaging.Volume`)."""

    frames: tuple[Frame, ...]
    spacing: np.ndarray
    origin: np.ndarray
    direction: np.ndarray

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along (i, j, k)."""
        return self.frames[0].columns, self.frames[0].rows, len(self.frames)

    @property
    def echo_time_ms(self) -> float | None:
        """The echo time, None if the header does not tell."""
        return self.frames[0].echo_time_ms

    def same_place(self, other: Stack, tolerance_mm: float = 0.1) -> bool:
        """Whether both stacks have the same size and their corners at the same points."""
        if self.size != other.size:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.size])).reshape(3, -1)
        points = [(s.direction * s.spacing) @ corners + s.origin[:, None] for s in (self, other)]
        return bool(np.abs(points[0] - points[1]).max() <= tolerance_mm)


def stacks_of(frames: list[Frame]) -> list[Stack]:
    """The echoes of one series, in the order of their echo time, else of their echo number or acquisition.

    Raises
    ------
    DicomError
        Not one regular 3-D grid for every echo; the sentence says why, in numbers.
    """
    frames = _magnitude_only(frames)
    _check_alike(frames)
    direction = _plane(frames)
    echoes = [_stack(echo, direction) for echo in split_echoes(frames, direction[:, 2])]
    order = sorted(range(len(echoes)), key=lambda n: (echoes[n].echo_time_ms or 0.0, n))
    return [echoes[n] for n in order]


def _magnitude_only(frames: list[Frame]) -> list[Frame]:
    """Some makers put phase or real and imaginary images into the same series; only magnitude shows anatomy."""
    magnitude = [f for f in frames if f.component == "M"]
    return magnitude or frames


def _check_alike(frames: list[Frame]) -> None:
    """One grey-valued, placed, equally sized and oriented image after the other."""
    if any(f.header.samples != 1 for f in frames):
        raise DicomError("The series is in colour (RGB), but a knee MRI has one grey value per voxel.",
                         "Give the original series, not a screenshot or colour overlay.")
    unplaced = sum(f.position is None or f.orientation is None for f in frames)
    if unplaced:
        raise DicomError(f"{unplaced} of the series' {len(frames)} image(s) do not say where they lie in the patient "
                         "(no ImagePositionPatient or ImageOrientationPatient).",
                         "Give the original series from the scanner.", images=len(frames), unplaced=unplaced)
    if any(f.spacing is None for f in frames):
        raise DicomError("The series does not tell its PixelSpacing.", "Give the original series from the scanner.")
    sizes = sorted({(f.columns, f.rows) for f in frames})
    if len(sizes) > 1:
        text = ", ".join(f"{c} x {r}" for c, r in sizes[:4])
        raise DicomError(f"The series mixes images of {len(sizes)} sizes ({text}).",
                         "Export the series again, or choose another one.", sizes=[list(s) for s in sizes[:20]])
    spacings = np.array([f.spacing for f in frames])
    check_spacing(spacings[0])
    if np.ptp(spacings, axis=0).max() > 1e-3 * spacings.min():
        raise DicomError(f"The series mixes pixel spacings from {spacings.min():g} to {spacings.max():g} mm.",
                         "Export the series again, or choose another one.")


def _plane(frames: list[Frame]) -> np.ndarray:
    """(3, 3) direction: columns are the directions of growing i, growing j, and their normal."""
    cosines = np.array([f.orientation for f in frames])
    if np.abs(cosines - cosines[0]).max() > ORIENTATION_TOLERANCE:
        count = len(np.unique(np.round(cosines, 2), axis=0))
        raise DicomError(f"The series mixes at least {max(count, 2)} slice orientations, as a localizer does.",
                         "Choose a 3-D series of the knee.", orientations=int(max(count, 2)))
    along_i, along_j = cosines.mean(axis=0).reshape(2, 3)
    lengths = np.linalg.norm([along_i, along_j], axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(along_i @ along_j) > 0.01:
        raise DicomError("The series' ImageOrientationPatient is not a pair of perpendicular unit vectors.",
                         "Export the series again from the scanner.")
    along_i = along_i / lengths[0]
    along_j = along_j - (along_j @ along_i) * along_i
    along_j /= np.linalg.norm(along_j)
    return np.column_stack([along_i, along_j, np.cross(along_i, along_j)])


def split_echoes(frames: list[Frame], normal: np.ndarray) -> list[list[Frame]]:
    """Images of the same slices apart: by EchoNumbers, else by echo time, else by their order at each position.

    Some scanners give both echoes of a qDESS pair the same echo time, and anonymised exports may have lost the echo
    numbers too; what is left then is that each slice position occurs twice, first echo first.
    """
    slots = _slots(np.array([f.position for f in frames]) @ normal)
    counts = Counter(slots)
    if max(counts.values()) == 1:
        return [frames]
    partitions = [p for key in (lambda f: f.echo_number, _rounded_time) if (p := _partition(frames, slots, key))]
    for groups in partitions:
        if all(len({s for s, _ in g}) == len(g) == len(counts) for g in groups):
            return [[f for _, f in g] for g in groups]
    for groups in partitions:
        if all(len({s for s, _ in g}) == len(g) for g in groups):
            text = ", ".join(str(len(g)) for g in groups)
            raise DicomError(f"The {len(groups)} echoes do not hold the same slices ({text}); some are missing.",
                             "Export the whole series again.", slices=[len(g) for g in groups])
    repeats = counts[slots[0]]
    by_slot: dict[int, list[Frame]] = defaultdict(list)
    for slot, frame in zip(slots, frames, strict=True):
        by_slot[slot].append(frame)
    ordered = [sorted(group, key=lambda f: f.instance) for group in by_slot.values()]
    distinct = all(len({f.instance for f in group}) == len(group) for group in ordered)
    if partitions or not distinct or any(n != repeats for n in counts.values()):
        doubled = sum(n > 1 for n in counts.values())
        raise DicomError(
            f"{doubled} of the series' {len(counts)} slice positions occur more than once within one echo.",
            "Export the series again without duplicates, or choose another one.",
            positions=len(counts), doubled=doubled)
    return [[group[n] for group in ordered] for n in range(repeats)]


def _rounded_time(frame: Frame) -> float | None:
    return None if frame.echo_time_ms is None else round(frame.echo_time_ms, 3)


def _partition(frames: list[Frame], slots: list[int],
               key: Callable[[Frame], float | None]) -> list[list[tuple[int, Frame]]] | None:
    """(slot, frame) grouped by a key, in the key's order; None if it does not tell the frames apart."""
    groups: dict[float, list[tuple[int, Frame]]] = defaultdict(list)
    for slot, frame in zip(slots, frames, strict=True):
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


def _stack(frames: list[Frame], direction: np.ndarray) -> Stack:
    normal = direction[:, 2]
    positions = np.array([f.position for f in frames])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    ordered = tuple(frames[n] for n in order)
    if len(ordered) < 2:
        raise DicomError("The series is 2-D only: it has a single slice, but a 3-D volume is needed.",
                         "Give a whole stack of slices.", slices=len(ordered))
    if min(ordered[0].columns, ordered[0].rows) < 2:
        raise DicomError(f"The series' images have only {ordered[0].columns} x {ordered[0].rows} pixels.",
                         "Give the original series from the scanner.")
    distance = _slice_distance(positions @ normal)
    rows_mm, columns_mm = ordered[0].spacing
    expected = positions[0] + np.outer(np.arange(len(ordered)) * distance, normal)
    aside = np.linalg.norm((positions - expected) - np.outer((positions - expected) @ normal, normal), axis=1).max()
    if aside > max(0.1, 0.02 * distance):
        raise DicomError(f"The slices are not stacked straight: they are shifted by up to {aside:.1f} mm.",
                         "Resample the series to perpendicular axes, or choose another one.", shift_mm=float(aside))
    spacing = np.array([columns_mm, rows_mm, distance])
    check_spacing(spacing)
    return Stack(ordered, spacing, positions[0], direction)


def _slice_distance(heights: np.ndarray) -> float:
    """The common distance of neighbouring slices in mm, of sorted heights along the normal."""
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - usual)))
    if abs(gaps[worst] - usual) > GAP_TOLERANCE * usual + 1e-3:
        missing = round(gaps[worst] / usual) - 1 if usual > 0 else 0
        which = f"; {missing} slice(s) seem to be missing there" if missing > 0 else ""
        raise DicomError(
            f"The slices are irregularly spaced: {gaps[worst]:.2f} mm between slices {worst + 1} and {worst + 2}, "
            f"{usual:.2f} mm elsewhere{which}.",
            "Export the whole series again.", slices=len(heights), usual_mm=usual, worst_mm=float(gaps[worst]))
    distance = float(heights[-1] - heights[0]) / (len(heights) - 1)
    drift = np.abs(heights - heights[0] - distance * np.arange(len(heights))).max()
    if drift > 0.25 * distance:
        raise DicomError(f"The slices are irregularly spaced: they drift by up to {drift:.2f} mm from even steps of "
                         f"{distance:.2f} mm.", "Export the whole series again.", drift_mm=float(drift))
    return distance
