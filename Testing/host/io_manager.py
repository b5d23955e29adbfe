"""``slicer.app.coreIOManager()``: which reader and writer a file or a node gets. The work is done by the C++ logics."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import slicer

from Testing.host import readers

# Longest known ending first: ".seg.nrrd" is a segmentation, ".nrrd" a volume
_FILE_TYPES = [
    ((".seg.nrrd", ".seg.nhdr", ".seg.vtm"), "SegmentationFile"),
    ((".mrk.json", ".fcsv"), "MarkupsFile"),
    ((".mrb", ".mrml"), "SceneFile"),
    ((".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima", ".img", ".hdr"), "VolumeFile"),
    ((".vtk", ".vtp", ".stl", ".ply", ".obj", ".vtu"), "ModelFile"),
    ((".csv", ".tsv"), "TableFile"),
    ((".h5", ".tfm"), "TransformFile"),
    ((".txt", ".json", ".xml"), "TextFile"),
]
_WRITER_TYPES = [
    ("vtkMRMLSegmentationNode", "SegmentationFile"),
    ("vtkMRMLVolumeNode", "VolumeFile"),
    ("vtkMRMLModelNode", "ModelFile"),
    ("vtkMRMLTableNode", "TableFile"),
    ("vtkMRMLTextNode", "TextFile"),
    ("vtkMRMLTransformNode", "TransformFile"),
    ("vtkMRMLMarkupsNode", "MarkupsFile"),
]


class CoreIOManager:
    """Reads and writes nodes and scenes the way Slicer's Qt readers and writers do."""

    def __init__(self, scene: Any, app_logic: Any) -> None:
        self.scene, self.app_logic = scene, app_logic

    def fileType(self, filename: Any) -> str:
        """The type of reader for a file; "NoFile" when no reader knows it."""
        name = str(filename).lower()
        return next((kind for endings, kind in _FILE_TYPES if name.endswith(endings)), "NoFile")

    def registeredFileReaderCount(self, file_type: str) -> int:
        return int(file_type in readers.READERS or file_type == "SceneFile")

    def loadNodes(self, file_type: str, properties: dict, loaded: Any = None, messages: Any = None) -> bool:
        """Load a file; `loaded` (vtkCollection) receives the nodes, `messages` what went wrong."""
        properties = dict(properties)  # PythonQt copies a dict on its way to C++
        properties["fileName"] = str(properties["fileName"])
        if messages is None:
            messages = slicer.vtkMRMLMessageCollection()
        if file_type == "SceneFile":
            return self._load_scene(properties, messages)
        read: Callable | None = readers.READERS.get(file_type)
        if read is None:
            return False
        nodes = read(self.scene, self.app_logic, properties, messages)
        for node in nodes:
            if loaded is not None:
                loaded.AddItem(node)
        return bool(nodes)

    def loadFile(self, filename: str) -> bool:
        return self.loadNodes(self.fileType(filename), {"fileName": filename})

    def loadScene(self, filename: str, clear: bool = True) -> bool:
        return self.loadNodes("SceneFile", {"fileName": filename, "clear": clear})

    def saveScene(self, filename: str, *_: Any) -> bool:
        return self.saveNodes("SceneFile", {"fileName": filename})

    def _load_scene(self, properties: dict, messages: Any) -> bool:
        path, clear = properties["fileName"], bool(properties.get("clear", False))
        if path.lower().endswith(".mrb"):
            return bool(self.scene.ReadFromMRB(path, clear, messages))
        self.scene.SetURL(path)
        return bool(self.scene.Connect(messages) if clear else self.scene.Import(messages))

    # --- writing -----------------------------------------------------------------------------------------------------

    def fileWriterFileType(self, node: Any, file_format: str = "") -> str:
        return next((kind for name, kind in _WRITER_TYPES if node.IsA(name)), "NoFile")

    def saveNodes(self, file_type: str, properties: dict, messages: Any = None) -> bool:
        properties = dict(properties)
        path = str(properties["fileName"])
        if messages is None:
            messages = slicer.vtkMRMLMessageCollection()
        if file_type == "SceneFile":
            return self._save_scene(path, messages)
        node = self.scene.GetNodeByID(properties["nodeID"])
        if node is None or not node.IsA("vtkMRMLStorableNode"):
            return False
        storage = self._storage_for(node, path)
        if storage is None:
            return False
        if "useCompression" in properties:
            storage.SetUseCompression(bool(properties["useCompression"]))
        success = bool(storage.WriteData(node))
        _take_messages(storage, messages)
        return success

    def _storage_for(self, node: Any, path: str) -> Any:
        """The node's storage node if it can write the file's format, else a new one of its default class."""
        storage = node.GetStorageNode()
        if storage is None or not storage.SupportedFileType(path):
            node.AddDefaultStorageNode(path)
            storage = node.GetStorageNode()
        if storage is not None:
            storage.SetFileName(path)
        return storage

    def _save_scene(self, path: str, messages: Any) -> bool:
        lowered = path.lower()
        if lowered.endswith(".mrb"):
            success = bool(self.scene.WriteToMRB(path, None, messages))
        elif lowered.endswith(".mrml"):
            self.scene.SetURL(path)
            self.scene.SetRootDirectory(os.path.dirname(path))
            success = bool(self.scene.Commit(path, messages))
        else:
            os.makedirs(path, exist_ok=True)
            success = bool(self.app_logic.SaveSceneToSlicerDataBundleDirectory(path, None, messages))
        if success:
            self.scene.SetStorableNodesModifiedSinceRead()
        return success

    def fileWriterExtensions(self, node: Any) -> tuple[str, ...]:
        """Formats in Slicer's notation: "NRRD (.nrrd)"."""
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        formats = storage.GetSupportedWriteFileTypes()
        return tuple(formats.GetValue(i) for i in range(formats.GetNumberOfValues()))

    def extractKnownExtension(self, filename: str, node: Any) -> str:
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        return storage.GetSupportedFileExtension(str(filename), False, True)

    def exportNodes(
        self, node_ids: list[str], filenames: list[str], properties: dict, harden: bool, messages: Any = None
    ) -> bool:
        """Write copies: the nodes, their storage nodes and their transforms stay as they are."""
        results = [
            _export(self.scene.GetNodeByID(node_id), str(filename), dict(properties), harden, messages)
            for node_id, filename in zip(node_ids, filenames, strict=True)
        ]
        return all(results)


def _export(node: Any, path: str, properties: dict, harden: bool, messages: Any) -> bool:
    import vtk

    scene = slicer.vtkMRMLScene()
    scene.SetDataIOManager(slicer.mrmlScene.GetDataIOManager())
    copy = scene.AddNewNodeByClass(node.GetClassName(), node.GetName())
    copy.CopyContent(node)
    if harden and node.GetParentTransformNode() is not None:
        to_world = vtk.vtkGeneralTransform()
        node.GetParentTransformNode().GetTransformToWorld(to_world)
        copy.ApplyTransform(to_world)
    copy.AddDefaultStorageNode(path)
    storage = copy.GetStorageNode()
    storage.SetFileName(path)
    if "useCompression" in properties:
        storage.SetUseCompression(bool(properties["useCompression"]))
    success = bool(storage.WriteData(copy))
    if messages is not None:
        _take_messages(storage, messages)
    return success


def _take_messages(storage: Any, messages: Any) -> None:
    messages.AddMessages(storage.GetUserMessages())
