"""One import of results under way: which node comes when, and where it goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import slicer
from slicer.i18n import tr as _

from . import kinds
from .changes import SceneChanges, items_with, nodes_below, remove_node, with_ancestors
from .results import FOLDER_ROLE, IMPORT, ROLE, RUN, ImportedResults, ImportOptions

_WAIT_S = 0.02
_NUMBERED = re.compile(r"_\d+$")


@dataclass
class Source:
    """A file that results.json lists: its entry there, and its content, which a thread reads."""

    entry: dict
    content: Future | None

    @property
    def title(self) -> str:
        """What it is, for people."""
        return self.entry["title"]


class Import:
    """The steps of one import; `results` fills as they are done."""

    def __init__(
        self, changes: SceneChanges, pool: ThreadPoolExecutor, path: Path, record: dict, reference: Any,
        segmentation: Any, options: ImportOptions,
    ) -> None:
        self.changes, self.pool, self.options = changes, pool, options
        self.folder, self.record = path.parent, record
        self.results = ImportedResults(path, record)
        self.side = record.get("side", {}).get("value", "unknown")
        self.reference, self.given = reference, segmentation
        self.transform = reference.GetParentTransformNode() if options.under_transform and reference else None
        self._folders: dict[str, int] = {}
        self.results.import_id = uuid4().hex
        if not options.segmentation:
            self.results.segmentation = segmentation

    @property
    def knee(self) -> str:
        """Which knee it is, to begin names with."""
        return f"{self.side.capitalize() if self.side in ('right', 'left') else 'Examined'} knee"

    def run(self) -> Iterator[str]:
        """All steps, in the order of `KINDS`: that in which a person would want to see them."""
        with self.changes.recorded():
            self._make_folder()
        yield _("Folder for the results")
        wanted = [kind for kind in kinds.KINDS if self.options.wants(kind.option)]
        sources = {kind: [Source(entry, self.pool.submit(kind.reader, self.folder, entry)) for entry in self.entries()
                          if kinds.kind_of(entry["role"]) is kind] for kind in wanted}
        for kind in wanted:
            if kind.reader is None or sources[kind]:
                yield from kind.maker(self, kind, sources[kind])
        if self.options.replaces:
            with self.changes.recorded():
                self._replace(set(self.options.replaces))
            yield _("Earlier results removed")

    # --- for the makers ----------------------------------------------------------------------------------------------

    def entries(self) -> list[dict]:
        """The files that results.json lists."""
        return self.record.get("outputs", [])

    def read(self, source: Source) -> Iterator[str]:
        """The content of a file."""
        future, source.content = source.content, None
        what = source.title[:1].lower() + source.title[1:]
        return self.wait(future, _("Reading {what}").format(what=what))

    @staticmethod
    def wait(future: Future, sentence: str) -> Iterator[str]:
        """What a thread makes, waited for in short pieces: they also give it time where Python otherwise has none."""
        while not wait([future], timeout=_WAIT_S).done:
            yield sentence
        return future.result()

    def make(self, role: str, make: Callable[..., Any], *arguments: Any, folder: str = "") -> Any:
        """Call ``make(changes, *arguments)`` and adopt the node that it returns, if it returns one."""
        with self.changes.recorded():
            node = make(self.changes, *arguments)
            if node is not None:
                self.adopt(node, role, folder)
        return node

    def adopt(self, node: Any, role: str, folder: str = "") -> None:
        """Mark a new node, put it into the folder (or one of that name in it) and under the transform."""
        self._mark(node, role)
        if self.changes.present(self.transform) and node.IsA("vtkMRMLTransformableNode"):
            node.SetAndObserveTransformNodeID(self.transform.GetID())
        self.results.by_role.setdefault(role, []).append(node)
        tree = self.changes.scene.GetSubjectHierarchyNode()
        item = tree.GetItemByDataNode(node)
        if not item:
            return
        parent = self.results.folder_item
        if folder:
            if folder not in self._folders:
                self._folders[folder] = self.changes.add_folder(parent, folder)
            parent = self._folders[folder]
        tree.SetItemParent(item, parent)

    def present_reference(self) -> Any:
        """The volume that was measured, while it is in the scene."""
        return self.reference if self.changes.present(self.reference) else None

    # --- the folder, and what it takes the place of ------------------------------------------------------------------

    def _mark(self, node: Any, role: str) -> None:
        for name, value in self._marks(role).items():
            node.SetAttribute(name, value)

    def _marks(self, role: str) -> dict[str, str]:
        return {ROLE: role, RUN: self.record.get("created", ""), IMPORT: self.results.import_id}

    def _make_folder(self) -> None:
        tree = self.changes.scene.GetSubjectHierarchyNode()
        neighbour = self.present_reference() or (self.given if self.changes.present(self.given) else None)
        item = tree.GetItemByDataNode(neighbour) if neighbour is not None else 0
        parent = tree.GetItemParent(item) if item else tree.GetSceneItemID()
        old = set(self._folders_of(self.options.replaces))
        parent = next(item for item in [*with_ancestors(tree, parent), tree.GetSceneItemID()]
                      if not old & set(with_ancestors(tree, item)))
        folder = self.changes.add_folder(parent, f"{self.knee}: KneePipeline")
        for name, value in self._marks(FOLDER_ROLE).items():
            tree.SetItemAttribute(folder, name, value)
        self.results.folder_item = folder

    def _folders_of(self, imports: Collection[str]) -> list[int]:
        """The folders that imports made: an item that is none, wherever their nodes lie now, is never touched."""
        tree = self.changes.scene.GetSubjectHierarchyNode()
        folder = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyLevelFolder()
        return [item for item in items_with(tree, IMPORT, imports)
                if tree.GetItemAttribute(item, ROLE) == FOLDER_ROLE and tree.IsItemLevel(item, folder)]

    def _replace(self, imports: set[str]) -> None:
        """Remove earlier imports: their nodes and their folders; what a person put there moves to the new one."""
        scene = self.changes.scene
        tree = scene.GetSubjectHierarchyNode()
        folders = self._folders_of(imports)
        below = [node for folder in folders for node in nodes_below(tree, folder)]
        if self.changes.present(self.given) and self.given.GetAttribute(ROLE):
            self._mark(self.given, self.given.GetAttribute(ROLE))
        for node in [scene.GetNthNode(i) for i in reversed(range(scene.GetNumberOfNodes()))]:
            # Colour tables and legends too, which have no place in the tree; some went with their model already. The
            # newest first: a view draws the legend as long as it is there, and complains once its colours are not.
            if self.changes.present(node) and node.GetAttribute(IMPORT) in imports:
                remove_node(scene, node)
        for node in below:
            item = tree.GetItemByDataNode(node) if node.GetScene() is not None else 0
            if item and tree.GetItemParent(item) != self.results.folder_item:
                tree.SetItemParent(item, self.results.folder_item)
        for folder in folders:
            name = tree.GetItemName(folder)
            tree.RemoveItem(folder, False, True)
            tree.SetItemName(self.results.folder_item, name)
        self._rename()

    def _rename(self) -> None:
        """Names that were numbered because the earlier import had them are free now."""
        for nodes in self.results.by_role.values():
            for node in nodes:
                if node is not self.given and _NUMBERED.search(node.GetName()):
                    node.SetName(self.changes.scene.GenerateUniqueName(_NUMBERED.sub("", node.GetName())))
        tree = self.changes.scene.GetSubjectHierarchyNode()
        for name, folder in self._folders.items():
            tree.SetItemName(folder, "")
            tree.SetItemName(folder, tree.GenerateUniqueItemName(name))
