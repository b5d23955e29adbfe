"""Which weights the segmentation of a run needs: where they lie, and a hash that changes when they do."""

from __future__ import annotations

from pathlib import Path

from .. import weights
from ..errors import KneePipelineError, MissingFileError
from ..job import JobOptions
from ..nnunet_folders import stages_below
from ..weights import failures, store
from ..weights.layouts import stages_kind
from .files import Check, hash_json, hash_weights, read_json

CHOICE = ("default_seg_model", "nnunet", "models")
"""Options that say which network segments, from which files."""
OPTIONS = (*CHOICE, "ignore_structures", "batch_size")
"""Options that matter only when a network segments."""


def weights_of_network(options: JobOptions) -> dict[str, Path]:
    """Network -> its files: those named in the options' ``models``, else the installed ones, checked.

    Raises
    ------
    MissingFileError, WeightsCorruptError
        If they are not there, or are damaged.
    """
    named = _named(options)
    if named:
        lost = [name for name, path in named.items() if not path.exists()]
        if lost:
            raise MissingFileError(f"The weights that the configuration names for {', '.join(lost)} do not exist.",
                                   "Correct the paths under \"models\", or remove them to use installed weights.")
        return named
    try:
        return dict(weights.locations(options.model))
    except failures.WeightsMissingError as error:
        raise MissingFileError(error.message, f"{error.hint.rstrip('.')}. Or give a label map of this knee with "
                               "--segmentation LABELS.", model=options.model) from None


def network_hashes(options: JobOptions, check: Check = lambda: None) -> dict[str, str]:
    """Network -> hash of its weights and of the stages of them that run; empty when a label map is given."""
    if options.segmentation is not None:
        return {}
    named = _named(options)
    if named:
        return {name: _hash_of_own(name, path, check) if path.exists() else "missing" for name, path in named.items()}
    model = weights.entry(options.model)
    members = model.needs if model.source.type == "virtual" else (model.name,)
    return {member: hash_of_installed(member, check) for member in members}


def hash_of_installed(name: str, check: Check = lambda: None) -> str:
    """One hash for an installed model, from its receipt and its stages; "missing" when it is not there."""
    model = weights.entry(name)
    folder = store.folder_of(model)
    if model.source.type == "package":
        found = hash_weights(folder, check) if weights.state(name) == store.BUNDLED else None
    else:
        receipt = read_json(folder / "receipt.json")
        found = hash_json(receipt["files"]) if isinstance(receipt, dict) and "files" in receipt else None
    return "missing" if found is None else _with_stages(found, name, folder)


def _hash_of_own(name: str, path: Path, check: Check) -> str:
    """The hash of weights that the options name: of every stage's folder, wherever below or beside ``path`` it lies."""
    stages = _stages(name, path)
    if not stages:
        return hash_weights(path, check)
    return hash_json({configuration: hash_weights(folder, check) for configuration, folder in stages.items()})


def _with_stages(found: str, name: str, folder: Path) -> str:
    """A hash of the files with what of them runs: the same files through other stages are another segmentation."""
    stages = _stages(name, folder)
    return hash_json([found, list(stages)]) if stages else found


def _stages(name: str, folder: Path) -> dict[str, str]:
    """Configuration -> folder of an nnU-Net model's stages; empty for other kinds, and where the run will complain."""
    try:
        model = weights.entry(name)
        if model.kind != "nnunet":
            return {}
        return {stage.configuration: stage.folder for stage in stages_below(folder, stages_kind(model))}
    except KneePipelineError:
        return {}


def _named(options: JobOptions) -> dict[str, Path]:
    """The paths under ``models`` for the network asked for, under either of its names."""
    wanted = {options.model, options.default_seg_model}
    if options.model == "staple":
        wanted = {"goyal_sagittal", "goyal_coronal", "goyal_axial"}
    found = {name: Path(path) for name, path in options.models.items() if name in wanted and path}
    if options.model == "staple":
        return found if len(found) == len(wanted) else {}
    return {options.model: next(iter(found.values()))} if found else {}
