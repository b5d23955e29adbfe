"""A run's results and the scene: how they are brought in for the panel, and how they are found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .scene_importer import importer


def importer_for(parameters: Any, replace_folder: int = 0) -> Callable[[Path, Any], Iterator[str]]:
    """What a job calls with results.json and itself once the run has succeeded.

    Parameters
    ----------
    parameters : KneePipelineParameters
        As they are when Apply is pressed; read now, because a person may change them while the run goes on.
    replace_folder : int
        Subject hierarchy item of the earlier import, for Re-analyse: its nodes go, its segmentation stays as it is.
    """
    options = {"models": parameters.makeModels, "table": parameters.makeTable,
               "chart": parameters.makeTable and parameters.makeChart, "t2": parameters.makeT2,
               "shape": parameters.makeShape, "replace_folder": replace_folder}
    node = parameters.outputSegmentation
    if replace_folder:
        node, options["segmentation"] = parameters.resultsSegmentation, False
    return importer(node, **options)


def nodes_of_run(created: str) -> dict[str, Any]:
    """The nodes that the run of that time left in the scene, also after the scene was saved and read again.

    Returns
    -------
    dict
        ``table``, ``chart``, ``text``: node or None; ``models``: list of nodes; ``folder_item``: subject hierarchy
        item, 0 for none.
    """
    import slicer

    from .scene import ROLE, RUN

    found: dict[str, Any] = {"table": None, "chart": None, "text": None, "models": [], "folder_item": 0}
    if not created:
        return found
    for kind, role, key in (("vtkMRMLTableNode", "region_table", "table"),
                            ("vtkMRMLPlotChartNode", "thickness_chart", "chart"),
                            ("vtkMRMLTextNode", "run_details", "text")):
        nodes = slicer.util.getNodesByClass(kind)
        found[key] = next((n for n in nodes if n.GetAttribute(RUN) == created and n.GetAttribute(ROLE) == role), None)
    found["models"] = [n for n in slicer.util.getNodesByClass("vtkMRMLModelNode") if n.GetAttribute(RUN) == created]
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    anchor = found["text"] or found["table"]
    if anchor is not None and tree is not None:
        found["folder_item"] = tree.GetItemParent(tree.GetItemByDataNode(anchor))
    return found
