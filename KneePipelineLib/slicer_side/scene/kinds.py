"""The kinds of results: what is read, what becomes of it in the scene, and where a person meets it; one line each.

A new kind is a file with its reader and its maker, and a line in `KINDS` (besides its button in the form, if it has
one). Loading, taking back, replacing, the panel's boxes and its buttons follow the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from . import files, maps, models, segmentation, tables
from .changes import items_with
from .results import IMPORT, ROLE, RUN

if TYPE_CHECKING:
    from .steps import Import, Source

SHAPE_FOLDER = "Shape model"


@dataclass(frozen=True)
class Kind:
    """One kind of result.

    Attributes
    ----------
    role : str
        Of its files in results.json and of its nodes: a regular expression for the whole of it.
    maker : callable (Import, Kind, list of Source) -> iterator of str
        Adds the nodes with `Import.make`, one between two yields; yields what was done. With a reader it is called
        where there is such a file, without always.
    reader : callable (folder of the run, entry of results.json) -> anything, optional
        Reads one file, on a thread of its own: no node may be touched. None: the kind is made of results.json itself.
    key : str
        Under which `nodes_of_run` has its first node; empty: nobody asks for it.
    option, box : str
        The field of `ImportOptions` that asks for it, and the parameter of the panel (a box under Outputs) that says
        whether; empty: always there.
    button, view : str
        The button in Results that shows it, and where: ``table``, ``chart``, ``slices`` or ``3d``.
    folder : str
        A folder of its own below the results' folder.
    """

    role: str
    maker: Callable[[Import, Kind, list[Source]], Iterator[str]]
    reader: Callable[[Path, dict], Any] | None = None
    key: str = ""
    option: str = ""
    box: str = ""
    button: str = ""
    view: str = ""
    folder: str = ""

    def fits(self, role: str) -> bool:
        """Whether a node or a file of this role is of this kind."""
        return re.fullmatch(self.role, role) is not None


KINDS = (
    Kind("(?!raw_|shape_).*_surface", models.bring_bones, models.read_surface_of, "models", "models", "makeModels",
         "showModelsButton", "3d"),
    Kind("(raw|shape)_.*surface", models.bring_shapes, models.read_surface_of, "models", "shape", "makeShape",
         folder=SHAPE_FOLDER),
    Kind("all_labels", segmentation.bring_structures, files.read_label_map, option="segmentation"),
    Kind(".*_labels", segmentation.bring_parts, files.read_label_map, option="subregions"),
    Kind("region_table", tables.bring_regions, None, "table", "table", "makeTable", "showTableButton", "table"),
    Kind("meniscus_table", tables.bring_menisci, None, "menisci", "table", "makeTable"),
    Kind("thickness_chart", tables.bring_chart, None, "chart", "chart", "makeChart", "showChartButton", "chart"),
    Kind("t2_chart", tables.bring_chart, None, "t2_chart", "chart", "makeChart", "showT2ChartButton", "chart"),
    Kind("results_table", tables.bring_csv, tables.read_csv, "", "table", "makeTable"),
    Kind("t2_map", maps.bring, files.read_cartilage_map, "t2", "t2", "makeT2", "showT2Button", "slices"),
    Kind(".*_map", maps.bring, files.read_map, "", "t2", "makeT2"),
    Kind("run_details", tables.bring_details, None, "text"),
    Kind("(shape|score)_record", tables.bring_record, tables.read_text, "shape", "shape", "makeShape",
         folder=SHAPE_FOLDER),
    Kind("results", tables.bring_record, tables.read_text),
)
"""In the order in which they come into the scene; a file is of the first kind that fits. What fits none, such as a
second copy in another format or numbers that the tables repeat, stays in the results folder."""


def kind_of(role: str) -> Kind | None:
    """The kind of a file of this role; None for one that stays in its folder."""
    return next((kind for kind in KINDS if kind.reader is not None and kind.fits(role)), None)


def nodes_of_run(created: str) -> dict[str, Any]:
    """The nodes that the run of that time left in the scene, also after the scene was saved and read again.

    Returns
    -------
    dict
        Node or None under each key of `KINDS`, a list of nodes where they are shown in 3D; ``imports``: the IDs of the
        imports that brought what of it is left, wherever a person has put it.
    """
    nodes = slicer.util.getNodesByClass("vtkMRMLNode") if created else []
    nodes = [node for node in nodes if node.GetAttribute(RUN) == created]
    found: dict[str, Any] = {}
    for kind in KINDS:
        own = [node for node in nodes if kind.fits(node.GetAttribute(ROLE) or "")] if kind.key else []
        if kind.key and isinstance(found.get(kind.key), list):
            found[kind.key] += own
        elif kind.key:
            found[kind.key] = own if kind.view == "3d" else next(iter(own), None)
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    imports = [node.GetAttribute(IMPORT) for node in nodes]
    imports += [tree.GetItemAttribute(item, IMPORT) for item in items_with(tree, RUN, (created,))] if created else []
    found["imports"] = tuple(dict.fromkeys(filter(None, imports)))
    return found
