"""What a view shows, as an array."""

from __future__ import annotations

from typing import Any

import numpy as np


def pixels(view: Any) -> np.ndarray:
    """A slice or 3D view rendered now: (rows, columns, 3) uint8, the first row at the top."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    view.forceRender()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(view.renderWindow())
    grabber.ReadFrontBufferOff()
    grabber.Update()
    image = grabber.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()
