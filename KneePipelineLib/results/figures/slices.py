"""Slices in the three planes with the labels on them, as a radiologist expects to see them.

Sagittal: anterior to the left, superior up. Coronal: the patient's right to the left, superior up. Axial: the
patient's right to the left, anterior up. Voxels keep their true proportions. An oblique volume is cut along its own
nearest axes, not resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...imaging.labels import (
    BONES,
    BY_VALUE,
    CARTILAGES,
    FIBULA,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_TIBIAL_CARTILAGE,
    PATELLAR_CARTILAGE,
)
from ...imaging.volume import Volume

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
EDGES = {"sagittal": ("A", "P", "S", "I"), "coronal": ("R", "L", "S", "I"), "axial": ("R", "L", "A", "P")}
"""Letters at the left, right, top and bottom edge of each plane."""
SOFT = tuple(v for v in BY_VALUE if v not in (*BONES, FIBULA))
SIZE = 480
"""Rows and columns of a picture."""
_BACKDROP = (17, 20, 24)
_FILL_ON_IMAGE = {"bone": 0.10, "soft": 0.38}
_MARGIN_MM = 16.0


@dataclass(frozen=True, eq=False)
class SlicePicture:
    """One drawn slice.

    Attributes
    ----------
    title : str
        ``Sagittal, medial compartment``.
    plane : str
        ``sagittal``, ``coronal`` or ``axial``.
    pixels : (rows, columns, 3) uint8
    mm_per_pixel : float
    values : tuple of int
        Label values that are visible in it.
    """

    title: str
    plane: str
    pixels: np.ndarray
    mm_per_pixel: float
    values: tuple[int, ...]


def slice_pictures(labels: Volume, image: Volume | None = None, *, pixels: int = SIZE) -> list[SlicePicture]:
    """Four slices through the middle of the cartilage: sagittal through each compartment, coronal, axial.

    Parameters
    ----------
    labels : Volume
        Canonical labels, femoral subregions welcome.
    image : Volume, optional
        The MRI on the same grid; without it, or on another grid, the labels are drawn alone.
    pixels : int
        Width and height of each picture.

    Returns
    -------
    list of SlicePicture
        Empty when there is no label at all.
    """
    if image is not None and not image.same_grid(labels, tolerance_mm=0.05):
        image = None
    box = _box_of_interest(labels)
    if box is None:
        return []
    labels = labels.cropped(*box).reoriented("LPS")
    grey = _windowed(image.cropped(*box).reoriented("LPS").array) if image is not None else None
    extent_mm = np.array(labels.size) * labels.spacing
    return [
        _picture(labels, grey, plane, centre, title, np.delete(extent_mm, PLANES[plane]).max() / pixels, pixels)
        for title, plane, centre in _centres(labels)
    ]


def _box_of_interest(labels: Volume) -> tuple | None:
    """Index box around cartilages and menisci (or whatever there is) with a margin of bone."""
    array = np.asarray(labels.array)
    soft = _among(array, SOFT)
    mask = soft if soft.any() else array > 0
    if not mask.any():
        return None
    lower, upper = [], []
    for axis, spacing, size in zip((2, 1, 0), labels.spacing, labels.size, strict=True):
        present = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = int(np.ceil(_MARGIN_MM / spacing))
        lower.append(max(int(present[0]) - margin, 0))
        upper.append(min(int(present[-1]) + margin + 1, size))
    return tuple(lower), tuple(upper)


def _among(array: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    """Where a label map (values 0 to 255) holds one of ``values``; a table is six times faster than `numpy.isin`."""
    wanted = np.zeros(256, bool)
    wanted[list(values)] = True
    return wanted[array]


def _centres(labels: Volume) -> list[tuple[str, str, int]]:
    """Title, plane and slice index of each picture; the fallback for a missing structure is all cartilage, then all."""
    array = np.asarray(labels.array)
    cartilage = _among(array, SOFT)
    everything = cartilage if cartilage.any() else array > 0

    def middle(values: tuple[int, ...], axis: int) -> int:
        mask = _among(array, values)
        profile = (mask if mask.any() else everything).sum(axis=tuple(a for a in range(3) if a != axis))
        return int(np.searchsorted(np.cumsum(profile), profile.sum() / 2))

    tibial = (MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE)
    chosen = [("Coronal", "coronal", middle(tibial, 1)), ("Axial", "axial", middle((PATELLAR_CARTILAGE,), 0))]
    present = [value for value in tibial if (array == value).any()]
    if not present:
        return [("Sagittal", "sagittal", middle(CARTILAGES, 2)), *chosen]
    names = {MEDIAL_TIBIAL_CARTILAGE: "medial", LATERAL_TIBIAL_CARTILAGE: "lateral"}
    return [(f"Sagittal, {names[v]} compartment", "sagittal", middle((v,), 2)) for v in present] + chosen


def _picture(
    labels: Volume, grey: np.ndarray | None, plane: str, index: int, title: str, mm_per_pixel: float, pixels: int
) -> SlicePicture:
    axis = PLANES[plane]
    flat = np.take(np.asarray(labels.array), index, axis=2 - axis)
    spacing = [s for a, s in enumerate(labels.spacing) if a != axis]  # along columns, along rows
    up = plane != "axial"
    rows, columns = (_sample_places(n, s, mm_per_pixel, pixels) for n, s in zip(flat.shape, spacing[::-1], strict=True))
    drawn = _nearest(flat[::-1] if up else flat, rows, columns)
    backdrop = np.empty((pixels, pixels, 3), np.float32)
    backdrop[:] = _BACKDROP
    if grey is not None:
        slab = np.take(grey, index, axis=2 - axis)
        backdrop[:] = _linear(slab[::-1] if up else slab, rows, columns)[..., None]
    painted = _painted(backdrop, drawn, on_image=grey is not None)
    values = tuple(int(v) for v in np.unique(drawn) if v in BY_VALUE)
    return SlicePicture(title, plane, painted, mm_per_pixel, values)


def _painted(backdrop: np.ndarray, drawn: np.ndarray, on_image: bool) -> np.ndarray:
    """The labels over the backdrop: translucent with an outline on an image, solid on plain ground."""
    table = np.zeros((256, 3), np.float32)
    opacity = np.zeros(256, np.float32)
    for value, structure in BY_VALUE.items():
        table[value] = structure.color
        kind = "bone" if value in (*BONES, FIBULA) else "soft"
        opacity[value] = _FILL_ON_IMAGE[kind] if on_image else {"bone": 0.55, "soft": 1.0}[kind]
    alpha = opacity[drawn]
    # On an image the outline is the label's colour; between solid fills a dark line keeps neighbours apart.
    if on_image:
        alpha[_outline(drawn, width=2)] = 1.0
    else:
        alpha[_outline(drawn, width=1)] = 0.35
    alpha = np.where(drawn > 0, alpha, 0.0)[..., None]
    return (backdrop * (1 - alpha) + table[drawn] * alpha).round().astype(np.uint8)


def _outline(drawn: np.ndarray, width: int) -> np.ndarray:
    """Labelled pixels with another label within ``width`` pixels along a row or column."""
    edge = np.zeros(drawn.shape, bool)
    for step in range(1, width + 1):
        down, across = drawn[:-step] != drawn[step:], drawn[:, :-step] != drawn[:, step:]
        edge[:-step] |= down
        edge[step:] |= down
        edge[:, :-step] |= across
        edge[:, step:] |= across
    return edge & (drawn > 0)


def _sample_places(count: int, spacing: float, mm_per_pixel: float, pixels: int) -> np.ndarray:
    """Continuous indices, one a pixel, that centre ``count`` samples in the picture."""
    return (np.arange(pixels) - (pixels - 1) / 2) * mm_per_pixel / spacing + (count - 1) / 2


def _nearest(flat: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    i, j = np.rint(rows).astype(int), np.rint(columns).astype(int)
    inside = ((i >= 0) & (i < flat.shape[0]))[:, None] & (j >= 0) & (j < flat.shape[1])
    picked = flat[np.clip(i, 0, flat.shape[0] - 1)][:, np.clip(j, 0, flat.shape[1] - 1)]
    return np.where(inside, picked, 0).astype(np.uint8)


def _linear(flat: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear samples, 0 outside."""
    def along(values: np.ndarray, places: np.ndarray) -> np.ndarray:
        last = len(values) - 1
        low = np.clip(np.floor(places).astype(int), 0, max(last - 1, 0))
        part = np.clip(places - low, 0.0, 1.0)[:, None]
        mixed = values[low] * (1 - part) + values[np.minimum(low + 1, last)] * part
        return np.where(((places >= -0.5) & (places <= last + 0.5))[:, None], mixed, 0.0)

    return along(along(flat.astype(np.float32), rows).T, columns).T


def _windowed(array: np.ndarray) -> np.ndarray:
    """Grey values 0 to 255 between the 1st and the 99.5th percentile."""
    sample = np.asarray(array)[::2, ::2, ::2]
    low, high = np.percentile(sample, (1, 99.5))
    return np.clip((np.asarray(array, dtype=np.float32) - low) * (255.0 / max(high - low, 1e-6)), 0, 255)
