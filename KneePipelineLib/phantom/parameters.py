"""The numbers that make one knee different from another, with their typical values and their seeded variation.

All lengths are millimetres in the canonical right knee: x to medial, y to posterior, z to superior, origin in the
middle of the tibial plateau at the joint line. Typical values were read off anthropometry and real label maps:
bicondylar width about 78 mm, condyles 62 mm and 60 mm from front to back, plateau 75 mm x 47 mm.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np


@dataclass(frozen=True)
class Waves:
    """A smooth random field of zero mean and about unit size: a few plane waves 18 to 40 mm long."""

    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    phases: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def sample(cls, rng: np.random.Generator, count: int = 4) -> Waves:
        """Random directions, lengths and phases."""
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length_mm = rng.uniform(18, 40, (count, 1))
        return cls(direction * 2 * np.pi / length_mm, rng.uniform(0, 2 * np.pi, count))

    def __call__(self, p: tuple) -> np.ndarray:
        """Value at points (x, y, z)."""
        total = np.zeros_like(p[0])
        for (a, b, c), phase in zip(self.vectors.tolist(), self.phases.tolist(), strict=True):
            total += np.cos(p[0] * a + p[1] * b + p[2] * c + phase)
        return total * float(np.sqrt(2 / max(1, len(self.phases))))


@dataclass(frozen=True)
class FemurParameters:
    """Distal femur in its own frame (knee extended); see femur.py for what each number does."""

    axis_y: float = 3.0
    axis_z: float = 24.0
    length: float = 1.0
    lateral_length: float = 0.97
    trochlea_lift_lateral: float = 2.0
    condyle_offset_medial: float = 21.5
    condyle_offset_lateral: float = 21.0
    crown_radius_medial: float = 21.0
    crown_radius_lateral: float = 24.0
    half_width_medial: float = 38.5
    half_width_lateral: float = 39.5
    groove_depth: float = 5.5
    notch_half_width: float = 9.5
    notch_y: float = -9.0
    notch_tilt_deg: float = 32.0
    shaft_half_width: float = 15.0
    shaft_half_depth: float = 15.5
    flexion_deg: float = 4.0


@dataclass(frozen=True)
class TibiaParameters:
    """Proximal tibia."""

    half_width: float = 37.5
    half_depth: float = 23.5
    medial_x: float = 20.5
    lateral_x: float = -20.5
    medial_depth: float = 1.6
    lateral_crest: float = 1.0
    slope: float = 0.08
    spine_height: float = 7.5
    shaft_radius: float = 14.5


@dataclass(frozen=True)
class PatellaParameters:
    """Patella; ``tilt_deg`` turns it about its long axis."""

    half_width: float = 22.0
    half_height: float = 21.0
    depth: float = 20.5
    ridge_x: float = 1.5
    slope_medial: float = 0.40
    slope_lateral: float = 0.33
    centre_x: float = -1.0
    centre_z: float = 35.0
    tilt_deg: float = 0.0


@dataclass(frozen=True)
class CartilageParameters:
    """Thickness scales (about the thickness in mm at the thickest place), half axes of the tibial pattern and of the
    patella's cover, and by how many mm each footprint is wider than usual all around (``*_rim``)."""

    trochlea: float = 2.9
    weight_bearing: float = 2.35
    posterior: float = 2.2
    medial_tibia: float = 2.9
    lateral_tibia: float = 3.3
    patella: float = 3.6
    ripple: float = 0.06
    taper_mm: float = 1.6
    medial_tibia_half_axes: tuple[float, float] = (16.0, 21.5)
    lateral_tibia_half_axes: tuple[float, float] = (16.5, 19.5)
    patella_half_axes: tuple[float, float] = (19.2, 16.0)
    femoral_rim: float = 0.0
    medial_tibia_rim: float = 0.0
    lateral_tibia_rim: float = 0.0
    patella_rim: float = 0.0


@dataclass(frozen=True)
class MeniscusParameters:
    """Outer and inner half axes (x, y) of the two rings, and how far towards the spine they are open."""

    medial_outer: tuple[float, float] = (18.0, 22.5)
    medial_inner: tuple[float, float] = (8.0, 11.5)
    medial_opening: float = 7.5
    lateral_outer: tuple[float, float] = (17.0, 19.0)
    lateral_inner: tuple[float, float] = (7.5, 8.5)
    lateral_opening: float = 11.0
    height: float = 6.5
    extrusion: float = 0.0


