"""Which way the slices of a volume lie, where they are so thick that it matters."""

from __future__ import annotations

import numpy as np

THICK_MM = 1.0
"""Slices up to this are fine enough as they are."""

ANISOTROPY = 2.0
"""Slice spacing over the larger pixel size from which labels are interpolated."""


def slice_axis(spacing_mm: np.ndarray) -> int | None:
    """The axis (0, 1, 2 for i, j, k) along which slices are thick, None if none is.

    Parameters
    ----------
    spacing_mm : (3,) floats
        Along i, j, k.
    """
    axis = int(np.argmax(spacing_mm))
    others = np.delete(spacing_mm, axis)
    return axis if spacing_mm[axis] > THICK_MM and spacing_mm[axis] >= ANISOTROPY * others.max() else None
