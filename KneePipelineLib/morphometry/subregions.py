"""Femoral cartilage -> anterior, weight-bearing and posterior, medial and lateral (labels 11 to 15).

The definition is the field's (Chaudhari and Gold's regions as pyMSKT computes them), said in millimetres of the
anatomical frame instead of in slices of a registered image:

- The cartilage is flattened along superior-inferior and filled. The trochlear notch is where, between the condyles,
  its posterior edge lies farthest anterior.
- Anterior is what lies in front of the notch. Weight-bearing reaches from the notch over 60 % of the way to the most
  posterior cartilage. Posterior is what lies behind, and what lies in the weight-bearing span but above a third of the
  way from the mean height of the cartilage at that anterior-posterior position to the top of the cartilage.
- Medial and lateral part at the notch.
"""

from __future__ import annotations

import numpy as np

from ..imaging.labels import (
    ANTERIOR_FEMORAL,
    FEMORAL_CARTILAGE,
    FEMUR,
    LATERAL_POSTERIOR,
    LATERAL_WEIGHT_BEARING,
    MEDIAL_POSTERIOR,
    MEDIAL_WEIGHT_BEARING,
)
from .working import SAMPLE_MM, WorkingKnee

WEIGHT_BEARING_FRACTION = 0.6
SUPERIOR_FRACTION = 0.33
PIXEL_MM = 0.5
NOTCH_DEPTH_MM = 1.0
"""What lies within this of the notch's bottom is the bottom; its mean is steadier than one column of voxels."""

ONE_SIDED = 0.15
"""With less than this share of the cartilage on one half of the femur, the landmarks are the bone's."""

DISTAL_MM, BONE_BEHIND_MM = 8.0, 2.5

MAIN_SHARE = 0.02
NOTCH_SEARCH = (0.25, 0.75)
"""The part of the cartilage's medial-lateral width in which the notch is looked for."""


def notch(left_mm: np.ndarray, posterior_mm: np.ndarray) -> tuple[float, float]:
    """The trochlear notch in the flattened cartilage.

    Parameters
    ----------
    left_mm, posterior_mm : (n,) floats
        Position of points that fill the cartilage densely (closer than ``PIXEL_MM``).

    Returns
    -------
    (left_mm, posterior_mm) : floats
        Where the posterior edge of the flattened, filled cartilage lies farthest anterior.
    """
    from scipy.ndimage import binary_fill_holes

    corner = np.array([left_mm.min(), posterior_mm.min()])
    column = ((left_mm - corner[0]) / PIXEL_MM).astype(int)
    row = ((posterior_mm - corner[1]) / PIXEL_MM).astype(int)
    flat = np.zeros((column.max() + 1, row.max() + 1), bool)
    flat[column, row] = True
    flat = binary_fill_holes(flat)
    # the finer edge: of each column the true coordinate of its most posterior point, not the pixel's
    edge = np.full(len(flat), -np.inf)
    np.maximum.at(edge, column, posterior_mm)
    first, last = (round(f * (len(flat) - 1)) for f in NOTCH_SEARCH)
    search = np.arange(first, last + 1)
    search = search[flat[search].any(axis=1)]
    if not len(search):
        search = np.flatnonzero(flat.any(axis=1))
    bottom = search[edge[search] <= edge[search].min() + NOTCH_DEPTH_MM]
    return float(corner[0] + (bottom.mean() + 0.5) * PIXEL_MM), float(edge[bottom].mean())


