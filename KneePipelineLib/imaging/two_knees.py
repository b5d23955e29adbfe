"""Two knees in one image: as two stacks of sagittal slices, or side by side in an axial or coronal volume."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ..errors import InvalidFormatError
from .dicom_frames import Frame
from .volume import Volume

LEAST_GAP_MM = 20.0
LEAST_DISTANCE_MM = 80.0
"""Between the middles of two knees; one sagittal stack of a single knee is hardly wider."""
LEAST_SLICES = 8

LEAST_VIEW_MM = 180.0
LEAST_LIMB_MM = 50.0
LEAST_SHARE = 0.3
"""Share of what is bright that the smaller of two limbs has at least; the edge of the other leg has less."""
_DARK = 0.12
"""Share of the 99th percentile below which a voxel is air: muscle of a fat-suppressed image lies above."""
_EMPTY = 0.06

SIDES = ("left", "right")


def one_knee(frames: list[Frame], side: str | None) -> list[Frame]:
    """The frames of the knee that is meant, of a series that holds a sagittal stack of each.

    Raises
    ------
    InvalidFormatError
        Two knees, and nobody said which.
    """
    stacks = _two_stacks(frames)
    if stacks is None:
        return frames
    if side not in SIDES:
        raise InvalidFormatError(
            f"The series holds two stacks of sagittal slices, {stacks[2]:.0f} mm apart: two knees.",
            "Choose one with --side left or --side right.", distance_mm=round(stacks[2], 1))
    return stacks[0] if side == "right" else stacks[1]


def _two_stacks(frames: list[Frame]) -> tuple[list[Frame], list[Frame], float] | None:
    """(right, left, distance of their middles in mm), or None if it is one stack or something else."""
    placed = [f for f in frames if f.position is not None and f.orientation is not None]
    if len(placed) != len(frames) or len(placed) < 2 * LEAST_SLICES:
        return None
    turned: dict[tuple, list[Frame]] = defaultdict(list)
    for frame in placed:
        turned[tuple(np.round(frame.orientation, 2) + 0.0)].append(frame)
    if len(turned) == 2 and all(_sagittal(group[0]) for group in turned.values()):
        parts = list(turned.values())
    elif len(turned) == 1 and _sagittal(placed[0]):
        parts = _parted(placed)
    else:
        return None
    if len(parts) != 2 or min(len({round(f.position[0], 1) for f in part}) for part in parts) < LEAST_SLICES:
        return None
    right, left = sorted(parts, key=lambda part: float(np.mean([f.position[0] for f in part])))
    distance = float(np.mean([f.position[0] for f in left]) - np.mean([f.position[0] for f in right]))
    gap = min(f.position[0] for f in left) - max(f.position[0] for f in right)
    return (right, left, distance) if distance >= LEAST_DISTANCE_MM and gap > 0 else None


def _sagittal(frame: Frame) -> bool:
    return abs(_normal(frame)[0]) > 0.7


def _normal(frame: Frame) -> np.ndarray:
    along_i, along_j = np.reshape(frame.orientation, (2, 3))
    return np.cross(along_i, along_j)


def _parted(frames: list[Frame]) -> list[list[Frame]]:
    """The slices on both sides of the one wide gap, if there is one and they are evenly spaced besides."""
    heights = np.array([f.position for f in frames]) @ _normal(frames[0])
    steps = np.diff(np.unique(np.round(heights, 2)))
    steps = steps[steps > 0.1]
    if not len(steps):
        return [frames]
    usual = float(np.median(steps))
    wide = steps > max(LEAST_GAP_MM, 3 * usual)
    if wide.sum() != 1 or np.abs(steps[~wide] - usual).max() > 0.1 * usual:
        return [frames]
    ordered = np.sort(np.unique(np.round(heights, 2)))
    at = int(np.argmax(np.diff(ordered)))
    middle = (ordered[at] + ordered[at + 1]) / 2
    return [[f for f, h in zip(frames, heights, strict=True) if bool(h > middle) == bool(above)] for above in (0, 1)]


def one_limb(volume: Volume, side: str | None) -> Volume:
    """The half of a volume that shows two legs side by side which the side names; any other volume as it is.

    Two legs are two bright stretches of similar size along the patient's left-right axis with air between them. Legs
    that touch are not told apart.

    Raises
    ------
    InvalidFormatError
        Two legs, and nobody said which.
    """
    found = _air_between(volume)
    if found is None:
        return volume
    axis, cut = found
    if side not in SIDES:
        raise InvalidFormatError("The image shows two legs side by side: two knees in one volume.",
                                 "Choose one with --side left or --side right, or crop the image to one knee.")
    lower, upper = [0, 0, 0], list(volume.size)
    grows_to_left = volume.direction[0, axis] > 0
    if (side == "left") == bool(grows_to_left):
        lower[axis] = cut
    else:
        upper[axis] = cut
    half = volume.cropped(tuple(lower), tuple(upper))
    notes = [*volume.meta.get("warnings", []), ("TWO_KNEES", f"The image shows two knees; the {side} one was cut out "
                                                "of it and read.")]
    return half.with_array(np.ascontiguousarray(half.array), warnings=notes)


def _air_between(volume: Volume) -> tuple[int, int] | None:
    """(index axis i, j or k that runs from side to side, index of the middle of the air), or None."""
    axis = int(np.argmax(np.abs(volume.direction[0])))
    step_mm = volume.spacing[axis]
    if volume.size[axis] * step_mm < LEAST_VIEW_MM:
        return None
    array = volume.array
    bright = array > _DARK * float(np.percentile(array[:: max(1, array.shape[0] // 40)], 99))
    others = tuple(a for a in range(3) if a != 2 - axis)
    profile = np.count_nonzero(bright, axis=others).astype(float)
    width = max(3, round(5.0 / step_mm) | 1)
    profile = np.convolve(np.pad(profile, width // 2, mode="edge"), np.ones(width) / width, mode="valid")
    filled = profile > _EMPTY * profile.max()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], filled.astype(int), [0]])))
    limbs = sorted(((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)),
                   key=lambda limb: profile[limb[0]:limb[1]].sum(), reverse=True)
    if len(limbs) < 2:
        return None
    first, second = sorted(limbs[:2])
    sums = [profile[a:b].sum() for a, b in (first, second)]
    if min(sums) < LEAST_SHARE * sum(sums) or min(b - a for a, b in (first, second)) * step_mm < LEAST_LIMB_MM:
        return None
    return axis, (first[1] + second[0]) // 2
