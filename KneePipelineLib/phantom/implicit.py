"""The small algebra of implicit shapes: a shape is a function, negative inside, about millimetres near its surface.

Points travel as a tuple of three arrays (x, y, z) of one dtype, because that is what numpy evaluates fastest. Every
function keeps the dtype, so the same anatomy is evaluated in float32 for images and in float64 for the truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]
Shape = Callable[[Points], np.ndarray]

GRADIENT_STEP_MM = 0.05
"""Step of the forward differences that define a foot point; part of the definition of the cartilage, so fixed."""


def smooth_max(a: np.ndarray, b: np.ndarray, blend_mm: float) -> np.ndarray:
    """Maximum (intersection of shapes) whose edge is rounded where a and b differ by less than ``blend_mm``."""
    rounding = np.maximum(blend_mm - np.abs(a - b), 0)
    return np.maximum(a, b) + rounding * rounding * (0.25 / blend_mm)


def smooth_min(a: np.ndarray, b: np.ndarray, blend_mm: float) -> np.ndarray:
    """Minimum (union of shapes) whose seam is filled where a and b differ by less than ``blend_mm``."""
    filling = np.maximum(blend_mm - np.abs(a - b), 0)
    return np.minimum(a, b) - filling * filling * (0.25 / blend_mm)


def smoothstep(t: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, a cubic with level ends between."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def ellipse(dx: np.ndarray, dy: np.ndarray, a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """About the signed distance (mm) to the ellipse of half axes a and b: (k - 1) over the gradient of k."""
    u, v = dx / a, dy / b
    k = np.sqrt(u * u + v * v + 1e-6)
    slope = np.sqrt((u / a) ** 2 + (v / b) ** 2 + 1e-9)
    return (k - 1) * k / slope


def ellipsoid(p: Points, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    """About the signed distance (mm) to an ellipsoid with axes along x, y, z."""
    u, v, w = ((c - o) / r for c, o, r in zip(p, centre, radii, strict=True))
    k = np.sqrt(u * u + v * v + w * w + 1e-6)
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2 + 1e-9)
    return (k - 1) * k / slope


def capsule(p: Points, start: tuple, end: tuple, radius_start: float, radius_end: float) -> np.ndarray:
    """About the signed distance (mm) to the rounded, possibly tapering rod between two points."""
    axis = [float(e - s) for s, e in zip(start, end, strict=True)]
    length2 = sum(a * a for a in axis)
    d = [c - float(s) for c, s in zip(p, start, strict=True)]
    t = np.clip((d[0] * axis[0] + d[1] * axis[1] + d[2] * axis[2]) / length2, 0, 1)
    off = [c - t * a for c, a in zip(d, axis, strict=True)]
    return np.sqrt(off[0] ** 2 + off[1] ** 2 + off[2] ** 2) - (radius_start + t * (radius_end - radius_start))


class AngularSpline:
    """Periodic uniform cubic B-splines of one angle: twice continuously differentiable, evaluated with their slopes.

    Parameters
    ----------
    curves_deg : lists of (angle in degrees, value)
        One list a curve; between its entries values are linear, then smoothed on control points every 10 degrees.
    """

    SEGMENTS = 36

    def __init__(self, *curves_deg: list[tuple[float, float]]) -> None:
        self._coefficients = [self._polynomials(knots) for knots in curves_deg]

    def _polynomials(self, knots_deg: list[tuple[float, float]]) -> dict[type, np.ndarray]:
        angle, value = np.array(sorted(knots_deg), dtype=np.float64).T
        control = np.interp(np.arange(self.SEGMENTS) * 10.0 - 180.0, angle, value, period=360)
        before, here, after, beyond = (np.roll(control, shift) for shift in (1, 0, -1, -2))
        exact = np.stack([(before + 4 * here + after) / 6, (after - before) / 2, (before - 2 * here + after) / 2,
                          (beyond - 3 * after + 3 * here - before) / 6])
        return {np.dtype(kind): exact.astype(kind) for kind in (np.float32, np.float64)}

    def __call__(self, angle: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """(value, derivative per radian) of every curve at ``angle`` (radians, -pi to pi)."""
        scale = self.SEGMENTS / (2 * np.pi)
        t = (angle + np.pi) * scale
        index = np.minimum(t.astype(np.int32), self.SEGMENTS - 1)
        f = t - index
        out = []
        for coefficients in self._coefficients:
            c0, c1, c2, c3 = coefficients[angle.dtype].take(index, axis=1)
            out.append((((c3 * f + c2) * f + c1) * f + c0, ((3 * c3 * f + 2 * c2) * f + c1) * scale))
        return out


def gradient(shape: Shape, p: Points, value: np.ndarray, step_mm: float = GRADIENT_STEP_MM) -> Points:
    """Forward-difference gradient of a shape whose value at ``p`` is known."""
    x, y, z = p
    return (
        (shape((x + step_mm, y, z)) - value) / step_mm,
        (shape((x, y + step_mm, z)) - value) / step_mm,
        (shape((x, y, z + step_mm)) - value) / step_mm,
    )


def foot_points(shape: Shape, p: Points, value: np.ndarray) -> tuple[Points, np.ndarray]:
    """One Newton step from ``p`` to the shape's surface, and the distance in mm that the step spans (signed)."""
    gx, gy, gz = gradient(shape, p, value)
    square = np.maximum(gx * gx + gy * gy + gz * gz, 0.05)
    t = value / square
    return (p[0] - t * gx, p[1] - t * gy, p[2] - t * gz), value / np.sqrt(square)


def project(shape: Shape, points: np.ndarray, steps: int = 6) -> np.ndarray:
    """Move points, shape (n, 3) float64, along the gradient onto the surface (residual below 1e-7 mm near it)."""
    points = np.array(points, dtype=np.float64)
    for _ in range(steps):
        p = tuple(points.T)
        value = shape(p)
        g = np.stack(central_gradient(shape, p), axis=1)
        square = np.maximum((g * g).sum(1), 0.05)
        points = points - np.clip(value / square, -2, 2)[:, None] * g
    return points


def central_gradient(shape: Shape, p: Points, step_mm: float = 1e-4) -> Points:
    """Central-difference gradient in float64, for the truth."""
    out = []
    for axis in range(3):
        shift = [np.zeros(1)] * 3
        shift[axis] = np.full(1, step_mm)
        ahead = shape(tuple(c + s for c, s in zip(p, shift, strict=True)))
        behind = shape(tuple(c - s for c, s in zip(p, shift, strict=True)))
        out.append((ahead - behind) / (2 * step_mm))
    return tuple(out)


def normals(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Outward unit normals, shape (n, 3), of a shape at points on its surface."""
    g = np.stack(central_gradient(shape, tuple(np.asarray(points, dtype=np.float64).T)), axis=1)
    return g / np.linalg.norm(g, axis=1, keepdims=True)
