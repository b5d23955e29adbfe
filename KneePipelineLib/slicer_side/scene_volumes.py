"""Maps as volumes: T2 in colour on its fixed scale, anything else in grey."""

from __future__ import annotations

from typing import Any

import vtk

from ..imaging import Volume
from . import colours
from .scene_changes import SceneChanges
from .scene_files import ijk_to_ras, vtk_array

_MEASURED_MS = 0.5
"""Below, nothing was measured: those voxels are transparent."""


def add_volume(changes: SceneChanges, output: dict, volume: Volume, table: Any | None) -> Any:
    """A scalar volume node; the views go on showing what they show.

    Parameters
    ----------
    output : dict
        Its entry in results.json.
    volume : Volume
        As `scene_files.read_scalar_volume` gives it.
    table : vtkMRMLColorTableNode or None
        The T2 colours for a map in ms; None leaves it grey.
    """
    image = vtk.vtkImageData()
    image.SetDimensions(*volume.size)
    image.GetPointData().SetScalars(vtk_array(volume.array))
    node = changes.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", output["title"])
    node.SetIJKToRASMatrix(ijk_to_ras(volume))
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    if table is not None:  # before the image comes: finding a window for it would take seconds
        display.SetAndObserveColorNodeID(table.GetID())
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*colours.T2_RANGE_MS)
        display.SetAutoThreshold(False)
        display.SetThreshold(_MEASURED_MS, float(volume.array.max()) + 1.0)
        display.SetApplyThreshold(True)
        display.SetInterpolate(False)
    node.SetAndObserveImageData(image)
    return node
