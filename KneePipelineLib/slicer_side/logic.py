"""The module's logic for scripts and for the Python console: one call an analysis, blocking or with callbacks.

Slicer imports this file when it starts; what an analysis needs is imported when there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CancelledError, ConfigError, KneePipelineError

if TYPE_CHECKING:
    from .inputs.request import JobRequest
    from .job import KneeJob
    from .scene.results import ImportedResults


class KneePipelineLogicBase:
    """What ``KneePipelineLogic`` can do besides being a logic of Slicer.

    Example, in Slicer's Python console::

        logic = KneePipelineLogic()
        job = logic.process(getNode("knee"), side="left")
        job.results      # results.json
        job.imported     # the nodes that were made
    """

    def __init__(self) -> None:
        self.job: KneeJob | None = None

    @property
    def busy(self) -> bool:
        """Whether an analysis of this logic is at work."""
        return self.job is not None and self.job.state.active

    def process(self, inputVolume: Any = None, outputSegmentation: Any = None, *, inputFolder: Path | str | None = None,
                echoVolume: Any = None, echoFolder: Path | str | None = None, segmentation: Any = None,
                segmentValues: Mapping[str, int] | None = None, labelScheme: str = "auto", side: str = "auto",
                model: str = "", device: str = "auto", outputFolder: Path | str | None = None, prefix: str = "",
                steps: tuple[str, ...] = (), timeout: float | None = None, options: Mapping[str, Any] | None = None,
                importResults: bool = True, waitForCompletion: bool = True,
                onDone: Callable[[KneeJob], None] | None = None,
                onFailed: Callable[[str, str, str], None] | None = None,
                onProgress: Callable[[float, str, str, float | None], None] | None = None,
                onCancelled: Callable[[], None] | None = None) -> KneeJob:
        """Analyse one knee.

        :param inputVolume: volume node of the knee. When it was loaded from DICOM, the original files are analysed.
        :param outputSegmentation: segmentation node that is filled with the result; a new one is made without it.
        :param inputFolder: DICOM folder, zip or image file instead of a volume node.
        :param echoVolume: volume node of the second echo, or of any echo series, loaded from DICOM, for T2.
        :param echoFolder: DICOM folder with the echoes instead.
        :param segmentation: segmentation or label map volume node that is used instead of a network.
        :param segmentValues: segment ID -> label value, for segments that neither terminology nor name identifies;
          0 leaves a segment out.
        :param labelScheme: what the numbers of a label map volume mean: auto, canonical or native.
        :param side: auto, left or right.
        :param model: name of the network; the bundled one without it.
        :param device: auto, cpu, cuda, cuda:1, ... or mps.
        :param outputFolder: folder for the results; without it a new one below the results folder of the settings.
        :param prefix: beginning of file names; "knee" without it. Never a patient's name.
        :param steps: only these stages, by name.
        :param timeout: deadline of the run in seconds.
        :param options: further keys of config.json.
        :param importResults: load the results into the scene.
        :param waitForCompletion: if True, return when everything is done, while the GUI stays alive; if False, return
          at once and call back.
        :param onDone: called with the job when its results are in the scene.
        :param onFailed: called with code, message and hint.
        :param onProgress: called with fraction (0..1), stage, message, and seconds left (or None).
        :param onCancelled: called when the run was cancelled.
        :return: the job; its `results` is the path of results.json and its `imported` what was loaded.

        :raises ConfigError: when an analysis of this logic is at work already.
        :raises KneePipelineError: only when waiting: the failure; CancelledError when it was cancelled.
        """
        from .inputs.request import JobRequest

        request = JobRequest(
            input_node=inputVolume, input_path=inputFolder, echo_node=echoVolume, echo_path=echoFolder,
            segmentation_node=segmentation, segment_values=dict(segmentValues or {}), label_scheme=labelScheme,
            side=side, model=model, device=device, prefix=prefix, output_folder=outputFolder, steps=tuple(steps),
            timeout_s=timeout, options=dict(options or {}))
        return self.run(request, outputSegmentation, importResults=importResults, waitForCompletion=waitForCompletion,
                        onDone=onDone, onFailed=onFailed, onProgress=onProgress, onCancelled=onCancelled)

    def reanalyse(self, segmentation: Any, previous: KneeJob | None = None, **options: Any) -> KneeJob:
        """Measure again after the segmentation was corrected by hand; what does not depend on it is not repeated.

        The results take the place of the earlier job's in the scene: its nodes and its folder go.

        :param segmentation: the corrected segmentation node; it is filled with the labels as they were measured.
        :param previous: the job whose results are corrected; the last one of this logic without it.
        :param options: as for `process`, from `importResults` on.
        :return: the job, as from `process`.

        :raises ConfigError: when there is no earlier job, or one is at work.
        """
        previous = previous or self.job
        if previous is None or previous.results is None:
            raise ConfigError("There is no earlier analysis to repeat.",
                              "Run process with the segmentation instead, or give the earlier job.")
        request = previous.request.copy(segmentation_node=segmentation, reanalyse=True, restart=False,
                                        output_folder=previous.output)
        return self.run(request, segmentation, replaces=previous.imported or previous.replaces, **options)

    def run(self, request: JobRequest, outputSegmentation: Any = None, *, replaces: ImportedResults | None = None,
            importResults: bool = True, waitForCompletion: bool = True, onDone: Callable[[KneeJob], None] | None = None,
            onFailed: Callable[[str, str, str], None] | None = None,
            onProgress: Callable[[float, str, str, float | None], None] | None = None,
            onCancelled: Callable[[], None] | None = None, processFactory: Callable[[], Any] | None = None) -> KneeJob:
        """As `process`, for a request that is already put together.

        :param replaces: an earlier import whose place in the scene the results take.
        """
        from .job import KneeJob
        from .process import QtProcess
        from .scene import importer

        if self.busy:
            raise ConfigError("An analysis is running already.", "Wait until it has finished, or call cancel().")
        earlier = (replaces.import_id,) if replaces is not None else ()
        job = self.job = KneeJob(request, processFactory or QtProcess, importer=(
            importer(outputSegmentation, replaces=earlier) if importResults else None))
        job.replaces = replaces
        if onDone is not None:
            job.on_done = lambda results: onDone(job)
        for name, callback in (("on_failed", onFailed), ("on_progress", onProgress), ("on_cancelled", onCancelled)):
            if callback is not None:
                setattr(job, name, callback)
        job.start()
        if waitForCompletion:
            self._wait(job)
        return job

    def cancel(self) -> None:
        """Stop the analysis of this logic, if there is one; returns at once."""
        if self.job is not None:
            self.job.cancel()

    def cleanup(self) -> None:
        """The module goes away: nothing of it may go on."""
        from .job import stop_all

        stop_all()

    @staticmethod
    def _wait(job: KneeJob) -> None:
        try:
            job.wait()
        except BaseException:  # Ctrl-C in a script: the run must not go on by itself
            job.kill()
            raise
        if job.error is not None:
            raise job.error
        if job.results is None:
            raise CancelledError("The analysis was cancelled.", "Call process again to start it anew.")


__all__ = ["KneePipelineError", "KneePipelineLogicBase"]
