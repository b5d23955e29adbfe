"""One reader a kind of file, each a call of the logic that Slicer's own reader calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import slicer

# vtkSlicerVolumesLogic.LoadingOptions
_LABEL_MAP, _CENTER, _SINGLE_FILE, _AUTO_WINDOW, _DISCARD_ORIENTATION = 1, 2, 4, 8, 16


def node_name(properties: dict) -> str:
    """The name asked for, else the file's, without its known ending."""
    if properties.get("name"):
        return properties["name"]
    base = os.path.basename(properties["fileName"])
    for ending in (".seg.nrrd", ".seg.nhdr", ".nii.gz", ".mrk.json"):
        if base.lower().endswith(ending):
            return base[: -len(ending)]
    return os.path.splitext(base)[0]


def _made(node: Any) -> list[Any]:
    return [] if node is None else [node]


def read_volume(scene: Any, app_logic: Any, properties: dict, messages: Any) -> list[Any]:
    import vtk

    flags = {
        "labelmap": _LABEL_MAP,
        "center": _CENTER,
        "singleFile": _SINGLE_FILE,
        "autoWindowLevel": _AUTO_WINDOW,
        "discardOrientation": _DISCARD_ORIENTATION,
    }
    defaults = {"autoWindowLevel": True}
    options = sum(bit for name, bit in flags.items() if properties.get(name, defaults.get(name, False)))
    files = None
    if properties.get("fileNames"):
        files = vtk.vtkStringArray()
        for name in properties["fileNames"]:
            files.InsertNextValue(str(name))
    logic = slicer.modules.volumes.logic()
    node = logic.AddArchetypeVolume(properties["fileName"], node_name(properties), options, files)
    if node is None:
        messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"could not read a volume from {properties['fileName']}")
        return []
    if properties.get("colorNodeID") and node.GetDisplayNode() is not None:
        node.GetDisplayNode().SetAndObserveColorNodeID(properties["colorNodeID"])
    if properties.get("show", True):
        selection = app_logic.GetSelectionNode()
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            selection.SetActiveLabelVolumeID(node.GetID())
        else:
            selection.SetActiveVolumeID(node.GetID())
        app_logic.PropagateVolumeSelection()
    return [node]


def read_segmentation(scene: Any, app_logic: Any, properties: dict, messages: Any) -> list[Any]:
    logic = slicer.modules.segmentations.logic()
    color = scene.GetNodeByID(properties["colorNodeID"]) if properties.get("colorNodeID") else None
    return _made(
        logic.LoadSegmentationFromFile(
            properties["fileName"], bool(properties.get("autoOpacities", True)), node_name(properties), color, messages
        )
    )


def read_model(scene: Any, app_logic: Any, properties: dict, messages: Any) -> list[Any]:
    system = properties.get("coordinateSystem", slicer.vtkMRMLStorageNode.CoordinateSystemLPS)
    node = slicer.modules.models.logic().AddModel(properties["fileName"], system, messages)
    if node is not None and properties.get("name"):
        node.SetName(properties["name"])
    return _made(node)


def read_table(scene: Any, app_logic: Any, properties: dict, messages: Any) -> list[Any]:
    return _made(
        slicer.modules.tables.logic().AddTable(properties["fileName"], node_name(properties), True, "", messages)
    )


def read_text(scene: Any, app_logic: Any, properties: dict, messages: Any) -> list[Any]:
    storage = scene.AddNewNodeByClass("vtkMRMLTextStorageNode")
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", scene.GenerateUniqueName(node_name(properties)))
    storage.SetFileName(properties["fileName"])
    if not storage.ReadData(node):
        messages.AddMessages(storage.GetUserMessages())
        scene.RemoveNode(node)
        scene.RemoveNode(storage)
        return []
    node.SetAndObserveStorageNodeID(storage.GetID())
    return [node]


def read_transform(scene: Any, app_logic: Any, properties: dict, messages: Any) -> list[Any]:
    return _made(slicer.modules.transforms.logic().AddTransform(properties["fileName"], scene))


def read_markups(scene: Any, app_logic: Any, properties: dict, messages: Any) -> list[Any]:
    node_id = slicer.modules.markups.logic().LoadMarkups(properties["fileName"], node_name(properties), messages)
    return _made(scene.GetNodeByID(node_id) if node_id else None)


READERS: dict[str, Callable[[Any, Any, dict, Any], list[Any]]] = {
    "VolumeFile": read_volume,
    "SegmentationFile": read_segmentation,
    "ModelFile": read_model,
    "TableFile": read_table,
    "TextFile": read_text,
    "TransformFile": read_transform,
    "MarkupsFile": read_markups,
}
