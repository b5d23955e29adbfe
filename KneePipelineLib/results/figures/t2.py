"""Slices of the T2 map on the image, on one scale for every knee."""

from __future__ import annotations

import numpy as np

from ...imaging.labels import CARTILAGES, SUBREGIONS
from ...imaging.volume import Volume
from .colours import colour_of
from .slices import (
    _BACKDROP,
    PLANES,
    SIZE,
    SlicePicture,
    _among,
    _box_of_interest,
    _centres,
    _linear,
    _nearest,
    _sample_places,
    _windowed,
)

LOWER_MS, UPPER_MS = 20.0, 80.0
"""Cartilage lies between; one scale for every knee, so that pictures can be compared."""

_CARTILAGE = (*CARTILAGES, *(s.value for s in SUBREGIONS))


def t2_pictures(t2_map: Volume, labels: Volume | None = None, image: Volume | None = None, *,
                pixels: int = SIZE) -> list[SlicePicture]:
    """The planes of the label pictures with T2 in cartilage; without labels, three slices of the whole map.

    Parameters
    ----------
    t2_map : Volume
        ms, NaN where not measured.
    labels, image : Volume, optional
        On the same grid; otherwise they are left out.
    pixels : int
        Width and height of each picture.

    Returns
    -------
    list of SlicePicture
        Empty when nothing was measured.
    """
    labels, image = (v if v is not None and v.same_grid(t2_map, tolerance_mm=0.05) else None for v in (labels, image))
    box = _box_of_interest(labels) if labels is not None else ((0, 0, 0), t2_map.size)
    if box is None or not np.isfinite(t2_map.array).any():
        return []
    values = t2_map.cropped(*box).reoriented("LPS")
    grey = _windowed(image.cropped(*box).reoriented("LPS").array) if image is not None else None
    shown = np.where(np.isfinite(values.array) & (values.array < UPPER_MS), values.array, np.nan)
    if labels is not None:
        labels = labels.cropped(*box).reoriented("LPS")
        shown = np.where(_among(np.asarray(labels.array), _CARTILAGE), shown, np.nan)
        centres = _centres(labels)
    else:
        centres = [(f"Sagittal, {word}", "sagittal", int(values.size[0] * share))
                   for word, share in (("right third", 0.3), ("middle", 0.5), ("left third", 0.7))]
    extent_mm = np.array(values.size) * values.spacing
    return [_picture(values, shown, grey, title, plane, index,
                     np.delete(extent_mm, PLANES[plane]).max() / pixels, pixels) for title, plane, index in centres]


def _picture(grid: Volume, shown: np.ndarray, grey: np.ndarray | None, title: str, plane: str, index: int,
             mm_per_pixel: float, pixels: int) -> SlicePicture:
    axis = PLANES[plane]
    spacing = [s for a, s in enumerate(grid.spacing) if a != axis]
    flat = np.take(shown, index, axis=2 - axis)
    rows, columns = (_sample_places(n, s, mm_per_pixel, pixels) for n, s in zip(flat.shape, spacing[::-1], strict=True))
    up = plane != "axial"
    # 255 steps of the scale, counted from 1: 0 is left for "nothing here".
    share = (flat - LOWER_MS) / (UPPER_MS - LOWER_MS)
    steps = np.where(np.isfinite(flat), np.clip(share, 0, 1) * 254 + 1, 0).astype(np.uint8)
    drawn = _nearest(steps[::-1] if up else steps, rows, columns)
    picture = np.empty((pixels, pixels, 3), np.float32)
    picture[:] = _BACKDROP
    if grey is not None:
        slab = np.take(grey, index, axis=2 - axis)
        picture[:] = _linear(slab[::-1] if up else slab, rows, columns)[..., None]
    inside = drawn > 0
    picture[inside] = colour_of((drawn[inside].astype(np.float32) - 1) / 254, 1.0)
    return SlicePicture(title, plane, picture.round().astype(np.uint8), mm_per_pixel, ())
