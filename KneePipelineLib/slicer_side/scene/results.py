"""What an import into the scene may be asked for, what it answers, and how its nodes are found again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer

from .changes import items_with

ROLE, RUN, IMPORT = "KneePipeline.role", "KneePipeline.run", "KneePipeline.import"
"""Attributes of every node that an import made, and of the tree item of its folder: the output's role, when its run was
made (``created`` in results.json), and which import brought it."""
FOLDER_ROLE = "results_folder"


@dataclass(frozen=True)
class Kind:
    """One kind of result, wherever a person meets it: one line here makes it one with a box and a button.

    Attributes
    ----------
    role : str
        Of its node.
    key : str
        Under which `nodes_of_run` has it.
    option, box : str
        The field of `ImportOptions` that asks for it, and the parameter of the panel (a box under Outputs) that says
        whether; empty: always there.
    button, view : str
        The button in Results that shows it, and where: ``table``, ``chart``, ``slices`` or ``3d``.
    """

    role: str
    key: str
    option: str = ""
    box: str = ""
    button: str = ""
    view: str = ""


KINDS = (
    Kind("region_table", "table", "table", "makeTable", "showTableButton", "table"),
    Kind("thickness_chart", "chart", "chart", "makeChart", "showChartButton", "chart"),
    Kind("t2_map", "t2", "t2", "makeT2", "showT2Button", "slices"),
    Kind("t2_chart", "t2_chart", "chart", "makeChart", "showT2ChartButton", "chart"),
    Kind("bone_surface", "models", "models", "makeModels", "showModelsButton", "3d"),
    Kind("shape_record", "shape", "shape", "makeShape"),
    Kind("meniscus_table", "menisci", "table", "makeTable"),
    Kind("run_details", "text"),
)
"""What the panel knows of a run's results; files of other roles come into the scene by their type."""


@dataclass(frozen=True)
class ImportOptions:
    """What of a run is wanted in the scene.

    Attributes
    ----------
    segmentation, subregions, models, table, chart, t2, shape : bool
        Kinds of results; subregions includes the cartilage layers. Without a table there is no chart.
    closed_surface : bool
        Whether segments get their closed surface at once.
    segment_ids : mapping of canonical value to segment ID, optional
        For a segmentation node to fill: which segment holds which structure, where that is known better than from
        tags, codes and names.
    under_transform : bool
        The results lie in the reference volume's own coordinates (its files were analysed), so they go under its
        parent transform. Otherwise they lie in the world.
    replaces : tuple of str
        `ImportedResults.import_id` of earlier imports, which are removed once this one is complete: their nodes
        wherever they lie by then, and their own folders. Nothing else ever is.
    """

    segmentation: bool = True
    subregions: bool = True
    models: bool = True
    table: bool = True
    chart: bool = True
    t2: bool = True
    shape: bool = True
    closed_surface: bool = True
    segment_ids: Mapping[int, str] | None = None
    under_transform: bool = False
    replaces: tuple[str, ...] = ()


@dataclass
class ImportedResults:
    """The nodes of one run, by role; None or empty where the run has none.

    Attributes
    ----------
    record : dict
        results.json.
    import_id : str
        Which import it was; the nodes and the folder bear it as attribute.
    folder_item : int
        Subject hierarchy item of the folder that holds them.
    segmentation, table, chart, t2, text : node or None
        The main label map, the region table, the thickness chart, the T2 map, the run details.
    models : dict of path to node
        Every surface, by its path in results.json.
    by_role : dict of role to list of nodes
        All of them, auxiliary ones (colour tables, plot series) included.
    """

    results_json: Path
    record: dict = field(repr=False)
    import_id: str = ""
    folder_item: int = 0
    segmentation: Any = None
    table: Any = None
    chart: Any = None
    t2: Any = None
    text: Any = None
    models: dict[str, Any] = field(default_factory=dict)
    by_role: dict[str, list[Any]] = field(default_factory=dict)


def nodes_of_run(created: str) -> dict[str, Any]:
    """The nodes that the run of that time left in the scene, also after the scene was saved and read again.

    Returns
    -------
    dict
        Node or None under the key of each of `KINDS`; ``models``: list of nodes; ``imports``: the IDs of the imports
        that brought what of it is left, wherever a person has put it.
    """
    found: dict[str, Any] = {**{kind.key: None for kind in KINDS}, "models": [], "imports": ()}
    if not created:
        return found
    nodes = [n for n in slicer.util.getNodesByClass("vtkMRMLNode") if n.GetAttribute(RUN) == created]
    for kind in KINDS:
        if kind.key != "models":
            found[kind.key] = next((node for node in nodes if node.GetAttribute(ROLE) == kind.role), None)
    found["models"] = [node for node in nodes if node.IsA("vtkMRMLModelNode")]
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    imports = [node.GetAttribute(IMPORT) for node in nodes]
    imports += [tree.GetItemAttribute(item, IMPORT) for item in items_with(tree, RUN, (created,))]
    found["imports"] = tuple(dict.fromkeys(filter(None, imports)))
    return found
