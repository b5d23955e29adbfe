"""Which files of a folder, an archive or a hub repository make up a model, and where they go.

Everything works on relative names with forward slashes, so that one set of rules serves folders, zips and the hub's
file list. A plan maps the path inside the installed model to the path where the file is now; what no plan names is
never copied, downloaded or unpacked. Python files are named by no plan: nothing that was downloaded is ever run.

Layouts: nnU-Net v2 results (``Dataset*/<trainer>__<plans>__<configuration>/{dataset,plans}.json`` and
``fold_N/checkpoint_{best,final}.pth``; which folders are a model's stages: `nnunet_folders`), planar networks (one
``.h5``), shape models (``model_params_config.json`` and ``model/<epoch>.pth``), BScore (``model.json``).
"""

from __future__ import annotations

import fnmatch
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from ..errors import KneePipelineError
from ..nnunet_folders import ANY, CASCADE, CASCADE_NAME, RENAMED, SINGLE, choose, trained
from .entries import Model, catalogue
from .failures import ImportRefusedError

DEFAULT_DATASET = "Dataset500_KneeMRI"
_CHECKPOINT = re.compile(r"^fold_(\d+|all)/checkpoint_(best|final)\.pth$")
SHAPE_CONFIG = "model_params_config.json"
_HDF5 = re.compile(r"\.(h5|hdf5)$")
MAX_JSON_BYTES = 64 << 20


def is_safe(name: str) -> bool:
    """Whether a name from elsewhere is a plain relative path on every system: no root, drive, ``..`` or backslash."""
    parts = name.split("/")
    return bool(name) and not re.search(r'[\\:*?"<>|\x00-\x1f]', name) and all(
        part not in ("", ".", "..") and not part.endswith((" ", ".")) for part in parts)


def plan(model: Model, names: Iterable[str], root_name: str = "",
         read: Callable[[str], bytes] | None = None) -> dict[str, str]:
    """Installed path -> present path of every file of ``model`` among ``names``.

    Parameters
    ----------
    root_name : str
        What the folder itself is called (for someone who picks the innermost folder).
    read : callable, optional
        Gives a small file's content; without it, as for the hub's list of files, names alone decide.

    Raises
    ------
    ImportRefusedError
        In one sentence, when the files are not this model.
    """
    listed = sorted(names)
    planners = {"nnunet": _plan_nnunet, "planar": _plan_planar, "shape": _plan_shape, "bscore": _plan_bscore}
    if model.kind not in planners:
        raise ImportRefusedError(f"{model.name} has no files of its own.", f"Import {' and '.join(model.needs)}.")
    return planners[model.kind](model, listed, root_name, read)


