"""Cleaning a network's labels up: pieces on the wrong side, pieces in the wrong place, holes in bones.

Networks label a few voxels far away as bone, or a lateral piece as medial. The published networks' own rule is the
largest connected component of every label and no holes in the bones. A bone is what carries the joint, growth plates or
not (`imaging.bone_pieces`). Cartilage is treated more gently: worn
cartilage really is in pieces, and dropping one would make bare bone of what is not, so a piece that is large enough
and lies on its own bone stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..imaging.bone_pieces import whole_bone
from ..imaging.labels import (
    BONE_CARTILAGES,
    BONES,
    BY_VALUE,
    FIBULA,
    LATERAL_MENISCUS,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_MENISCUS,
    MEDIAL_TIBIAL_CARTILAGE,
)
from ..imaging.volume import Volume

SIDED_PAIRS = ((MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE), (MEDIAL_MENISCUS, LATERAL_MENISCUS))
BONE_OF = {cartilage: bone for bone, cartilages in BONE_CARTILAGES.items() for cartilage in cartilages}
WRONG_SIDE_SHARE = 0.9
"""A piece is on the wrong side when this share of it lies beyond the line between medial and lateral."""
LEAST_DISTANCE_MM = 8.0
"""Medial and lateral centres nearer to each other than this say nothing about sides."""


@dataclass(frozen=True)
class CleaningOptions:
    """Which pieces stay.

    Attributes
    ----------
    piece_mm3 : float
        Smallest piece of cartilage that may stay beside the largest one.
    piece_share : float
        The same as a share of the largest piece; for cartilage and menisci the larger of both limits holds.
    """

    piece_mm3: float = 20.0
    piece_share: float = 0.02


@dataclass
class Cleaned:
    """Cleaned labels and what was found.

    Attributes
    ----------
    labels : Volume
    pieces : dict
        Label -> number of separate pieces before cleaning.
    kept_share : dict
        Label -> share of its voxels that stayed.
    warnings : list of (code, sentence)
    """

    labels: Volume
    pieces: dict[int, int]
    kept_share: dict[int, float]
    warnings: list[tuple[str, str]]


def clean_labels(labels: Volume, options: CleaningOptions | None = None) -> Cleaned:
    """Correct sides, drop stray pieces and fill holes in bones.

    Parameters
    ----------
    labels : Volume
        Canonical labels 0 to 10, uint8.
    """
    options = options or CleaningOptions()
    array, warnings = correct_sides(labels)
    if array is labels.array:
        array = array.copy()
    pieces, kept = {}, {}
    order = [*BONES, FIBULA, *(v for v in BY_VALUE if v <= FIBULA and v not in (*BONES, FIBULA))]
    boxes = _boxes(array)
    for value in order:  # bones first: cartilage is judged by the cleaned bone beneath it
        box = boxes.get(value)
        if box is None or not (array[box] == value).any():  # a bone that was filled may have swallowed it
            continue
        part = array[box]
        mask = part == value
        keep, pieces[value] = _pieces_to_keep(mask, value, array, box, labels.spacing[::-1], options)
        kept[value] = float(keep.sum() / mask.sum())
        part[mask & ~keep] = 0
        if value in BONES:
            part[_filled(keep)] = value
    dropped = sorted(BY_VALUE[v].title for v, share in kept.items() if share < 0.9)
    if dropped:
        warnings.append(("PIECES_DROPPED", "More than a tenth of these structures lay in stray pieces and was left "
                         f"out: {', '.join(dropped)}."))
    return Cleaned(labels.with_array(array), pieces, kept, warnings)


def _pieces_to_keep(mask: np.ndarray, value: int, array: np.ndarray, box: tuple[slice, ...], spacing_mm: np.ndarray,
                    options: CleaningOptions) -> tuple[np.ndarray, int]:
    """The voxels of the pieces that stay, and how many pieces there were (26-connected); ``spacing_mm`` is z, y, x."""
    from scipy import ndimage

    numbers, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count == 1:
        return mask, 1
    if value in BONES:  # of a child's bone the shaft may be the larger piece, and the joint's the one that counts
        bone = whole_bone(array, value, box, spacing_mm).mask & mask
        touched = np.unique(numbers[bone])
        return np.isin(numbers, touched[touched > 0]), count
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    stay = np.zeros(count + 1, dtype=bool)
    stay[largest] = True
    if value not in (*BONES, FIBULA):
        limit = max(options.piece_mm3 / float(np.prod(spacing_mm)), options.piece_share * sizes[largest])
        for number in np.flatnonzero(sizes >= limit):
            stay[number] = stay[number] or _lies_on_bone(numbers == number, value, array, box)
    return stay[numbers], count


def _lies_on_bone(piece: np.ndarray, value: int, array: np.ndarray, box: tuple[slice, ...]) -> bool:
    """Whether a piece of cartilage touches its own bone; a meniscus has none and may lie where it is."""
    from scipy import ndimage

    bone = BONE_OF.get(value)
    if bone is None:
        return True
    wider = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in box)
    around = array[wider]
    grown = np.zeros(around.shape, dtype=bool)
    grown[tuple(slice(s.start - w.start, s.start - w.start + n)
                for s, w, n in zip(box, wider, piece.shape, strict=True))] = piece
    return bool((ndimage.binary_dilation(grown, np.ones((3, 3, 3)), 2) & (around == bone)).any())


def _filled(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_fill_holes(mask)


def _boxes(array: np.ndarray) -> dict[int, tuple[slice, ...]]:
    """The smallest box around each label."""
    from scipy import ndimage

    return {value: box for value, box in enumerate(ndimage.find_objects(array), 1) if box is not None}


def correct_sides(labels: Volume) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Exchange the label of whole pieces of tibial cartilage or meniscus that lie on the other side of the knee.

    Sides are told by the medians of the two structures along the patient's left-right axis; which of the two is which
    is the network's word. (Single voxels along the border are the morphometry's business.)

    Returns
    -------
    array : numpy.ndarray
        The same array if nothing had to change.
    warnings : list of (code, sentence)
    """
    from scipy import ndimage

    array, moved = labels.array, []
    found = _boxes(array)
    for pair in SIDED_PAIRS:
        if not all(v in found for v in pair):
            continue
        boxes = [found[v] for v in pair]
        middle, sign = _dividing_line(labels, pair, boxes)
        if sign == 0:
            continue
        result = array
        for value, other, box, towards in zip(pair, pair[::-1], boxes, (sign, -sign), strict=True):
            numbers, count = ndimage.label(array[box] == value, np.ones((3, 3, 3)))
            if count == 1:
                continue
            left = _leftward_mm(labels, box, np.nonzero(numbers))
            number = numbers[numbers > 0]
            beyond = np.bincount(number, (left - middle) * towards < 0, count + 1)
            sizes = np.maximum(np.bincount(number, minlength=count + 1), 1)
            wrong = beyond / sizes >= WRONG_SIDE_SHARE
            wrong[0] = wrong[sizes.argmax()] = False
            if wrong.any():
                result = result.copy() if result is array else result
                result[box][wrong[numbers]] = other
                moved.append(BY_VALUE[value].title.lower())
        array = result
    warnings = [("SIDES_CORRECTED", f"Pieces of the {', '.join(moved)} lay on the other side of the knee and were "
                 "relabelled.")] if moved else []
    return array, warnings


