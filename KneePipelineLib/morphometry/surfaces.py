"""Closed triangle surfaces of labels: contour, largest piece, and the normals and areas of what results.

Geometry here is *local*: millimetres along the axes of a box of voxels (index times spacing). Only finished surfaces
are moved to LPS. So the same voxels give the same triangles however the volume lay in space.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]
"""(points (n, 3) float32, triangles (m, 3) int32)."""

_CONTOURING = Lock()
"""VTK does not allow two Python threads in its contour filter at once: it comes back empty."""

EMPTY_MESH: Mesh = (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))


def iso_surface(field: np.ndarray, spacing_mm: np.ndarray, level: float = 0.5) -> Mesh:
    """Contour a scalar field with flying edges (Schroeder et al., IEEE LDAV 2015).

    Parameters
    ----------
    field : numpy.ndarray
        float32 (z, y, x); values above ``level`` are inside. Its outermost voxels must be below, or the surface is
        open there.
    spacing_mm : (3,) floats
        Along i, j, k.

    Returns
    -------
    Mesh
        Points in local mm (x, y, z), voxel (0, 0, 0) at the origin; triangles counter-clockwise from outside.
    """
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    field = np.ascontiguousarray(field, dtype=np.float32)
    image = vtk.vtkImageData()
    image.SetDimensions(*field.shape[::-1])
    image.SetSpacing(*[float(s) for s in spacing_mm])
    image.GetPointData().SetScalars(numpy_to_vtk(field.ravel()))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, level)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    with _CONTOURING:
        contour.Update()
    output = contour.GetOutput()
    if output.GetNumberOfPolys() == 0:
        return EMPTY_MESH
    points = np.array(vtk_to_numpy(output.GetPoints().GetData()), dtype=np.float32)
    triangles = vtk_to_numpy(output.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int32)
    return outward((points, triangles))


def signed_volume_mm3(mesh: Mesh) -> float:
    """Volume enclosed by a closed surface; negative when its triangles are clockwise from outside."""
    points, triangles = mesh
    if not len(triangles):
        return 0.0
    corners = (points - points.mean(axis=0))[triangles].astype(np.float64)
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def outward(mesh: Mesh) -> Mesh:
    """The mesh with triangles counter-clockwise seen from outside."""
    return mesh if signed_volume_mm3(mesh) >= 0 else (mesh[0], np.ascontiguousarray(mesh[1][:, ::-1]))


def largest_component(mesh: Mesh) -> Mesh:
    """The connected piece with the most triangles; inner shells of cavities and specks go.

    Returns
    -------
    Mesh
        Unused points removed.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    points, triangles = mesh
    if not len(triangles):
        return mesh
    rows, columns = triangles[:, [0, 1]].T
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(points),) * 2)
    rows, columns = triangles[:, [1, 2]].T
    graph = graph + coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(points),) * 2)
    count, piece = connected_components(graph, directed=False)
    if count == 1:
        return mesh
    keep = piece[triangles[:, 0]]
    keep = keep == np.bincount(keep).argmax()
    return compact((points, triangles[keep]))


def compact(mesh: Mesh) -> Mesh:
    """The mesh without the points that no triangle uses."""
    points, triangles = mesh
    used = np.zeros(len(points), bool)
    used[triangles] = True
    new_index = np.cumsum(used) - 1
    return points[used], new_index[triangles].astype(np.int32)


def triangle_normals(mesh: Mesh) -> np.ndarray:
    """(m, 3) float64 vectors perpendicular to the triangles, twice their area long."""
    points, triangles = mesh
    a, b, c = (points[triangles[:, i]].astype(np.float64) for i in range(3))
    return np.cross(b - a, c - a)


def gather(triangles: np.ndarray, values: np.ndarray, points: int) -> np.ndarray:
    """Sum over each vertex's triangles of a value (m,) or (m, d) of the triangles."""
    values = values if values.ndim == 2 else values[:, None]
    columns = [
        sum(np.bincount(triangles[:, i], weights=column, minlength=points) for i in range(3)) for column in values.T
    ]
    return np.stack(columns, axis=1)


def vertex_normals_and_areas(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals of the vertices and the area each stands for.

    The normal is the mean of the unit normals of the triangles around (the rule of VTK's normals filter, which the
    field's thickness is defined with); the area a third of theirs.

    Returns
    -------
    normals : (n, 3) float32
    areas_mm2 : (n,) float32
    """
    points, triangles = mesh
    normals = triangle_normals(mesh)
    lengths = np.linalg.norm(normals, axis=1)
    unit = normals / np.maximum(lengths, 1e-12)[:, None]
    summed = gather(triangles, unit, len(points))
    summed /= np.maximum(np.linalg.norm(summed, axis=1), 1e-12)[:, None]
    areas = gather(triangles, lengths / 6, len(points))[:, 0]
    return summed.astype(np.float32), areas.astype(np.float32)
