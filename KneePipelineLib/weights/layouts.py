"""Which files of a folder, an archive or a hub repository make up a model, and where they go.

Everything works on relative names with forward slashes, so that one set of rules serves folders, zips and the hub's
file list. A plan maps the path inside the installed model to the path where the file is now; what no plan names is
never copied, downloaded or unpacked. Python files are named by no plan: nothing that was downloaded is ever run.

Layouts: nnU-Net v2 results (``Dataset*/<trainer>__<plans>__<configuration>/{dataset,plans}.json`` and
``fold_N/checkpoint_{best,final}.pth``), planar networks (one ``.h5``), shape models (``model_params_config.json`` and
``model/<epoch>.pth``), BScore (``model.json``).
"""

from __future__ import annotations

import fnmatch
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .entries import Model, catalogue
from .failures import ImportRefusedError

DEFAULT_DATASET = "Dataset500_KneeMRI"
_CHECKPOINT = re.compile(r"^fold_(\d+|all)/checkpoint_(best|final)\.pth$")
_TRAINER = re.compile(r"^[A-Za-z0-9_]+__[A-Za-z0-9_]+__(2d|3d_lowres|3d_fullres|3d_cascade_fullres)$")
_SHAPE_CONFIG = "model_params_config.json"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_JSON_BYTES = 64 << 20


def is_safe(name: str) -> bool:
    """Whether a name from elsewhere is a plain relative path on every system: no root, drive, ``..`` or backslash."""
    parts = name.split("/")
    return bool(name) and not re.search(r'[\\:*?"<>|\x00-\x1f]', name) and all(
        part not in ("", ".", "..") and not part.endswith((" ", ".")) for part in parts)


def plan(model: Model, names: Iterable[str], root_name: str = "") -> dict[str, str]:
    """Installed path -> present path of every file of ``model`` among ``names``.

    ``root_name`` is what the folder itself is called (for someone who picks the innermost folder). Raises
    ImportRefusedError, in one sentence, when the files are not this model.
    """
    listed = sorted(names)
    planners = {"nnunet": _plan_nnunet, "planar": _plan_planar, "shape": _plan_shape, "bscore": _plan_bscore}
    if model.kind not in planners:
        raise ImportRefusedError(f"{model.name} has no files of its own.", f"Import {' and '.join(model.needs)}.")
    return planners[model.kind](model, listed, root_name)


