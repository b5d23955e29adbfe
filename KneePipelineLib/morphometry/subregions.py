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

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from .frame import BoneAxes
from .working import SAMPLE_MM, WorkingKnee

if TYPE_CHECKING:
    from .plates import LostCartilage

WEIGHT_BEARING_FRACTION = 0.6
SUPERIOR_FRACTION = 0.33
PIXEL_MM = 0.5
NOTCH_DEPTH_MM = 1.0
"""What lies within this of the notch's bottom is the bottom; its mean is steadier than one column of voxels."""

LOST_MM = 2.1
"""Thickness that stands for lost femoral cartilage where landmarks are looked for: the mean of healthy femora."""

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


@dataclass(frozen=True, eq=False)
class FemoralBorders:
    """The borders of the five regions in the anatomical frame (left, posterior, superior; mm).

    Attributes
    ----------
    notch_left, notch_posterior : float
        The trochlear notch.
    behind : float
        Where the weight-bearing span ends.
    positions, means : (k,) arrays
        Mean height of the cartilage by anterior-posterior position.
    top : float
        Height of the cartilage's top.
    medial_is_left : bool
        True in a right knee.
    """

    notch_left: float
    notch_posterior: float
    behind: float
    positions: np.ndarray
    means: np.ndarray
    top: float
    medial_is_left: bool

    def classify(self, points: np.ndarray) -> np.ndarray:
        """Labels 11 to 15, (n,) uint8, of points (n, 3)."""
        left, posterior, superior = points.T
        ceiling = (np.interp(posterior, self.positions, self.means) * (1 - SUPERIOR_FRACTION)
                   + self.top * SUPERIOR_FRACTION)
        anterior = posterior < self.notch_posterior
        rear = ~anterior & ((posterior >= self.behind) | (superior > ceiling))
        medial = (left >= self.notch_left) == self.medial_is_left
        region = np.where(medial, MEDIAL_WEIGHT_BEARING, LATERAL_WEIGHT_BEARING)
        region = np.where(rear, np.where(medial, MEDIAL_POSTERIOR, LATERAL_POSTERIOR), region)
        return np.where(anterior, ANTERIOR_FEMORAL, region).astype(np.uint8)


def find_borders(
    main: np.ndarray, dense: np.ndarray, medial_is_left: bool, notch_mm: tuple[float, float] | None = None
) -> FemoralBorders:
    """The borders from the femoral cartilage itself.

    Parameters
    ----------
    main : (n, 3) floats
        Points that fill the cartilage evenly, specks left out: left, posterior, superior in mm.
    dense : (m, 3) floats
        Points that fill it more closely than ``PIXEL_MM``, for flattening.
    medial_is_left : bool
        True in a right knee.
    notch_mm : (left, posterior), optional
        The notch, where the cartilage alone does not show it.
    """
    notch_left, notch_posterior = notch_mm or notch(dense[:, 0], dense[:, 1])
    last = main[:, 1].max()
    behind = notch_posterior + WEIGHT_BEARING_FRACTION * (last - notch_posterior)
    return FemoralBorders(notch_left, notch_posterior, float(behind), *heights_by_position(main[:, 1], main[:, 2]),
                          float(main[:, 2].max()), medial_is_left)


def divide(points: np.ndarray, dense: np.ndarray, main: np.ndarray, medial_is_left: bool) -> np.ndarray:
    """Labels 11 to 15, (n,) uint8, of points (n, 3); ``main`` (n,) bool chooses those that give landmarks."""
    return find_borders(points[main], dense, medial_is_left).classify(points)


def femoral_labels(
    knee: WorkingKnee, side: str, lost: LostCartilage | None = None, axes: BoneAxes | None = None
) -> tuple[np.ndarray, FemoralBorders | None]:
    """The working box with 11 to 15 in place of 4, uint8, and the borders; unchanged without femoral cartilage.

    Parameters
    ----------
    knee : WorkingKnee
    side : str
    lost : LostCartilage, optional
        Denuded bone of the footprint: landmarks are found as if cartilage of usual thickness still lay there, so that
        wear moves no border.
    axes : BoneAxes, optional
        The femur's own; the knee's by default.
    """
    array = knee.array.copy()
    if FEMORAL_CARTILAGE not in knee.boxes:
        return array, None
    axes, volume = axes or knee.bone_axes, knee.volume
    mask = knee.mask(FEMORAL_CARTILAGE)
    start = [s.start for s in reversed(knee.boxes[FEMORAL_CARTILAGE])]
    points = axes.to_frame(volume.to_physical(np.argwhere(mask)[:, ::-1] + start))
    main = points[_main_pieces(mask)[mask]]
    dense = _filled(main, volume.spacing, volume.direction.T @ axes.axes.T)
    if lost is not None:
        once = [axes.to_frame(part) for part in _restored(lost, knee.volume.voxel_volume_mm3)]
        main, dense = np.concatenate([main, once[0]]), np.concatenate([dense, once[1]])
    borders = find_borders(main, dense, side == "right", _notch_of_bone(knee, main, axes))
    array[knee.boxes[FEMORAL_CARTILAGE]][mask] = borders.classify(points)
    return array, borders


def _restored(lost: LostCartilage, voxel_mm3: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of the cartilage that was: about one for each voxel it filled, and more closely set ones (LPS mm)."""
    layers = max(1, round(float(lost.area_mm2.mean()) * LOST_MM / voxel_mm3))
    heights = (np.arange(layers) + 0.5) / layers * LOST_MM
    evenly = (lost.points[:, None] + heights[:, None] * lost.normals[:, None]).reshape(-1, 3)
    across = np.cross(lost.normals, [0.6, 0.48, 0.64])
    across /= np.maximum(np.linalg.norm(across, axis=1), 1e-9)[:, None]
    along = np.cross(lost.normals, across)
    reach = 0.6 * np.sqrt(float(lost.area_mm2.mean()))
    closely = [lost.points + h * lost.normals + reach * (a * across + b * along)
               for h in (0.0, LOST_MM / 2, LOST_MM) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    return evenly, np.concatenate(closely)


def _notch_of_bone(knee: WorkingKnee, cartilage: np.ndarray, axes: BoneAxes) -> tuple[float, float] | None:
    """The notch as the femur itself shows it, where hardly any cartilage lies on one of its halves; else None.

    With one half bare, what is farthest anterior in the cartilage's edge is no notch. In the lowest ``DISTAL_MM`` of
    the bone the intercondylar notch lies within 1 mm of the cartilage's to the side, and ``BONE_BEHIND_MM`` behind it.
    """
    volume = knee.volume
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
