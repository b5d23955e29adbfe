"""The panel's one place for messages: what happened, and a button that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
