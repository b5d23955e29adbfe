"""How far two surfaces are apart."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SurfaceDistances:
    """Average symmetric surface distance and the 95th percentile of the Hausdorff distance, in the meshes' unit.

    ``at_vertices`` is the distance of every vertex of the first mesh from the second.
    """

    assd: float
    hausdorff95: float
    at_vertices: np.ndarray = field(repr=False, compare=False)


def surface_distances(first: Mesh, second: Mesh) -> SurfaceDistances:
    """Distances between two triangle meshes, from the vertices of each to the triangles of the other.

    ASSD is the mean of both directions' means, so that neither counts more for having more vertices; the Hausdorff
    figure is the larger of both directions' 95th percentiles (Taha and Hanbury, BMC Medical Imaging 2015;15:29).
    """
    there, back = _to_surface(first[0], second), _to_surface(second[0], first)
    return SurfaceDistances(float((there.mean() + back.mean()) / 2),
                            float(max(np.percentile(there, 95), np.percentile(back, 95))), there)


def _to_surface(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    import point_cloud_utils as pcu

    vertices, triangles = np.ascontiguousarray(mesh[0], np.float64), np.ascontiguousarray(mesh[1], np.int64)
    distances, _, _ = pcu.closest_points_on_mesh(np.ascontiguousarray(points, np.float64), vertices, triangles)
    return np.asarray(distances, np.float64)
