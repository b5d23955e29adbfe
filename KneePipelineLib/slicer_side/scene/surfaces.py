"""Closed surfaces of segments, and how results come into the coordinates of a segmentation under a transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from slicer.i18n import tr as _

from ...errors import InvalidFormatError
from .files import LabelMap, ijk_to_ras, vtk_array

LABELS, SURFACE = "Binary labelmap", "Closed surface"


def smoothing_of(segmentation: Any) -> float | None:
    """The smoothing factor (0 to 1) with which a vtkSegmentation has its surfaces made; None where it has them made in
    another way than `surface_of` knows: decimated, smoothed together or by surface nets."""
    def told(name: str, usual: float) -> float:
        return float(segmentation.GetConversionParameter(name) or usual)

    others = ("Decimation factor", "Joint smoothing", "Conversion method")
    return None if any(told(name, 0.0) for name in others) else told("Smoothing factor", 0.5)


def surface_of(labels: LabelMap, value: int, smoothing: float) -> Any:
    """The closed surface of one value of a label map as vtkPolyData in RAS, as Slicer's own conversion makes it.

    It touches no node, so that a thread may make it, and lets other threads go on where VTK does (9.6 and newer). Only
    the structure's box is looked at: the whole grid for each would take ten times as long.

    Parameters
    ----------
    smoothing : float
        0 to 1; see `smoothing_of`.
    """
    lower, upper = labels.boxes[value]
    box = tuple(slice(low, high) for low, high in zip(reversed(lower), reversed(upper), strict=True))
    inside = np.pad((labels.volume.array[box] == value).astype(np.uint8), 1)
    image = vtk.vtkImageData()
    image.SetExtent(*[edge for low, high in zip(lower, upper, strict=True) for edge in (low - 1, high)])
    image.GetPointData().SetScalars(vtk_array(inside))
    edges, smoother = vtk.vtkDiscreteFlyingEdges3D(), vtk.vtkWindowedSincPolyDataFilter()
    edges.SetInputData(image)
    edges.ComputeGradientsOff()
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    edges.SetValue(0, 1)
    smoother.SetInputConnection(edges.GetOutputPort())
    smoother.SetNumberOfIterations(20 + int(40 * smoothing))
    smoother.SetPassBand(10 ** (-4 * smoothing))
    smoother.BoundarySmoothingOff()
    smoother.FeatureEdgeSmoothingOff()
    smoother.NonManifoldSmoothingOn()
    smoother.NormalizeCoordinatesOn()
    to_ras, mover, normals = vtk.vtkTransform(), vtk.vtkTransformPolyDataFilter(), vtk.vtkPolyDataNormals()
    to_ras.SetMatrix(ijk_to_ras(labels.volume))
    mover.SetInputConnection((smoother if smoothing else edges).GetOutputPort())
    mover.SetTransform(to_ras)
    normals.SetInputConnection(mover.GetOutputPort())
    normals.SplittingOff()
    normals.SetFlipNormals(to_ras.GetMatrix().Determinant() < 0)
    normals.Update()
    return normals.GetOutput()


def into_coordinates_of(node: Any, source: Any) -> Any:
    """vtkMatrix4x4 from the results' coordinates to the node's own, or None where they are the same.

    Parameters
    ----------
    source : vtkMRMLTransformNode or None
        The results lie under it; None: in the world.

    Raises
    ------
    InvalidFormatError
        If one of the transforms bends: a label map on straight axes cannot be put under it.
    """
    parent = node.GetParentTransformNode()
    if parent is source:
        return None
    matrix, inverse = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    for transform, filled in ((source, matrix), (parent, inverse)):
        if transform is None:
            continue
        if not transform.IsTransformToWorldLinear():
            raise InvalidFormatError(
                _("The output segmentation or the input lies under a transform that is not linear."),
                _("Let a new segmentation be made, or harden the transform first."))
        transform.GetMatrixTransformToWorld(filled)
    inverse.Invert()
    vtk.vtkMatrix4x4.Multiply4x4(inverse, matrix, matrix)
    return matrix


def move_image(image: Any, matrix: Any) -> None:
    """Take an oriented image by a matrix; None: leave it."""
    if matrix is not None:
        moved = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(moved)
        vtk.vtkMatrix4x4.Multiply4x4(matrix, moved, moved)
        image.SetGeometryFromImageToWorldMatrix(moved)


def move_surface(surface: Any, matrix: Any) -> None:
    """Take a surface by a matrix; None: leave it."""
    if matrix is not None:
        transform = vtk.vtkTransform()
        transform.SetMatrix(matrix)
        mover = vtk.vtkTransformPolyDataFilter()
        mover.SetTransform(transform)
        mover.SetInputData(surface)
        mover.Update()
        surface.ShallowCopy(mover.GetOutput())
