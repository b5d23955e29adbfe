"""The scene's C++ logics, made and connected as the application does at start-up."""

from __future__ import annotations

import os
from typing import Any

import slicer

# Module name -> class of its logic; the names are those of slicer.modules
MODULE_LOGICS = {
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Colors": "vtkSlicerColorLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Models": "vtkSlicerModelsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}

_kept: list[Any] = []


def make_application_logic(scene: Any, home: str) -> Any:
    """The application logic with its processing thread, a cache and the data transfer that scene bundles need."""
    logic = slicer.vtkSlicerApplicationLogic()
    temporary = os.path.join(home, "temp")
    cache = os.path.join(home, "cache")
    for folder in (cache, os.path.join(home, "share", "ColorFiles")):
        os.makedirs(folder, exist_ok=True)
    logic.SetHomeDirectory(home)
    logic.SetShareDirectory("share")
    logic.SetTemporaryPath(temporary)
    scene.SetRootDirectory(home)
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    remote.GetCacheManager().SetRemoteCacheDirectory(cache)
    transfer = slicer.vtkDataIOManagerLogic()
    transfer.SetMRMLApplicationLogic(logic)
    transfer.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    logic.SetMRMLSceneDataIO(scene, remote, transfer)
    logic.SetMRMLScene(scene)
    scene.RegisterNodeClass(slicer.vtkMRMLCommandLineModuleNode())  # the one class that no logic registers
    for class_name in ("vtkMRMLInteractionNode", "vtkMRMLCrosshairNode"):  # views ask for them
        if scene.GetFirstNodeByClass(class_name) is None:
            node = scene.CreateNodeByClass(class_name)
            node.UnRegister(None)
            node.SetSingletonTag("default" if class_name == "vtkMRMLCrosshairNode" else "Singleton")
            scene.AddNode(node)
    logic.CreateProcessingThread()
    _kept.extend([remote, transfer])
    return logic


def _write_colours(share: str) -> None:
    """The colour file that label volumes and segmentations start with: as many well-spread colours as labels."""
    import colorsys

    lines = ["# Color table file GenericColors", "0 background 0 0 0 0"]
    for label in range(1, 257):
        rgb = colorsys.hsv_to_rgb(label * 0.618 % 1, 0.45 + 0.4 * (label % 3) / 2, 0.95 - 0.2 * (label % 2))
        lines.append(f"{label} tissue_{label} {' '.join(str(round(255 * part)) for part in rgb)} 255")
    with open(os.path.join(share, "ColorFiles", "GenericColors.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def make_module_logics(manager: Any) -> None:
    """Every C++ logic of the wheel as a module of ``slicer.modules``; classes that a version lacks are left out."""
    from Testing.host import terminology

    app_logic = slicer.app.applicationLogic()
    _write_colours(os.path.join(app_logic.GetHomeDirectory(), "share"))
    share = terminology.write_share_folder(os.path.join(app_logic.GetHomeDirectory(), "share"))
    for module_name, class_name in MODULE_LOGICS.items():
        cls = getattr(slicer, class_name, None)
        if cls is None:
            continue
        logic = cls()
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(share if module_name == "Terminologies" else app_logic.GetShareDirectory())
        if module_name == "Colors":
            app_logic.SetColorLogic(logic)
        logic.SetMRMLApplicationLogic(app_logic)
        logic.SetMRMLScene(slicer.mrmlScene)
        if hasattr(app_logic, "SetModuleLogic"):
            app_logic.SetModuleLogic(module_name, logic)
        manager.add_cpp(module_name, logic)
