"""Results into the scene: everything that results.json lists, one node at a time, all of it or nothing.

The import is a generator. The module calls ``next()`` once per turn of the event loop, so the application stays
responsive; a script runs `import_all`. Threads read the files and make the
segments' surfaces; they are waited for in short pieces. Whatever goes
wrong half way, or when the generator is closed, the scene is as it was before. Layout, 3D background and what the slice
views show are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ...errors import InvalidFormatError
from .changes import ImportStopped, SceneChanges
from .files import checked
from .results import IMPORT, ROLE, RUN, ImportedResults, ImportOptions
from .steps import Import

__all__ = ["IMPORT", "ROLE", "RUN", "ImportOptions", "ImportStopped", "ImportedResults", "import_all", "import_results"]


def import_results(
    results_json: Path | str, *, reference: Any = None, segmentation: Any = None, options: ImportOptions | None = None,
) -> Iterator[str]:
    """Load the results of a run into the scene; a generator that makes one node per ``next()``.

    Parameters
    ----------
    results_json : path-like
        The run's results.json; the files that it lists lie beside it.
    reference : vtkMRMLScalarVolumeNode, optional
        The input. Results go into its study and take its grid.
    segmentation : vtkMRMLSegmentationNode, optional
        A person's node to fill; a new one by default.
    options : ImportOptions, optional
        Everything by default.

    Yields
    ------
    str
        What was done, for a status line.

    Returns
    -------
    ImportedResults
        As the value of StopIteration.

    Raises
    ------
    KneePipelineError
        If results.json or a file that it lists is missing or unreadable.
    ImportStopped
        If the scene was closed in between. In both cases nothing of the import is left in the scene.
    """
    path = Path(results_json)
    changes = SceneChanges(slicer.mrmlScene)
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="KneePipeline import")
    try:
        work = Import(changes, pool, path, _read_record(path), reference, segmentation, options or ImportOptions())
        yield from work.run()
    except BaseException:
        changes.take_back()
        raise
    finally:
        changes.finish()
        pool.shutdown(wait=False, cancel_futures=True)
    return work.results


def import_all(results_json: Path | str, **arguments: Any) -> ImportedResults:
    """`import_results` in one go, for scripts and tests."""
    steps = import_results(results_json, **arguments)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _read_record(path: Path) -> dict:
    with suppress(ValueError):
        record = json.loads(checked(path).read_text(encoding="utf-8"))
        if isinstance(record, dict) and str(record.get("schema_version", "")).startswith("1."):
            return record
    raise InvalidFormatError(_("results.json is damaged or from another version of KneePipeline."),
                             _("Run the analysis again."))


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

        exported = job.exported
        # A volume of several stacked echoes has a geometry of its own that no result shares.
        stacked = exported is not None and exported.stacked
        # Original files know nothing of the volume's transform; an array was exported as it lies in the world.
        moved = exported is not None and exported.used_dicom
        return import_results(
            results_json, reference=None if stacked else job.request.input_node, segmentation=node,
            options=ImportOptions(under_transform=moved, **wanted))

    return bring
