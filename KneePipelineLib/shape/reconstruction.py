"""Surfaces of a latent: signed distances on a grid, fine only near the surfaces, then their zero contours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ShapeModelError
from .decoder import PADDING

if TYPE_CHECKING:
    import torch

    from .decoder import Decoder

Mesh = tuple[np.ndarray, np.ndarray]

HALF_WIDTH = 1.0 + PADDING
"""The grid covers [-HALF_WIDTH, HALF_WIDTH] in each direction; normalised femora lie in the unit ball."""
COARSE_CELLS = 64
FINE_CELLS = 256
MEAN_CELLS = 128
STEEPEST = 2.0
"""Distances learnt by a network may change this many times faster than true ones; a cell farther from every surface
than that allows is not refined."""


def reconstruct(decoder: Decoder, latent: np.ndarray, cells: int = FINE_CELLS) -> list[Mesh]:
    """One closed mesh a surface, in the model's coordinates, triangles counter-clockwise from outside.

    Parameters
    ----------
    decoder : Decoder
    latent : (L,) array
    cells : int
        Cells of the grid in each direction: 64 times a power of two.

    Raises
    ------
    ShapeModelError
        If a surface does not exist for this latent.
    """
    import torch

    vector = torch.as_tensor(np.asarray(latent, np.float32)).to(decoder.device, decoder.dtype)
    fields = distance_fields(decoder, vector, cells)
    meshes = []
    for name, field in zip(("bone", "cartilage", *map(str, range(2, len(fields)))), fields, strict=False):
        mesh = zero_contour(field, 2 * HALF_WIDTH / cells)
        if not len(mesh[1]):
            raise ShapeModelError(f"The shape model has no {name} surface for this femur.",
                                  "Check the femur in 3D Slicer; a wrong side or label map leads here.")
        meshes.append(mesh)
    return meshes


def mean_surface(decoder: Decoder) -> Mesh:
    """The mean bone, in the model's coordinates: the zero latent decoded."""
    return reconstruct(decoder, np.zeros(decoder.latent_size), MEAN_CELLS)[0]


def distance_fields(decoder: Decoder, latent: torch.Tensor, cells: int) -> np.ndarray:
    """Signed distances (surfaces, z, y, x) on the nodes of the grid; far from the surfaces they are interpolated."""
    import torch

    with torch.no_grad():
        table = decoder.table(latent)

        def at(nodes_zyx: np.ndarray, count: int) -> np.ndarray:
            points = torch.as_tensor(nodes_zyx[:, ::-1].astype(np.float32) * (2 * HALF_WIDTH / count) - HALF_WIDTH)
            parts = [decoder.distances(table, decoder.sampling(part.to(decoder.device, decoder.dtype)))
                     for part in points.split(32_768)]
            return torch.cat(parts).float().cpu().numpy().T

        count = min(COARSE_CELLS, cells)
        nodes = np.stack(np.meshgrid(*[np.arange(count + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
        fields = at(nodes, count).reshape(-1, count + 1, count + 1, count + 1)
        while count < cells:
            near = _near_cells(fields, 2 * HALF_WIDTH / count)
            fields, count = _doubled(fields), 2 * count
            wanted = np.argwhere(_nodes_of(near))
            wanted = wanted[(wanted % 2).any(axis=1)]  # the others are known from the coarser grid
            if len(wanted):
                fields[:, wanted[:, 0], wanted[:, 1], wanted[:, 2]] = at(wanted, count)
    return fields


def _near_cells(fields: np.ndarray, width: float) -> np.ndarray:
    """Cells (n, n, n) that a surface may cross: a corner is near enough to one, or corners have both signs."""
    nearest = np.abs(fields).min(axis=0)
    for axis in range(3):
        low, high = (np.take(nearest, range(*bounds), axis) for bounds in
                     ((0, nearest.shape[axis] - 1), (1, nearest.shape[axis])))
        nearest = np.minimum(low, high)
    near = nearest <= STEEPEST * width * np.sqrt(3) / 2
    for field in fields:
        low = high = field < 0
        for axis in range(3):
            n = low.shape[axis]
            low, high = (np.take(low, range(n - 1), axis) & np.take(low, range(1, n), axis),
                         np.take(high, range(n - 1), axis) | np.take(high, range(1, n), axis))
        near |= high & ~low
    return near


def _nodes_of(cells: np.ndarray) -> np.ndarray:
    """Nodes (2n + 1) of the doubled grid that lie in or on cells (n) of the coarser one."""
    fine = cells.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    nodes = np.zeros([n + 1 for n in fine.shape], bool)
    for z in (0, 1):
        for y in (0, 1):
            for x in (0, 1):
                nodes[z:z + fine.shape[0], y:y + fine.shape[1], x:x + fine.shape[2]] |= fine
    return nodes


def _doubled(fields: np.ndarray) -> np.ndarray:
    """The fields on a grid with twice the cells, linearly interpolated."""
    for axis in (1, 2, 3):
        fields = np.moveaxis(fields, axis, 0)
        finer = np.empty((2 * len(fields) - 1, *fields.shape[1:]), np.float32)
        finer[::2] = fields
        finer[1::2] = (fields[1:] + fields[:-1]) / 2
        fields = np.moveaxis(finer, 0, axis)
    return np.ascontiguousarray(fields)


def zero_contour(field: np.ndarray, width: float) -> Mesh:
    """Zero contour of a field (z, y, x), negative inside, on nodes ``width`` apart around the origin."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(*field.shape[::-1])
    image.SetSpacing(width, width, width)
    image.SetOrigin(*[-width * (n - 1) / 2 for n in field.shape[::-1]])
    # Inside must be larger: the contour filter orients triangles towards smaller values.
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(-field, np.float32).ravel()))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0.0)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    output = contour.GetOutput()
    if output.GetNumberOfPolys() == 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    points = np.array(vtk_to_numpy(output.GetPoints().GetData()), np.float32)
    triangles = vtk_to_numpy(output.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int32)
    corners = points[triangles].astype(np.float64)
    volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return points, triangles if volume > 0 else np.ascontiguousarray(triangles[:, ::-1])
