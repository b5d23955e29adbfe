"""The tibia's own axes and the margin of its plateau, from the bone alone.

What wears in osteoarthritis, cartilage and menisci, is measured against what stays: so neither the axes nor the margin
know of cartilage. Bone grows at the margin, too (osteophytes); they are bumps on a smooth outline, and the margin is
the smooth outline without the bumps.

- Proximal: perpendicular to the plateau, a plane through the upward-looking surface with the spine trimmed away.
- Medial-lateral: the long axis of the outline of the bone just below the plateau (it is half as wide again as deep).
- Posterior: perpendicular to both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .records import AnatomicalFrame, BoneSurface

UPWARD = 0.8
"""Cosine from which on a normal looks upwards."""

SIDEWARD = 0.6
RIM_MM = (1.0, 9.0)
"""Depth below the plateau in which the outline is looked at: below the rim's rounding, above the taper to the shaft."""

MARGIN_MM = 9.0
SECTION_MM = 1.0
FIT_SHARE = 0.8
"""The part of a compartment's anterior-posterior extent over which its margin is fitted."""

LOWER_QUANTILE = 0.25
REWEIGHTINGS = 30
STANDS_OUT_MM = 0.8
"""What reaches further beyond the smooth outline than this is an osteophyte."""

ITERATIONS = 4
TRIMMED_MM = 1.5


@dataclass(frozen=True, eq=False)
class TibialFrame:
    """Axes of one tibia.

    Attributes
    ----------
    center : (3,) float64
        LPS mm, on the plateau's plane in the middle of the bone.
    axes : (3, 3) float64
        Rows medial, posterior, proximal: unit vectors in LPS. Left-handed in a left knee.
    """

    center: np.ndarray
    axes: np.ndarray

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) LPS mm to medial, posterior, proximal mm."""
        return (np.asarray(points, np.float64) - self.center) @ self.axes.T


def tibial_frame(tibia: BoneSurface, knee: AnatomicalFrame) -> TibialFrame:
    """The tibia's axes; ``knee`` tells which way medial, posterior and up roughly are."""
    points, weights = tibia.points.astype(np.float64), tibia.vertex_area_mm2.astype(np.float64)
    normals = tibia.normals.astype(np.float64)
    up, across = knee.axes[2], knee.medial
    center = points.mean(axis=0)
    for _ in range(ITERATIONS):
        height = (points - center) @ up
        looks_up = normals @ up > UPWARD
        if np.count_nonzero(looks_up) < 50:
            break
        top = float(np.quantile(height[looks_up], 0.9))
        plateau = looks_up & (height > top - 12)
        level, up = _plane(points[plateau], weights[plateau], up)
        depth = (level - points) @ up
        side = (depth > RIM_MM[0]) & (depth < RIM_MM[1]) & (np.abs(normals @ up) < SIDEWARD)
        if np.count_nonzero(side) < 50:
            break
        center, across = _long_axis(points[side], weights[side], up, across)
        center = center + ((level - center) @ up) * up
    across = across - (across @ up) * up
    across /= np.linalg.norm(across)
    posterior = np.cross(up, across)
    posterior *= np.sign(posterior @ knee.axes[1]) or 1.0
    return TibialFrame(center, np.stack([across, posterior, up]))


def _plane(points: np.ndarray, weights: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A point and the normal of the plane through most of the points; what stands out upwards is trimmed."""
    keep = np.ones(len(points), bool)
    for _ in range(6):
        middle = np.average(points[keep], axis=0, weights=weights[keep])
        offset = (points[keep] - middle) * np.sqrt(weights[keep])[:, None]
        normal = np.linalg.eigh(offset.T @ offset)[1][:, 0]
        normal = normal * (np.sign(normal @ up) or 1.0)
        residual = (points - middle) @ normal
        keep = np.abs(residual - np.median(residual[keep])) < TRIMMED_MM
        if np.count_nonzero(keep) < 20:
            return middle, normal
    return middle, normal


def _long_axis(points: np.ndarray, weights: np.ndarray, up: np.ndarray,
               across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and unit direction of the long axis of an outline seen from above."""
    middle = np.average(points, axis=0, weights=weights)
    flat = points - middle
    flat = (flat - (flat @ up)[:, None] * up) * np.sqrt(weights)[:, None]
    axis = np.linalg.eigh(flat.T @ flat)[1][:, 2]
    return middle, axis * (np.sign(axis @ across) or 1.0)


@dataclass(frozen=True, eq=False)
class Margin:
    """The outer margin of one compartment of the plateau.

    Attributes
    ----------
    middle_mm, extent_mm : float
        Posterior coordinate of the middle of the compartment and its anterior-posterior extent.
    coefficients : (3,) float64
        Of the outward coordinate as a polynomial of the posterior one (highest power first).
    """

    middle_mm: float
    extent_mm: float
    coefficients: np.ndarray

    def outward_mm(self, posterior_mm: np.ndarray) -> np.ndarray:
        """Where the margin lies, mm outward of the tibia's middle."""
        return np.polyval(self.coefficients, posterior_mm)


def margin(tibia: BoneSurface, frame: TibialFrame, outwards: int) -> Margin | None:
    """The margin of the medial (``outwards`` 1) or lateral (-1) compartment; None where the bone does not show one."""
    local = frame.to_frame(tibia.points)
    rim = (local[:, 2] < 3.0) & (local[:, 2] > -MARGIN_MM)
    out, along = local[rim, 0] * outwards, local[rim, 1]
    if np.count_nonzero(out > 0) < 100:
        return None
    compartment = (out > np.quantile(out, 0.98) * 0.35) & (out > 0)
    low, high = np.quantile(along[compartment], (0.01, 0.99))
    middle, extent = (low + high) / 2, high - low
    centres, edges = sections(along, out, middle, extent * FIT_SHARE / 2)
    if len(centres) < 8:
        return None
    return Margin(float(middle), float(extent), _smooth_edge(centres, edges))


def sections(along: np.ndarray, out: np.ndarray, middle: float, half: float,
             share: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The outermost position in each coronal section.

    Parameters
    ----------
    along, out : (n,) floats
        Posterior and outward coordinates, mm.
    middle, half : float
        Sections lie within ``middle`` +- ``half``.
    share : float
        The quantile that stands for outermost; 1 for the maximum.

    Returns
    -------
    centres, edges : (k,) arrays
        Posterior coordinate and edge of the sections that hold points.
    """
    number = np.floor((along - (middle - half)) / SECTION_MM).astype(int)
    count = max(1, int(np.floor(2 * half / SECTION_MM)))
    centres, edges = [], []
    for section in range(count):
        held = out[number == section]
        if len(held):
            centres.append(middle - half + (section + 0.5) * SECTION_MM)
            edges.append(held.max() if share >= 1 else np.quantile(held, share))
    return np.array(centres), np.array(edges)


def _smooth_edge(along: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """A parabola through the edges without the bumps on them.

    First the lower quartile's parabola (quantile regression by reweighting), which bumps over up to half of the
    sections do not lift, then the mean one of the sections that do not stand out from it.
    """
    coefficients = np.polyfit(along, edge, 2)
    for _ in range(REWEIGHTINGS):
        residual = edge - np.polyval(coefficients, along)
        pull = np.where(residual > 0, LOWER_QUANTILE, 1 - LOWER_QUANTILE) / np.maximum(np.abs(residual), 0.05)
        coefficients = np.polyfit(along, edge, 2, w=np.sqrt(pull))
    near = edge - np.polyval(coefficients, along) < STANDS_OUT_MM
    return np.polyfit(along[near], edge[near], 2) if np.count_nonzero(near) > 5 else coefficients