def select(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The names that match a glob pattern of the catalogue (``*`` also crosses folders), Python files never."""
    patterns = tuple(patterns)
    return sorted(name for name in names if is_safe(name) and not name.endswith((".py", ".pyc"))
                  and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))


def entry_point(model: Model, installed: Iterable[str]) -> str:
    """The installed path that the network's code opens, "" for the model's own folder.

    nnU-Net: the trainer folder of the last configuration (earlier ones of a cascade lie beside it). Planar: the file.
    """
    if model.kind == "planar":
        return model.files[0].path
    if model.kind == "nnunet":
        trainers = {str(PurePosixPath(path).parent) for path in installed if path.endswith("/plans.json")}
        for configuration in reversed(model.configurations or ("3d_cascade_fullres", "3d_fullres", "3d_lowres", "2d")):
            for trainer in sorted(trainers):
                if trainer.endswith(f"__{configuration}"):
                    return trainer
    return ""


def _plan_nnunet(model: Model, names: list[str], root_name: str) -> dict[str, str]:
    trainers: dict[str, dict[str, str]] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.name in ("dataset.json", "plans.json"):
            trainers.setdefault(str(path.parent), {})[path.name] = name
        elif len(path.parts) >= 2 and _CHECKPOINT.match("/".join(path.parts[-2:])):
            trainers.setdefault(str(path.parent.parent), {})["/".join(path.parts[-2:])] = name
    complete: dict[str, dict[str, str]] = {}
    for folder, files in trainers.items():
        trainer = PurePosixPath(folder).name or root_name
        has_checkpoint = any(_CHECKPOINT.match(file) for file in files)
        match = _TRAINER.match(trainer)
        if match and has_checkpoint and {"dataset.json", "plans.json"} <= set(files):
            if match.group(1) in complete and (not model.configurations or match.group(1) in model.configurations):
                raise ImportRefusedError(f"There is more than one nnU-Net folder for {match.group(1)}.",
                                         "Give the one Dataset folder that is meant.")
            dataset = PurePosixPath(folder).parent.name
            dataset = dataset if re.fullmatch(r"Dataset\d+_\w+", dataset) else DEFAULT_DATASET
            complete[match.group(1)] = {f"{dataset}/{trainer}/{file}": name for file, name in files.items()}
    wanted = model.configurations or tuple(complete)
    missing = [configuration for configuration in wanted if configuration not in complete]
    if missing or not wanted:
        raise ImportRefusedError(
            f"No complete nnU-Net results folder for {' and '.join(missing or ['any configuration'])} was found.",
            "It needs TRAINER__PLANS__CONFIGURATION/ with dataset.json, plans.json and fold_N/checkpoint_best.pth.")
    return {target: name for configuration in wanted for target, name in complete[configuration].items()}


def _plan_planar(model: Model, names: list[str], _root_name: str) -> dict[str, str]:
    target = model.files[0].path
    candidates = [name for name in names if name.endswith((".h5", ".hdf5"))]
    named = [name for name in candidates if PurePosixPath(name).name == target]
    chosen = named or candidates
    if len(chosen) != 1:
        found = f"{len(chosen)} of them" if chosen else "none"
        raise ImportRefusedError(f"{model.name} is one HDF5 file named {target}; there is {found} here.",
                                 "Give the file itself.")
    return {target: chosen[0]}


def _plan_shape(model: Model, names: list[str], root_name: str) -> dict[str, str]:
    folder = _one_folder(model, [name for name in names if PurePosixPath(name).name == _SHAPE_CONFIG], root_name,
                         f"{_SHAPE_CONFIG} and model/<epoch>.pth")
    prefix = f"{folder}/" if folder else ""
    weights = [name for name in names if re.fullmatch(r"model/\d+\.pth", name.removeprefix(prefix))
               and name.startswith(prefix)]
    if not weights:
        raise ImportRefusedError("The shape model's folder has no weights.", "It needs model/<epoch>.pth.")
    published = [name for name in weights if name.removeprefix(prefix) in {known.path for known in model.files}]
    last = max(weights, key=lambda name: int(PurePosixPath(name).stem))
    chosen = published[0] if published else last
    return {_SHAPE_CONFIG: prefix + _SHAPE_CONFIG, chosen.removeprefix(prefix): chosen}


def _plan_bscore(model: Model, names: list[str], root_name: str) -> dict[str, str]:
    folder = _one_folder(model, [name for name in names if PurePosixPath(name).name == "model.json"], root_name,
                         "model.json")
    return {"model.json": f"{folder}/model.json" if folder else "model.json"}


def _one_folder(model: Model, markers: list[str], root_name: str, needs: str) -> str:
    """The one folder of ``markers`` that is this model; refuses a folder that bears another model's name."""
    folders = {str(PurePosixPath(marker).parent).removeprefix(".") for marker in markers}
    titles = {folder: PurePosixPath(folder).name or root_name for folder in folders}
    named = [folder for folder in folders if titles[folder] == model.folder]
    if named:
        return min(named)
    others = {other.folder: other.name for other in catalogue().values() if other.folder and other.name != model.name}
    left = [folder for folder in folders if titles[folder] not in others]
    if not left and folders:
        title = titles[min(folders)]
        raise ImportRefusedError(f"The folder {title} is the model {others[title]}, not {model.name}.",
                                 f"Import it as {others[title]}, or give the folder {model.folder}.")
    if len(left) != 1:
        raise ImportRefusedError(f"{'No folder' if not left else 'More than one folder'} of this kind was found.",
                                 f"Give the folder {model.folder}: it holds {needs}.")
    return left[0]


def check_content(model: Model, folder: Path, installed: Iterable[str]) -> None:
    """Whether the files of a model can be what their names say; ImportRefusedError names the first that cannot."""
    for name in installed:
        path = folder / name
        if name.endswith(".json"):
            content = _json_object(path, name)
            if name == "model.json":
                bscore_parameters(content)
            elif name == _SHAPE_CONFIG:
                latent_size(content)
        elif path.stat().st_size == 0:
            raise ImportRefusedError(f"{name} is empty.", "Get the model again from where it came.")
        elif name.endswith((".h5", ".hdf5")):
            with path.open("rb") as stream:
                if stream.read(len(_HDF5_SIGNATURE)) != _HDF5_SIGNATURE:
                    raise ImportRefusedError(f"{name} is not an HDF5 file.", "Get the model again from where it came.")


def latent_size(config: dict) -> int:
    """Length of the latent of a shape model, from its configuration (``latent_size``)."""
    value = config.get("latent_size")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ImportRefusedError(f"{_SHAPE_CONFIG} states no latent_size.", "Get the model again from where it came.")
    return value


def bscore_parameters(content: dict) -> tuple[tuple[float, ...], float, float]:
    """``bscore_vector``, ``mean_healthy`` and ``std_healthy`` of a BScore model.json; all finite, the last above 0."""
    vector, mean, deviation = (content.get(key) for key in ("bscore_vector", "mean_healthy", "std_healthy"))
    # Some files nest the vector as one row.
    if isinstance(vector, list) and len(vector) == 1 and isinstance(vector[0], list):
        vector = vector[0]
    numbers = [*vector, mean, deviation] if isinstance(vector, list) and vector else [None]
    if any(isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
           for value in numbers) or deviation <= 0:
        raise ImportRefusedError("model.json does not hold bscore_vector, mean_healthy and std_healthy as numbers.",
                                 "Give the BScore folder that belongs to the shape model.")
    return tuple(float(value) for value in vector), float(mean), float(deviation)


def _json_object(path: Path, name: str) -> dict:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError("too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImportRefusedError(f"{name} is not readable JSON.", "Get the model again from where it came.") from error
    if not isinstance(content, dict):
        raise ImportRefusedError(f"{name} is not a JSON object.", "Get the model again from where it came.")
    return content
