"""What a job calls once its run has succeeded: the results come into the scene, to where the input lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def importer(node: Any = None, /, **wanted: Any) -> Callable[[Path, Any], Iterator[str]]:
    """The `importer` of a `KneeJob`: called with results.json and the job, it makes one node per ``next()``.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode, optional
        A person's node to fill; a new one by default.
    **wanted
        As `ImportOptions` has them (its `segmentation` says whether one is wanted at all), except `under_transform`,
        which follows from how the input was handed over.
    """

    def bring(results_json: Path, job: Any) -> Iterator[str]:
        from . import scene

        exported = job.exported
        # A volume of several stacked echoes has a geometry of its own that no result shares.
        stacked = exported is not None and exported.stacked
        # Original files know nothing of the volume's transform; an array was exported as it lies in the world.
        moved = exported is not None and exported.used_dicom
        return scene.import_results(
            results_json, reference=None if stacked else job.request.input_node, segmentation=node,
            options=scene.ImportOptions(under_transform=moved, **wanted))

    return bring
