"""RECEIPT: whose run folder it is, what comes in, and the folder brought in order after whatever happened to it."""

from __future__ import annotations

from pathlib import Path

from .. import __version__
from ..errors import ConfigError
from ..job import JobOptions
from .checkpoints import CheckpointStore
from .files import hash_file
from .job_state import Job
from .keys import input_hashes, weights_hashes
from .plan import Step
from .publish import Publisher, is_whole
from .published import PRACTICE
from .record import versions


def open_folder(options: JobOptions, checkpoints: Path, steps: tuple[Step, ...]) -> Publisher:
    """What lies in the run folder. Nothing is changed: a folder that is refused stays as it is.

    Raises
    ------
    ConfigError
        If it holds results of another prefix and nobody said that they may go: surfaces, report and results.json have
        no prefix in their names, so two knees have no room beside one another.
    """
    publishing = next((step.folder for step in steps if step.publishes), "results")
    edited = next((step.needs()[0] for step in steps if step.edited), "")
    publisher = Publisher(Path(options.output), CheckpointStore(checkpoints), publishing, edited)
    found = publisher.found()
    if found is not None and found.prefix not in ("", options.prefix) and not options.restart:
        raise ConfigError(f"The output folder holds the results of another prefix ({found.prefix}).",
                          "Give each knee an output folder of its own, or --restart to begin this one anew: the "
                          "results in it are kept in a folder below it.", prefix=found.prefix)
    return publisher


def take_stock(job: Job) -> None:
    """Hash the inputs, note versions, and bring the folder in order after an interrupted run."""
    options = job.options
    job.inputs = input_hashes(options, job.check_stop)
    weights = weights_hashes(options, check=job.check_stop)
    job.record.values |= {"inputs": job.inputs, "versions": versions(), "weights": weights}
    job.provenance = {"version": __version__, "model": options.model, "practice": options.practice,
                      "segmentation_given": options.segmentation is not None,
                      "options": options.without_paths(), "inputs": job.inputs, "weights": weights}
    job.store.clear_leftovers()
    if _holds_anothers_results(job):
        job.publisher.recover()
        _set_results_aside(job)
        return
    _look_for_edit(job)
    if job.publisher.recover():
        job.log.line("The publication that was interrupted has been finished.")


def _holds_anothers_results(job: Job) -> bool:
    found = job.publisher.found()
    source = PRACTICE if job.options.practice else job.inputs.get("input", "")
    return found is not None and (found.prefix, found.input) != (job.options.prefix, source)


def _set_results_aside(job: Job) -> None:
    """Before the first step: should this run fail, nobody shall take another knee's results for this one's."""
    name = job.publisher.set_results_aside()
    job.record.published = None
    if name is not None:
        job.warn("RESULTS_SET_ASIDE", "The output folder held results of another input or prefix; they were kept in "
                 f"its folder {name}.")


def _look_for_edit(job: Job) -> None:
    """Take over a label map that a person changed in the run folder, before anything could write over it."""
    publisher, options = job.publisher, job.options
    found = publisher.find_edits()
    whole = [path for path in found if is_whole(path)]
    if len(whole) < len(found):
        job.warn("RESULT_DAMAGED", "The label map in the output folder is damaged; it is made again.")
    if len(whole) > 1:
        job.warn("EDITED_TWICE", "Both forms of the label map were edited by hand; the one saved last "
                 f"({whole[0].name[len(options.prefix) + 1:]}) is taken over.")
    if whole:
        publisher.adopt_edit(whole[0])
        job.log.line(f"The label map was edited by hand (SHA-256 {hash_file(whole[0])[:12]}).")
    if publisher.edit is not None and options.restart:
        name = publisher.set_edit_aside()
        job.warn("EDIT_SET_ASIDE", f"--restart begins anew; your corrected label map was kept as {name}.")
