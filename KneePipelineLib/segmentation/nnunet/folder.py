"""Finding an nnU-Net v2 results folder's parts: configurations, plans, label table, folds, checkpoints.

Layout: ``<trainer>__<plans>__<configuration>/{dataset.json,plans.json,fold_N/checkpoint_*.pth}``, anywhere below the
folder a person names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError, InvalidFormatError, MissingFileError, SegmentationError
from ...nnunet_folders import RENAMED, read_table, stages_below, trained_below
from ..names import canonical_mapping
from .plans import checked_plans

DEFAULT_ORIENTATION = "PIR"
"""How the published networks see a knee: (i, j, k) = columns from anterior to posterior, rows from superior to
inferior, slices from the patient's left to the right. nnU-Net never reorients, so this belongs to the model: the
optional key ``kneepipeline_orientation`` of dataset.json names another one."""

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")


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
        Value in the network's answer -> canonical label; 0 for structures that are left out.
    orientation : str
        Orientation the network was trained in.
    dropped : tuple of str
        Names of the structures that are left out.
    """

    path: Path
    configuration: str
    plans: dict
    dataset: dict
    checkpoints: tuple[Path, ...]
    mapping: dict[int, int]
    orientation: str
    dropped: tuple[str, ...] = ()

    @property
    def folds(self) -> list[str]:
        """Names of the folds used, without ``fold_``."""
        return [c.parent.name.removeprefix("fold_") for c in self.checkpoints]

    @property
    def trainer(self) -> str:
        """The trainer's name, as the folder says it; "" where it was given another name."""
        parts = self.path.resolve().name.split("__")
        return parts[0] if len(parts) >= 3 and parts[0] != RENAMED else ""


def find_stages(root: Path, kind: str, *, folds: tuple[str, ...] | None = None, checkpoint: str = "auto",
                ignored: tuple[str, ...] = ()) -> tuple[ResultsFolder, ...]:
    """The stages of the model below a folder, in the order in which they run.

    Parameters
    ----------
    root : Path
        A results folder itself or any folder above it; of a cascade its last stage's own will do.
    kind : str
        See `nnunet_folders.choose`.
    folds, checkpoint, ignored
        See `open_results`.

    Raises
    ------
    MissingFileError
        If there is no such model, fold or checkpoint.
    ConfigError
        If several folders fit.
    """
    return tuple(open_results(Path(stage.folder), stage.configuration, folds=folds, checkpoint=checkpoint,
                              ignored=ignored) for stage in stages_below(root, kind))


def find_results(root: Path, configuration: str, *, folds: tuple[str, ...] | None = None, checkpoint: str = "auto",
                 ignored: tuple[str, ...] = ()) -> ResultsFolder:
    """One trained configuration below a folder, by its name, whatever stage of a model it is.

    Raises
    ------
    MissingFileError
        If there is no such configuration, fold or checkpoint.
    ConfigError
        If several folders fit.
    """
    there = trained_below(root)
    found = [one for one in there if one.configuration == configuration] or [
        one for one in there if not one.configuration and configuration in one.known]
    if not found:
        raise MissingFileError(f"No trained configuration {configuration} lies in the nnU-Net model's folder.",
                               f"A folder <trainer>__<plans>__{configuration} with plans.json is needed.")
    if len(found) > 1:
        raise ConfigError(f"{len(found)} models of the configuration {configuration} lie in the folder.",
                          "Name one of them.", models=[Path(one.folder).name for one in found])
    return open_results(Path(found[0].folder), configuration, folds=folds, checkpoint=checkpoint, ignored=ignored)


def open_results(path: Path, configuration: str | None = None, *, folds: tuple[str, ...] | None = None,
                 checkpoint: str = "auto", ignored: tuple[str, ...] = ()) -> ResultsFolder:
    """Read one results folder's tables.

    Parameters
    ----------
    path : Path
        The folder with plans.json and dataset.json.
    configuration : str or None
        One of its plans; None takes it from the folder's name.
    folds : tuple of str or None
        Which folds; None takes all numbered ones that have a checkpoint, else ``fold_all``.
    checkpoint : str
        A file name, or ``auto``.
    ignored : tuple of str
        Structures to leave out, see `canonical_mapping`.
    """
    plans, dataset = read_table(path / "plans.json"), read_table(path / "dataset.json")
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
    mapping, dropped = canonical_mapping(labels, ignored)
    orientation = str(dataset.get("kneepipeline_orientation", DEFAULT_ORIENTATION)).upper()
    return ResultsFolder(path, configuration, plans, dataset, _checkpoints(path, folds, checkpoint),
                         mapping, orientation, dropped)


def _checkpoints(path: Path, folds: tuple[str, ...] | None, name: str) -> tuple[Path, ...]:
    available = sorted(p for p in path.iterdir() if p.is_dir() and p.name.startswith("fold_"))
    numbered = [p for p in available if p.name.removeprefix("fold_").isdecimal()]
    numbered.sort(key=lambda p: int(p.name.removeprefix("fold_")))
    names = CHECKPOINTS if name == "auto" else (name,)
    if folds is None:
        groups = (numbered, [p for p in available if p not in numbered])
        for group in groups:
            files = tuple(f for f in (_checkpoint_of(p, names) for p in group) if f is not None)
            if files:
                return files
        raise MissingFileError("The nnU-Net model has no checkpoint in any of its folds" + _found_instead(available),
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


def _found_instead(folds: list[Path]) -> str:
    """What the folds hold in place of a checkpoint: ``checkpoint_latest.pth`` of a training that goes on."""
    there = sorted({file.name for fold in folds for file in fold.glob("*.pth")})
    return f"; there is {' and '.join(there)}." if there else "."