def select(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The names that match a glob pattern of the catalogue (``*`` also crosses folders), Python files never."""
    patterns = tuple(patterns)
    return sorted(name for name in names if is_safe(name) and not name.endswith((".py", ".pyc"))
                  and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))


def entry_point(model: Model) -> str:
    """The installed path that the network's code opens: a planar network's file, else "" for the model's own folder.

    Which of an nnU-Net model's configurations run is decided where they run (`nnunet_folders.choose`), not here.
    """
    return model.files[0].path if model.kind == "planar" else ""


def stages_kind(model: Model) -> str:
    """What `nnunet_folders.choose` is to look for in this model's folder."""
    if not model.configurations:
        return ANY
    return CASCADE if CASCADE_NAME in model.configurations else SINGLE


def _plan_nnunet(model: Model, names: list[str], root_name: str,
                 read: Callable[[str], bytes] | None) -> dict[str, str]:
    folders: dict[str, dict[str, str]] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.name in ("dataset.json", "plans.json"):
            folders.setdefault(str(path.parent), {})[path.name] = name
        elif len(path.parts) >= 2 and _CHECKPOINT.match("/".join(path.parts[-2:])):
            folders.setdefault(str(path.parent.parent), {})["/".join(path.parts[-2:])] = name
    complete = {folder: files for folder, files in folders.items() if {"dataset.json", "plans.json"} < set(files)}
    found = [trained(folder, PurePosixPath(folder).name or root_name,
                     None if read is None else json_object(read(files["plans.json"]), files["plans.json"]))
             for folder, files in complete.items()]
    try:
        stages = choose(found, stages_kind(model))
    except ImportRefusedError:
        raise
    except KneePipelineError as error:
        raise ImportRefusedError(f"{error.message}{_unfinished(names)}", error.hint) from error
    chosen = {}
    for stage in stages:
        trainer = PurePosixPath(stage.folder).name or root_name
        if len(trainer.split("__")) < 3:  # a folder under a name of one's own, which is nobody's business later
            trainer = f"{RENAMED}__plans__{stage.configuration}"
        dataset = PurePosixPath(stage.folder).parent.name
        dataset = dataset if re.fullmatch(r"Dataset\d+_.+", dataset) else DEFAULT_DATASET
        chosen |= {f"{dataset}/{trainer}/{file}": name for file, name in complete[stage.folder].items()}
    return chosen


def _unfinished(names: list[str]) -> str:
    """What an interrupted or still running training leaves, where that is all there is."""
    left = sorted({PurePosixPath(name).name for name in names if name.endswith(".pth")})
    if not left or any(_CHECKPOINT.match("/".join(PurePosixPath(name).parts[-2:])) for name in names):
        return ""
    return f" There is only {' and '.join(left)}."


def _plan_planar(model: Model, names: list[str], _root_name: str, _read: object) -> dict[str, str]:
    target = model.files[0].path
    bare = {PurePosixPath(name).name for name in names}
    is_archive = {"model.weights.h5", "config.json", "metadata.json"} <= bare
    if is_archive or (any(name.endswith(".keras") for name in bare) and not any(_HDF5.search(name) for name in bare)):
        raise ImportRefusedError(
            f"{model.name} is one HDF5 file with architecture and weights; this is an archive in Keras 3's own format "
            "(.keras).", "Load it in Keras and save it with model.save('network.h5').")
    candidates = [name for name in names if _HDF5.search(name)]
    named = [name for name in candidates if PurePosixPath(name).name == target]
    chosen = named or candidates
    if len(chosen) != 1:
        found = f"{len(chosen)} of them" if chosen else "none"
        raise ImportRefusedError(f"{model.name} is one HDF5 file named {target}; there is {found} here.",
                                 "Give the file itself.")
    return {target: chosen[0]}


def _plan_shape(model: Model, names: list[str], root_name: str, _read: object) -> dict[str, str]:
    folder = _one_folder(model, [name for name in names if PurePosixPath(name).name == SHAPE_CONFIG], root_name,
                         f"{SHAPE_CONFIG} and model/<epoch>.pth")
    prefix = f"{folder}/" if folder else ""
    weights = [name for name in names if re.fullmatch(r"model/\d+\.pth", name.removeprefix(prefix))
               and name.startswith(prefix)]
    if not weights:
        raise ImportRefusedError("The shape model's folder has no weights.", "It needs model/<epoch>.pth.")
    published = [name for name in weights if name.removeprefix(prefix) in {known.path for known in model.files}]
    last = max(weights, key=lambda name: int(PurePosixPath(name).stem))
    chosen = published[0] if published else last
    return {SHAPE_CONFIG: prefix + SHAPE_CONFIG, chosen.removeprefix(prefix): chosen}


def _plan_bscore(model: Model, names: list[str], root_name: str, _read: object) -> dict[str, str]:
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


def latent_size(config: dict) -> int:
    """Length of the latent of a shape model, from its configuration (``latent_size``)."""
    value = config.get("latent_size")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ImportRefusedError(f"{SHAPE_CONFIG} states no latent_size.", "Get the model again from where it came.")
    return value


def bscore_parameters(content: dict) -> tuple[tuple[float, ...], float, float]:
    """``bscore_vector``, ``mean_healthy`` and ``std_healthy`` of a BScore model.json; all finite, the last above 0."""
    vector, mean, deviation = (content.get(key) for key in ("bscore_vector", "mean_healthy", "std_healthy"))
    # Some files nest the vector as one row.
    if isinstance(vector, list) and len(vector) == 1 and isinstance(vector[0], list):
        vector = vector[0]
    numbers = [*vector, mean, deviation] if isinstance(vector, list) and vector else [None]
    if not all(_is_finite(value) for value in numbers) or deviation <= 0:
        raise ImportRefusedError("model.json does not hold bscore_vector, mean_healthy and std_healthy as numbers.",
                                 "Give the BScore folder that belongs to the shape model.")
    return tuple(float(value) for value in vector), float(mean), float(deviation)


def _is_finite(value: object) -> bool:
    """Whether it is a number that has a place among the floating-point ones: 10**400 has not."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def json_object(content: bytes, name: str) -> dict:
    """The JSON object in a small file; ImportRefusedError names the file when it holds anything else."""
    try:
        if len(content) > MAX_JSON_BYTES:
            raise ValueError("too large")
        values = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ImportRefusedError(f"{name} is not readable JSON.", "Get the model again from where it came.") from error
    if not isinstance(values, dict):
        raise ImportRefusedError(f"{name} is not a JSON object.", "Get the model again from where it came.")
    return values
