"""Bare bone that cartilage encloses, and distances along a surface.

1. Every patch of bare bone that the covered vertices of one cartilage enclose completely is a defect, however large;
   the largest patch is the bone outside. Patches below ``SMALLEST_MM2`` are single vertices.
2. So is what they enclose after a closing on the surface (grown, then shrunk, by ``closing_mm`` of geodesic distance
   along the mesh's edges), which bridges a narrow gap in a rim through which a defect opens to the edge. Patches below
   ``SMALLEST_OPEN_MM2`` are the unevenness of the rim.

Bare bone that is open to the margin takes a footprint to be told from bone outside; see footprint.py.
"""

from __future__ import annotations

import numpy as np

from .surfaces import Mesh

SMALLEST_MM2 = 4.0
"""Area of the smallest enclosed patch of bare bone that counts as denuded: a full-thickness hole of 2.3 mm."""

SMALLEST_OPEN_MM2 = 15.0
"""The same for a patch that only the closing encloses."""


def edge_graph(mesh: Mesh):
    """Symmetric sparse matrix (n, n) of edge lengths in mm."""
    from scipy.sparse import csr_matrix

    points, triangles = mesh
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    lengths = np.linalg.norm(points[edges[:, 0]].astype(np.float64) - points[edges[:, 1]], axis=1)
    lengths = np.maximum(lengths, 1e-9)
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    return csr_matrix((np.concatenate([lengths, lengths]), (rows, columns)), shape=(len(points),) * 2)


def enclosed_defects(graph, covered: np.ndarray, areas_mm2: np.ndarray, closing_mm: float) -> np.ndarray:
    """The bare vertices that one cartilage encloses, as a hole or behind a narrow gap, (n,) bool.

    Parameters
    ----------
    graph : sparse matrix
        From `edge_graph`.
    covered : (n,) bool
        The vertices that the cartilage covers.
    areas_mm2 : (n,) floats
        The area each vertex stands for.
    closing_mm : float
        Radius of the geodesic closing.
    """
    if not covered.any():
        return np.zeros(len(covered), bool)
    denuded = sizeable(graph, enclosed(graph, covered), areas_mm2, SMALLEST_MM2)
    if closing_mm > 0:
        closed = _closing(graph, covered, closing_mm)
        denuded |= sizeable(graph, (closed | enclosed(graph, closed)) & ~covered, areas_mm2, SMALLEST_OPEN_MM2)
    return denuded


def enclosed(graph, covered: np.ndarray) -> np.ndarray:
    """The bare vertices that covered ones surround, (n,) bool: all bare patches but the largest."""
    from scipy.sparse.csgraph import connected_components

    holes = np.zeros(len(covered), bool)
    bare = np.flatnonzero(~covered)
    if len(bare):
        patch = connected_components(graph[bare][:, bare], directed=False)[1]
        holes[bare[patch != np.bincount(patch).argmax()]] = True
    return holes


def sizeable(graph, chosen: np.ndarray, areas_mm2: np.ndarray, smallest_mm2: float) -> np.ndarray:
    """The connected patches of chosen vertices that are not below an area."""
    from scipy.sparse.csgraph import connected_components

    members = np.flatnonzero(chosen)
    if not len(members):
        return chosen
    patch = connected_components(graph[members][:, members], directed=False)[1]
    kept = np.zeros(len(chosen), bool)
    kept[members] = np.bincount(patch, weights=areas_mm2[members])[patch] >= smallest_mm2
    return kept


def _closing(graph, covered: np.ndarray, radius_mm: float) -> np.ndarray:
    if radius_mm <= 0 or covered.all():
        return covered
    grown = geodesic_mm(graph, covered, radius_mm) <= radius_mm
    if grown.all():
        return grown
    return geodesic_mm(graph, ~grown, radius_mm) > radius_mm


def geodesic_mm(graph, sources: np.ndarray, limit_mm: float) -> np.ndarray:
    """Geodesic distance in mm to the nearest source, infinite beyond the limit."""
    from scipy.sparse.csgraph import dijkstra

    return dijkstra(graph, indices=np.flatnonzero(sources), min_only=True, limit=limit_mm * 1.001)
