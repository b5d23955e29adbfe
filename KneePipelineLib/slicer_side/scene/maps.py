"""Maps as volumes, T2 in colour on its fixed scale; colour tables, with the report's colours, and legends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ...imaging import Volume
from ...results.figures.colours import BONE_RGB, thickness_map
from .changes import SceneChanges
from .files import ijk_to_ras, vtk_array

if TYPE_CHECKING:
    from .kinds import Kind
    from .steps import Import, Source

_LEGEND_LABELS = 5
_MEASURED_MS = 0.5
"""Below, nothing was measured: those voxels are transparent."""


def bring(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """Maps as volumes; those in ms on the scale of T2, with its legend."""
    table = None
    for source in sources:
        volume = yield from work.read(source)
        is_t2 = source.entry.get("units") == "ms"
        if is_t2 and table is None:
            table = work.make("t2_colours", add_t2_table)
            yield _("Colours of T2")
        node = work.make(source.entry["role"], add_volume, source.entry, volume, table if is_t2 else None)
        yield source.title
        if is_t2:
            yield from bring_legend(work, node, "T2 (ms)", _("Colour legend of T2"), "%.0f")


def bring_legend(work: Import, node: Any, title: str, sentence: str, number_format: str = "%.1f") -> Iterator[str]:
    """The colour legend of a model or volume, where there can be one."""
    if work.make("legend", add_legend, node, title, number_format):
        yield sentence


def add_volume(changes: SceneChanges, output: dict, volume: Volume, table: Any | None) -> Any:
    """A scalar volume node; the views go on showing what they show.

    Parameters
    ----------
    output : dict
        Its entry in results.json.
    volume : Volume
        As `files.read_map` gives it.
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
        display.SetWindowLevelMinMax(*T2_RANGE_MS)
        display.SetAutoThreshold(False)
        display.SetThreshold(_MEASURED_MS, float(volume.array.max()) + 1.0)
        display.SetApplyThreshold(True)
        display.SetInterpolate(False)
    node.SetAndObserveImageData(image)
    return node


T2_RANGE_MS = (20.0, 80.0)
"""Cartilage lies between; one scale for every knee, as in the report."""
_LEAST_MM, _MOST_MM = 2.0, 8.0


def thickness_upper_mm(thicknesses_mm: Iterable[np.ndarray]) -> float:
    """Upper end of the one scale for all models of a knee, as the report has it.

    The 98th percentile of what was measured, up to the next half mm, between 2 and 8 mm.

    Parameters
    ----------
    thicknesses_mm : iterable of (n,) arrays
        One a model; NaN and 0 mean bare bone.
    """
    found = [values[np.isfinite(values) & (values > 0)] for values in map(np.asarray, thicknesses_mm)]
    values = np.concatenate(found) if found else np.empty(0)
    upper = float(np.percentile(values, 98)) if values.size else 4.0
    return float(np.clip(np.ceil(upper * 2) / 2, _LEAST_MM, _MOST_MM))


def add_thickness_table(changes: SceneChanges, upper_mm: float, name: str = "Cartilage thickness") -> Any:
    """A colour table for 0 to ``upper_mm``. Its first colour is bone: 0 mm means that there is no cartilage."""
    colours = thickness_map().copy()
    colours[0] = BONE_RGB
    return _add_table(changes.scene, colours, (0.0, upper_mm), "mm", name, "Bone colour: no cartilage.")


def add_t2_table(changes: SceneChanges, name: str = "Cartilage T2") -> Any:
    """A colour table for `T2_RANGE_MS`."""
    return _add_table(changes.scene, thickness_map(), T2_RANGE_MS, "ms", name, "")


def _add_table(
    scene: Any, colours: np.ndarray, limits: tuple[float, float], unit: str, name: str, description: str
) -> Any:
    node = scene.CreateNodeByClass("vtkMRMLColorTableNode")
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    node.SetTypeToUser()
    node.SetDescription(f"{limits[0]:g} to {limits[1]:g} {unit}. {description}".strip())
    node.SetNumberOfColors(len(colours))
    table = node.GetLookupTable()
    table.SetRange(0, len(colours) - 1)
    for index, (rgb, value) in enumerate(zip(colours / 255.0, np.linspace(*limits, len(colours)), strict=True)):
        node.SetColor(index, f"{value:.2f} {unit}", *(float(part) for part in rgb), 1.0)
    node.SetAttribute("Category", "KneePipeline")
    scene.AddNode(node)
    return node

def add_legend(changes: SceneChanges, node: Any, title: str, number_format: str = "%.1f") -> Any:
    """The colour legend of a model or volume, or None where this Slicer has none or the node has gone."""
    logic = slicer.modules.colors.logic()
    if not hasattr(logic, "AddDefaultColorLegendDisplayNode") or not changes.present(node):
        return None
    legend = logic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(title)
    legend.SetLabelFormat(number_format)
    legend.SetNumberOfLabels(_LEGEND_LABELS)
    legend.SetMaxNumberOfColors(256)
    return legend
