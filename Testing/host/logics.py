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
    logic.CreateProcessingThread()
    _kept.extend([remote, transfer])
    return logic


def make_module_logics(manager: Any) -> None:
    """Every C++ logic of the wheel as a module of ``slicer.modules``; classes that a version lacks are left out."""
    from Testing.host import terminology

    app_logic = slicer.app.applicationLogic()
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
