"""A run's results and the scene: how they are brought in for the panel, and how they are found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .scene_importer import importer

_FOUND = {"region_table": "table", "thickness_chart": "chart", "t2_chart": "t2_chart", "t2_map": "t2",
          "run_details": "text"}
"""Role -> key in what `nodes_of_run` returns."""


def importer_for(parameters: Any, replaces: tuple[str, ...] | None = None) -> Callable[[Path, Any], Iterator[str]]:
    """What a job calls with results.json and itself once the run has succeeded.

    Parameters
    ----------
    parameters : KneePipelineParameters
        As they are when Apply is pressed; read now, because a person may change them while the run goes on.
    replaces : tuple of str, optional
        The earlier imports of the run that is repeated: their nodes go, its segmentation stays as it is. None: a new
        run.
    """
    options = {"models": parameters.makeModels, "table": parameters.makeTable,
               "chart": parameters.makeTable and parameters.makeChart, "t2": parameters.makeT2,
               "shape": parameters.makeShape}
    if replaces is None:
        return importer(parameters.outputSegmentation, **options)
    return importer(parameters.resultsSegmentation, replaces=replaces, segmentation=False, **options)


def nodes_of_run(created: str) -> dict[str, Any]:
    """The nodes that the run of that time left in the scene, also after the scene was saved and read again.

    Returns
    -------
    dict
        ``table``, ``chart``, ``t2_chart``, ``t2``, ``text``: node or None; ``models``: list of nodes; ``imports``: the
        IDs of the imports that brought what of it is left, wherever a person has put it.
    """
    import slicer

    from .scene import IMPORT, ROLE, RUN
    from .scene_changes import items_with

    found: dict[str, Any] = {**dict.fromkeys(_FOUND.values()), "models": [], "imports": ()}
    if not created:
        return found
    nodes = [n for n in slicer.util.getNodesByClass("vtkMRMLNode") if n.GetAttribute(RUN) == created]
    for node in nodes:
        key = _FOUND.get(node.GetAttribute(ROLE))
        if key and found[key] is None:
            found[key] = node
        if node.IsA("vtkMRMLModelNode"):
            found["models"].append(node)
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    imports = [node.GetAttribute(IMPORT) for node in nodes]
    imports += [tree.GetItemAttribute(item, IMPORT) for item in items_with(tree, RUN, (created,))]
    found["imports"] = tuple(dict.fromkeys(filter(None, imports)))
    return found
