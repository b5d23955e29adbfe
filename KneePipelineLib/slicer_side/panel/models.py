"""The section Models: what there is, what for, under which licence, how large, whether it is here; and getting it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .model import READY, state_text
from .run import once
from .wording import plain

_REMOVABLE = ("installed", "damaged", "interrupted")
_HUB = "huggingface.co"


class ModelsPanel:
    """Lists the catalogue and starts ``models download | import | remove`` as child processes.

    Parameters
    ----------
    ui
        The panel's widgets.
    start : callable (arguments, callbacks) -> process
        Starts ``python -m KneePipelineLib`` with these arguments; see `commands.start_command`.
    on_changed : callable
        Called when a model came or went.
    on_no_environment : callable
        Called when a download needs the private environment and there is none.
    """

    def __init__(self, ui: Any, start: Callable[..., Any], on_changed: Callable[[], None],
                 on_no_environment: Callable[[], None]) -> None:
        self._ui, self._start = ui, start
        self._on_changed, self._on_no_environment = on_changed, on_no_environment
        self._process: Any = None
        self._busy_with = ""
        self._error = ""
        self._names: list[str] = []
        self._prepare()
        self.refresh()

    def _prepare(self) -> None:
        import qt

        ui = self._ui
        ui.modelsTree.setHeaderLabels([_("Model, purpose and licence"), _("Size"), _("State")])
        ui.modelsTree.setIndentation(10)
        header = ui.modelsTree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        ui.modelsTree.connect("itemSelectionChanged()", self._selected)
        ui.acceptLicenceCheck.connect("toggled(bool)", self._show_buttons)
        ui.downloadModelButton.connect("clicked(bool)", once(self._download_or_cancel))
        ui.importModelButton.connect("clicked(bool)", self._import)
        ui.removeModelButton.connect("clicked(bool)", self._remove)
        ui.modelProgressBar.visible = False
        ui.modelMessageLabel.visible = False

    @property
    def busy(self) -> bool:
        """Whether a download, import or removal is under way."""
        return self._process is not None

    def select(self, name: str) -> None:
        """Choose a model in the list."""
        if name in self._names:
            self._ui.modelsTree.setCurrentItem(self._ui.modelsTree.topLevelItem(self._names.index(name)))

    def refresh(self) -> None:
        """Fill the list from the catalogue and the store; the choice is kept."""
        import qt

        from ... import weights
        from ...weights import table

        chosen = self._chosen_name()
        self._ui.modelsTree.clear()
        self._names = []
        for model in weights.catalogue().values():
            row, about = qt.QTreeWidgetItem(), qt.QTreeWidgetItem()
            for column, text in enumerate((_(model.title), table.size_text(model),
                                           state_text(weights.state(model.name)))):
                row.setText(column, text)
                row.setToolTip(column, f"{_(model.title)}: {_(model.purpose)}")
            about.setText(0, _("{purpose}\nLicence: {licence}").format(
                purpose=_(model.purpose), licence=table.licence_text(model)))
            about.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            row.addChild(about)
            self._ui.modelsTree.addTopLevelItem(row)
            about.setFirstColumnSpanned(True)
            self._names.append(model.name)
        self._ui.modelsTree.expandAll()
        self.select(chosen)
        self._selected()

    def stop(self) -> None:
        """End what is under way, now (the application or the panel closes)."""
        if self._process is not None:
            self._process.kill()

    # --- the choice --------------------------------------------------------------------------------------------------

    def _chosen_name(self) -> str:
        item = self._ui.modelsTree.currentItem()
        # What a model is for stands in a line of its own below its name, and belongs to it.
        index = self._ui.modelsTree.indexOfTopLevelItem(item.parent() or item) if item is not None else -1
        return self._names[index] if 0 <= index < len(self._names) else ""

    def _selected(self) -> None:
        from ... import weights
        from ...weights import table

        name = self._chosen_name()
        if name:
            model = weights.entry(name)
            page = f'<a href="{model.page}">{model.page}</a>' if model.page else _("none")
            lines = [f"<b>{_(model.title)}</b>: {_(model.purpose)}.",
                     _("Licence: {licence}. Page: {page}").format(licence=table.licence_text(model), page=page)]
            if model.source.type == "hub":
                lines.append(_("Download: {size} from {host}, into {folder}").format(
                    size=table.size_text(model), host=_HUB, folder=weights.models_dir()))
            if model.citation:
                lines.append(_("To cite: {citation}").format(citation=model.citation))
            self._ui.modelDetailLabel.text = "<br>".join(lines)
        self._ui.acceptLicenceCheck.checked = False
        self._show_buttons()

    def _show_buttons(self) -> None:
        from ... import weights

        ui, name = self._ui, self._chosen_name()
        model = weights.entry(name) if name else None
        state = weights.state(name) if name else ""
        wanted = _parts_to_get(model) if model else []
        restricted = model is not None and model.restricted and state not in READY
        asks = restricted or any(part.needs_acceptance for part in wanted)
        agreed = bool(ui.acceptLicenceCheck.checked) or not asks
        ui.acceptLicenceCheck.enabled = asks and not self.busy
        if not self.busy:
            ui.downloadModelButton.text = _("Download")
            ui.downloadModelButton.enabled = bool(wanted) and agreed
            ui.downloadModelButton.toolTip = _("Read the terms and tick the box first.") if wanted and not agreed else \
                _("Downloads the chosen model; host and size are shown above.")
        else:
            ui.downloadModelButton.text, ui.downloadModelButton.enabled = _("Cancel"), True
        can_import = model is not None and model.source.type in ("hub", "import")
        ui.importModelButton.enabled = not self.busy and can_import and (agreed or not model.restricted)
        ui.removeModelButton.enabled = not self.busy and state in _REMOVABLE

    # --- what the buttons do -----------------------------------------------------------------------------------------

    def _download_or_cancel(self) -> None:
        if self.busy:
            self._process.cancel()
            return
        from ... import weights
        from .. import environment

        if not environment.state().usable:
            self._on_no_environment()
            return
        name = self._chosen_name()
        accept = ["--accept-licence"] if self._ui.acceptLicenceCheck.checked else []
        parts = [part.name for part in _parts_to_get(weights.entry(name))]
        self._begin(["models", "download", *parts, *accept, "--events", "-"], _("Downloading"), name)

    def _import(self) -> None:
        import qt

        name = self._chosen_name()
        folder = qt.QFileDialog.getExistingDirectory(self._ui.modelsSection, _("Folder with the model's files"))
        if folder:
            self.import_from(name, Path(str(folder)))

    def import_from(self, name: str, folder: Path) -> None:
        """Install the model `name` from a folder."""
        accept = ["--accept-licence"] if self._ui.acceptLicenceCheck.checked else []
        self._begin(["models", "import", name, str(folder), *accept], _("Importing"), name)

    def _remove(self) -> None:
        import slicer

        from ... import weights

        name = self._chosen_name()
        question = _("Delete the model {title} from this computer?").format(title=_(weights.entry(name).title))
        if slicer.util.confirmYesNoDisplay(question):
            self.remove(name)

    def remove(self, name: str) -> None:
        """Delete the model `name`; the person has been asked."""
        self._begin(["models", "remove", name], _("Removing"), name)

    def _begin(self, arguments: list[str], doing: str, name: str) -> None:
        from ... import weights

        self._busy_with, self._error = f"{doing} {_(weights.entry(name).title)}", ""
        self._ui.modelProgressBar.setRange(0, 0)  # busy, until the first share is told
        self._ui.modelProgressBar.visible = True
        self._say(self._busy_with)
        self._process = self._start(arguments, on_event=self._on_event, on_text=None, on_finished=self._on_finished)
        self._show_buttons()

    def _on_event(self, event: dict[str, Any]) -> None:
        if event.get("event") == "error":
            self._error = " ".join(part for part in (event.get("message", ""), event.get("hint", "")) if part)
        elif event.get("event") == "model" and event.get("total_bytes"):
            from ...weights import table

            self._ui.modelProgressBar.setRange(0, 1000)
            self._ui.modelProgressBar.value = round(1000 * float(event.get("fraction", 0.0)))
            self._say(_("{doing}: {done} of {total}").format(
                doing=self._busy_with, done=table.bytes_text(event["done_bytes"]),
                total=table.bytes_text(event["total_bytes"])))

    def _on_finished(self, exit_code: int, crashed: bool) -> None:
        process, self._process = self._process, None
        self._ui.modelProgressBar.visible = False
        if exit_code == 0 and not crashed:
            self._say(_("{doing}: done.").format(doing=self._busy_with))
        elif exit_code == 3:
            self._say(_("{doing}: cancelled.").format(doing=self._busy_with))
        else:
            words = self._error or " ".join(_own_words(process))
            self._say(_("{doing} failed. {words}").format(doing=self._busy_with, words=plain(words)))
        self.refresh()
        self._on_changed()

    def _say(self, text: str) -> None:
        self._ui.modelMessageLabel.text = text
        self._ui.modelMessageLabel.visible = bool(text)


def _parts_to_get(model: Any) -> list[Any]:
    """What a download would fetch: the model, or the members of a consensus that are missing."""
    from ... import weights

    members = [weights.entry(name) for name in model.needs] if model.source.type == "virtual" else [model]
    return [part for part in members if part.source.type == "hub" and weights.state(part.name) not in READY]


def _own_words(process: Any) -> list[str]:
    """What the command itself said last, without the name before it."""
    lines = [line.strip().removeprefix("KneePipeline:").strip() for line in list(process.last_lines)[-3:]]
    return [line for line in lines if line]
