"""qMRMLNodeComboBox: the selector of nodes, with its filters, its signals and its idea of what to select by itself."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from Testing.host.shim.rules import native

Property, Signal = QtCore.Property, QtCore.Signal


def plain_property(kind: type | str, name: str) -> QtCore.Property:
    """A property kept in ``_name``; setting it refreshes the list."""

    def write(self: Any, value: Any) -> None:
        setattr(self, f"_{name}", value)
        self._refresh()

    return Property(kind, lambda self: getattr(self, f"_{name}"), write)


@native
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """One node of certain classes out of the scene, or none."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._nodeTypes: list[str] = []
        self._addEnabled = self._removeEnabled = self._selectNodeUponCreation = True
        self._renameEnabled = self._editEnabled = self._noneEnabled = self._showHidden = False
        self._showChildNodeTypes = True
        self._hideChildNodeTypes: list[str] = []
        self._noneDisplay, self._baseName = "None", ""
        self._scene: Any = None
        self._current: Any = None
        self._observers: list[int] = []
        self._combo = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.connect("activated(int)", self._chosen)

    nodeTypes = plain_property("QStringList", "nodeTypes")
    hideChildNodeTypes = plain_property("QStringList", "hideChildNodeTypes")
    addEnabled = plain_property(bool, "addEnabled")
    removeEnabled = plain_property(bool, "removeEnabled")
    renameEnabled = plain_property(bool, "renameEnabled")
    editEnabled = plain_property(bool, "editEnabled")
    noneEnabled = plain_property(bool, "noneEnabled")
    noneDisplay = plain_property(str, "noneDisplay")
    showHidden = plain_property(bool, "showHidden")
    showChildNodeTypes = plain_property(bool, "showChildNodeTypes")
    selectNodeUponCreation = plain_property(bool, "selectNodeUponCreation")
    baseName = plain_property(str, "baseName")
    interactionNodeSingletonTag = Property(str, lambda self: "", lambda self, value: None)

    def _current_id(self) -> str:
        return self._current.GetID() if self._current is not None and self._current.GetID() else ""

    def setCurrentNodeID(self, node_id: str | None) -> None:
        node = self._scene.GetNodeByID(node_id) if node_id and self._scene is not None else None
        self.setCurrentNode(node)

    currentNodeID = Property(str, _current_id, setCurrentNodeID)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        for tag in self._observers:
            self._scene.RemoveObserver(tag)
        self._scene, self._observers = scene, []
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent)
            self._observers = [scene.AddObserver(event, self._scene_changed) for event in events]
        self._refresh()
        self._choose_first()
        self.mrmlSceneChanged.emit(scene)

    def _scene_changed(self, *_: Any) -> None:
        import shiboken6

        if not shiboken6.isValid(self):
            for tag in self._observers:
                self._scene.RemoveObserver(tag)
            self._observers = []
        elif not self._scene.IsBatchProcessing():
            self._refresh()

    def _fits(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self._showHidden:
            return False
        if self._showChildNodeTypes:
            kind = next((kind for kind in self._nodeTypes if node.IsA(kind)), None)
        else:
            kind = next((kind for kind in self._nodeTypes if node.GetClassName() == kind), None)
        return kind is not None and not any(node.IsA(hidden) for hidden in self._hideChildNodeTypes)

    def nodes(self) -> tuple:
        """The nodes on offer, in the scene's order."""
        if self._scene is None:
            return ()
        every = [self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())]
        return tuple(node for node in every if self._fits(node))

    def nodeCount(self) -> int:
        return len(self.nodes())

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        """Select a node (or None); a node of the wrong class selects none, as in Slicer."""
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node)
        if node is not None and not any(node is offered for offered in self.nodes()):
            node = None
        if node is self._current:
            return
        self._current = node
        self._show()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(self._current_id())

    def _refresh(self) -> None:
        offered = self.nodes()
        if self._current is not None and not any(self._current is node for node in offered):
            self.setCurrentNode(None)
            self._choose_first()
        self._show()

    def _choose_first(self) -> None:
        """Where none is no choice; a node that is added later is not chosen by that alone."""
        if self._current is None and not self._noneEnabled and self.nodes():
            self.setCurrentNode(self.nodes()[0])

    def _show(self) -> None:
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._noneEnabled or self._current is None:
            self._combo.addItem(self._noneDisplay, None)
        for node in self.nodes():
            self._combo.addItem(node.GetName() or "", node.GetID())
        self._combo.setCurrentIndex(max(0, self._combo.findData(self._current_id() or None)))
        self._combo.blockSignals(False)

    def _chosen(self, index: int) -> None:
        self.setCurrentNodeID(self._combo.itemData(index))
        self.nodeActivated.emit(self._current)
