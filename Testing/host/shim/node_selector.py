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
    nodeAddedByUser = Signal(object)
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
        self._attributes: list[tuple[str, str, Any]] = []
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

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        """Show nodes of `node_type` only when they carry the attribute (with the value, when one is given)."""
        self._attributes.append((node_type, name, value))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [a for a in self._attributes if a[:2] != (node_type, name)]
        self._refresh()

    def _fits(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self._showHidden:
            return False
        if self._showChildNodeTypes:
            kind = next((kind for kind in self._nodeTypes if node.IsA(kind)), None)
        else:
            kind = next((kind for kind in self._nodeTypes if node.GetClassName() == kind), None)
        if kind is None or any(node.IsA(hidden) for hidden in self._hideChildNodeTypes):
            return False
        asked = [(name, value) for owner, name, value in self._attributes if node.IsA(owner)]
        return all(
            node.GetAttribute(name) is not None and (value is None or node.GetAttribute(name) == str(value))
            for name, value in asked
        )

    def nodes(self) -> tuple:
        """The nodes on offer, in the scene's order."""
        if self._scene is None:
            return ()
        every = [self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())]
        return tuple(node for node in every if self._fits(node))

    def nodeCount(self) -> int:
        return len(self.nodes())

    def nodeFromIndex(self, index: int) -> Any:
        return self.nodes()[index]

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

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodes()[index] if index >= 0 else None)

    def addNode(self, node_type: str | None = None) -> Any:
        """What "Create new" in the list does."""
        name = self._baseName or self._scene.GetTagByClassName(node_type or self._nodeTypes[0])
        node = self._scene.AddNewNodeByClass(node_type or self._nodeTypes[0], self._scene.GenerateUniqueName(name))
        self._refresh()
        if self._selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self._current is not None:
            self._scene.RemoveNode(self._current)

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


@native
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Several nodes out of the scene, each with a check mark."""

    checkedNodesChanged = Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._checked: list[Any] = []

    def checkedNodes(self) -> tuple:
        offered = self.nodes()
        return tuple(node for node in self._checked if any(node is other for other in offered))

    def setCheckState(self, node: Any, state: Any) -> None:
        checked = state not in (0, QtCore.Qt.CheckState.Unchecked)
        kept = [other for other in self._checked if other is not node]
        self._checked = [*kept, node] if checked else kept
        self.checkedNodesChanged.emit()
