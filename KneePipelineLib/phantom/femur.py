"""The distal femur and its cartilage as implicit functions.

The articular body is a *cam*: seen along the transcondylar axis its outline is a radius that depends on the angle
(0 distal, 90 degrees anterior, -90 posterior), one outline for each condyle, and across the axis each condyle has a
rounded crown with the trochlear groove between. Sides and shaft are joined on, the intercondylar notch is cut out.
"""

from __future__ import annotations

import numpy as np

from .implicit import AngularSpline, Points, ellipse, foot_points, smooth_max, smooth_min, smoothstep
from .parameters import CartilageParameters, FemurParameters, Waves

# Outline of the medial condyle: (y, z) in mm around the transcondylar axis, from the posterior top to the trochlea's.
_OUTLINE = (
    (9.0, 18.0), (16.0, 12.5), (20.3, 0.0), (18.5, -8.5), (14.3, -14.7), (8.0, -19.0), (0.0, -21.0), (-7.0, -21.6),
    (-14.0, -21.0), (-23.0, -18.3), (-31.0, -13.2), (-37.5, -6.5), (-41.5, 2.0), (-43.0, 11.0), (-42.0, 20.0),
    (-39.0, 27.0), (-20.0, 26.0), (0.0, 20.0),
)
# Typical cartilage thickness by angle, in units of the three femoral scales (posterior, weight-bearing, trochlea).
_THICKNESS = (
    (-150, (0.80, 0.0, 0.0)), (-110, (0.95, 0.0, 0.0)), (-80, (1.0, 0.0, 0.0)), (-55, (0.75, 0.25, 0.0)),
    (-30, (0.2, 0.8, 0.0)), (-5, (0.0, 1.0, 0.0)), (25, (0.0, 0.97, 0.0)), (45, (0.0, 0.75, 0.18)),
    (65, (0.0, 0.2, 0.77)), (85, (0.0, 0.0, 1.0)), (105, (0.0, 0.0, 0.95)), (120, (0.0, 0.0, 0.80)),
)
TOP_DEG, POSTERIOR_DEG = 102.0, -141.0
CREST_MM, NOTCH_RIM_MM = 4.0, 2.5
# How far from the middle the trochlear cartilage reaches to medial and to lateral, by angle, mm: read off the two real
# footprints carried to this bone. Behind 25 degrees the condyles' sides limit it alone.
_MEDIAL_REACH = ((-180, 60.0), (5, 60.0), (25, 37.0), (40, 32.5), (55, 26.0), (70, 19.5), (90, 16.0), (115, 14.0),
                 (130, 60.0))
_LATERAL_REACH = ((-180, 60.0), (5, 60.0), (25, 37.0), (40, 33.0), (60, 30.5), (80, 27.5), (95, 23.5), (115, 15.0),
                  (130, 60.0))


