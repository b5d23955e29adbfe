"""Surfaces as models: bones in the colours of cartilage thickness, one scale, one legend; others at hand but hidden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from . import maps
from .changes import SceneChanges
from .files import point_values, read_surface

if TYPE_CHECKING:
    from .kinds import Kind
    from .steps import Import, Source

SHOWN_ROLE = "bone_surface"
_GREY = (200, 200, 200)


def read_surface_of(folder: Path, entry: dict) -> Any:
    """A surface of a run as vtkPolyData in RAS. 0 mm means no cartilage (NaN in the file).

    Slicer keeps no colour for NaN in a scene file and would paint bare bone dark red once it is loaded again; 0 has the
    colour of bone in the thickness table.
    """
    mesh = read_surface(folder / entry["path"])
    values = point_values(mesh, entry.get("scalars") or "")
    if values is not None and values.dtype.kind == "f":
        values[~np.isfinite(values)] = 0.0
    return mesh


def bring_bones(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """Bones and cartilages: those with a thickness in its colours, on one scale and with one legend."""
    meshes = {}
    for source in sources:
        meshes[source.entry["path"]] = yield from work.read(source)
    thick = [s.entry for s in sources if measured(s.entry, meshes[s.entry["path"]])]
    upper_mm = maps.thickness_upper_mm(point_values(meshes[e["path"]], e["scalars"]) for e in thick)
    table, has_legend = None, False
    if thick:
        table = work.make("thickness_colours", maps.add_thickness_table, upper_mm)
        yield _("Colours of thickness")
    for source in sources:
        coloured = table if source.entry in thick else None
        node = _bring(work, kind, source.entry, meshes[source.entry["path"]], coloured, upper_mm)
        yield source.title
        if coloured is not None and not has_legend:
            has_legend = True
            yield from maps.bring_legend(work, node, "Cartilage\nthickness (mm)", _("Colour legend"))


def bring_shapes(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """The shape model's surfaces, in plain colour: their distances are no thickness."""
    for source in sources:
        mesh = yield from work.read(source)
        _bring(work, kind, source.entry, mesh)
        yield source.title


def _bring(work: Import, kind: Kind, entry: dict, mesh: Any, table: Any = None, upper_mm: float = 0.0) -> Any:
    node = work.make(entry["role"], add_model, entry, mesh, table, upper_mm, folder=kind.folder)
    work.results.models[entry["path"]] = node
    return node


def measured(output: dict, mesh: Any) -> bool:
    """Whether a surface carries the scalars that its listing promises."""
    return bool(output.get("scalars")) and point_values(mesh, output["scalars"]) is not None


def add_model(changes: SceneChanges, output: dict, mesh: Any, table: Any, upper_mm: float) -> Any:
    """A model node of one surface.

    Parameters
    ----------
    output : dict
        Its entry in results.json.
    mesh : vtkPolyData
        RAS.
    table : vtkMRMLColorTableNode or None
        For its scalars; None: they are at hand, but not shown.
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
    if table is not None:
        display.SetAndObserveColorNodeID(table.GetID())
        display.SetActiveScalar(output["scalars"], vtk.vtkAssignAttribute.POINT_DATA)
        display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
        display.SetScalarRange(0.0, upper_mm)
        display.SetScalarVisibility(True)
    return node
