"""Whether a label map makes anatomical sense when read with a given scheme."""

from __future__ import annotations

from dataclasses import dataclass

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

UPRIGHT = 0.4
"""Least cosine between superior and the line from the tibia's to the femur's centroid: up to 66 degrees of flexion,
tilt and short shafts together; no knee coil holds more."""


UNKNOWN, ABSENT, SIZES, PLACE, CONTACT = range(5)
"""What the checks look at, in their order: the further a scheme gets, the likelier it is the one meant."""

HINTS = {
    UNKNOWN: "Give --label-scheme the scheme of this file, or a JSON file that maps every value.",
    ABSENT: "Check that femur and tibia are labelled, and that --label-scheme names the numbering of this file.",
    SIZES: "Check with --label-scheme that the numbering is the one of this file.",
    PLACE: "Save the map again with its orientation, on the grid of the image; if its numbering is another, name that "
    "with --label-scheme.",
    CONTACT: "Check the map for misplaced labels and for a lost orientation or spacing; if its numbering is another, "
    "name that with --label-scheme.",
}


@dataclass(frozen=True)
class Fault:
    """Why a map makes no sense in a scheme: a clause in the indicative, and the check that found it."""

    clause: str
    check: int

    @property
    def hint(self) -> str:
        """What to do about it."""
        return HINTS[self.check]


def fault_of(labels: Volume, counts: dict[int, int], mapping: dict[int, int]) -> Fault | None:
    """Why the map cannot be meant in this scheme; None if it can.

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
        return Fault(f"it has no structure for the values {unknown}", UNKNOWN)
    sizes: dict[int, int] = {}
    for value, count in counts.items():
        sizes[mapping[value]] = sizes.get(mapping[value], 0) + count
    for bone in (FEMUR, TIBIA):
        if bone not in sizes:
            return Fault(f"there is no {BY_VALUE[bone].name}", ABSENT)
    soft = {v: n for v, n in sizes.items() if v in CARTILAGES or v in (MEDIAL_MENISCUS, LATERAL_MENISCUS)}
    for value, count in soft.items():
        if count >= min(sizes[FEMUR], sizes[TIBIA]):
            return Fault(f"the {BY_VALUE[value].title.lower()} is larger than a bone", SIZES)
    coarse = _coarse(labels, mapping)
    return _misplaced_femur(coarse) or _loose_cartilage(coarse)


def _coarse(labels: Volume, mapping: dict[int, int]) -> Volume:
    """Every so many-th voxel, in canonical values, cropped to what is labelled."""
    steps = [max(1, int(COARSE_MM / s)) for s in labels.spacing]
    sampled = labels.array[:: steps[2], :: steps[1], :: steps[0]]
    table = np.zeros(int(sampled.max(initial=0)) + 1, np.uint8)
    for value, canonical in mapping.items():
        if value < len(table):
            table[value] = canonical
    held = [np.flatnonzero(sampled.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    box = tuple(slice(int(h[0]), int(h[-1]) + 1) if len(h) else slice(0, 0) for h in held)
    start = [s.start * step for s, step in zip(reversed(box), steps, strict=True)]
    return Volume(table[sampled[box]], labels.spacing * steps, labels.to_physical(start), labels.direction)


def _misplaced_femur(coarse: Volume) -> Fault | None:
    centers = {}
    for bone in (FEMUR, TIBIA):
        voxels = np.argwhere(coarse.array == bone)[:, ::-1]
        if not len(voxels):
            return Fault(f"the {BY_VALUE[bone].name} is tiny", SIZES)
        centers[bone] = coarse.to_physical(voxels.mean(axis=0))
    apart = centers[FEMUR] - centers[TIBIA]
    if apart[2] >= UPRIGHT * np.linalg.norm(apart) and apart[2] > 0:
        return None
    where = "below" if apart[2] < -UPRIGHT * np.linalg.norm(apart) else "beside"
    return Fault(f"the femur lies {where} the tibia: the file has probably lost its orientation", PLACE)


def _loose_cartilage(coarse: Volume) -> Fault | None:
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
                return Fault(f"the {BY_VALUE[cartilage].title.lower()} does not touch its bone", CONTACT)
    return None


def _ellipsoid(spacing_zyx: np.ndarray, radius_mm: float) -> np.ndarray:
    """Structuring element: the voxels within a radius."""
    reach = np.ceil(radius_mm / spacing_zyx).astype(int)
    grids = np.meshgrid(*[np.arange(-r, r + 1) * s for r, s in zip(reach, spacing_zyx, strict=True)], indexing="ij")
    return sum(g**2 for g in grids) <= radius_mm**2
