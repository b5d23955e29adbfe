"""The numbers in a label map: made small unsigned integers, counted, and replaced by a table."""

from __future__ import annotations

import numpy as np

from ..errors import SegmentationError


def integer_labels(array: np.ndarray) -> np.ndarray:
    """Label values as a uint8 or uint16 array.

    Raises
    ------
    SegmentationError
        If values are not whole, negative, or above 65535.
    """
    if array.dtype == np.uint8 or array.dtype == np.uint16:
        return array
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > np.iinfo(np.uint16).max:
        raise SegmentationError(
            "The label map holds values that are no labels (negative, not finite or above 65535).",
            "Give an integer label map, not an image or a probability map.",
        )
    whole = array.astype(np.uint8 if high < 256 else np.uint16)
    if not np.issubdtype(array.dtype, np.integer) and not np.array_equal(whole, array):
        raise SegmentationError(
            "The label map holds fractional values.", "Give an integer label map, not an image or a probability map."
        )
    return whole


def value_counts(array: np.ndarray) -> dict[int, int]:
    """Voxels of every value that occurs, 0 aside; a slab at a time, to keep memory low."""
    total = np.zeros(int(array.max(initial=0)) + 1, dtype=np.int64)
    for slab in array:
        counts = np.bincount(slab.ravel())
        total[: len(counts)] += counts
    return {int(v): int(total[v]) for v in np.flatnonzero(total) if v}


def apply_mapping(array: np.ndarray, mapping: dict[int, int]) -> np.ndarray:
    """Replace values by a table; values that occur must have an entry. The same array if nothing changes."""
    table = np.zeros(np.iinfo(array.dtype).max + 1, dtype=np.uint8)
    for value, canonical in mapping.items():
        if value < len(table):
            table[value] = canonical
    table[0] = 0
    if array.dtype == np.uint8 and all(table[v] == v for v in mapping):
        return array
    mapped = np.zeros(array.shape, np.uint8)
    for source, target in zip(array, mapped, strict=True):
        if source.any():
            target[...] = table[source]
    return mapped
