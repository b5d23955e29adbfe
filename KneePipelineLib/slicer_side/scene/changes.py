"""What an import has added to the scene, so that all of it can be taken back, and whether the scene is still there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import vtk
from slicer.i18n import tr as _


class ImportStopped(RuntimeError):
    """The scene was closed while results were being loaded; nothing of them is left in it."""


class SceneChanges:
    """Remembers every node added inside `recorded()`, and how to undo what was done to nodes that were there before.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene that is changed.
    """

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.scene_closed = False
        self._added: list[str] = []
        self._items: list[int] = []
        self._undo: list[Callable[[], None]] = []
        self._observers = [scene.AddObserver(event, self._on_close) for event in (scene.StartCloseEvent,)]

    def _on_close(self, *_: object) -> None:
        self.scene_closed = True

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Every node that is added inside counts as ours. The inside must not return to the event loop.

        Raises
        ------
        ImportStopped
            If the scene was closed since.
        """
        if self.scene_closed:
            raise ImportStopped(_("The scene was closed while the results were being loaded."))
        added = self._added

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def remember(_scene: Any, _event: str, node: Any) -> None:
            if node.GetSingletonTag() is None:
                added.append(node.GetID())

        tag = self.scene.AddObserver(self.scene.NodeAddedEvent, remember)
        try:
            yield
        finally:
            self.scene.RemoveObserver(tag)

    def add_folder(self, parent: int, name: str) -> int:
        """A folder of the subject hierarchy below the item ``parent``; returns its item."""
        tree = self.scene.GetSubjectHierarchyNode()
        item = tree.CreateFolderItem(parent, tree.GenerateUniqueItemName(name))
        self._items.append(item)
        return item

    def on_undo(self, function: Callable[[], None]) -> None:
        """Call this when everything is taken back; the latest first."""
        self._undo.append(function)

    def take_back(self) -> None:
        """Remove what was added and undo the rest. A scene that was closed needs none of it."""
        self.finish()
        if self.scene_closed:
            return
        for function in reversed(self._undo):
            function()
        for node_id in reversed(self._added):
            node = self.scene.GetNodeByID(node_id)
            if node is not None:
                remove_node(self.scene, node)
        tree = self.scene.GetSubjectHierarchyNode()
        for item in reversed(self._items):
            tree.RemoveItem(item, False, False)

    def finish(self) -> None:
        """Stop watching the scene."""
        for tag in self._observers:
            self.scene.RemoveObserver(tag)
        self._observers = []

    def present(self, node: Any) -> bool:
        """Whether a node is (still) in the scene."""
        return node is not None and bool(self.scene.IsNodePresent(node))


def remove_node(scene: Any, node: Any) -> None:
    """Remove a node with its display nodes; the engine removes its item, and those of its segments with it."""
    displays = []
    if node.IsA("vtkMRMLDisplayableNode"):
        displays = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    scene.RemoveNode(node)
    for display in displays:
        if display is not None and scene.IsNodePresent(display):
            scene.RemoveNode(display)


def items_with(tree: Any, attribute: str, values: Collection[str]) -> list[int]:
    """The items of the whole tree whose attribute is one of `values`."""
    everything = vtk.vtkIdList()
    tree.GetItemChildren(tree.GetSceneItemID(), everything, True)
    items = [everything.GetId(i) for i in range(everything.GetNumberOfIds())]
    return [item for item in items if tree.GetItemAttribute(item, attribute) in values]


def with_ancestors(tree: Any, item: int) -> list[int]:
    """An item of the subject hierarchy and what it lies in, up to the scene."""
    items = []
    while item and item != tree.GetSceneItemID():
        items.append(item)
        item = tree.GetItemParent(item)
    return items


def nodes_below(tree: Any, item: int) -> list[Any]:
    """The nodes of all items below an item."""
    children = vtk.vtkIdList()
    tree.GetItemChildren(item, children, True)
    nodes = [tree.GetItemDataNode(children.GetId(i)) for i in range(children.GetNumberOfIds())]
    return [node for node in nodes if node is not None]
