"""The colours of the figures: one perceptually uniform map for thickness, and the bone's own.

The map runs through five anchor colours at equal distances in the OKLab space (B. Ottosson, "A perceptual color space
for image processing", 2020), lightness rising all the way: equal steps in millimetres look like equal steps, also in
grey print and with the common colour vision deficiencies. Its dark, saturated low end stands out from pale bone, so
thin cartilage is what catches the eye.
"""

from __future__ import annotations

from functools import cache

import numpy as np

BONE_RGB = (232, 225, 211)
DENUDED_RGB = (176, 46, 38)
_ERROR_ANCHORS = ((236, 230, 216), (240, 178, 110), (214, 84, 58), (110, 16, 44))
_ANCHORS = ((68, 22, 92), (52, 82, 155), (28, 140, 145), (112, 190, 88), (250, 226, 52))

_LMS_FROM_RGB = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])
_LAB_FROM_LMS = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])


@cache
def thickness_map() -> np.ndarray:
    """(256, 3) uint8 sRGB, low to high."""
    return _even(_ANCHORS)


@cache
def error_map() -> np.ndarray:
    """(256, 3) uint8 sRGB for distances that should be small: bone's own colour, darker and redder with distance."""
    return _even(_ERROR_ANCHORS)


def _even(anchors: tuple) -> np.ndarray:
    """256 colours at equal OKLab distances along a smooth curve through the anchors."""
    lab = oklab(np.array(anchors))
    knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(lab, axis=0), axis=1))])
    dense = np.linspace(0.0, knots[-1], 4096)
    curve = np.column_stack([_smooth(knots, lab[:, c], dense) for c in range(3)])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    even = np.linspace(0.0, length[-1], 256)
    return srgb(np.column_stack([np.interp(even, length, curve[:, c]) for c in range(3)]))


def colour_of(values: np.ndarray, upper: float, ramp: np.ndarray | None = None) -> np.ndarray:
    """uint8 sRGB, shape (..., 3), of values in mm on a scale from 0 to ``upper`` (values outside are clamped); by
    default in the colours of thickness."""
    index = np.clip(np.nan_to_num(np.asarray(values)) / upper * 255.0, 0, 255).round().astype(np.intp)
    return (thickness_map() if ramp is None else ramp)[index]


def thickness_range_mm(surfaces: dict) -> float:
    """Upper end of the one scale for all bones: the 98th percentile of thickness, up to the next half mm, 2 to 8 mm."""
    found = [s.thickness_mm[np.isfinite(s.thickness_mm)] for s in surfaces.values()]
    values = np.concatenate(found) if found else np.empty(0)
    upper = float(np.percentile(values, 98)) if values.size else 4.0
    return float(np.clip(np.ceil(upper * 2.0) / 2.0, 2.0, 8.0))


def oklab(rgb: np.ndarray) -> np.ndarray:
    """OKLab of 8-bit sRGB, shape (..., 3)."""
    encoded = np.asarray(rgb, dtype=np.float64) / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _LMS_FROM_RGB.T) @ _LAB_FROM_LMS.T


def srgb(lab: np.ndarray) -> np.ndarray:
    """8-bit sRGB of OKLab, shape (..., 3); colours out of gamut are clipped."""
    linear = (np.asarray(lab) @ np.linalg.inv(_LAB_FROM_LMS).T) ** 3 @ np.linalg.inv(_LMS_FROM_RGB).T
    linear = np.clip(linear, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (encoded * 255.0).round().astype(np.uint8)


def hex_colour(rgb: tuple[int, int, int] | np.ndarray) -> str:
    """``#rrggbb``."""
    return "#" + "".join(f"{int(c):02x}" for c in rgb)


def _smooth(knots: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Cubic Hermite interpolation with central-difference slopes."""
    slopes = np.gradient(values, knots)
    k = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    h = knots[k + 1] - knots[k]
    t = (at - knots[k]) / h
    return ((1 + 2 * t) * (1 - t) ** 2 * values[k] + t * (1 - t) ** 2 * h * slopes[k]
            + t**2 * (3 - 2 * t) * values[k + 1] + t**2 * (t - 1) * h * slopes[k + 1])
