"""Items of the subject hierarchy for nodes and segments; in Slicer Qt plugins make them."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

# What Slicer's plugins own, in the order in which they are asked
_OWNERS = (
    ("vtkMRMLSegmentationNode", "Segmentations"),
    ("vtkMRMLLabelMapVolumeNode", "LabelMaps"),
    ("vtkMRMLVolumeNode", "Volumes"),
    ("vtkMRMLModelNode", "Models"),
    ("vtkMRMLTableNode", "Tables"),
    ("vtkMRMLTextNode", "Texts"),
    ("vtkMRMLPlotSeriesNode", "PlotSeries"),
    ("vtkMRMLPlotChartNode", "PlotCharts"),
    ("vtkMRMLMarkupsNode", "Markups"),
    ("vtkMRMLTransformNode", "Transforms"),
)

_VIRTUAL_BRANCH = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyVirtualBranchAttributeName()


def owner_of(node: Any) -> str | None:
    """The plugin that shows a node; None for nodes that the tree leaves out."""
    return next((name for kind, name in _OWNERS if node.IsA(kind)), None)


class Keeper:
    """Keeps the subject hierarchy in step with a scene."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.tags: dict[str, tuple[Any, list[int]]] = {}
        self._call = {}
        for event, function in (
            (scene.NodeAddedEvent, self.node_added),
            (scene.NodeAboutToBeRemovedEvent, self.node_removed),
        ):
            self._call[event] = _with_node(function)
            scene.AddObserver(event, self._call[event])
        for event in (scene.EndImportEvent, scene.EndRestoreEvent, scene.EndBatchProcessEvent):
            scene.AddObserver(event, lambda *_: self.catch_up())

    def hierarchy(self) -> Any:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)

    def node_added(self, node: Any) -> None:
        if not self.scene.IsImporting() and not self.scene.IsRestoring():
            self.add(node)

    def add(self, node: Any) -> None:
        owner = owner_of(node)
        if owner is None or node.GetHideFromEditors():
            return
        tree = self.hierarchy()
        item = tree.GetItemByDataNode(node)
        if not item:
            item = tree.CreateItem(tree.GetSceneItemID(), node, owner)
        elif not tree.GetItemOwnerPluginName(item):
            tree.SetItemOwnerPluginName(item, owner)
        if node.IsA("vtkMRMLSegmentationNode"):
            # The engine itself removes the items of segments with such an item, and makes none of them by name.
            tree.SetItemAttribute(item, _VIRTUAL_BRANCH, "1")
            self.watch_segments(node)

    def node_removed(self, node: Any) -> None:
        if node.IsA("vtkMRMLSubjectHierarchyNode") or self.scene.IsClosing():
            self.tags.pop(node.GetID(), None)
            return
        watched, tags = self.tags.pop(node.GetID(), (None, []))
        for tag in tags:
            watched.RemoveObserver(tag)
        tree = self.hierarchy()
        item = tree.GetItemByDataNode(node)
        if item:
            tree.RemoveItem(item, False, False)

    def catch_up(self) -> None:
        """After an import: items for nodes that brought none."""
        if self.scene.IsClosing():
            return
        for i in range(self.scene.GetNumberOfNodes()):
            self.add(self.scene.GetNthNode(i))

    def watch_segments(self, node: Any) -> None:
        segmentation = node.GetSegmentation()
        if node.GetID() not in self.tags:
            events = (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified)
            tags = [segmentation.AddObserver(event, lambda *_: self.match_segments(node)) for event in events]
            self.tags[node.GetID()] = (segmentation, tags)
        self.match_segments(node)

    def match_segments(self, node: Any) -> None:
        """One child item a segment, named like it, with the segment's ID as attribute."""
        tree = self.hierarchy()
        parent = tree.GetItemByDataNode(node)
        if not parent or node.GetScene() is None:
            return
        key = slicer.vtkMRMLSegmentationNode.GetSegmentIDAttributeName()
        children = vtk.vtkIdList()
        tree.GetItemChildren(parent, children, False)
        child_items = [children.GetId(i) for i in range(children.GetNumberOfIds())]
        items = {tree.GetItemAttribute(item, key): item for item in child_items}
        segmentation = node.GetSegmentation()
        present = [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]
        for segment_id in present:
            name = segmentation.GetSegment(segment_id).GetName() or segment_id
            if segment_id not in items:
                items[segment_id] = tree.CreateHierarchyItem(parent, name, "")
                tree.SetItemAttribute(items[segment_id], key, segment_id)
                tree.SetItemOwnerPluginName(items[segment_id], "Segments")
            elif tree.GetItemName(items[segment_id]) != name:
                tree.SetItemName(items[segment_id], name)
        for segment_id, item in items.items():
            if segment_id and segment_id not in present:
                tree.RemoveItem(item, False, False)


def _with_node(function: Any) -> Any:
    @vtk.calldata_type(vtk.VTK_OBJECT)
    def observer(caller: Any, event: str, node: Any) -> None:
        function(node)

    return observer


def keep(scene: Any) -> Keeper:
    """Start keeping; the keeper lives as long as the scene's observers."""
    return Keeper(scene)
