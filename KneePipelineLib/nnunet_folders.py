"""Which folders of an nnU-Net v2 results tree are the stages of a model, told by names and plans.json alone.

One rule for everybody who has to know: the import of a model, the run, and the key that decides whether a finished
segmentation may be used again. A cascade's last stage is the one whose plans name a ``previous_stage``; its first
stage alone is never taken for a whole model. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import ConfigError, MissingFileError, WeightsCorruptError

SINGLE, CASCADE, ANY = "single", "cascade", "any"
"""What is looked for: a network of one stage, one of two, or the best that is there (two before one)."""

SINGLE_NAME, CASCADE_NAME = "3d_fullres", "3d_cascade_fullres"
"""nnU-Net's own names; they are preferred to configurations of one's own."""

RENAMED = "renamed"
"""What an imported folder is called in place of its trainer, when its own name said none."""

MOST_HEIRS = 20
SEARCH_DEPTH = 5
MAX_TABLE_BYTES = 64 * 1024**2
"""Of plans.json or dataset.json, which may list every image of the training."""


@dataclass(frozen=True)
class Trained:
    """One trained configuration.

    Attributes
    ----------
    folder : str
        Where it lies, with ``/``.
    configuration : str
        Its name, such as ``3d_fullres`` or one's own; "" when neither folder nor plans say it.
    previous : str
        The configuration of the stage before; "" when there is none.
    is_first : bool
        Whether its plans make it the first stage of a cascade.
    known : tuple of str
        All configurations of its plans.
    """

    folder: str
    configuration: str
    previous: str = ""
    is_first: bool = False
    known: tuple[str, ...] = ()


def trained(folder: str, name: str, plans: Mapping | None) -> Trained:
    """What a folder holds, from its own name and its plans (None: unknown, as in a list of file names).

    nnU-Net names it ``TRAINER__PLANS__CONFIGURATION``; a folder of another name is one of its plans' only
    configuration, or of any of them.
    """
    parts = name.split("__")
    said = parts[-1] if len(parts) >= 3 and all(parts) else ""
    if plans is None:
        return Trained(folder, said, "3d_lowres" if said == CASCADE_NAME else "", said == "3d_lowres", (said,))
    known = tuple(_configurations(plans))
    said = said or (known[0] if len(known) == 1 else "")
    return _described(Trained(folder, said, known=known), plans)


def resolved(plans: Mapping, configuration: str) -> dict:
    """A configuration's settings with those that it inherits; empty when the plans do not know it."""
    settings: dict = {}
    configurations = _configurations(plans)
    for _ in range(MOST_HEIRS):
        own = configurations.get(configuration)
        if not isinstance(own, Mapping):
            break
        settings = {**own, **settings}
        configuration = own.get("inherits_from")
        if not isinstance(configuration, str):
            break
    return settings


def choose(found: Iterable[Trained], kind: str) -> tuple[Trained, ...]:
    """The stages of a model, in the order in which they run.

    Parameters
    ----------
    found : iterable of Trained
        All complete folders.
    kind : str
        ``SINGLE``, ``CASCADE`` or ``ANY``.

    Raises
    ------
    MissingFileError
        If there is no such model, or its first stage is missing.
    ConfigError
        If more than one fits.
    """
    found = list(found)
    if kind == ANY:
        kind = CASCADE if any(one.previous for one in found) else SINGLE
        if kind == SINGLE and len(found) == 1:
            return tuple(found)
    if kind == SINGLE:
        return (_only(found, [one for one in found if not one.previous and not one.is_first], SINGLE_NAME),)
    last = _only(found, [one for one in found if one.previous], CASCADE_NAME)
    first = [one for one in found if one.configuration == last.previous and not one.previous]
    beside = [one for one in first if _parent(one.folder) == _parent(last.folder)] or first
    if not beside:
        raise MissingFileError(f"The first stage {last.previous} of the cascade {last.configuration} is not there.",
                               _needs(last.previous))
    if len(beside) > 1:
        raise _several(last.previous, beside)
    return beside[0], last


def stages_below(root: Path, kind: str) -> tuple[Trained, ...]:
    """`choose` from a folder on disk.

    A cascade may be named by its last stage's own folder: the first one then lies beside it.
    """
    root = Path(root)
    found = trained_below(root)
    if kind != SINGLE and len(found) == 1 and found[0].previous and Path(found[0].folder) == root:
        wanted = (found[0].configuration, found[0].previous)
        found = [one for one in trained_below(root.absolute().parent, depth=2) if one.configuration in wanted]
    return choose(found, kind)


def trained_below(root: Path, depth: int = SEARCH_DEPTH) -> list[Trained]:
    """Every trained configuration that lies in a folder; WeightsCorruptError where one's plans cannot be read."""
    root = Path(root)
    if not root.is_dir():
        raise MissingFileError("The nnU-Net model's folder is not there.", "Get the model with `models download`.")
    level, found = [root], []
    for _ in range(depth):
        below: list[Path] = []
        for folder in level:
            if (folder / "plans.json").is_file() and (folder / "dataset.json").is_file():
                found.append(trained(folder.as_posix(), folder.absolute().name, read_table(folder / "plans.json")))
            else:
                below += sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
        level = below
    return found


def read_table(path: Path) -> dict:
    """The JSON object in a model's plans.json or dataset.json.

    Raises
    ------
    MissingFileError, WeightsCorruptError
        If there is none.
    """
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


def _only(found: list[Trained], fitting: list[Trained], preferred: str) -> Trained:
    """The preferred configuration, else the only one of its kind, else a renamed folder that may be it."""
    exact = [one for one in fitting if one.configuration == preferred]
    named = [one for one in fitting if one.configuration]
    open_ = [replace(one, configuration=preferred) for one in fitting if not one.configuration
             and preferred in one.known]
    chosen = exact or named or open_
    if not chosen:
        there = sorted({one.configuration or one.folder.rpartition("/")[2] for one in found})
        raise MissingFileError(
            f"No complete nnU-Net results folder for {preferred} was found"
            + (f"; there is {' and '.join(there)}." if there else "."), _needs(preferred))
    if len(chosen) > 1:
        raise _several(preferred, chosen)
    return chosen[0]


def _needs(configuration: str) -> str:
    return (f"It needs TRAINER__PLANS__{configuration}/ with dataset.json, plans.json and "
            "fold_N/checkpoint_final.pth or checkpoint_best.pth.")


def _several(configuration: str, chosen: list[Trained]) -> ConfigError:
    names = sorted(one.folder for one in chosen)
    return ConfigError(f"There is more than one nnU-Net folder for {configuration}: {len(chosen)} models fit.",
                       "Give the folder of the one that is meant.",
                       models=[name.rpartition("/")[2] for name in names])


def _described(one: Trained, plans: Mapping) -> Trained:
    settings = resolved(plans, one.configuration)
    previous = settings.get("previous_stage")
    following = settings.get("next_stage")
    followers = [name for name in _configurations(plans)
                 if one.configuration and resolved(plans, name).get("previous_stage") == one.configuration]
    return replace(one, previous=previous if isinstance(previous, str) else "",
                   is_first=bool(following or followers))


def _configurations(plans: Mapping) -> Mapping:
    found = plans.get("configurations") if isinstance(plans, Mapping) else None
    return {str(name): value for name, value in found.items()} if isinstance(found, Mapping) else {}


def _parent(folder: str) -> str:
    return folder.rpartition("/")[0]
