"""Matrices between the scene, whose millimetres are RAS, and files and runs, whose millimetres are LPS."""

from __future__ import annotations

from typing import Any

import numpy as np

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS to LPS, and back."""


def array_of(matrix: Any) -> np.ndarray:
    """A vtkMatrix4x4 as an array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_of(array: np.ndarray) -> Any:
    """A 4 x 4 array as a vtkMatrix4x4."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix


def ijk_to_lps(node: Any) -> np.ndarray:
    """From a volume node's voxels to LPS, its parent transform left out."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return TO_LPS @ array_of(matrix)


def to_world(transform: Any) -> np.ndarray:
    """Where a linear transform node, with those above it, takes a point; LPS to LPS."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return TO_LPS @ array_of(matrix) @ TO_LPS