class Femur:
    """Bone and cartilage of one femur in its own (extended) frame, canonical millimetres.

    Parameters
    ----------
    shape : FemurParameters
    cartilage : CartilageParameters
    ripple : Waves
        Seeded smooth unevenness of the cartilage thickness.
    """

    def __init__(self, shape: FemurParameters, cartilage: CartilageParameters, ripple: Waves) -> None:
        self.shape, self.cartilage, self.ripple = shape, cartilage, ripple
        y, z = np.array(_OUTLINE).T
        angle, radius = np.degrees(np.arctan2(-y, -z)), np.hypot(y, z)
        # "Longer" condyles: stretched in front of the axis, a little rounder behind it.
        medial = radius * np.where(np.abs(angle) < 100, 1 + (shape.length - 1) * np.cos(np.radians(angle)) ** 2, 1.0)
        lateral = radius * (shape.lateral_length + (1 - shape.lateral_length) * smoothstep((angle - 20) / 40))
        lateral = lateral + shape.trochlea_lift_lateral * smoothstep((angle - 45) / 40) * smoothstep((150 - angle) / 30)
        groove = [(-180, 2), (-40, 2.5), (0, 4.5), (25, 0.95 * shape.groove_depth), (55, shape.groove_depth),
                  (95, shape.groove_depth), (115, 3.2), (130, 1.5)]
        self._outlines = AngularSpline(list(zip(angle, lateral, strict=True)),
                                       list(zip(angle, medial - lateral, strict=True)), groove)
        scales = np.array([cartilage.posterior, cartilage.weight_bearing, cartilage.trochlea])
        self._thickness = AngularSpline([(a, float(np.dot(w, scales))) for a, w in _THICKNESS])
        self._reach = AngularSpline(list(_MEDIAL_REACH), list(_LATERAL_REACH))

    def _polar(self, p: Points) -> tuple[np.ndarray, np.ndarray]:
        back, up = self.shape.axis_y - p[1], self.shape.axis_z - p[2]
        return np.arctan2(back, up), np.sqrt(back * back + up * up)

    def _crown(self, p: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position across: x over the condyle's offset (signed), beyond-crown distance, crown radius."""
        s, x = self.shape, p[0]
        narrowing = 1 - 0.16 * smoothstep((-8.0 - p[1]) / 26)
        medial = x > 0
        offset = np.where(medial, s.condyle_offset_medial, s.condyle_offset_lateral).astype(x.dtype) * narrowing
        radius = np.where(medial, s.crown_radius_medial, s.crown_radius_lateral).astype(x.dtype)
        across = np.abs(x)
        return across / offset, np.maximum(across - offset, 0), radius

    def _cam(self, p: Points) -> np.ndarray:
        angle, r = self._polar(p)
        blend = smoothstep((p[0] + 9) / 18)
        (lateral, lateral_slope), (difference, difference_slope), (groove, _) = self._outlines(angle)
        t, beyond, crown = self._crown(p)
        inner = np.minimum(t, 1) * np.pi
        radius = lateral + blend * difference - groove * (0.5 + 0.5 * np.cos(inner)) - beyond * beyond / (2 * crown)
        across = np.where(t < 1, groove * 0.075 * np.sin(inner), beyond / crown)
        along = (lateral_slope + blend * difference_slope) / np.maximum(radius, 12)
        return (r - radius) / np.sqrt(1 + along * along + np.minimum(across * across, 2))

    def sides(self, p: Points) -> np.ndarray:
        """About the distance beyond the medial or lateral side of the condyles, mm."""
        s, (x, y, z) = self.shape, p
        forward, upward = (y - 2) / 44, (z - s.axis_z) / 24
        backward = np.maximum((y - 2) / 24, 0)
        bulge = 13 * np.minimum(forward, 0) ** 2 + 5 * backward ** 2 + 5 * upward * upward
        width = np.where(x > 0, s.half_width_medial, s.half_width_lateral).astype(x.dtype) - bulge
        slope = (26 / 44 * np.minimum(forward, 0)) ** 2 + (10 / 24 * backward) ** 2 + (10 / 24 * upward) ** 2
        return (np.abs(x) - width) / np.sqrt(1 + np.minimum(slope, 2))

    def notch(self, p: Points) -> np.ndarray:
        """About the distance to the intercondylar notch, mm, negative inside it."""
        tilt = np.radians(self.shape.notch_tilt_deg)
        depth = (p[1] - self.shape.notch_y) * float(np.cos(tilt)) - (p[2] - 4) * float(np.sin(tilt))
        depth = depth - p[0] * p[0] / 24  # an arch, not a slot: its apex lies in the middle
        return smooth_max(np.abs(p[0]) - self.shape.notch_half_width, -depth, 8.0)

    def _shaft(self, p: Points) -> np.ndarray:
        s, (x, y, z) = self.shape, p
        t = smoothstep((z - 36) / 46)
        a = 30 + (s.shaft_half_width - 30) * t
        b = 19 + (s.shaft_half_depth - 19) * t
        return smooth_max(ellipse(x, y - (-15.5 - 3.5 * t), a, b), 24 - z, 8.0)

    def bone(self, p: Points) -> np.ndarray:
        """About the signed distance to the femur, mm."""
        body = smooth_max(self._cam(p), self.sides(p), 7.0)
        whole = smooth_min(body, self._shaft(p), 12.0)
        return smooth_max(whole, -self.notch(p), 3.0)

    def coverage(self, q: Points) -> np.ndarray:
        """Millimetres from the cartilage's edge, positive where it covers, for points on the bone surface."""
        angle, _ = self._polar(q)
        trochlear = smoothstep((-q[1] - 22) / 12)
        top = 42 * (np.radians(TOP_DEG) - 0.16 * (q[0] + 2) ** 2 / 400 - angle)
        behind = 20 * (angle - float(np.radians(POSTERIOR_DEG)))
        behind = np.where(angle < 2.9, behind, -5).astype(angle.dtype)
        side = -self.sides(q) - (2.0 + 1.2 * trochlear)
        (medial, medial_slope), (lateral, lateral_slope) = self._reach(angle)
        reach, slope = np.where(q[0] > 0, medial, lateral), np.where(q[0] > 0, medial_slope, lateral_slope) / 38
        side = smooth_min(side, (reach - np.abs(q[0])) / np.sqrt(1 + slope * slope), CREST_MM)
        edge = smooth_min(side, smooth_min(top, behind, CREST_MM), CREST_MM) + self.cartilage.femoral_rim
        # Over the crest of the notch it ends on the wall, so far below the condyles' own surface; none grows between
        # the condyles behind.
        crest = NOTCH_RIM_MM + smooth_max(self._cam(q), self.sides(q), 7.0)
        between = smooth_max(np.abs(q[0]) - (self.shape.notch_half_width - 2.0), self.shape.axis_y - q[1], 4.0)
        return smooth_min(edge, smooth_min(crest, between, 2.0), 2.0).astype(angle.dtype)

    def thickness(self, q: Points) -> np.ndarray:
        """Cartilage thickness in mm that the surface point would have far from every edge."""
        angle, _ = self._polar(q)
        t, beyond, _ = self._crown(q)
        across = 1 - 0.22 * np.minimum((beyond / 13) ** 2, 1) - 0.12 * np.sin(np.minimum(t, 1) * np.pi) ** 2
        return self._thickness(angle)[0][0] * across * (1 + self.cartilage.ripple * self.ripple(q))

    def foot(self, p: Points, value: np.ndarray) -> tuple[Points, np.ndarray]:
        """Foot points on the bone and refined distances."""
        return foot_points(self.bone, p, value)
