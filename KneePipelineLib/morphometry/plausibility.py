"""Whether a label map makes anatomical sense when read with a given scheme."""

from __future__ import annotations

import numpy as np

from ..imaging.labels import (
    BONE_CARTILAGES,
    BY_VALUE,
    CARTILAGES,
    FEMUR,
    LATERAL_MENISCUS,
    MEDIAL_MENISCUS,
    TIBIA,
)
from ..imaging.volume import Volume

COARSE_MM = 1.2
TOUCHING_MM = 3.0
TOUCHING_SHARE = 0.3
"""At least this share of a cartilage's voxels must lie within ``TOUCHING_MM`` of its bone."""


def implausible_because(labels: Volume, counts: dict[int, int], mapping: dict[int, int]) -> str | None:
    """Why the map cannot be meant in this scheme, as a clause; None if it can.

    Parameters
    ----------
    labels : Volume
        Integer map as it came.
    counts : dict
        Voxels of each value that occurs in it.
    mapping : dict
        The scheme: value -> canonical value.
    """
    unknown = [v for v in counts if v not in mapping]
    if unknown:
        return f"it has no structure for the values {unknown}"
    sizes: dict[int, int] = {}
    for value, count in counts.items():
        sizes[mapping[value]] = sizes.get(mapping[value], 0) + count
    for bone in (FEMUR, TIBIA):
        if bone not in sizes:
            return f"there would be no {BY_VALUE[bone].name}"
    soft = {v: n for v, n in sizes.items() if v in CARTILAGES or v in (MEDIAL_MENISCUS, LATERAL_MENISCUS)}
    for value, count in soft.items():
        if count >= min(sizes[FEMUR], sizes[TIBIA]):
            return f"the {BY_VALUE[value].title.lower()} would be larger than a bone"
    coarse = _coarse(labels, mapping)
    return _femur_below(coarse) or _loose_cartilage(coarse)


def _coarse(labels: Volume, mapping: dict[int, int]) -> Volume:
    """Every so many-th voxel, in canonical values, cropped to what is labelled."""
    steps = [max(1, int(COARSE_MM / s)) for s in labels.spacing]
    sampled = labels.array[:: steps[2], :: steps[1], :: steps[0]]
    table = np.zeros(int(sampled.max(initial=0)) + 1, np.uint8)
    for value, canonical in mapping.items():
        if value < len(table):
            table[value] = canonical
    return Volume(table[sampled], labels.spacing * steps, labels.origin, labels.direction)


def _femur_below(coarse: Volume) -> str | None:
    heights = {}
    for bone in (FEMUR, TIBIA):
        voxels = np.argwhere(coarse.array == bone)[:, ::-1]
        if not len(voxels):
            return f"the {BY_VALUE[bone].name} would be tiny"
        heights[bone] = coarse.to_physical(voxels.mean(axis=0))[2]
    return None if heights[FEMUR] > heights[TIBIA] else "the femur would lie below the tibia"


def _loose_cartilage(coarse: Volume) -> str | None:
    from scipy.ndimage import binary_dilation, find_objects

    for bone, cartilages in BONE_CARTILAGES.items():
        for cartilage in cartilages:
            box = find_objects((coarse.array == cartilage).view(np.uint8))
            if not box:
                continue
            # grown by the reach, so that the bone beside the cartilage is in the box
            reach = np.ceil(TOUCHING_MM / coarse.spacing[::-1]).astype(int)
            window = coarse.array[tuple(
                slice(max(0, s.start - r), s.stop + r) for s, r in zip(box[0], reach, strict=True)
            )]
            near = binary_dilation(window == bone, _ellipsoid(coarse.spacing[::-1], TOUCHING_MM))
            inside = window == cartilage
            if np.count_nonzero(near & inside) < TOUCHING_SHARE * np.count_nonzero(inside):
                return f"the {BY_VALUE[cartilage].title.lower()} would not touch its bone"
    return None


def _ellipsoid(spacing_zyx: np.ndarray, radius_mm: float) -> np.ndarray:
    """Structuring element: the voxels within a radius."""
    reach = np.ceil(radius_mm / spacing_zyx).astype(int)
    grids = np.meshgrid(*[np.arange(-r, r + 1) * s for r, s in zip(reach, spacing_zyx, strict=True)], indexing="ij")
    return sum(g**2 for g in grids) <= radius_mm**2
