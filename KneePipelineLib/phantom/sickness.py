"""What may be wrong with a digital knee besides lesions of its cartilage: bony growths, growth plates, fluid.

None of it changes the truth of the cartilage: osteophytes grow outside the footprints, a growth plate parts a bone far
from the joint, an effusion is fluid. They are there to see whether a measurement stays right beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .implicit import Points, smooth_min

SEAM_MM = 2.0


@dataclass(frozen=True)
class Osteophyte:
    """A bony knob at the margin of femur or tibia.

    Parameters
    ----------
    bone : str
        ``femur`` or ``tibia``.
    position : (3,) floats
        Its middle in the canonical knee (mm; medial, posterior, superior), the femur's in its own extended frame. It
        should lie on the bone's surface outside the cartilage, as (36, 2, 8) on the femur or (38, 0, -6) on the tibia.
    radius_mm : float
        In canonical millimetres.
    """

    bone: str
    position: tuple[float, float, float]
    radius_mm: float = 6.0

    def __post_init__(self) -> None:
        if self.bone not in ("femur", "tibia") or self.radius_mm <= 0:
            raise ValueError("an osteophyte grows on femur or tibia and needs a radius above 0 mm")

    def distance(self, p: Points) -> np.ndarray:
        """About the signed distance to it, mm."""
        return np.sqrt(sum((c - o) ** 2 for c, o in zip(p, self.position, strict=True))) - self.radius_mm


@dataclass(frozen=True)
class Sickness:
    """Parameters
    ----------
    osteophytes : tuple of Osteophyte
    femoral_physis_mm, tibial_physis_mm : float or None
        An open growth plate this far (canonical mm) from the joint's end of the bone: above the femur's most distal
        point, below the tibia's highest.
    physis_gap_mm : float
        How wide the growth plate is.
    effusion : float
        0 for the usual film of fluid, 1 for a tense joint: how much the recesses swell. Seen in images only.
    """

    osteophytes: tuple[Osteophyte, ...] = ()
    femoral_physis_mm: float | None = None
    tibial_physis_mm: float | None = None
    physis_gap_mm: float = 2.4
    effusion: float = 0.0

    def __post_init__(self) -> None:
        if self.physis_gap_mm <= 0 or not 0 <= self.effusion <= 1:
            raise ValueError("a growth plate is wider than 0 mm, an effusion lies between 0 and 1")

    def physis_mm(self, bone: str) -> float | None:
        """Distance of a bone's growth plate from its joint end; None where it is closed."""
        return {"femur": self.femoral_physis_mm, "tibia": self.tibial_physis_mm}.get(bone)

    def grown(self, bone: str, plain: np.ndarray, own: Points) -> np.ndarray:
        """The distance to a bone with its osteophytes, from that to the plain bone and the points in its own frame."""
        for osteophyte in self.osteophytes:
            if osteophyte.bone == bone:
                plain = smooth_min(plain, osteophyte.distance(own).astype(plain.dtype), SEAM_MM)
        return plain


HEALTHY = Sickness()


def end_of(bone: str, shape: Callable[[Points], np.ndarray]) -> float:
    """Height (mm, own frame) of the femur's most distal or the tibia's highest point, looked for on a lattice."""
    x, y = (g.ravel() for g in np.meshgrid(np.arange(-42.0, 43.0, 2.0), np.arange(-48.0, 40.0, 2.0)))
    heights = np.arange(-40.0, 40.0, 0.5)
    inside = np.array([bool((shape((x, y, np.full_like(x, h))) < 0).any()) for h in heights])
    return float(heights[inside].min() if bone == "femur" else heights[inside].max())
