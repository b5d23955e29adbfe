"""The module's panel: its sections, and how Apply, Cancel, Set up, Models and Re-analyse work together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ...job import PRACTICE_VARIABLES, TRUE_WORDS
from .. import settings
from ..commands import start_command
from ..inputs.matching import SegmentMappingError
from ..job import JobRequest, KneeJob
from ..parameters import Device
from ..process import QtProcess
from ..scene.kinds import nodes_of_run
from . import wording
from .inputs import InputsPanel, PathFields
from .model import ModelPanel
from .models import ModelsPanel
from .request import importer_for, reanalysis_of, request_of
from .results import ResultsPanel
from .run import MessagePanel, RunPanel
from .setup import SetupPanel


class KneePanel:
    """Everything between the form and a job. One for each panel; a job belongs to the panel that started it.

    Parameters
    ----------
    ui
        The form's widgets by name (``slicer.util.childWidgetVariables``).
    process_factory : callable -> JobProcess
        What runs the child.
    """

    def __init__(self, ui: Any, process_factory: Callable[[], Any] = QtProcess) -> None:
        self.ui, self._factory = ui, process_factory
        self.parameters: Any = None
        self.job: KneeJob | None = None
        self._updating = False
        self.message = MessagePanel(ui)
        self.inputs = InputsPanel(ui, self.update, lambda text: self.message.show(text))
        self.paths = PathFields({"inputPath": ui.inputPathEdit, "echoPath": ui.echoPathEdit})
        self.model = ModelPanel(ui)
        self.run = RunPanel(ui, self.apply, self.cancel)
        self.results = ResultsPanel(ui, self.reanalyse)
        self.setup = SetupPanel(ui, self._environment_changed, self.run.log)
        self.models = ModelsPanel(ui, start_command, self._models_changed, self._offer_set_up)
        ui.outputPathEdit.currentPath = settings.value("results_folder")
        ui.outputPathEdit.connect("currentPathChanged(QString)", self._keep_results_folder)
        ui.logSection.collapsed = not settings.value("keep_log_open")
        ui.logSection.connect("contentsCollapsed(bool)", lambda shut: settings.set_value("keep_log_open", not shut))

    # --- life in Slicer ----------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a job of this panel is at work."""
        return self.job is not None and self.job.state.active

    def set_parameters(self, parameters: Any) -> None:
        """Show this parameter node (wrapped); None for none."""
        self.parameters = parameters
        for part in (self.inputs, self.paths, self.model):
            part.set_parameters(parameters)
        self.update()
        if parameters is None:
            self.results.clear()
        else:
            self._show_results()

    def entered(self) -> None:
        """The module is shown: look again at what may have changed outside."""
        self.model.refresh()
        if not self.setup.busy:
            self.setup.refresh()
        self.update()

    def update(self) -> None:
        """A parameter has changed."""
        if self.parameters is None or self._updating:
            return
        self._updating = True
        try:
            for part in (self.paths, self.inputs, self.model):
                part.update()
            self.ui.modelSection.enabled = self.parameters.segmentation is None
            self.ui.makeChartCheck.enabled = self.parameters.makeTable
            self.run.set_problem(self.inputs.problem())
        finally:
            self._updating = False

    def scene_closes(self) -> None:
        """The scene is about to be emptied; a job that is at work hears of it by itself."""
        self.message.hide()

    def stop(self) -> None:
        """End everything that was started here, at once: the panel goes away."""
        if self.job is not None:
            self.job.kill()
        self.setup.stop()
        self.models.stop()

    # --- Apply, Cancel, Re-analyse -----------------------------------------------------------------------------------

    def apply(self) -> None:
        """Start a run, or say what has to be done first."""
        self.message.hide()
        self.paths.remember()
        problem = self.inputs.problem()
        if problem:
            self.message.show(problem)
        elif self._has_environment(self.apply) and self._has_model():
            self._start(request_of(self.parameters, self.inputs.mapping.values()), importer_for(self.parameters))

    def reanalyse(self) -> None:
        """Measure again with the segmentation as it is now."""
        self.message.hide()
        if self._has_environment(self.reanalyse):
            earlier = nodes_of_run(self.parameters.resultsRun)["imports"]
            said = self.inputs.mapping.values(self.parameters.resultsSegmentation)
            self._start(reanalysis_of(self.parameters, said), importer_for(self.parameters, earlier))

    def cancel(self) -> None:
        """Stop the run."""
        if self.job is not None:
            self.job.cancel()

    def _start(self, request: JobRequest, importer: Callable[..., Any]) -> None:
        job = self.job = KneeJob(request, self._factory, importer=importer)
        job.on_progress, job.on_text = self._on_progress, self.run.tell
        job.on_warning, job.on_done, job.on_failed = self._on_warning, self._on_done, self._on_failed
        job.on_cancelled = self._on_cancelled
        job.on_scene_close = self._ask_to_finish
        given = (request.input_path, request.echo_path, request.output_folder, settings.value("results_folder"))
        self.run.begin([str(path) for path in given if path])
        self.run.progress(0.0, "EXPORTING", "", None)
        self.run.note_device(self._device_note(request))
        self.ui.reanalyseButton.enabled = False
        job.start()

    def _device_note(self, request: JobRequest) -> str:
        """That a run computes on the CPU, where that is known before it starts; the run itself tells the rest."""
        if request.device == "cpu":
            return _("Computing on the CPU, as chosen under Advanced.")
        if request.device == "auto" and self.setup.only_cpu():
            note = _("Computing on the CPU: the environment was set up without a GPU.")
            segments = request.segmentation_node is None
            return f"{note} {_('Segmenting takes minutes.')}" if segments else note
        return ""

    def _has_environment(self, then: Callable[[], None]) -> bool:
        """Whether there is an environment to run in; otherwise Set up is offered, size and folder first."""
        if self.setup.state().usable:
            return True
        if self.setup.busy:
            self.message.show(_("Set up is still running. Press the button again when it is done."), problem=False)
            return False
        self._offer_set_up(then)
        return False

    def _offer_set_up(self, then: Callable[[], None] | None = None) -> None:
        text = f"{self.setup.state().fact}\n{self.setup.offer()}"
        button = _("Set up") if then is None else _("Set up, then run")
        self.message.show(text, button, lambda: self.setup.set_up(then), problem=False)

    def _has_model(self) -> bool:
        needed = self.parameters.segmentation is None and not _practises()
        problem = self.model.problem() if needed else ""
        if problem:
            self.message.show(problem, wording.button_text(wording.MODELS), self._open_models)
        return not problem

    # --- what a job tells --------------------------------------------------------------------------------------------

    def _on_progress(self, fraction: float, stage: str, message: str, eta_s: float | None) -> None:
        self.run.progress(fraction, stage, message, eta_s)
        self.run.tell(message)

    def _on_warning(self, code: str, message: str) -> None:
        self.run.tell(message)
        if "CPU" in message:
            self.run.note_device(message)

    def _on_done(self, results_json: Path) -> None:
        request, imported, parameters = self.job.request, self.job.imported, self.parameters
        self.run.idle()
        self.run.log(_("Done."))
        if imported is None or parameters is None:  # the scene was closed meanwhile: the files are there
            self.message.show(_("The run has ended. Its results are in {folder}.").format(folder=results_json.parent),
                              problem=False)
            return
        was_modifying = parameters.StartModify()
        try:
            parameters.resultsPath = str(results_json.parent)
            parameters.resultsRun = imported.record.get("created", "")
            parameters.resultsVolume = request.input_node if _in_scene(request.input_node) else None
            if not request.reanalyse:
                parameters.resultsSegmentation = imported.segmentation
        finally:
            parameters.EndModify(was_modifying)
        self._show_results()
        self.ui.resultsSection.collapsed = False

    def _on_failed(self, code: str, message: str, hint: str) -> None:
        self.run.idle()
        self.run.tell(f"{message} {hint}".strip())
        mending = wording.mending(code, message, hint)
        self.message.show(mending.text, wording.button_text(mending.button), self._action(mending.button))
        if isinstance(self.job.error if self.job is not None else None, SegmentMappingError) and self.parameters:
            self.ui.inputsSection.collapsed = False
            self.inputs.mapping.ask_about(self.job.request.segmentation_node)
        self._after_the_end()

    def _on_cancelled(self) -> None:
        self.run.idle()
        self.run.log(_("Cancelled."))
        self._after_the_end()

    def _after_the_end(self) -> None:
        if self.parameters is not None:
            self._show_results()

    def _ask_to_finish(self) -> bool:
        """The scene is closed in the middle of a run: whether the run may finish, its results staying on disk."""
        import slicer

        if not settings.value("ask_before_scene_close"):
            return False
        return bool(slicer.util.confirmYesNoDisplay(
            _("A knee is being measured. Let it finish? Its results then stay in the results folder and are not "
              "brought into the new scene."), windowTitle=_("Knee Pipeline")))

    def _action(self, button: str) -> Callable[[], None] | None:
        return {
            wording.SET_UP: self.setup.set_up, wording.REPAIR: self.setup.repair,
            wording.MODELS: self._open_models, wording.USE_CPU: self._run_on_cpu,
            wording.SHOW_LOG: self.run.show_log, wording.LONGER: self._open_advanced,
        }.get(button)

    def _open_models(self) -> None:
        self.ui.modelsSection.collapsed = False
        self.models.select(self.model.name)

    def _open_advanced(self) -> None:
        self.ui.advancedSection.collapsed = False
        self.ui.timeoutSpin.setFocus()

    def _run_on_cpu(self) -> None:
        self.parameters.device = Device.CPU
        self.apply()

    # --- results and settings ----------------------------------------------------------------------------------------

    def _show_results(self) -> None:
        parameters = self.parameters
        if not parameters.resultsRun:
            self.results.clear()
            return
        can = parameters.resultsSegmentation is not None and not self.running
        self.results.show(Path(parameters.resultsPath), nodes_of_run(parameters.resultsRun), can)

    def _environment_changed(self) -> None:
        self.update()

    def _models_changed(self) -> None:
        self.model.refresh()
        self.update()

    @staticmethod
    def _keep_results_folder(path: str) -> None:
        settings.set_value("results_folder", path.strip())


def _practises() -> bool:
    """Whether runs are in practice mode, which needs no model."""
    return any(os.environ.get(name, "").strip().lower() in TRUE_WORDS for name in PRACTICE_VARIABLES)


def _in_scene(node: Any) -> bool:
    return node is not None and node.GetScene() is not None
