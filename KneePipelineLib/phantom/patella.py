"""The patella and its cartilage as implicit functions, in the patella's own frame (origin on the median ridge)."""

from __future__ import annotations

import numpy as np

from .implicit import Points, ellipse, smooth_max, smooth_min
from .parameters import CartilageParameters, PatellaParameters, Waves


class Patella:
    """Bone and cartilage of one patella, canonical millimetres.

    Parameters
    ----------
    shape : PatellaParameters
    cartilage : CartilageParameters
    ripple : Waves
    y : float
        Where the median ridge lies (mm, knee frame); set so that the cartilage just clears that of the trochlea.
    """

    def __init__(self, shape: PatellaParameters, cartilage: CartilageParameters, ripple: Waves,
                 y: float = -48.0) -> None:
        self.shape, self.cartilage, self.ripple, self.y = shape, cartilage, ripple, y
        tilt = np.radians(shape.tilt_deg)
        self._cos, self._sin = float(np.cos(tilt)), float(np.sin(tilt))

    def local(self, p: Points) -> Points:
        """Knee frame to patella frame."""
        x, y = p[0] - self.shape.centre_x, p[1] - self.y
        return x * self._cos + y * self._sin, y * self._cos - x * self._sin, p[2] - self.shape.centre_z

    def _facets(self, p: Points) -> np.ndarray:
        """About the signed distance behind the articular face: two facets that meet in a rounded median ridge."""
        s, (x, y, z) = self.shape, p
        across = x - s.ridge_x
        slope = np.where(across > 0, s.slope_medial, s.slope_lateral).astype(x.dtype)
        rounded = np.sqrt(across * across + 12)
        face = -slope * (rounded - 12**0.5) - z * z / 160
        steep = slope * across / rounded
        return (y - face) / np.sqrt(1 + steep * steep + (z / 80) ** 2)

    def local_bone(self, p: Points) -> np.ndarray:
        """About the signed distance to the patella, mm, in its own frame."""
        s, (x, y, z) = self.shape, p
        front = -s.depth + (x * x + 0.8 * z * z) / 46
        anterior = (front - y) / np.sqrt(1 + np.minimum((x / 23) ** 2 + (z / 29) ** 2, 3))
        rim = ellipse(x * (1 + 0.006 * np.maximum(-z, 0)), z, s.half_width, s.half_height)
        return smooth_max(smooth_max(self._facets(p), anterior, 5.0), rim, 5.0)

    def bone(self, p: Points) -> np.ndarray:
        """About the signed distance to the patella, mm, knee frame."""
        return self.local_bone(self.local(p))

    def coverage(self, q: Points) -> np.ndarray:
        """Millimetres inside the edge of the cartilage, for points on the bone surface (knee frame)."""
        local = self.local(q)
        a, b = self.cartilage.patella_half_axes
        edge = -ellipse(local[0] - 0.3, local[2] - 3.0, a, b) + self.cartilage.patella_rim
        return smooth_min(edge, 2 + self._facets(local) * 2, 2.0)

    def thickness(self, q: Points) -> np.ndarray:
        """Thickness in mm of the cartilage far from its edge."""
        x, _, z = self.local(q)
        a, b = self.cartilage.patella_half_axes
        rho2 = np.minimum(((x - self.shape.ridge_x) / a) ** 2 + ((z - 3) / b) ** 2, 1.5)
        return self.cartilage.patella * (1 - 0.42 * rho2) * (1 + self.cartilage.ripple * self.ripple(q))
