"""What a job calls once its run has succeeded: the results come into the scene, to where the input lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .scene_results import ImportedResults


def importer(node: Any = None, /, *, replaces: ImportedResults | None = None,
             **wanted: Any) -> Callable[[Path, Any], Iterator[str]]:
    """The `importer` of a `KneeJob`: called with results.json and the job, it makes one node per ``next()``.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode, optional
        A person's node to fill; a new one by default.
    replaces : ImportedResults, optional
        An earlier import, whose folder this one takes the place of if it is still there when the results come.
    **wanted
        As `ImportOptions` has them (its `segmentation` says whether one is wanted at all), except `under_transform`,
        which follows from how the input was handed over.
    """

    def bring(results_json: Path, job: Any) -> Iterator[str]:
        from . import scene

        if replaces is not None:
            wanted["replace_folder"] = folder_still_there(replaces)
        exported = job.exported
        # A volume of several stacked echoes has a geometry of its own that no result shares.
        stacked = exported is not None and exported.stacked
        # Original files know nothing of the volume's transform; an array was exported as it lies in the world.
        moved = exported is not None and exported.used_dicom
        return scene.import_results(
            results_json, reference=None if stacked else job.request.input_node, segmentation=node,
            options=scene.ImportOptions(under_transform=moved, **wanted))

    return bring


def folder_still_there(imported: ImportedResults) -> int:
    """The subject hierarchy item of an import's folder while a node of that import is in it, otherwise 0.

    After the scene was closed the number may be another item's; its nodes tell.
    """
    import slicer

    from .scene_changes import with_ancestors

    scene, folder = slicer.mrmlScene, imported.folder_item
    tree = scene.GetSubjectHierarchyNode()
    there = [node for nodes in imported.by_role.values() for node in nodes if scene.IsNodePresent(node)]
    return folder if any(folder in with_ancestors(tree, tree.GetItemByDataNode(node)) for node in there) else 0
