"""The section Set up: the private environment's state, size and folder first, then the buttons."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .. import environment, settings
from .run import once
from .wording import plain

_MARKS = {"ok": "ok", "note": "note", "warning": "WARNING", "error": "ERROR"}


class SetupPanel:
    """Shows what is there and starts what changes it, as child processes (:mod:`.environment`).

    Parameters
    ----------
    ui
        The panel's widgets.
    on_changed : callable
        Called when the environment came or went.
    on_text : callable (line)
        What the commands say, for the log.
    """

    def __init__(self, ui: Any, on_changed: Callable[[], None], on_text: Callable[[str], None]) -> None:
        self._ui, self._on_changed, self._on_text = ui, on_changed, on_text
        self._task: Any = None
        self._then: Callable[[], None] | None = None
        ui.setupButton.connect("clicked(bool)", once(self.set_up))
        ui.repairButton.connect("clicked(bool)", lambda: self.repair())
        ui.removeEnvironmentButton.connect("clicked(bool)", self._ask_and_remove)
        ui.usePythonButton.connect("clicked(bool)", self._choose_python)
        ui.diagnoseButton.connect("clicked(bool)", self.diagnose)
        for name in ("setupProgressBar", "setupMessageLabel", "diagnoseText"):
            getattr(ui, name).visible = False
        self._layout = ui.setupSection.parent().layout()
        self._place = self._layout.indexOf(ui.setupSection)
        ui.setupFolderButton.directory = str(environment.environment_dir())
        ui.setupFolderButton.connect("directoryChanged(QString)", self.refresh)
        self.refresh()
        ui.setupSection.collapsed = self.state().usable

    @property
    def busy(self) -> bool:
        """Whether Set up, Repair, Remove or Diagnose is under way."""
        return self._task is not None

    def state(self) -> environment.EnvironmentState:
        """What is there now."""
        return environment.state()

    def only_cpu(self) -> bool:
        """Whether the environment is known to have no GPU build (a Mac's CPU build uses its GPU)."""
        from ...environment.generations import current, read_state

        generation = current(environment.environment_dir())
        made = read_state(generation) if generation is not None and self.state().state == environment.READY else None
        return made is not None and made.torch == "cpu" and sys.platform != "darwin"

    def refresh(self) -> None:
        """Look again, and show it."""
        ui, found = self._ui, self.state()
        own, missing = bool(settings.value("python")), found.state == environment.MISSING
        place = self._place if found.usable else 0  # the first step stands first until it is done
        if self._layout.indexOf(ui.setupSection) != place:
            self._layout.insertWidget(place, ui.setupSection)
        where = "" if missing or found.state == environment.OWN else _("Folder: {folder}").format(folder=found.folder)
        ui.setupStateLabel.text = f"{found.sentence} {where}".strip()
        ui.setupSizeLabel.text = self.offer()
        ui.setupSizeLabel.visible = not found.usable
        ui.setupFolderRow.visible = missing
        ui.setupButton.text = _("Cancel") if self.busy else _("Set up")
        ui.setupButton.enabled = self.busy or found.state != environment.OWN
        there = not self.busy and not missing and found.state != environment.OWN
        ui.repairButton.enabled = ui.removeEnvironmentButton.enabled = there
        ui.usePythonButton.text = _("Use KneePipeline's own") if own else _("Use existing Python...")
        ui.usePythonButton.enabled = ui.diagnoseButton.enabled = ui.setupFolderButton.enabled = not self.busy

    def offer(self) -> str:
        """What Set up would do, before anybody presses it: size, hosts, folder."""
        return self._plan().sentence()

    def _plan(self) -> environment.SetupPlan:
        from ...environment.places import free_bytes

        folder = self.folder()
        return replace(environment.plan(), folder=folder, free_mb=free_bytes(folder) / 1e6)

    def folder(self) -> Path:
        """The environment's folder as it is shown."""
        return Path(str(self._ui.setupFolderButton.directory))

    def set_up(self, then: Callable[[], None] | None = None) -> None:
        """Start Set up (or cancel what is under way); `then` is called when it has succeeded."""
        if self.busy:
            self._ui.setupMessageLabel.text = _("Cancelling...")
            self._task.cancel()
            return
        folder, plan = self.folder(), self._plan()
        if not self.state().usable and not plan.enough_space:
            self._ui.setupSection.collapsed = False
            self._end(plan.lack())
            return
        self._begin(lambda: environment.setup(
            base_python=settings.value("base_python"), torch=settings.value("torch"),
            folder=folder if folder != environment.environment_dir() else None), _("Setting up"), then)

    def repair(self, then: Callable[[], None] | None = None) -> None:
        """Check the environment and rebuild what is broken."""
        self._begin(environment.repair, _("Repairing"), then)

    def remove(self) -> None:
        """Delete the environment; the person has been asked."""
        self._begin(environment.remove, _("Removing"))

    def diagnose(self) -> None:
        """Run the doctor and show what it finds."""
        self._begin(environment.diagnose, _("Diagnosing"))

    def use_python(self, executable: str) -> None:
        """Try this interpreter, and use it from now on when it has everything."""
        self._begin(lambda: environment.use_python(executable), _("Trying this Python"))

    def stop(self) -> None:
        """End what is under way, now (the application or the panel closes)."""
        if self._task is not None:
            self._task.kill()

    # --- what the buttons do -----------------------------------------------------------------------------------------

    def _ask_and_remove(self) -> None:
        import slicer

        question = _("Delete the environment in {folder}? Downloaded models stay.").format(folder=self.folder())
        if slicer.util.confirmYesNoDisplay(question, windowTitle=_("Knee Pipeline")):
            self.remove()

    def _choose_python(self) -> None:
        import qt

        if settings.value("python"):
            settings.set_value("python", "")
            self._end(_("KneePipeline's own environment is used again."))
            return
        chosen = qt.QFileDialog.getOpenFileName(self._ui.setupSection, _("A Python that has all packages"))
        path = str(chosen[0] if isinstance(chosen, tuple) else chosen)
        if path:
            self.use_python(path)

    def _begin(self, make: Callable[[], Any], doing: str, then: Callable[[], None] | None = None) -> None:
        if self.busy:
            return
        ui = self._ui
        ui.setupSection.collapsed = False
        ui.setupProgressBar.setRange(0, 0)  # busy, until the first share is told
        ui.setupProgressBar.visible = ui.setupMessageLabel.visible = True
        ui.diagnoseText.visible = False
        ui.setupMessageLabel.text = f"{doing}..."
        self._then = then
        task = self._task = make()
        task.on_progress, task.on_text = self._on_progress, self._on_text
        task.on_done = lambda result: self._on_done(doing, result)
        task.on_failed = self._on_failed
        task.on_cancelled = lambda: self._end(_("{doing} was cancelled; what was there before is unchanged.").format(
            doing=doing))
        self.refresh()

    def _on_progress(self, fraction: float, message: str) -> None:
        self._ui.setupProgressBar.setRange(0, 1000)
        self._ui.setupProgressBar.value = round(1000 * fraction)
        self._ui.setupMessageLabel.text = message

    def _on_done(self, doing: str, result: Any) -> None:
        if isinstance(result, dict):
            self._ui.diagnoseText.setPlainText(_findings(result))
            self._ui.diagnoseText.visible = True
            self._end(_("Everything needed works.") if result.get("ok") else
                      _("Something needed does not work: see ERROR below. Repair mends most of it."))
        else:
            then, self._then = self._then, None
            self._end(_("{doing}: done.").format(doing=doing))
            if then is not None and self.state().usable:
                then()

    def _on_failed(self, code: str, message: str, hint: str) -> None:
        self._end(plain(f"{message} {hint}"))

    def _end(self, sentence: str) -> None:
        self._task = self._then = None
        ui = self._ui
        ui.setupProgressBar.visible = False
        ui.setupMessageLabel.text, ui.setupMessageLabel.visible = sentence, True
        if self.state().state != environment.MISSING:  # otherwise a folder that was chosen stays chosen
            ui.setupFolderButton.directory = str(environment.environment_dir())
        self.refresh()
        self._on_changed()


def _findings(result: dict[str, Any]) -> str:
    """What the doctor found, for people, what needs mending first."""
    order = ("error", "warning", "note", "ok")
    found = sorted(result.get("findings", ()), key=lambda one: order.index(one["status"]))
    return "\n".join(f"{_MARKS[one['status']]}: {one['subject']}: {one['message']}" for one in found)
