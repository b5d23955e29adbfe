"""Every crossing of many rays with a closed surface: Embree (Wald et al., ACM TOG 2014) through point-cloud-utils."""

from __future__ import annotations

import numpy as np

from .surfaces import Mesh, triangle_normals

STEP_MM = 1e-3
"""How far past a crossing the search for the next begins; far below any cartilage, far above float32 rounding."""

MAXIMUM_CROSSINGS = 12


def crossings(
    mesh: Mesh, origins: np.ndarray, directions: np.ndarray, length_mm: float, most: int = MAXIMUM_CROSSINGS
) -> tuple[np.ndarray, np.ndarray]:
    """Where rays cross a surface.

    Parameters
    ----------
    mesh : Mesh
        Closed surface near the coordinates' origin, so that float32 suffices; triangles counter-clockwise from outside.
    origins, directions : (n, 3) floats
        Starting points and unit directions.
    length_mm : float
        Where the rays end.
    most : int
        Crossings to look for along each ray, at most.

    Returns
    -------
    distances : (n, k) float64
        Each row increasing and filled up with NaN; k is the largest number of crossings met, at least 2 and at most
        ``MAXIMUM_CROSSINGS``.
    entering : (n, k) bool
        Whether the ray goes in there; False where there is no crossing.
    """
    from point_cloud_utils import RayMeshIntersector

    points, triangles = mesh
    distances, entering = [np.full(len(origins), np.nan)], [np.zeros(len(origins), bool)]
    if len(triangles) and len(origins):
        corners, faces = np.ascontiguousarray(points, np.float32), np.ascontiguousarray(triangles, np.int32)
        surface = RayMeshIntersector(corners, faces)
        outward = triangle_normals(mesh)
        directions = np.ascontiguousarray(directions, dtype=np.float32)
        origins = np.ascontiguousarray(origins, dtype=np.float32)
        active, travelled = np.arange(len(origins)), np.zeros(len(origins))
        for number in range(most):
            starts = origins[active] + travelled[:, None].astype(np.float32) * directions[active]
            triangle, _, distance = surface.intersect_rays(starts, directions[active], 0.0, length_mm)
            triangle, distance = np.atleast_1d(triangle), np.atleast_1d(distance).astype(np.float64)
            hit = (triangle >= 0) & np.isfinite(distance) & (distance + travelled <= length_mm)
            if not hit.any():
                break
            active, at = active[hit], (distance + travelled)[hit]
            if number >= len(distances):
                distances.append(np.full(len(origins), np.nan))
                entering.append(np.zeros(len(origins), bool))
            distances[number][active] = at
            entering[number][active] = np.einsum("ij,ij->i", outward[triangle[hit]], directions[active]) < 0
            travelled = at + STEP_MM
    while len(distances) < 2:
        distances.append(np.full(len(origins), np.nan))
        entering.append(np.zeros(len(origins), bool))
    return np.stack(distances, axis=1), np.stack(entering, axis=1)
