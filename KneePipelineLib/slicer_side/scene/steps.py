"""One import of results under way: which node comes when, and where it goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from uuid import uuid4

import slicer
from slicer.i18n import tr as _

from ...imaging import labels as L
from . import maps, models, segmentation, tables
from .changes import SceneChanges, items_with, nodes_below, remove_node, with_ancestors
from .files import read_label_map, read_scalar_volume
from .results import FOLDER_ROLE, IMPORT, ROLE, RUN, ImportedResults, ImportOptions

_REPEATED = {"thickness_table", "thickness_record", "t2_record"}
"""Roles whose numbers come with the results table."""
_ALTERNATIVE = "_nifti"
_SHAPE_ROLES = ("raw_", "shape_", "score_")
_WAIT_S = 0.02
_NUMBERED = re.compile(r"_\d+$")
_VALUES_OF = {"subregion_labels": tuple(s.value for s in L.SUBREGIONS)}
"""Label maps of which only some values are new."""


class Import:
    """The steps of one import; `results` fills as they are done."""

    def __init__(
        self, changes: SceneChanges, path: Path, record: dict, reference: Any, segmentation: Any, options: ImportOptions
    ) -> None:
        self.changes, self.options = changes, options
        self.folder = path.parent
        self.results = ImportedResults(path, record)
        self.side = record.get("side", {}).get("value", "unknown")
        self.reference, self.given = reference, segmentation
        self.transform = reference.GetParentTransformNode() if options.under_transform and reference else None
        listed = record.get("outputs", [])
        roles = {o["role"] for o in listed}
        self.outputs = [o for o in listed if o["role"] not in _REPEATED
                        and not (o["role"].endswith(_ALTERNATIVE) and o["role"][: -len(_ALTERNATIVE)] in roles)]
        self.shape_folder = 0
        self.results.import_id = uuid4().hex
        if not options.segmentation:
            self.results.segmentation = segmentation

    def run(self, pool: ThreadPoolExecutor) -> Iterator[str]:
        """All steps, in the order in which a person would want to see them."""
        with self.changes.recorded():
            self._make_folder()
        yield _("Folder for the results")
        labels = self._label_outputs()
        volumes = self._of_type("volume") if self.options.t2 else []
        reading = {o["path"]: pool.submit(read_label_map, self.folder / o["path"]) for o in labels}
        reading |= {o["path"]: pool.submit(read_scalar_volume, self.folder / o["path"], self._mask_of(o))
                    for o in volumes}
        yield from self._models()
        for output in labels:
            yield from self._labels(output, reading.pop(output["path"]))
        yield from self._tables()
        table = None
        for output in volumes:
            volume = yield from self._read(reading.pop(output["path"]), output)
            if output.get("units") == "ms" and table is None:
                table = self._make("t2_colours", lambda: maps.add_t2_table(self.changes.scene))
                yield _("Colours of T2")
            yield from self._volume(output, volume, table if output.get("units") == "ms" else None)
        yield from self._texts()
        if self.options.replaces:
            with self.changes.recorded():
                self._replace(set(self.options.replaces))
            yield _("Earlier results removed")

    # --- the parts -----------------------------------------------------------------------------------------------

    def _models(self) -> Iterator[str]:
        outputs = [o for o in self._of_type("model")
                   if (self.options.shape if _of_shape(o) else self.options.models)]
        coloured = [o for o in outputs if o.get("scalars")]
        with self.changes.recorded():
            meshes = models.read_models(self.folder, coloured)
        upper_mm = models.shared_upper_mm(coloured, meshes)
        table = None
        if any(models.measured(o, meshes[o["path"]]) for o in coloured):
            table = self._make("thickness_colours", lambda: maps.add_thickness_table(self.changes.scene, upper_mm))
            yield _("Colours of thickness")
        has_legend = False
        for output in outputs:
            with self.changes.recorded():
                mesh = meshes.get(output["path"]) or models.read_models(self.folder, [output])[output["path"]]
                node = models.add_model(self.changes, output, mesh, table, upper_mm)
                self._adopt(node, output["role"], in_shape=_of_shape(output))
                self.results.models[output["path"]] = node
            yield output["title"]
            if table is not None and not has_legend and models.measured(output, mesh):
                has_legend = True
                legend = self._make("legend", lambda node=node: self._legend(node, "Cartilage\nthickness (mm)"))
                yield _("Colour legend") if legend else _("No colour legend in this version of Slicer")

    def _labels(self, output: dict, future: Future) -> Iterator[str]:
        labels = yield from self._read(future, output)
        is_main = output["role"] == "all_labels"
        with self.changes.recorded():
            if is_main and self.changes.present(self.given):
                node = self.given
                ids = segmentation.fill_segmentation(self.changes, node, labels, side=self.side,
                                                           segment_ids=self.options.segment_ids, source=self.transform,
                                                           surfaces_follow=self.options.closed_surface)
            else:
                values = _VALUES_OF.get(output["role"])
                node, ids = segmentation.add_segmentation(
                    self.changes.scene, self._title_of_labels(output), labels, side=self.side, visible=is_main,
                    values=values)
                self._adopt(node, output["role"])
                self._hide_what_models_show(node, ids)
                segmentation.set_reference(node, self._present_reference(), labels)
            self.results.by_role.setdefault(output["role"], [node])
            if is_main:
                self.results.segmentation = node
        yield output["title"]
        if not (is_main and self.options.closed_surface):
            return
        surfaces = segmentation.closed_surfaces(node, labels, ids, self.transform)
        while True:
            with self.changes.recorded():
                name = next(surfaces, None) if self.changes.present(node) else None
            if name is None:
                return
            yield _("Surface of {structure}").format(structure=name[:1].lower() + name[1:])

    def _tables(self) -> Iterator[str]:
        if not self.options.table:
            return
        for role, key, what, sentence in (("region_table", "regions", "regions", _("Table of the regions")),
                                          ("meniscus_table", "menisci", "menisci", _("Table of the menisci"))):
            name = f"{_side_word(self.side)} knee: {what}"
            table = self._make(role, lambda key=key, name=name: tables.add_region_table(
                self.changes, self.results.record.get(key) or {}, name))
            if table is not None:
                self.results.table = table if role == "region_table" else self.results.table
                yield sentence
        for role in tables.CHARTS if self.options.chart else ():
            yield from self._chart(role)
        for output in self._of_type("table"):
            if output["path"].endswith(".csv"):
                self._make(output["role"], lambda output=output: tables.add_csv_table(
                    self.changes, self.folder / output["path"], output["title"]))
                yield output["title"]

    def _chart(self, role: str) -> Iterator[str]:
        regions = tables.charted(self.results.record, role)
        if not regions:
            return
        table = self._make(f"{role}_bars", lambda: tables.add_bar_table(self.changes, role, regions))
        yield _("Heights of the bars")
        bars = []
        for region in regions:
            bars.append(self._make("plot_series", lambda region=region: tables.add_bar(
                self.changes, region, table)))
            yield _("Bars of the chart")
        chart = self._make(role, lambda: tables.add_chart(self.changes, role, bars))
        self.results.chart = self.results.chart or chart
        yield _("Chart of the regions")

    def _volume(self, output: dict, volume: Any, table: Any) -> Iterator[str]:
        node = self._make(output["role"], lambda: maps.add_volume(self.changes, output, volume, table))
        if output["role"] == "t2_map":
            self.results.t2 = node
        yield output["title"]
        if table is not None:
            self._make("legend", lambda: self._legend(node, "T2 (ms)", "%.0f"))
            yield _("Colour legend of T2")

    def _texts(self) -> Iterator[str]:
        scores = tables.read_scores(self.folder, self.outputs) if self.options.shape else {}
        self.results.text = self._make("run_details", lambda: tables.add_details(
            self.changes, self.results.record, scores, f"{_side_word(self.side)} knee: run details"))
        yield _("Run details")
        for output in self._of_type("record"):
            if output["path"].endswith(".json") and (self.options.shape or not _of_shape(output)):
                self._make(output["role"], lambda output=output: tables.add_record(
                    self.changes, self.folder / output["path"], output["title"]), in_shape=_of_shape(output))
                yield output["title"]

    # --- helpers -------------------------------------------------------------------------------------------------

    def _make(self, role: str, make: Callable[[], Any], in_shape: bool = False) -> Any:
        with self.changes.recorded():
            node = make()
            if node is not None:
                self._adopt(node, role, in_shape)
        return node

    def _adopt(self, node: Any, role: str, in_shape: bool = False) -> None:
        """Mark a new node, put it into the folder and under the transform."""
        self._mark(node, role)
        if self.changes.present(self.transform) and node.IsA("vtkMRMLTransformableNode"):
            node.SetAndObserveTransformNodeID(self.transform.GetID())
        self.results.by_role.setdefault(role, []).append(node)
        tree = self.changes.scene.GetSubjectHierarchyNode()
        item = tree.GetItemByDataNode(node)
        if not item:
            return
        parent = self.results.folder_item
        if in_shape:
            self.shape_folder = self.shape_folder or self.changes.add_folder(parent, "Shape model")
            parent = self.shape_folder
        tree.SetItemParent(item, parent)

    def _mark(self, node: Any, role: str) -> None:
        for name, value in self._marks(role).items():
            node.SetAttribute(name, value)

    def _marks(self, role: str) -> dict[str, str]:
        return {ROLE: role, RUN: self.results.record.get("created", ""), IMPORT: self.results.import_id}

    def _make_folder(self) -> None:
        tree = self.changes.scene.GetSubjectHierarchyNode()
        neighbour = self._present_reference() or (self.given if self.changes.present(self.given) else None)
        item = tree.GetItemByDataNode(neighbour) if neighbour is not None else 0
        parent = tree.GetItemParent(item) if item else tree.GetSceneItemID()
        old = set(self._folders_of(self.options.replaces))
        parent = next(item for item in [*with_ancestors(tree, parent), tree.GetSceneItemID()]
                      if not old & set(with_ancestors(tree, item)))
        folder = self.changes.add_folder(parent, f"{_side_word(self.side)} knee: KneePipeline")
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
        if self.shape_folder:
            tree = self.changes.scene.GetSubjectHierarchyNode()
            tree.SetItemName(self.shape_folder, "")
            tree.SetItemName(self.shape_folder, tree.GenerateUniqueItemName("Shape model"))

    def _read(self, future: Future, output: dict) -> Iterator[str]:
        """What a thread reads, waited for in short pieces: they also give it time where Python otherwise has none."""
        while not wait([future], timeout=_WAIT_S).done:
            yield _("Reading {what}").format(what=output["title"][:1].lower() + output["title"][1:])
        return future.result()

    def _legend(self, node: Any, title: str, number_format: str = "%.1f") -> Any:
        return models.add_legend(node, title, number_format) if self.changes.present(node) else None

    def _hide_what_models_show(self, node: Any, ids: Mapping[int, str]) -> None:
        """In 3D a segment would cover the thickness map of its own bone."""
        shown = {o.get("structure") for o in self._of_type("model")} if self.options.models else set()
        for value, own_id in ids.items():
            structure = L.BY_VALUE.get(value)
            if structure is not None and structure.name in shown:
                node.GetDisplayNode().SetSegmentVisibility3D(own_id, False)

    def _mask_of(self, output: dict) -> Path | None:
        """The labels outside of whose soft tissues a T2 map is noise."""
        named = output.get("reference") if output["role"] == "t2_map" else None
        return self.folder / named if named else None

    def _label_outputs(self) -> list[dict]:
        wanted = [o for o in self._of_type("labels")
                  if (self.options.segmentation if o["role"] == "all_labels" else self.options.subregions)]
        return sorted(wanted, key=lambda o: o["role"] != "all_labels")

    def _of_type(self, kind: str) -> list[dict]:
        return [o for o in self.outputs if o["type"] == kind]

    def _present_reference(self) -> Any:
        return self.reference if self.changes.present(self.reference) else None

    def _title_of_labels(self, output: dict) -> str:
        known = {"all_labels": f"{_side_word(self.side)} knee", "subregion_labels": "Femoral cartilage subregions",
                 "depth_labels": "Cartilage layers"}
        return known.get(output["role"], output["title"])


def _of_shape(output: dict) -> bool:
    return output["role"].startswith(_SHAPE_ROLES)


def _side_word(side: str) -> str:
    return side.capitalize() if side in ("right", "left") else "Examined"
