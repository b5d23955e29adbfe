"""The plan of a run as data: which steps each state has, what each reads and writes, and what happens when it fails.

Nothing here does any work. A step's body is a small function in `pipeline/stages/`, named here as ``module:function``
and imported only in the worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..job import JobOptions
from . import networks
from .states import WORKING_STATES, State

Results = Mapping[str, Mapping[str, Any]]
Applies = Callable[[JobOptions, Results], str]
Condition = Callable[[JobOptions, Results], bool]


def _always(options: JobOptions, results: Results) -> str:
    return ""


def _yes(options: JobOptions, results: Results) -> bool:
    return True


def _no(options: JobOptions, results: Results) -> bool:
    return False


def _nothing_else(options: JobOptions, results: Results) -> str:
    return ""


def labels_are_given(options: JobOptions, results: Results) -> bool:
    """Whether no network segments: labels were handed in, beside the image or in its place."""
    return options.segmentation is not None or results.get("input", {}).get("kind") == "labels"


def _by_a_network(options: JobOptions, results: Results) -> bool:
    return not labels_are_given(options, results)


def _the_network(options: JobOptions, results: Results) -> str:
    return "given labels" if labels_are_given(options, results) else options.model


def _the_fits(options: JobOptions, results: Results) -> str:
    return f"{int(options.perform_bone_only_nsm) + int(options.perform_bone_and_cart_nsm)} fits"


def _with_echoes(options: JobOptions, results: Results) -> bool:
    return "echoes" in results


@dataclass(frozen=True)
class Step:
    """One piece of work of a state.

    Attributes
    ----------
    name : str
        Unique; its files live in ``checkpoints/<STATE>.<name>/``.
    state : State
        The state it belongs to. Steps of one state run side by side unless one reads the other.
    title : str
        What a person reads while it runs.
    body : str
        ``module:function`` inside `pipeline/stages/`.
    reads : tuple of str
        Steps whose files and result it uses. A trailing ``?`` marks one that may have been skipped or have failed.
    inputs : tuple of str
        Options naming files or folders from outside whose content matters: ``input``, ``segmentation``, ``echoes``.
    writes : tuple of str
        Files it must leave (``*`` allowed); a step that returns without them has failed.
    options : tuple of str
        Options that matter to it; changing any other does not repeat it.
    weight : float
        Its share of the progress bar, in seconds on the machine it was written on.
    checkpointed : bool
        Whether a finished result is kept and used again.
    degrades_to : str
        What is still delivered when it fails, in words; empty when its failure ends the run.
    degrades_when : callable
        (options, results so far) -> whether it may degrade this time.
    spares : str
        What it can leave out, in words: after an attempt that ended in an unexpected way it is tried without that.
    essential : bool
        Whether a run that delivers something without it still ends with exit code 1.
    failure_code : str
        Error code that an unexpected failure of this step takes.
    uses_device : bool
        Whether it may run on a GPU, so that falling back to the CPU can help it.
    of_labels : tuple of str
        Options that count only where labels are given.
    shrinks : callable
        (options, results so far) -> whether it can work in smaller portions (`StageContext.scale`), so that doing so
        can help it when memory does not suffice.
    timed_by : callable
        (options, results so far) -> what its duration hangs on, beside the device, in a word or two; for the time left.
    edited : bool
        Whether it takes a person's edit of the published label map as an input.
    libraries : tuple of str
        Modules that a worker may import for it while it still waits for other steps.
    publishes : bool
        Whether its files are the results in the run folder itself instead of in ``checkpoints/``.
    applies : callable
        (options, results so far) -> reason to skip it, or "" to run it.
    """

    name: str
    state: State
    title: str
    body: str
    reads: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    weight: float = 1.0
    checkpointed: bool = True
    degrades_to: str = ""
    degrades_when: Condition = _yes
    spares: str = ""
    essential: bool = False
    failure_code: str = "PIPELINE_ERROR"
    uses_device: bool = False
    of_labels: tuple[str, ...] = ()
    shrinks: Condition = _no
    timed_by: Applies = _nothing_else
    edited: bool = False
    libraries: tuple[str, ...] = ()
    publishes: bool = False
    applies: Applies = _always

    @property
    def folder(self) -> str:
        """Name of its folder under ``checkpoints/``."""
        return f"{self.state.name}.{self.name}"

    def body_in(self, practice: bool) -> str:
        """Its body, or the one that stands in for it in practice mode."""
        return f"practice:{self.name}" if practice else self.body

    def needs(self) -> tuple[str, ...]:
        """Steps without which it cannot run."""
        return tuple(name for name in self.reads if not name.endswith("?"))

    def uses(self) -> tuple[str, ...]:
        """All steps it reads, the optional ones too."""
        return tuple(name.rstrip("?") for name in self.reads)


def _no_image(options: JobOptions, results: Results) -> str:
    found = results.get("input", {})
    return "" if found.get("kind", "image") == "image" else "INPUT is a label map; there is no image"


def _no_header(options: JobOptions, results: Results) -> str:
    return "" if results.get("input", {}).get("dicom") else "INPUT has no DICOM header"


def _no_t2(options: JobOptions, results: Results) -> str:
    if not (options.echoes or results.get("input", {}).get("echo_count", 1) > 1):
        return "no echoes were given"
    return ""


def _no_shape(options: JobOptions, results: Results) -> str:
    if not (options.perform_bone_only_nsm or options.perform_bone_and_cart_nsm):
        return "the shape model was not asked for"
    if results.get("segmentation", {}).get("confidence") == "low":
        return "the confidence in the segmentation is low"
    if results.get("surfaces", {}).get("growth_plates"):
        return "the growth plates are open, and the shape models know adult bones only"
    cartilage = results.get("review", {}).get("femoral_cartilage") is not False
    if not cartilage and not options.perform_bone_only_nsm:
        return "there is no femoral cartilage"
    return missing_shape_models(options, cartilage)


def _no_score(options: JobOptions, results: Results) -> str:
    # Without a fit, the reason is that of the fit.
    return missing_scores(options, results["shape"].get("fits")) if "shape" in results else ""


def missing_shape_models(options: JobOptions, cartilage: bool) -> str:
    """Why none of the shape models asked for can be fitted, or ""."""
    from ..shape import reason_to_skip

    return reason_to_skip(options, cartilage=cartilage)


def missing_scores(options: JobOptions, fits: list[str] | None) -> str:
    """Why none of the fits that were made can be scored, or ""."""
    from ..shape import reason_not_to_score

    return reason_not_to_score(options, fits)


STEPS: tuple[Step, ...] = (
    Step("input", State.VALIDATION, "Checking the input", "validation:check_input",
         inputs=("input", "segmentation"),
         options=("input_kind", "series", "echo", "side", "spacing", "anyway", *networks.CHOICE), weight=0.5),
    Step("image", State.PREPROCESSING, "Reading the image", "preprocessing:prepare_image",
         reads=("input",), inputs=("input", "segmentation"), writes=("image.nrrd",),
         options=("input_kind", "series", "echo", "side", "spacing"), weight=0.7, applies=_no_image),
    Step("echoes", State.PREPROCESSING, "Sorting the echoes", "preprocessing:prepare_echoes",
         reads=("input",), inputs=("input", "echoes"), writes=("echo_*.nrrd",), options=("series", "side", "spacing"),
         weight=0.7, degrades_to="no T2 map", applies=_no_t2),
    Step("metadata", State.PREPROCESSING, "Reading the header", "preprocessing:prepare_metadata",
         reads=("input",), inputs=("input",), writes=("metadata.json",), options=("series", "side", "spacing"),
         weight=0.1, degrades_to="nothing known about the scanner", applies=_no_header),
    Step("segmentation", State.DETECTION, "Finding the structures", "detection:segment",
         reads=("input", "image?"), inputs=("segmentation", "input"), writes=("labels.nrrd",),
         options=("label_scheme", "side", "spacing", "anyway", *networks.OPTIONS), of_labels=("label_scheme", "side"),
         weight=1.0, essential=True,
         degrades_to="the T2 map alone", degrades_when=_with_echoes, failure_code="SEGMENTATION_FAILED",
         uses_device=True, shrinks=_by_a_network, timed_by=_the_network),
    Step("review", State.ANALYSIS, "Taking over corrections", "analysis:review",
         reads=("segmentation",), writes=("labels.nrrd",), weight=0.2, failure_code="SEGMENTATION_FAILED", edited=True),
    Step("surfaces", State.ANALYSIS, "Making subregions and surfaces", "analysis:surfaces",
         reads=("review",), writes=("subregions.nrrd", "meshes.npz"), options=("side", "image_smooth_var_cart"),
         weight=1.5),
    Step("thickness", State.ANALYSIS, "Measuring cartilage thickness", "analysis:thickness",
         reads=("surfaces",), writes=("measured.npz", "depth.nrrd", "measures.json"),
         options=("image_smooth_var_cart",), weight=1.5),
    Step("t2", State.ANALYSIS, "Mapping T2", "relaxometry:t2_map",
         reads=("echoes", "surfaces?"), writes=("t2map.nrrd", "t2.json"), options=("t2_fit", "t2_skip_first_echo"),
         weight=1.0, degrades_to="everything but T2", applies=_no_t2),
    Step("shape", State.ANALYSIS, "Fitting the shape model", "shape:fit",
         reads=("surfaces",), writes=("shape.json",),
         options=("perform_bone_only_nsm", "perform_bone_and_cart_nsm", "clip_femur_top", "nsm", "nsm_bone_only",
                  "seed"),
         weight=10.0, degrades_to="everything but the shape model and its score",
         failure_code="NSM_FAILED", uses_device=True, timed_by=_the_fits, applies=_no_shape,
         libraries=("torch", "vtk", "scipy.spatial", "KneePipelineLib.pipeline.stages.shape")),
    Step("table", State.FUSION, "Joining the results", "fusion:join",
         reads=("thickness?", "t2?"), writes=("table.json",), weight=0.1, degrades_to="each branch's own results"),
    Step("score", State.SCORING, "Scoring the shape", "scoring:score",
         reads=("shape",), writes=("bscore.json",), options=("bscore", "bscore_bone_only", "nsm", "nsm_bone_only"),
         weight=0.1, degrades_to="everything but the score", applies=_no_score),
    Step("files", State.FORMATTING, "Writing the results", "formatting:write_files",
         reads=("input", "image?", "metadata?", "segmentation?", "review?", "surfaces?", "thickness?", "t2?", "shape?",
                "table?", "score?"),
         inputs=("truth", "input"), writes=("results.json",),
         options=("prefix", "zip", "dicom_seg", "series", "echo", "side", "spacing"), weight=2.0, spares="the report",
         publishes=True),
)


def steps_of(state: State, steps: tuple[Step, ...] = STEPS) -> list[Step]:
    """The steps of one state, in the order in which they were written down."""
    return [step for step in steps if step.state == state]


def step_named(name: str, steps: tuple[Step, ...] = STEPS) -> Step:
    """The step of that name."""
    return next(step for step in steps if step.name == name)


def wanted_steps(names: tuple[str, ...], steps: tuple[Step, ...] = STEPS) -> set[str]:
    """Names of the steps that ``--steps`` asks for, with all they read; every step when nothing was asked.

    What a step can do without is brought too: whether there is an image or a T2 map is a matter of the case, which is
    not known yet; asked for alone, a step shall find what it finds in a whole run.

    Parameters
    ----------
    names : tuple of str
        Names of steps or of states, in any case. Checking the input and writing the results always belong.
    """
    if not names:
        return {step.name for step in steps}
    asked = {name.lower() for name in names}
    wanted = {step.name for step in steps if step.name in asked or step.state.name.lower() in asked}
    wanted |= {step.name for step in steps if step.publishes or step.state == State.VALIDATION}
    for step in reversed(steps):
        if step.name in wanted and not step.publishes:
            wanted |= set(step.uses())
    return wanted


def step_names(steps: tuple[Step, ...] = STEPS) -> tuple[str, ...]:
    """Everything ``--steps`` understands."""
    return tuple(step.name for step in steps) + tuple(state.name.lower() for state in WORKING_STATES)
