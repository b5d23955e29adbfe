"""Which voxels are a bone: the piece that carries the joint, joined with what an open growth plate divides from it.

A label comes in several pieces for two reasons. Stray voxels are no bone. A growth plate (physis) is not labelled as
bone, and divides a growing child's bone across: the shaft is then often the larger piece, and the epiphysis the one
that the joint is made of. So size decides nothing here: the piece that its own cartilage lies on is the bone (without
any cartilage, the one nearest to the bone across the joint), and what faces it across a gap of a few millimetres over
a wide area belongs to it, gap included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .labels import BONE_CARTILAGES, FEMUR, TIBIA

GAP_MM = 4.5
"""The widest gap that is bridged. Open plates are 1 to 3 mm wide."""

FACING_MM2 = 150.0
"""The smallest area over which two pieces must face each other to be one bone; a stray piece touches by a corner."""

MOST_PLATES = 2
"""A bone in more pieces than this many growth plates divide (the tibia's end and its tuberosity) is no growing one."""

SIZEABLE = 0.01
"""Share of a label's voxels from which a piece counts as one."""

CONTACT_MM = 2.0
_ACROSS = {FEMUR: TIBIA, TIBIA: FEMUR}


@dataclass(frozen=True, eq=False)
class WholeBone:
    """One bone of a label map.

    Attributes
    ----------
    mask : numpy.ndarray
        bool, the label's smallest box: the bone with the gaps that were bridged.
    pieces : int
        How many sizeable pieces the label came in.
    left_out : int
        How many of them are not part of the bone.
    gap_mm : float
        Width of the widest gap that was bridged, 0 where none was.
    """

    mask: np.ndarray
    pieces: int
    left_out: int = 0
    gap_mm: float = 0.0


def whole_bone(array: np.ndarray, bone: int, box: tuple[slice, slice, slice], spacing_zyx_mm: np.ndarray) -> WholeBone:
    """The bone of a label map; see the module.

    Parameters
    ----------
    array : numpy.ndarray
        Canonical labels (z, y, x).
    bone : int
        Femur, tibia or patella; must occur.
    box : tuple of slices
        The smallest box around the label.
    spacing_zyx_mm : (3,) floats
        Along the array's axes.
    """
    from scipy.ndimage import label

    part = array[box]
    mask = part == bone
    numbers, count = label(mask)
    if count <= 1:
        return WholeBone(mask, count)
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    sizeable = np.flatnonzero(sizes > SIZEABLE * sizes.sum())
    if len(sizeable) == 1:
        return WholeBone(numbers == sizeable[0], 1)
    spacing = np.asarray(spacing_zyx_mm, float)
    chosen = _carrying(array, bone, box, numbers, sizes, sizeable, spacing)
    kept, gap = numbers == chosen, 0.0
    left = [n for n in sizeable if n != chosen]
    joined = True
    while joined and left:
        joined = False
        to_kept = _distance(kept, spacing)
        for number in sorted(left, key=lambda n: float(to_kept[numbers == n].min())):
            other = numbers == number
            bridge, width, area = _bridge(to_kept, other, part == 0, spacing)
            if area >= FACING_MM2:
                kept, gap, joined = kept | other | bridge, max(gap, width), True
                left.remove(number)
                break
    if len(sizeable) - 1 - len(left) > MOST_PLATES:
        return WholeBone(numbers == chosen, len(sizeable), len(sizeable) - 1)
    return WholeBone(kept, len(sizeable), len(left), gap)


def _carrying(array: np.ndarray, bone: int, box: tuple[slice, slice, slice], numbers: np.ndarray, sizes: np.ndarray,
              sizeable: np.ndarray, spacing: np.ndarray) -> int:
    """The piece that most of its own cartilage lies on; failing that, the one nearest across the joint; the largest."""
    wider = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in box)
    inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wider, strict=True))
    cartilage = np.isin(array[wider], BONE_CARTILAGES[bone])
    if cartilage.any():
        touching = numbers[_distance(cartilage, spacing)[inner] <= CONTACT_MM]
        contact = np.bincount(touching, minlength=len(sizes))[sizeable]
        if contact.any():
            return int(sizeable[contact.argmax()])
    other = array == _ACROSS[bone] if bone in _ACROSS else np.zeros(1, bool)
    if other.any():
        to_other = _distance(other, spacing)[box]
        return int(min(sizeable, key=lambda n: float(to_other[numbers == n].min())))
    return int(sizes.argmax())


def _bridge(to_kept: np.ndarray, other: np.ndarray, empty: np.ndarray,
            spacing: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The empty voxels between two pieces that face each other, the gap's width (mm) and its area (mm2)."""
    nothing = np.zeros(other.shape, bool)
    if float(to_kept[other].min()) > GAP_MM:
        return nothing, 0.0, 0.0
    to_other = _distance(other, spacing)
    between = empty & (to_kept + to_other <= GAP_MM + spacing.min())
    if not between.any():
        return nothing, 0.0, 0.0
    # where two surfaces face each other the sum of both distances is the gap's width, and largest beside the gap
    width = float(np.quantile((to_kept + to_other)[between], 0.25))
    bridge = between & (to_kept + to_other <= 1.15 * width + spacing.min() / 2)
    gap = max(width - float(spacing.min()), float(spacing.min()))  # distances run from voxel centre to voxel centre
    return bridge, gap, float(bridge.sum()) * float(np.prod(spacing)) / gap


def _distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Distance in mm of every voxel to a mask, 0 in it."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~mask, sampling=spacing)
