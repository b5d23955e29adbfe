"""Apply and Cancel, the progress of a run, its log, and the panel's one place for messages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from slicer.i18n import tr as _

from ...pipeline.scrubbing import Scrubber
from .wording import stage_title, time_left

DOUBLE_CLICK_S = 0.5
_ORNAMENT = re.compile(r"^\s*(\d{1,3}%\s|Warning:)")
"""What the command line puts before a sentence that is an event, too."""


def once(function: Callable[[], None]) -> Callable[[], None]:
    """A slot for a button that turns into Cancel: the second click of a double click is none."""
    latest = [-DOUBLE_CLICK_S]

    def clicked() -> None:
        now = time.monotonic()
        if now - latest[0] >= DOUBLE_CLICK_S:
            latest[0] = now
            function()

    return clicked


class RunPanel:
    """One button that is Apply or Cancel, a bar, the stage's name, the time left, and the log below it.

    Parameters
    ----------
    ui
        The panel's widgets.
    on_apply, on_cancel : callable
        What the button does.
    """

    def __init__(self, ui: Any, on_apply: Callable[[], None], on_cancel: Callable[[], None]) -> None:
        self._ui, self._on_apply, self._on_cancel = ui, on_apply, on_cancel
        self._running = False
        self._cancelling = False
        self._problem = ""
        self._said: set[str] = set()
        self._without_paths = Scrubber(()).foreign
        ui.applyButton.connect("clicked(bool)", once(self._pressed))
        ui.copyLogButton.connect("clicked(bool)", self._copy_log)
        ui.clearLogButton.connect("clicked(bool)", lambda: ui.logText.clear())
        self.idle()

    @property
    def running(self) -> bool:
        """Whether the button says Cancel."""
        return self._running

    def set_problem(self, problem: str) -> None:
        """Why Apply cannot be pressed; empty when it can."""
        self._problem = problem
        if not self._running:
            self._ui.applyButton.enabled = not problem
            self.note_device(problem)  # a grey button that says nothing is no help
            self._ui.applyButton.toolTip = problem or _("Measures the knee. You can go on working meanwhile.")

    def begin(self, paths: Iterable[str] = ()) -> None:
        """A run starts; `paths` are those that it is about and that its log must not tell."""
        self._said, self._without_paths = set(), Scrubber(paths).foreign
        self._running, self._cancelling = True, False
        ui = self._ui
        ui.applyButton.text, ui.applyButton.enabled = _("Cancel"), True
        ui.applyButton.toolTip = _("Stops the run and everything it started. The scene stays as it is.")
        ui.progressBar.value = 0
        ui.deviceNoteLabel.text = ""
        for name in ("progressBar", "stageRow"):
            getattr(ui, name).visible = True
        self.log(_("--- Started at {time} ---").format(time=time.strftime("%H:%M:%S")))

    def cancelling(self) -> None:
        """Cancel was pressed, the processes are on their way out."""
        self._cancelling = True
        self._ui.applyButton.enabled = False
        self._ui.stageLabel.text = _("Cancelling...")
        self._ui.timeLabel.text = ""

    def progress(self, fraction: float, stage: str, message: str, eta_s: float | None) -> None:
        """Where the run stands."""
        if not self._running or self._cancelling:
            return
        ui = self._ui
        ui.progressBar.value = max(ui.progressBar.value, round(1000 * min(max(fraction, 0.0), 1.0)))
        title = stage_title(stage)
        ui.stageLabel.text = title
        ui.stageLabel.toolTip = message
        ui.timeLabel.text = time_left(eta_s)

    def note_device(self, text: str) -> None:
        """What computes, when it is slower than a person may expect."""
        self._ui.deviceNoteLabel.text = text
        self._ui.deviceNoteLabel.visible = bool(text)

    def idle(self) -> None:
        """No run is under way."""
        self._running = self._cancelling = False
        ui = self._ui
        ui.applyButton.text = _("Apply")
        for name in ("progressBar", "stageRow", "deviceNoteLabel"):
            getattr(ui, name).visible = False
        ui.stageLabel.text = ui.timeLabel.text = ""
        self.set_problem(self._problem)

    def log(self, line: str) -> None:
        """Add a line to the log, without the paths in it: people show it to others."""
        if line:
            self._ui.logText.appendPlainText(self._without_paths(line))

    def tell(self, line: str) -> None:
        """Add what the run says, once: its events and what it writes for people are the same sentences."""
        words = _ORNAMENT.sub("", line).strip()
        if words not in self._said:
            self._said.add(words)
            self.log(words)

    def show_log(self) -> None:
        """Open the log."""
        self._ui.logSection.collapsed = False

    def _pressed(self) -> None:
        if self._running:
            self.cancelling()
            self._on_cancel()
        else:
            self._on_apply()

    def _copy_log(self) -> None:
        import slicer

        slicer.app.clipboard().setText(self._ui.logText.plainText)


class MessagePanel:
    """Shows one message at a time, in the panel instead of a pop-up, so that it never stops anybody's work."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._action: Callable[[], None] | None = None
        ui.messageButton.connect("clicked(bool)", self._do)
        ui.messageCloseButton.connect("clicked(bool)", self.hide)
        self.hide()

    def show(self, text: str, button: str = "", action: Callable[[], None] | None = None, *,
             problem: bool = True) -> None:
        """Show `text`; with `button` and `action` a button that calls it (the message is hidden first)."""
        self._ui.messageLabel.text = text
        self._ui.messageIcon.setPixmap(_icon(problem))
        self._ui.messageButton.text = button
        self._ui.messageButton.visible = bool(button)
        self._ui.messageFrame.visible = True
        self._action = action

    def hide(self) -> None:
        """Take the message away."""
        self._ui.messageFrame.visible = False
        self._ui.messageLabel.text = ""
        self._action = None

    def _do(self) -> None:
        action = self._action
        self.hide()
        if action is not None:
            action()


def _icon(problem: bool) -> Any:
    import qt
    import slicer

    kind = qt.QStyle.SP_MessageBoxWarning if problem else qt.QStyle.SP_MessageBoxInformation
    return slicer.app.style().standardIcon(kind).pixmap(24, 24)
