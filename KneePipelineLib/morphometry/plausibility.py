"""Whether a label map makes anatomical sense when read with a given scheme.

Nothing passes for want of something to test: femur, tibia and patella must be thick and large as bones are, everything
else thin, and each where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..imaging.labels import (
    BONE_CARTILAGES,
    BY_VALUE,
    CARTILAGES,
    FEMUR,
    FIBULA,
    LATERAL_MENISCUS,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_MENISCUS,
    MEDIAL_TIBIAL_CARTILAGE,
    PATELLA,
    TIBIA,
)
from ..imaging.volume import Volume
from .hollow import HOLLOW_SHARE, axial_axis, inside_of
from .numberings import MENISCI, TIBIAL_CARTILAGE, TITLES

COARSE_MM = 1.2
TOUCHING_MM = 3.0
TOUCHING_SHARE = 0.3
"""At least this share of a cartilage's voxels must lie within ``TOUCHING_MM`` of its bone."""

TIBIAL_SHARE = 0.5
"""The same for the tibia: its cartilage is thin (0.8 to 1 in healthy knees), and menisci reach 0.4."""

UPRIGHT = 0.4
"""Least cosine between superior and the line from the tibia's to the femur's centroid: up to 66 degrees of flexion,
tilt and short shafts together; no knee coil holds more."""

LONG_BONE_MM, PATELLA_MM, SOFT_MM = 7.0, 4.5, 6.5
"""Radius of the largest ball that fits: at least in femur and tibia (18 to 23 in whole knees) and patella (9 to 11), at
most in cartilages and menisci (1.5 to 3.5)."""

LEAST_ML = {FEMUR: 15.0, TIBIA: 10.0, PATELLA: 3.0}
"""Volumes of bone, with room for children, short fields of view and thin slabs."""

PATELLA_REACH_MM = 90.0
"""A patella's centre lies no further than this from that of the lower femur's bone."""

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

_SOFT = (*CARTILAGES, MEDIAL_MENISCUS, LATERAL_MENISCUS, TIBIAL_CARTILAGE, MENISCI)
_ON_BONE = {FEMUR: BONE_CARTILAGES[FEMUR], TIBIA: (*BONE_CARTILAGES[TIBIA], TIBIAL_CARTILAGE),
            PATELLA: BONE_CARTILAGES[PATELLA]}
_ABOVE = {MEDIAL_MENISCUS: MEDIAL_TIBIAL_CARTILAGE, LATERAL_MENISCUS: LATERAL_TIBIAL_CARTILAGE}


@dataclass(frozen=True)
class Fault:
    """Why a map makes no sense in a scheme: a clause in the indicative, and the check that found it."""

    clause: str
    check: int

    @property
    def hint(self) -> str:
        """What to do about it."""
        return HINTS[self.check]


