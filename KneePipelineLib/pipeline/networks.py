"""Which weights the segmentation of a run needs: where they lie, and a hash that changes when they do."""

from __future__ import annotations

from pathlib import Path

from .. import weights
from ..errors import MissingFileError
from ..job import JobOptions
from .files import Check, hash_json, hash_weights, read_json

CHOICE = ("default_seg_model", "nnunet", "models")
"""Options that say which network segments, from which files."""
OPTIONS = (*CHOICE, "batch_size")
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
    except weights.failures.WeightsMissingError as error:
        raise MissingFileError(error.message, f"{error.hint.rstrip('.')}. Or give a label map of this knee with "
                               "--segmentation LABELS.", model=options.model) from None


def network_hashes(options: JobOptions, check: Check = lambda: None) -> dict[str, str]:
    """Network -> hash of its weights, from the receipts of installed ones; empty when a label map is given."""
    if options.segmentation is not None:
        return {}
    named = _named(options)
    if named:
        return {name: hash_weights(path, check) if path.exists() else "missing" for name, path in named.items()}
    model = weights.entry(options.model)
    members = model.needs if model.source.type == "virtual" else (model.name,)
    return {member: hash_of_installed(member, check) for member in members}


def hash_of_installed(name: str, check: Check = lambda: None) -> str:
    """One hash for an installed model, from its receipt; "missing" when it is not there."""
    if weights.entry(name).source.type == "package":
        try:
            # The folder above the last stage's own: a cascade's first stage lies there, too.
            return hash_weights(weights.location(name).parent, check)
        except MissingFileError:
            return "missing"
    receipt = read_json(weights.models_dir() / name / "receipt.json")
    return hash_json(receipt["files"]) if isinstance(receipt, dict) and "files" in receipt else "missing"


def _named(options: JobOptions) -> dict[str, Path]:
    """The paths under ``models`` for the network asked for, under either of its names."""
    wanted = {options.model, options.default_seg_model}
    if options.model == "staple":
        wanted = {"goyal_sagittal", "goyal_coronal", "goyal_axial"}
    found = {name: Path(path) for name, path in options.models.items() if name in wanted and path}
    if options.model == "staple":
        return found if len(found) == len(wanted) else {}
    return {options.model: next(iter(found.values()))} if found else {}
