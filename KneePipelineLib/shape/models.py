"""Which shape model and which BScore a run uses: the options' own files, else the installed ones. Standard library.

``nsm`` and ``nsm_bone_only`` name a shape model by ``path_model_folder``, or by ``path_model_config`` and
``path_model_state``; ``bscore`` and ``bscore_bone_only`` name a BScore by ``path_model_folder``. ``folder`` is
understood in place of ``path_model_folder``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingFileError
from ..weights import catalogue, entry, location, state

if TYPE_CHECKING:
    from ..job import JobOptions

CONFIG_FILE = "model_params_config.json"
_FOLDER_KEYS = ("path_model_folder", "folder")


@dataclass(frozen=True)
class Kind:
    """One of the two fits: its name, its models in the catalogue, its options, the beginning of its files' names."""

    name: str
    title: str
    model: str
    switch: str
    option: str
    score_option: str
    prefix: str
    surfaces: int


KINDS = {
    "bone_and_cart": Kind("bone_and_cart", "bone and cartilage", "shape_647", "perform_bone_and_cart_nsm", "nsm",
                          "bscore", "NSM_recon_", 2),
    "bone_only": Kind("bone_only", "bone only", "shape_551", "perform_bone_only_nsm", "nsm_bone_only",
                      "bscore_bone_only", "NSM_bone_only_recon_", 1),
}


@dataclass(frozen=True)
class ModelFiles:
    """A shape model on disk: configuration, weights (None: the latest epoch), and its name.

    ``name`` is the catalogue's where the model comes from there or lies in a folder of the published name, otherwise
    ``""``.
    """

    config: Path
    state: Path | None
    name: str


def wanted_kinds(options: JobOptions) -> list[Kind]:
    """The fits that were asked for."""
    return [kind for kind in KINDS.values() if getattr(options, kind.switch)]


def given_folder(paths: dict) -> Path | None:
    """The folder that an option names, None when it names none."""
    return next((Path(paths[key]) for key in _FOLDER_KEYS if paths.get(key)), None)


def model_files(kind: Kind, options: JobOptions) -> ModelFiles:
    """Where the shape model of a fit lies.

    Raises
    ------
    MissingFileError
        If it is not there; the hint names the command that brings it.
    WeightsCorruptError
        If an installed model has changed on disk.
    """
    paths = getattr(options, kind.option)
    folder = given_folder(paths)
    if folder is not None:
        config, weights = folder / CONFIG_FILE, None
    elif paths.get("path_model_config"):
        config = Path(paths["path_model_config"])
        weights = Path(paths["path_model_state"]) if paths.get("path_model_state") else None
        folder = config.parent
    else:
        return ModelFiles(location(kind.model) / CONFIG_FILE, None, kind.model)
    if not config.is_file() or not (weights.is_file() if weights else (folder / "model").is_dir()):
        raise MissingFileError(f"The files of the shape model ({kind.title}) named in the options are not there.",
                               f"Correct {kind.option} in the configuration, or leave it out.")
    return ModelFiles(config, weights, catalogue_name(folder, "shape"))


def catalogue_name(folder: Path, kind: str) -> str:
    """The catalogue's name of the model whose published folder is called like this one, else ""."""
    return next((m.name for m in catalogue().values() if m.kind == kind and folder.name in (m.folder, m.name)), "")


def reason_to_skip(options: JobOptions, *, cartilage: bool = True) -> str:
    """Why no fit can be made: in words, with the command that helps; "" when at least one can be tried."""
    reasons = [why_not(kind, options, cartilage=cartilage) for kind in wanted_kinds(options)]
    return "; ".join(reasons) if reasons and all(reasons) else ""


def why_not(kind: Kind, options: JobOptions, *, cartilage: bool = True) -> str:
    """Why this fit cannot be tried, or ""."""
    if kind.surfaces > 1 and not cartilage:
        return f"there is no femoral cartilage for the shape model ({kind.title})"
    if getattr(options, kind.option) or state(kind.model) not in ("not installed", "interrupted"):
        return ""
    return (f"the shape model ({kind.title}) is not installed; run: python3 -m KneePipelineLib models download "
            f"{kind.model}")


def reason_not_to_score(options: JobOptions, fits: list[str] | None = None) -> str:
    """Why no BScore can be computed for any of the fits (None: all that were asked for); "" when one can be tried."""
    kinds = [kind for kind in wanted_kinds(options) if fits is None or kind.name in fits]
    reasons = [_why_no_score(kind, options) for kind in kinds]
    return "; ".join(reasons) if reasons and all(reasons) else ""


def _why_no_score(kind: Kind, options: JobOptions) -> str:
    if getattr(options, kind.score_option):
        return ""
    files = getattr(options, kind.option)
    folder = given_folder(files)
    if folder is None and files.get("path_model_config"):
        folder = Path(files["path_model_config"]).parent
    name = kind.model if folder is None else catalogue_name(folder, "shape")
    return no_score_for(name, kind)


def no_score_for(model: str, kind: Kind) -> str:
    """Why the BScore of a shape model of that name is not there, or ""."""
    if not model:
        return f"no BScore is known for the shape model given with {kind.option}"
    pair = entry(model).pair or ""
    if state(pair) not in ("not installed", "interrupted"):
        return ""
    return (f"the BScore of the shape model ({kind.title}) is not installed; run: python3 -m KneePipelineLib models "
            f"import {pair} PATH")
