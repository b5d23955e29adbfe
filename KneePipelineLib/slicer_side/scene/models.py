"""Surfaces as models: bones in the colours of cartilage thickness, one scale, one legend; others at hand but hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from . import maps
from .changes import SceneChanges
from .files import point_values, read_surface

SHOWN_ROLE = "bone_surface"
_GREY = (200, 200, 200)
_LEGEND_LABELS = 5


def read_models(folder: Path, outputs: list[dict]) -> dict[str, Any]:
    """The surfaces of these outputs by path, as vtkPolyData in RAS. 0 mm means no cartilage (NaN in the files).

    Slicer keeps no colour for NaN in a scene file and would paint bare bone dark red once it is loaded again; 0 has the
    colour of bone in the thickness table.
    """
    meshes = {}
    for output in outputs:
        mesh = read_surface(folder / output["path"])
        values = point_values(mesh, output.get("scalars", ""))
        if values is not None and values.dtype.kind == "f":
            values[~np.isfinite(values)] = 0.0
        meshes[output["path"]] = mesh
    return meshes


def measured(output: dict, mesh: Any) -> bool:
    """Whether a surface carries the scalars that its listing promises."""
    return bool(output.get("scalars")) and point_values(mesh, output["scalars"]) is not None


def shared_upper_mm(outputs: list[dict], meshes: dict[str, Any]) -> float:
    """The upper end of the one scale for every surface with scalars."""
    return maps.thickness_upper_mm(
        point_values(meshes[o["path"]], o["scalars"]) for o in outputs if measured(o, meshes[o["path"]])
    )


def add_model(changes: SceneChanges, output: dict, mesh: Any, table: Any, upper_mm: float) -> Any:
    """A model node of one surface.

    Parameters
    ----------
    output : dict
        Its entry in results.json.
    mesh : vtkPolyData
        RAS.
    table : vtkMRMLColorTableNode or None
        For its scalars; None where no surface has any.
    upper_mm : float
        Upper end of the scale.
    """
    node = changes.scene.AddNewNodeByClass("vtkMRMLModelNode", output["title"])
    node.SetAndObservePolyData(mesh)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility(output["role"] == SHOWN_ROLE)
    display.SetVisibility2D(False)
    display.SetColor(*(part / 255 for part in output.get("color", _GREY)))
    if table is not None and measured(output, mesh):
        display.SetAndObserveColorNodeID(table.GetID())
        display.SetActiveScalar(output["scalars"], vtk.vtkAssignAttribute.POINT_DATA)
        display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
        display.SetScalarRange(0.0, upper_mm)
        display.SetScalarVisibility(True)
    return node


def add_legend(node: Any, title: str, number_format: str = "%.1f") -> Any:
    """The colour legend of a model or volume, or None where this Slicer has none."""
    logic = slicer.modules.colors.logic()
    if not hasattr(logic, "AddDefaultColorLegendDisplayNode"):
        return None
    legend = logic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(title)
    legend.SetLabelFormat(number_format)
    legend.SetNumberOfLabels(_LEGEND_LABELS)
    legend.SetMaxNumberOfColors(256)
    return legend