def heights_by_position(posterior_mm: np.ndarray, superior_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean height of the cartilage at each anterior-posterior position.

    Returns
    -------
    positions_mm, means_mm : (k,) arrays
        Bin centres, increasing, and the mean superior coordinate of the points in each bin that holds any.
    """
    start = posterior_mm.min()
    index = ((posterior_mm - start) / PIXEL_MM).astype(int)
    count = np.bincount(index)
    total = np.bincount(index, weights=superior_mm)
    held = np.flatnonzero(count)
    return start + (held + 0.5) * PIXEL_MM, total[held] / count[held]


def divide(points: np.ndarray, dense: np.ndarray, main: np.ndarray, medial_is_left: bool,
           notch_mm: tuple[float, float] | None = None) -> np.ndarray:
    """Divide femoral cartilage into its five subregions.

    Parameters
    ----------
    points : (n, 3) floats
        Voxel centres of the femoral cartilage in the anatomical frame: left, posterior, superior in mm.
    dense : (m, 3) floats
        Points that fill the cartilage's main pieces more closely than ``PIXEL_MM``, for flattening.
    main : (n,) bool
        The voxels of the main pieces; landmarks are taken from these alone.
    medial_is_left : bool
        True in a right knee.
    notch_mm : (left, posterior), optional
        The notch, where the cartilage alone does not show it.

    Returns
    -------
    (n,) uint8
        Labels 11 to 15.
    """
    left, posterior, superior = points.T
    notch_left, notch_posterior = notch_mm or notch(dense[:, 0], dense[:, 1])
    last = posterior[main].max()
    behind = notch_posterior + WEIGHT_BEARING_FRACTION * (last - notch_posterior)
    positions, means = heights_by_position(posterior[main], superior[main])
    top = superior[main].max()
    ceiling = np.interp(posterior, positions, means) * (1 - SUPERIOR_FRACTION) + top * SUPERIOR_FRACTION
    anterior = posterior < notch_posterior
    rear = ~anterior & ((posterior >= behind) | (superior > ceiling))
    medial = (left >= notch_left) == medial_is_left
    region = np.where(medial, MEDIAL_WEIGHT_BEARING, LATERAL_WEIGHT_BEARING)
    region = np.where(rear, np.where(medial, MEDIAL_POSTERIOR, LATERAL_POSTERIOR), region)
    return np.where(anterior, ANTERIOR_FEMORAL, region).astype(np.uint8)


def femoral_labels(knee: WorkingKnee, side: str) -> np.ndarray:
    """The working box with 11 to 15 in place of 4, uint8; unchanged where there is no femoral cartilage."""
    array = knee.array.copy()
    if FEMORAL_CARTILAGE not in knee.boxes:
        return array
    axes, volume = knee.bone_axes, knee.volume
    mask = knee.mask(FEMORAL_CARTILAGE)
    start = [s.start for s in reversed(knee.boxes[FEMORAL_CARTILAGE])]
    points = axes.to_frame(volume.to_physical(np.argwhere(mask)[:, ::-1] + start))
    main = _main_pieces(mask)[mask]
    dense = _filled(points[main], volume.spacing, volume.direction.T @ axes.axes.T)
    array[knee.boxes[FEMORAL_CARTILAGE]][mask] = divide(points, dense, main, side == "right",
                                                        _notch_of_bone(knee, points[main]))
    return array


def _notch_of_bone(knee: WorkingKnee, cartilage: np.ndarray) -> tuple[float, float] | None:
    """The notch as the femur itself shows it, where hardly any cartilage lies on one of its halves; else None.

    With one half bare, what is farthest anterior in the cartilage's edge is no notch. In the lowest ``DISTAL_MM`` of
    the bone the intercondylar notch lies within 1 mm of the cartilage's to the side, and ``BONE_BEHIND_MM`` behind it.
    """
    axes, volume = knee.bone_axes, knee.volume
    bone = axes.to_frame(knee.bone_points(FEMUR))
    middle = (np.quantile(bone[:, 0], 0.02) + np.quantile(bone[:, 0], 0.98)) / 2
    share = np.count_nonzero(cartilage[:, 0] < middle) / max(len(cartilage), 1)
    if ONE_SIDED < share < 1 - ONE_SIDED:
        return None
    low = bone[bone[:, 2] < np.quantile(bone[:, 2], 0.001) + DISTAL_MM]
    steps = np.maximum(1, (SAMPLE_MM / volume.spacing).astype(int)) * volume.spacing
    left, posterior = notch(*_filled(low, steps, volume.direction.T @ axes.axes.T)[:, :2].T)
    return left, posterior - BONE_BEHIND_MM


def _main_pieces(mask: np.ndarray) -> np.ndarray:
    """The pieces that hold more than ``MAIN_SHARE`` of a mask: specks are no landmarks."""
    from scipy.ndimage import label

    pieces, count = label(mask, np.ones((3, 3, 3)))
    if count <= 1:
        return mask
    sizes = np.bincount(pieces.ravel())
    large = sizes > MAIN_SHARE * sizes[1:].sum()
    large[0] = False
    return large[pieces] if large.any() else mask


def _filled(points: np.ndarray, spacing_mm: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Points that fill the voxels around ``points`` more closely than ``PIXEL_MM``.

    ``axes``: rows are the directions of i, j, k in the points' frame.
    """
    parts = np.maximum(1, np.ceil(spacing_mm / (0.8 * PIXEL_MM))).astype(int)
    steps = [((np.arange(n) + 0.5) / n - 0.5) * s for n, s in zip(parts, spacing_mm, strict=True)]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3) @ axes
    return (points[:, None] + offsets).reshape(-1, 3)
