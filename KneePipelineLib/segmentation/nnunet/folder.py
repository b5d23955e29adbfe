"""Finding an nnU-Net v2 results folder's parts: configurations, plans, label table, folds, checkpoints.

Layout: ``<trainer>__<plans>__<configuration>/{dataset.json,plans.json,fold_N/checkpoint_*.pth}``, anywhere below the
folder a person names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError, InvalidFormatError, MissingFileError, SegmentationError, WeightsCorruptError
from ..names import canonical_mapping
from .plans import checked_plans

DEFAULT_ORIENTATION = "PIR"
"""How the published networks see a knee: (i, j, k) = columns from anterior to posterior, rows from superior to
inferior, slices from the patient's left to the right. nnU-Net never reorients, so this belongs to the model: the
optional key ``kneepipeline_orientation`` of dataset.json names another one."""

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
SEARCH_DEPTH = 5
MAX_TABLE_BYTES = 64 * 1024**2
"""Of plans.json or dataset.json, which may list every image of the training."""


@dataclass(frozen=True)
class ResultsFolder:
    """One trained configuration.

    Attributes
    ----------
    path : Path
    configuration : str
        Such as ``3d_fullres``.
    plans : dict
        plans.json, reduced to this configuration and checked (see `checked_plans`).
    dataset : dict
        dataset.json.
    checkpoints : tuple of Path
        One file a fold, in the folds' order.
    mapping : dict
        Value in the network's answer -> canonical label.
    orientation : str
        Orientation the network was trained in.
    """

    path: Path
    configuration: str
    plans: dict
    dataset: dict
    checkpoints: tuple[Path, ...]
    mapping: dict[int, int]
    orientation: str

    @property
    def folds(self) -> list[str]:
        """Names of the folds used, without ``fold_``."""
        return [c.parent.name.removeprefix("fold_") for c in self.checkpoints]


def find_results(root: Path, configuration: str, *, folds: tuple[str, ...] | None = None,
                 checkpoint: str = "auto") -> ResultsFolder:
    """The trained configuration below a folder.

    Parameters
    ----------
    root : Path
        The results folder itself or any folder above it.
    configuration : str
        ``3d_fullres``, ``3d_lowres``, ``3d_cascade_fullres`` or any other of its plans.
    folds : tuple of str or None
        Which folds; None takes all numbered ones that have a checkpoint, else ``fold_all``.
    checkpoint : str
        A file name, or ``auto``.

    Raises
    ------
    MissingFileError
        If there is no such configuration, fold or checkpoint.
    ConfigError
        If several folders fit.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingFileError("The nnU-Net model's folder is not there.", "Get the model with `models download`.")
    found = [p for p in _candidates(root) if p.name.split("__")[-1] == configuration]
    if not found and (root / "plans.json").is_file() and "__" not in root.name:
        found = [root]  # a results folder that was given another name
    if not found:
        raise MissingFileError(f"No trained configuration {configuration} lies in the nnU-Net model's folder.",
                               f"A folder <trainer>__<plans>__{configuration} with plans.json is needed.")
    if len(found) > 1:
        raise ConfigError(f"{len(found)} models of the configuration {configuration} lie in the folder.",
                          "Name one of them.", models=[p.name for p in found])
    return open_results(found[0], configuration, folds=folds, checkpoint=checkpoint)


def _candidates(root: Path) -> list[Path]:
    level, found = [root], []
    for _ in range(SEARCH_DEPTH):
        below: list[Path] = []
        for folder in level:
            if (folder / "plans.json").is_file() and (folder / "dataset.json").is_file():
                found.append(folder)
            else:
                below += sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
        level = below
    return found


def open_results(path: Path, configuration: str | None = None, *, folds: tuple[str, ...] | None = None,
                 checkpoint: str = "auto") -> ResultsFolder:
    """Read one results folder's tables; the configuration is taken from its name when not given."""
    plans, dataset = _read_json(path / "plans.json"), _read_json(path / "dataset.json")
    configuration = configuration or path.name.split("__")[-1]
    known = plans.get("configurations")
    if not isinstance(known, dict) or configuration not in known:
        raise InvalidFormatError(f"The plans do not know the configuration {configuration}.",
                                 "The folder's plans.json belongs to another model.")
    plans = checked_plans(plans, configuration)
    channels = dataset.get("modality", dataset.get("channel_names"))
    if not isinstance(channels, dict):
        raise InvalidFormatError("The model's dataset.json names no image.", "An nnU-Net v2 dataset.json is needed.")
    if len(channels) != 1:
        raise SegmentationError(f"The network wants {len(channels)} images of each knee instead of one.",
                                "Only networks with one input channel can be used.")
    labels = dataset.get("labels")
    if not isinstance(labels, dict):
        raise InvalidFormatError("The model's dataset.json names no labels.", "An nnU-Net v2 dataset.json is needed.")
    numbers = [v for v in labels.values() if not isinstance(v, list)]  # lists are regions, told by `canonical_mapping`
    if any(type(v) is not int for v in numbers) or (
            len(numbers) == len(labels) and sorted(numbers) != list(range(len(labels)))):
        raise InvalidFormatError("The labels in the model's dataset.json are not numbered 0, 1, 2 and so on.",
                                 "nnU-Net numbers them so when it trains: the file belongs to another model.")
    orientation = str(dataset.get("kneepipeline_orientation", DEFAULT_ORIENTATION)).upper()
    return ResultsFolder(path, configuration, plans, dataset, _checkpoints(path, folds, checkpoint),
                         canonical_mapping(labels), orientation)


def _checkpoints(path: Path, folds: tuple[str, ...] | None, name: str) -> tuple[Path, ...]:
    available = sorted(p for p in path.iterdir() if p.is_dir() and p.name.startswith("fold_"))
    numbered = [p for p in available if p.name.removeprefix("fold_").isdigit()]
    numbered.sort(key=lambda p: int(p.name.removeprefix("fold_")))
    names = CHECKPOINTS if name == "auto" else (name,)
    if folds is None:
        groups = (numbered, [p for p in available if p not in numbered])
        for group in groups:
            files = tuple(f for f in (_checkpoint_of(p, names) for p in group) if f is not None)
            if files:
                return files
        raise MissingFileError("The nnU-Net model has no checkpoint in any of its folds.",
                               f"A fold_N folder with {' or '.join(names)} is needed.")
    files = []
    for fold in folds:
        file = _checkpoint_of(path / f"fold_{fold}", names)
        if file is None:
            raise MissingFileError(f"The nnU-Net model's fold {fold} has no checkpoint.",
                                   f"There are: {', '.join(p.name for p in available) or 'no folds'}.")
        files.append(file)
    return tuple(files)


def _checkpoint_of(fold: Path, names: tuple[str, ...]) -> Path | None:
    return next((fold / n for n in names if (fold / n).is_file()), None)


def _read_json(path: Path) -> dict:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise ValueError("too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(f"The nnU-Net model lacks its {path.name}.", "Get the model again.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsCorruptError(f"The nnU-Net model's {path.name} is damaged.",
                                  "Get the model again with `models download`.") from error
    if not isinstance(content, dict):
        raise WeightsCorruptError(f"The nnU-Net model's {path.name} is damaged.", "Get the model again.")
    return content