def _dividing_line(labels: Volume, pair: tuple[int, int], boxes: list[tuple[slice, ...]]) -> tuple[float, int]:
    """Middle between both structures' medians along LPS x in mm; +1 when medial lies to the patient's left, else -1."""
    medians = [float(np.median(_leftward_mm(labels, box, np.nonzero(labels.array[box] == value))))
               for value, box in zip(pair, boxes, strict=True)]
    distance = medians[0] - medians[1]
    return sum(medians) / 2, 0 if abs(distance) < LEAST_DISTANCE_MM else int(np.sign(distance))


def _leftward_mm(labels: Volume, box: tuple[slice, ...], where: tuple[np.ndarray, ...]) -> np.ndarray:
    """LPS x in mm of voxels given by their (z, y, x) indices within a box."""
    step = labels.direction[0] * labels.spacing
    k, j, i = (w + s.start for w, s in zip(where, box, strict=True))
    return labels.origin[0] + step[0] * i + step[1] * j + step[2] * k


def shown_side(labels: Volume) -> str | None:
    """``right`` or ``left`` as the medial and lateral structures lie, or None if neither pair tells."""
    boxes = _boxes(labels.array)
    for pair in SIDED_PAIRS:
        if all(v in boxes for v in pair):
            _, sign = _dividing_line(labels, pair, [boxes[v] for v in pair])
            if sign:
                return "right" if sign > 0 else "left"
    return None
