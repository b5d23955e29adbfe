"""A smooth closed surface with a chosen number of evenly spread vertices, straight from its scalar field.

Quadric decimation puts its vertices where the bone is curved and leaves triangles of several millimetres on flat parts
such as the tibial plateau, where areas and borders are measured. Contouring the field again on a coarser isotropic grid
spreads them evenly, and is faster. The vertices are then moved along the surface towards the middle of their neighbours
and back onto the exact iso-surface, which removes the slivers that contouring leaves.
"""

from __future__ import annotations

import numpy as np

from .surfaces import Mesh, compact, iso_surface, largest_component, triangle_normals

RELAXATIONS = 2
GRADIENT_STEP = 0.5
"""Half the distance of the central differences, in voxels."""

FINEST_MM = 0.2


def grid_step_mm(dense: Mesh, vertices: int) -> float:
    """The spacing of the cubic grid on which the surface's contour has about this many vertices.

    Contour vertices are crossings of grid lines with the surface; a piece of surface with area A and unit normal n
    crosses ``A (|nx| + |ny| + |nz|) / h^2`` lines of a grid with spacing h.
    """
    projected = np.abs(triangle_normals(dense)).sum() / 2
    return max(float(np.sqrt(projected / vertices)), FINEST_MM)


def evenly_resampled(field: np.ndarray, spacing_mm: np.ndarray, dense: Mesh, vertices: int) -> Mesh:
    """The largest piece of the 0.5 iso-surface with about ``vertices`` evenly spread vertices.

    Parameters
    ----------
    field : numpy.ndarray
        float32 (z, y, x), as contoured for ``dense``.
    spacing_mm : (3,) floats
        Along i, j, k.
    dense : Mesh
        Its contour in local mm. Returned as it is if it has no more vertices than wanted.
    vertices : int

    Returns
    -------
    Mesh
        Local mm.
    """
    from scipy.ndimage import map_coordinates

    if len(dense[0]) <= vertices:
        return dense
    step = grid_step_mm(dense, vertices)
    extent = (np.array(field.shape[::-1]) - 1) * spacing_mm
    counts = np.ceil(extent / step).astype(int) + 1
    # centred, so that the grid lies in the same way in a mirrored box
    starts = (extent - (counts - 1) * step) / 2
    x, y, z = ((s + np.arange(n) * step) / d for s, n, d in zip(starts, counts, spacing_mm, strict=True))
    coarse = np.empty((len(z), len(y), len(x)), np.float32)
    plane = np.stack(np.meshgrid(y, x, indexing="ij")).astype(np.float32)
    for number, height in enumerate(z):
        at = np.concatenate([np.full((1, *plane.shape[1:]), height, np.float32), plane])
        map_coordinates(field, at, order=1, mode="constant", output=coarse[number])
    points, triangles = iso_surface(coarse, np.full(3, step))
    mesh = largest_component((points + starts.astype(np.float32), triangles))
    return relaxed(compact(mesh), field, spacing_mm, step)


def relaxed(mesh: Mesh, field: np.ndarray, spacing_mm: np.ndarray, step_mm: float) -> Mesh:
    """Vertices moved along the surface to the middle of their neighbours and back onto the iso-surface."""
    from scipy.sparse import csr_matrix

    points, triangles = mesh[0].astype(np.float64), mesh[1]
    if not len(triangles):
        return mesh
    rows = triangles.ravel()
    columns = np.roll(triangles, -1, axis=1).ravel()
    links = csr_matrix((np.ones(2 * len(rows)), (np.r_[rows, columns], np.r_[columns, rows])), shape=(len(points),) * 2)
    neighbours = np.asarray(links.sum(axis=1)).ravel()
    for _ in range(RELAXATIONS):
        towards = (links @ points) / neighbours[:, None] - points
        gradient = _gradient(field, spacing_mm, points)[1]
        normal = gradient / np.maximum(np.linalg.norm(gradient, axis=1), 1e-9)[:, None]
        points = points + towards - np.einsum("ij,ij->i", towards, normal)[:, None] * normal
        points = _onto_surface(points, field, spacing_mm, step_mm)
    points = _onto_surface(points, field, spacing_mm, step_mm)
    return points.astype(np.float32), triangles


def _onto_surface(points: np.ndarray, field: np.ndarray, spacing_mm: np.ndarray, limit_mm: float) -> np.ndarray:
    """One Newton step along the gradient, no longer than a fraction of the grid."""
    value, gradient = _gradient(field, spacing_mm, points)
    square = np.maximum((gradient**2).sum(axis=1), 1e-3)
    move = ((0.5 - value) / square)[:, None] * gradient
    length = np.linalg.norm(move, axis=1)
    return points + move * np.minimum(1.0, 0.5 * limit_mm / np.maximum(length, 1e-9))[:, None]


def _gradient(field: np.ndarray, spacing_mm: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value (n,) and gradient per mm (n, 3) of the field at local points."""
    from scipy.ndimage import map_coordinates

    index = (points / spacing_mm)[:, ::-1].T
    probes = [index]
    for axis in (2, 1, 0):
        shift = np.zeros((3, 1))
        shift[axis] = GRADIENT_STEP
        probes += [index + shift, index - shift]
    values = map_coordinates(field, np.concatenate(probes, axis=1), order=1, mode="nearest", output=np.float64)
    values = values.reshape(7, -1)
    slopes = [(values[2 * a + 1] - values[2 * a + 2]) / (2 * GRADIENT_STEP * spacing_mm[a]) for a in range(3)]
    return values[0], np.stack(slopes, axis=1)
