"""The section Model: which network segments, what it is for, whether it is here, and what to keep in mind."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

SEGMENTING = ("nnunet", "planar", "consensus")
"""Kinds of catalogue entries that segment (the others are shape models and scores)."""
READY = ("installed", "bundled")


def state_text(state: str) -> str:
    """A model's state (`weights.state`) as the panel shows it."""
    return {
        "installed": _("installed"), "not installed": _("not installed"), "bundled": _("ships with KneePipeline"),
        "not in this build": _("not in this build"), "interrupted": _("download interrupted"),
        "damaged": _("damaged"), "incomplete": _("incomplete"),
    }.get(state, state)


class ModelPanel:
    """Binds the selector of models to the parameter node by hand: its entries come from the catalogue."""

    def __init__(self, ui: Any) -> None:
        from ... import weights

        self._ui = ui
        self._parameters: Any = None
        self._filling = False
        self._models = [model for model in weights.catalogue().values() if model.kind in SEGMENTING]
        ui.modelCombo.connect("currentIndexChanged(int)", self._chosen)
        self.refresh()

    def set_parameters(self, parameters: Any) -> None:
        """Show and change this parameter node; None for none."""
        self._parameters = parameters
        self.refresh()

    def refresh(self) -> None:
        """Ask the store again what is installed, and show it."""
        from ... import weights

        names = [model.name for model in self._models]
        self._filling = True
        try:
            self._ui.modelCombo.clear()
            for model in self._models:
                state = weights.state(model.name)
                mark = "" if state in READY else f" ({state_text(state)})"
                self._ui.modelCombo.addItem(f"{_(model.title)}{mark}")
            wanted = self._parameters.model if self._parameters is not None else names[0]
            self._ui.modelCombo.currentIndex = names.index(wanted) if wanted in names else 0
        finally:
            self._filling = False
        self._describe()

    def update(self) -> None:
        """The parameter node has changed: show its model."""
        names = [model.name for model in self._models]
        if self._parameters is not None and self._parameters.model in names:
            wanted = names.index(self._parameters.model)
            if self._ui.modelCombo.currentIndex != wanted:
                self._ui.modelCombo.currentIndex = wanted

    @property
    def name(self) -> str:
        """The chosen model's name in the catalogue."""
        return self._models[max(0, self._ui.modelCombo.currentIndex)].name

    def problem(self) -> str:
        """Why the chosen model cannot segment now; empty when it can."""
        from ... import weights

        state = weights.state(self.name)
        if state in READY:
            return ""
        title = _(weights.entry(self.name).title)
        if state == "not in this build":
            return _("The model {title} is not part of this build of KneePipeline. Choose another one, or an existing "
                     "segmentation.").format(title=title)
        return _("The model {title} is {state}. Choose it in the section Models and press Download or Import from "
                 "folder.").format(title=title, state=state_text(state))

    def _chosen(self, index: int) -> None:
        if self._filling or index < 0:
            return
        if self._parameters is not None and self._parameters.model != self._models[index].name:
            self._parameters.model = self._models[index].name
        self._describe()

    def _describe(self) -> None:
        from ... import weights

        model = self._models[max(0, self._ui.modelCombo.currentIndex)]
        self._ui.modelPurposeLabel.text = _("{purpose}. State: {state}.").format(
            purpose=_(model.purpose), state=state_text(weights.state(model.name)))
        notice = ""
        if model.name == "bundled":
            notice = _("Bundled network: for trying out, not validated for research.")
        elif model.source.type in ("hub", "virtual"):
            notice = _("Published by others under terms of its own: {licence}. Check the segmentation before you use "
                       "its figures.").format(licence=model.licence)
        self._ui.modelNoticeLabel.text = notice
        self._ui.modelNoticeFrame.visible = bool(notice)
