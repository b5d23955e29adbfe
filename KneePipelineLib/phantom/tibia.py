"""The proximal tibia, its two cartilages, and the fibula as implicit functions.

The plateau is a height field (a shallow medial dish, a lateral crest, the spine's two tubercles between), cut to the
outline of the bone, which tapers into the shaft.
"""

from __future__ import annotations

import numpy as np

from .implicit import Points, capsule, ellipsoid, smooth_max, smooth_min, smoothstep
from .parameters import CartilageParameters, TibiaParameters, Waves

_TUBERCLES = ((4.5, -1.0, 4.2, 8.0, 1.0), (-5.0, 2.0, 4.2, 7.0, 0.9))
"""Medial and lateral tubercle of the spine: x, y, widths in x and y (mm), relative height."""


class Tibia:
    """Bone and cartilages of one tibia, canonical millimetres.

    Parameters
    ----------
    shape : TibiaParameters
    cartilage : CartilageParameters
    ripples : (Waves, Waves)
        Unevenness of the medial and the lateral cartilage.
    level_medial, level_lateral : float
        Heights (mm) of the two plateaus; set so that the cartilages just clear those of the femur.
    """

    def __init__(self, shape: TibiaParameters, cartilage: CartilageParameters, ripples: tuple[Waves, Waves],
                 level_medial: float = -3.0, level_lateral: float = -3.0, spine_height: float | None = None) -> None:
        self.shape, self.cartilage, self.ripples = shape, cartilage, ripples
        self.level_medial, self.level_lateral = level_medial, level_lateral
        self.spine_height = shape.spine_height if spine_height is None else spine_height

    def height(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height z (mm) of the plateau at (x, y) and the square of its slope."""
        s = self.shape
        um, ul, v = x - s.medial_x, x - s.lateral_x, np.clip(y, -30, 30)
        um, ul = np.clip(um, -24, 24), np.clip(ul, -24, 24)
        medial = self.level_medial + s.medial_depth * ((um / 13) ** 2 + (v / 20) ** 2)
        lateral = self.level_lateral + 0.5 * (ul / 13) ** 2 - s.lateral_crest * (v / 17) ** 2
        blend = smoothstep((x + 5) / 10)
        gx = blend * (2 * s.medial_depth / 169) * um + (1 - blend) * ul / 169
        gy = (blend * s.medial_depth / 200 - (1 - blend) * s.lateral_crest * 2 / 289) * v - s.slope
        z = lateral + blend * (medial - lateral) - s.slope * y
        for cx, cy, wx, wy, share in _TUBERCLES:
            a, b = (x - cx) / wx, (y - cy) / wy
            hill = self.spine_height * share / (1 + a * a + b * b) ** 2
            z = z + hill
            fall = -4 * hill / (1 + a * a + b * b)
            gx, gy = gx + fall * a / wx, gy + fall * b / wy
        return z, gx * gx + gy * gy

    def top(self, p: Points) -> np.ndarray:
        """About the signed distance above the plateau, mm."""
        z, slope2 = self.height(p[0], p[1])
        return (p[2] - z) / np.sqrt(1 + slope2)

    def outline(self, p: Points) -> np.ndarray:
        """About the distance outside the bone's outline, mm (a rounded rectangle below, tapering to the shaft)."""
        s, (x, y, z) = self.shape, p
        t = smoothstep((-7 - z) / 52)
        a = s.half_width + (s.shaft_radius - s.half_width) * t
        b = s.half_depth + (s.shaft_radius + 0.5 - s.half_depth) * t
        u, v = np.abs(x + 1.5 * t) / a, np.abs(y + 4.5 * t) / b
        k3 = u * u * u + v * v * v + 1e-6
        k = np.cbrt(k3)
        slope = np.sqrt((u * u / a) ** 2 + (v * v / b) ** 2 + 1e-9) / (k * k)
        # The posterior border is indented between the condyles.
        dent = 4.5 / (1 + (x / 8) ** 2) ** 2 * smoothstep((y - 4) / 16) * (1 - t)
        return (k - 1) / np.maximum(slope, 0.5 / a) + dent

    def bone(self, p: Points) -> np.ndarray:
        """About the signed distance to the tibia, mm."""
        body = smooth_max(self.top(p), self.outline(p), 4.0)
        return smooth_min(body, ellipsoid(p, (-3.0, -24.0, -38.0), (9.0, 7.0, 13.0)), 6.0)

    def coverage(self, q: Points, side: str) -> np.ndarray:
        """Millimetres inside the edge of the medial or lateral cartilage, for points on the bone surface.

        Outside, a plate ends a little within the bone's margin; towards the spine the medial one is straight and gives
        way behind, the lateral one is straight behind and gives way in front, where it ends before the margin: read off
        the two real footprints carried to this bone.
        """
        x, y, _ = q
        shrink, c = self.shape.half_width / 37.5, self.cartilage
        margin = -self.outline(q) - 1.8
        if side == "medial":
            behind = np.maximum(y - 2.0, 0)
            inner = (x - shrink * (6.0 + 0.038 * behind * behind)) / np.sqrt(1 + (0.076 * behind) ** 2)
            edge = smooth_min(smooth_min(margin, inner, 4.0), 21.0 - np.abs(y + 0.5), 4.0) + c.medial_tibia_rim
        else:
            before = np.maximum(2.0 - y, 0)
            inner = (-shrink * (4.8 + 0.035 * before * before) - x) / np.sqrt(1 + (0.07 * before) ** 2)
            edge = smooth_min(smooth_min(margin, inner, 4.0), 18.2 - np.abs(y - 2.2), 4.0) + c.lateral_tibia_rim
        return np.minimum(edge, 5.2 - np.abs(self.top(q)) * 2).astype(x.dtype)

    def thickness(self, q: Points, side: str) -> np.ndarray:
        """Thickness in mm of that cartilage far from its edge."""
        medial = side == "medial"
        centre = self.shape.medial_x if medial else self.shape.lateral_x
        a, b = self.cartilage.medial_tibia_half_axes if medial else self.cartilage.lateral_tibia_half_axes
        peak = self.cartilage.medial_tibia if medial else self.cartilage.lateral_tibia
        rho2 = np.minimum(((q[0] - centre) / a) ** 2 + (q[1] / b) ** 2, 1.5)
        ripple = self.ripples[0 if medial else 1]
        return peak * (1 - 0.45 * rho2) * (1 + self.cartilage.ripple * ripple(q))

    def fibula(self, p: Points) -> np.ndarray:
        """About the signed distance to the fibula, mm; it keeps 1.2 mm from the tibia."""
        head = ellipsoid(p, (-33.0, 19.0, -24.0), (8.0, 9.0, 10.0))
        shaft = capsule(p, (-33.0, 19.0, -26.0), (-29.0, 17.0, -90.0), 6.8, 5.5)
        return smooth_max(smooth_min(head, shaft, 5.0), 1.2 - self.bone(p), 1.5)