@dataclass(frozen=True)
class BodyParameters:
    """The leg around the joint."""

    half_width: float = 60.0
    half_depth: float = 62.0
    fat_mm: float = 9.0
    skin_mm: float = 1.6


SPREAD = {
    FemurParameters: {
        "length": 0.025, "lateral_length": 0.008, "trochlea_lift_lateral": 0.5, "condyle_offset_medial": 0.6,
        "condyle_offset_lateral": 0.6, "crown_radius_medial": 1.5, "crown_radius_lateral": 1.5,
        "half_width_medial": 1.0, "half_width_lateral": 1.0, "groove_depth": 0.6, "notch_half_width": 0.9,
        "notch_y": 1.0, "notch_tilt_deg": 2.0, "shaft_half_width": 0.8, "shaft_half_depth": 0.8, "flexion_deg": 3.0,
    },
    TibiaParameters: {
        "half_width": 0.9, "half_depth": 0.8, "medial_depth": 0.3, "lateral_crest": 0.3, "slope": 0.02,
        "spine_height": 0.7, "shaft_radius": 0.7,
    },
    PatellaParameters: {
        "half_width": 1.0, "half_height": 1.0, "depth": 0.8, "ridge_x": 0.6, "slope_medial": 0.03,
        "slope_lateral": 0.03, "centre_x": 0.7, "centre_z": 1.5, "tilt_deg": 2.0,
    },
    CartilageParameters: {
        "trochlea": 0.3, "weight_bearing": 0.25, "posterior": 0.2, "medial_tibia": 0.3, "lateral_tibia": 0.35,
        "patella": 0.4,
    },
    MeniscusParameters: {"height": 0.4, "extrusion": 0.5},
    BodyParameters: {"half_width": 3.0, "half_depth": 3.0, "fat_mm": 2.0},
}
"""Standard deviations; draws are cut at two of them so that every knee stays a knee."""

RIM_SPREAD = {"femoral_rim": 0.4, "medial_tibia_rim": 0.5, "lateral_tibia_rim": 0.6, "patella_rim": 0.6}
"""The same for the width of the footprints, mm."""

ALLOWED = {"flexion_deg": (0.0, 12.0), "extrusion": (0.0, 2.0)}


@dataclass(frozen=True)
class KneeParameters:
    """Everything about one knee except its pose in the scanner."""

    femur: FemurParameters = FemurParameters()
    tibia: TibiaParameters = TibiaParameters()
    patella: PatellaParameters = PatellaParameters()
    cartilage: CartilageParameters = CartilageParameters()
    meniscus: MeniscusParameters = MeniscusParameters()
    body: BodyParameters = BodyParameters()
    ripples: tuple[Waves, ...] = (Waves(),) * 4
    scale: float = 1.0
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    translation_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def sample(cls, seed: int, variation: float) -> KneeParameters:
        """The knee of this seed; ``variation`` scales every deviation from the typical knee (0: the typical knee)."""
        rng = np.random.default_rng([int(seed), 20240229])
        parts = {}
        for part in fields(cls)[:6]:
            typical = part.default
            changes = {}
            for name, sd in SPREAD[type(typical)].items():
                draw = float(np.clip(rng.normal(), -2, 2)) * sd * variation
                low, high = ALLOWED.get(name, (-np.inf, np.inf))
                changes[name] = float(np.clip(getattr(typical, name) + draw, low, high))
            parts[part.name] = replace(typical, **changes)
        ripples = tuple(Waves.sample(rng) for _ in range(4))
        cut = np.clip(rng.normal(size=7), -2, 2) * variation
        ripple = parts["cartilage"].ripple * min(variation, 1.5)
        # from a stream of their own, so that everything drawn above is the same as before there were rims
        rims = np.clip(np.random.default_rng([int(seed), 16]).normal(size=len(RIM_SPREAD)), -2, 2) * variation
        rims = {name: float(sd * draw) for (name, sd), draw in zip(RIM_SPREAD.items(), rims, strict=True)}
        parts["cartilage"] = replace(parts["cartilage"], ripple=ripple, **rims)
        return cls(**parts, ripples=ripples, scale=float(1 + 0.035 * cut[0]),
                   rotation_deg=tuple((3.0 * cut[1:4]).tolist()), translation_mm=tuple((2.5 * cut[4:7]).tolist()))