@dataclass(frozen=True, eq=False)
class Seen:
    """A label map as it came, looked at once for all readings of it.

    Parameters
    ----------
    labels : Volume
        Unsigned integers.
    counts : dict
        Voxels of each value that occurs, 0 aside.
    """

    labels: Volume
    counts: dict[int, int]
    _known: dict = field(default_factory=dict)

    @cached_property
    def coarse(self) -> Volume:
        """Every so many-th voxel, cropped to what is labelled."""
        labels = self.labels
        steps = [max(1, int(COARSE_MM / s)) for s in labels.spacing]
        sampled = labels.array[:: steps[2], :: steps[1], :: steps[0]]
        held = [np.flatnonzero(sampled.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        box = tuple(slice(int(h[0]), int(h[-1]) + 1) if len(h) else slice(0, 0) for h in held)
        start = [s.start * step for s, step in zip(reversed(box), steps, strict=True)]
        return Volume(sampled[box], labels.spacing * steps, labels.to_physical(start), labels.direction)

    def mask(self, values: Iterable[int]) -> np.ndarray:
        """Where the coarse map has one of these values."""
        return self._once("mask", values, lambda v: np.isin(self.coarse.array, sorted(v)))

    def millilitres(self, values: Iterable[int]) -> float:
        """Volume of these values together."""
        return sum(self.counts.get(v, 0) for v in values) * self.labels.voxel_volume_mm3 / 1000

    def radius_mm(self, values: Iterable[int]) -> float:
        """Radius of the largest ball that fits into these values together, shells filled."""
        return self._once("radius", values, self._radius_mm)

    def center(self, values: Iterable[int]) -> np.ndarray | None:
        """Their centroid, LPS mm; None if the coarse map holds none."""
        voxels = np.argwhere(self.mask(values))[:, ::-1]
        return self.coarse.to_physical(voxels.mean(axis=0)) if len(voxels) else None

    def touching(self, values: Iterable[int], bone: Iterable[int]) -> float:
        """Share of their voxels within ``TOUCHING_MM`` of a bone."""
        return self._once(("touching", frozenset(bone)), values, lambda v: self._touching(v, bone))

    def _once(self, what: object, values: Iterable[int], make: object) -> object:
        key = (what, frozenset(values))
        if key not in self._known:
            self._known[key] = make(key[1])
        return self._known[key]

    def _radius_mm(self, values: frozenset[int]) -> float:
        from scipy.ndimage import distance_transform_edt, find_objects

        box = find_objects(self.mask(values).view(np.uint8))
        if not box:
            return 0.0
        mask = self.mask(values)[box[0]]
        inner = inside_of(mask, axial_axis(self.coarse))
        if np.count_nonzero(inner) >= HOLLOW_SHARE * np.count_nonzero(mask):
            mask = mask | inner
        return float(distance_transform_edt(np.pad(mask, 1), sampling=self.coarse.spacing[::-1]).max())

    def _touching(self, values: frozenset[int], bone: Iterable[int]) -> float:
        from scipy.ndimage import binary_dilation, find_objects

        spacing = self.coarse.spacing[::-1]
        box = find_objects(self.mask(values).view(np.uint8))
        if not box:
            return 1.0
        # grown by the reach, so that the bone beside the cartilage is in the box
        reach = np.ceil(TOUCHING_MM / spacing).astype(int)
        window = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(box[0], reach, strict=True))
        near = binary_dilation(self.mask(bone)[window], _ellipsoid(spacing, TOUCHING_MM))
        inside = self.mask(values)[window]
        return float(np.count_nonzero(near & inside) / np.count_nonzero(inside))


def fault_of(seen: Seen, mapping: dict[int, int]) -> Fault | None:
    """Why a map cannot be meant in a scheme; None if it can.

    Parameters
    ----------
    seen : Seen
    mapping : dict
        The scheme: value -> canonical value, or a stand-in of `numberings`.
    """
    unknown = [v for v in seen.counts if v not in mapping]
    if unknown:
        return Fault(f"it has no structure for the values {unknown}", UNKNOWN)
    parts: dict[int, set[int]] = {}
    for value in seen.counts:
        parts.setdefault(mapping[value], set()).add(value)
    parts.pop(0, None)
    for bone in (FEMUR, TIBIA):
        if bone not in parts:
            return Fault(f"there is no {BY_VALUE[bone].name}", ABSENT)
    return _sizes(seen, parts) or _places(seen, parts) or _contacts(seen, parts)


def bone_like(seen: Seen) -> list[int]:
    """The values that are thick and large enough for a femur or a tibia, in whatever numbering."""
    return [v for v in seen.counts if seen.millilitres({v}) >= LEAST_ML[TIBIA] and seen.radius_mm({v}) >= LONG_BONE_MM]


def _sizes(seen: Seen, parts: dict[int, set[int]]) -> Fault | None:
    soft = [v for v in parts if v in _SOFT]
    smaller = min(seen.millilitres(parts[FEMUR]), seen.millilitres(parts[TIBIA]))
    for value in soft:
        if seen.millilitres(parts[value]) >= smaller:
            return Fault(f"the {TITLES[value].lower()} is larger than a bone", SIZES)
    for bone, least in LEAST_ML.items():
        if bone not in parts:
            continue
        millilitres, name = seen.millilitres(parts[bone]), BY_VALUE[bone].name
        if millilitres < least:
            return Fault(f"the {name} of {millilitres:.2g} ml is too small", SIZES)
        if seen.radius_mm(parts[bone]) < (PATELLA_MM if bone == PATELLA else LONG_BONE_MM):
            return Fault(f"the {name} is as thin as a cartilage", SIZES)
    for value in soft:
        if seen.radius_mm(parts[value]) > SOFT_MM:
            return Fault(f"the {TITLES[value].lower()} is as thick as a bone", SIZES)
    return None


def _places(seen: Seen, parts: dict[int, set[int]]) -> Fault | None:
    femur, tibia = (seen.center(parts[bone]) for bone in (FEMUR, TIBIA))
    apart = femur - tibia
    if apart[2] < UPRIGHT * np.linalg.norm(apart) or apart[2] <= 0:
        where = "below" if apart[2] < -UPRIGHT * np.linalg.norm(apart) else "beside"
        return Fault(f"the femur lies {where} the tibia: the file has probably lost its orientation", PLACE)
    patella = seen.center(parts[PATELLA]) if PATELLA in parts else None
    if patella is not None:
        lower = seen.coarse.to_physical(np.argwhere(seen.mask(parts[FEMUR]))[:, ::-1])
        joint = lower[:, 2].min()
        lower = lower[lower[:, 2] <= joint + 50].mean(axis=0)
        if patella[1] >= lower[1] or np.linalg.norm(patella - lower) > PATELLA_REACH_MM:
            return Fault("the patella does not lie in front of the femur", PLACE)
    fibula = seen.center(parts[FIBULA]) if FIBULA in parts else None
    if fibula is not None and (fibula[2] > (femur[2] + tibia[2]) / 2 or fibula[1] < tibia[1] - 15):
        return Fault("the fibula does not lie beside the tibia", PLACE)
    return None


def _contacts(seen: Seen, parts: dict[int, set[int]]) -> Fault | None:
    for bone, cartilages in _ON_BONE.items():
        for cartilage in (c for c in cartilages if c in parts and bone in parts):
            least = TIBIAL_SHARE if bone == TIBIA else TOUCHING_SHARE
            if seen.touching(parts[cartilage], parts[bone]) < least:
                return Fault(f"the {TITLES[cartilage].lower()} does not touch its bone", CONTACT)
            if cartilage == BONE_CARTILAGES[FEMUR][0] and len(parts[cartilage]) > 1 and any(
                    seen.touching({v}, parts[bone]) < TIBIAL_SHARE for v in parts[cartilage]):
                return Fault("not all that stands for femoral cartilage lies on the femur", CONTACT)
    for meniscus, cartilage in _ABOVE.items():
        if meniscus in parts and cartilage in parts and (
                seen.touching(parts[meniscus], parts[TIBIA]) > seen.touching(parts[cartilage], parts[TIBIA])):
            return Fault(f"the {TITLES[meniscus].lower()} lies nearer to the tibia than the cartilage below it",
                         CONTACT)
    return None


def _ellipsoid(spacing_zyx: np.ndarray, radius_mm: float) -> np.ndarray:
    """Structuring element: the voxels within a radius."""
    reach = np.ceil(radius_mm / spacing_zyx).astype(int)
    grids = np.meshgrid(*[np.arange(-r, r + 1) * s for r, s in zip(reach, spacing_zyx, strict=True)], indexing="ij")
    return sum(g**2 for g in grids) <= radius_mm**2
