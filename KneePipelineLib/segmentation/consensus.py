"""One label map from several: STAPLE or plain majority.

STAPLE (Warfield, Zou, Wells, IEEE Trans. Med. Imaging 2004;23:903-921) estimates each rater's sensitivity and
specificity together with the truth. It is run label by label within the box that holds the label in any map: over a
whole image the background would outweigh every error.
"""

from __future__ import annotations

import numpy as np

from ..errors import SegmentationError
from ..imaging.labels import BY_VALUE
from ..imaging.volume import Volume

MARGIN_VOXELS = 2


def staple(volumes: list[Volume]) -> tuple[Volume, list[tuple[str, str]]]:
    """Consensus of label maps by STAPLE.

    A voxel takes the label with the highest probability above one half. Equal probabilities are decided by the number
    of votes, then by the first map that voted for one of them. A label that at most half of the maps know at all is
    left out with a warning: STAPLE would believe its only witness.

    Parameters
    ----------
    volumes : list of Volume
        Integer labels on the same grid; two or more.

    Returns
    -------
    labels : Volume
        uint8, on the first map's grid.
    warnings : list of (code, sentence)

    Raises
    ------
    SegmentationError
        If there are fewer than two maps or their grids differ.
    """
    arrays = _arrays(volumes)
    best = np.full(arrays[0].shape, 0.5, dtype=np.float32)
    votes_for_best = np.zeros(best.shape, dtype=np.uint8)
    result = np.zeros(best.shape, dtype=np.uint8)
    warnings = []
    for value in _values(arrays):
        witnesses = sum(bool((a == value).any()) for a in arrays)
        if 2 * witnesses <= len(arrays):
            warnings.append(("CONSENSUS_DROPPED", f"{_title(value)} was found by {witnesses} of {len(arrays)} networks "
                             "only and left out of the consensus."))
            continue
        box = _box(arrays, value)
        masks = [a[box] == value for a in arrays]
        probability = _staple_probability(masks)
        votes = np.sum(masks, axis=0, dtype=np.uint8)
        ahead = probability > best[box]
        equal = (probability == best[box]) & (result[box] > 0)
        ahead |= equal & (votes > votes_for_best[box])
        ahead |= equal & (votes == votes_for_best[box]) & _comes_first(arrays, box, value, result[box])
        result[box][ahead] = value
        best[box][ahead] = probability[ahead]
        votes_for_best[box][ahead] = votes[ahead]
    return volumes[0].with_array(result), warnings + _lost(arrays, result, warnings)


def majority(volumes: list[Volume]) -> tuple[Volume, list[tuple[str, str]]]:
    """The label with the most votes at every voxel; of equals the one that the earliest map voted for."""
    arrays = _arrays(volumes)
    votes = np.zeros(arrays[0].shape, dtype=np.uint8)
    result = np.zeros(arrays[0].shape, dtype=np.uint8)
    for array in arrays:  # in the maps' order, and only a larger number of votes displaces: so the earliest wins ties
        count = np.sum([a == array for a in arrays], axis=0, dtype=np.uint8)
        ahead = count > votes
        result[ahead] = array[ahead]
        votes[ahead] = count[ahead]
    return volumes[0].with_array(result), _lost(arrays, result, [])


def _lost(arrays: list[np.ndarray], result: np.ndarray, said: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A warning for every label that maps have and the consensus has not, if none was given yet."""
    kept = set(np.unique(result).tolist())
    warnings = []
    for value in _values(arrays):
        witnesses = sum(bool((a == value).any()) for a in arrays)
        if value not in kept and not any(sentence.startswith(_title(value)) for _, sentence in said):
            warnings.append(("CONSENSUS_DROPPED", f"{_title(value)} was found by {witnesses} of {len(arrays)} "
                             "networks, but nowhere by enough of them at the same place; it is not in the consensus."))
    return warnings


def _title(value: int) -> str:
    return BY_VALUE[value].title if value in BY_VALUE else f"Label {value}"


def _arrays(volumes: list[Volume]) -> list[np.ndarray]:
    if len(volumes) < 2:
        raise SegmentationError("A consensus needs at least two label maps.", "Install the missing planar networks.")
    if not all(v.same_grid(volumes[0]) for v in volumes[1:]):
        raise SegmentationError("The label maps of a consensus lie on different grids.",
                                "All must come from the same image.")
    return [v.array for v in volumes]


def _values(arrays: list[np.ndarray]) -> list[int]:
    return sorted({int(v) for a in arrays for v in np.unique(a)} - {0})


def _box(arrays: list[np.ndarray], value: int) -> tuple[slice, ...]:
    known = np.zeros(arrays[0].shape, dtype=bool)
    for array in arrays:
        known |= array == value
    box = []
    for axis in range(3):
        hit = np.flatnonzero(known.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(int(hit[0]) - MARGIN_VOXELS, 0), int(hit[-1]) + 1 + MARGIN_VOXELS))
    return tuple(box)


def _staple_probability(masks: list[np.ndarray]) -> np.ndarray:
    """Probability of the label at every voxel; agreement of all maps is taken as it is."""
    import SimpleITK as sitk

    if all(np.array_equal(masks[0], m) for m in masks[1:]):
        return masks[0].astype(np.float32)
    staple_filter = sitk.STAPLEImageFilter()
    staple_filter.SetForegroundValue(1)
    staple_filter.SetMaximumIterations(200)
    image = staple_filter.Execute([sitk.GetImageFromArray(m.astype(np.uint8)) for m in masks])
    return np.nan_to_num(sitk.GetArrayFromImage(image).astype(np.float32))


def _comes_first(arrays: list[np.ndarray], box: tuple[slice, ...], value: int, other: np.ndarray) -> np.ndarray:
    """Where ``value`` is voted for by an earlier map than the label that stands there so far."""
    first = np.full(other.shape, len(arrays), dtype=np.int16)
    first_other = first.copy()
    for number in reversed(range(len(arrays))):
        first[arrays[number][box] == value] = number
        first_other[arrays[number][box] == other] = number
    return first < first_other
