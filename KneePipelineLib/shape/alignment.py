"""Similarity registration of one point set onto another by iterated closest points.

Besl and McKay, IEEE Transactions on Pattern Analysis and Machine Intelligence 1992;14:239-256, with rotation, scale and
translation of each iteration in closed form (Umeyama, the same journal 1991;13:376-380).
"""

from __future__ import annotations

import numpy as np

LANDMARKS = 1000
ITERATIONS = 100
_STILL = 1e-9


Mesh = tuple[np.ndarray, np.ndarray]


def similarity_icp(moving: np.ndarray, fixed: Mesh, *, landmarks: int = LANDMARKS,
                   iterations: int = ITERATIONS) -> np.ndarray:
    """The similarity that lays ``moving`` onto the surface ``fixed``.

    Parameters
    ----------
    moving : (n, 3) array
        Vertices; as many as ``landmarks``, evenly taken from their list, are matched.
    fixed : (points (m, 3), triangles (k, 3))
        The dense surface to lie on, in any unit: the scale is found.
    landmarks, iterations : int
        The published fit uses 1,000 and 100; it ends earlier when nothing moves any more.

    Returns
    -------
    (4, 4) float64
        For column vectors (x, y, z, 1).
    """
    from scipy.spatial import cKDTree

    moving, (target, normals, reach) = np.asarray(moving, np.float64), _target(fixed)
    step = max(1, -(-len(moving) // landmarks))
    start = moving[::step]
    transform = _first_guess(moving, target)
    tree = cKDTree(target)
    before = np.inf
    for _ in range(iterations):
        placed = apply(transform, start)
        distance, nearest = tree.query(placed)
        transform = umeyama(start, _on_surface(placed, target[nearest], normals[nearest], reach))
        error = float(np.mean(distance**2))
        if abs(before - error) <= _STILL * max(error, 1e-12):
            break
        before = error
    return transform


def _target(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, float]:
    """Vertices that triangles use, their unit normals, and the mean length of an edge."""
    points, triangles = np.asarray(mesh[0], np.float64), np.asarray(mesh[1])
    corners = points[triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], across)
    length = np.linalg.norm(normals, axis=1)
    used = length > 0
    reach = float(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1).mean())
    return points[used], normals[used] / length[used, None], reach


def _on_surface(points: np.ndarray, vertices: np.ndarray, normals: np.ndarray, reach: float) -> np.ndarray:
    """The surface's points nearest to some points: from the nearest vertex along the tangent plane, an edge at most.

    Vertices alone hold on to each other, and the registration would end too early.
    """
    offset = points - vertices
    offset -= np.einsum("ij,ij->i", offset, normals)[:, None] * normals
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    return vertices + offset * np.minimum(1.0, reach / np.maximum(length, 1e-12))


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least-squares similarity (4, 4) from paired points (n, 3) to (n, 3); never a reflection."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    s, t = source - mean_s, target - mean_t
    u, singular, vt = np.linalg.svd(t.T @ s)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / np.square(s).sum())
    transform = np.eye(4)
    transform[:3, :3] = scale * rotation
    transform[:3, 3] = mean_t - scale * rotation @ mean_s
    return transform


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n, 3) points after a (4, 4) transform, float64."""
    return np.asarray(points, np.float64) @ transform[:3, :3].T + transform[:3, 3]


def _first_guess(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Equal middle and equal size, not turned."""
    mean_m, mean_f = moving.mean(0), fixed.mean(0)
    scale = np.sqrt(np.square(fixed - mean_f).sum(1).mean() / np.square(moving - mean_m).sum(1).mean())
    transform = np.eye(4)
    transform[:3, :3] *= scale
    transform[:3, 3] = mean_f - scale * mean_m
    return transform
