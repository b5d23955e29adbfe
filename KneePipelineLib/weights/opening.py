"""Opening a model's files as a run will open them, before anybody relies on them.

The names of files prove nothing, nor does a checksum of what somebody brought along: whether a network can be built and
its weights fit shows when it is opened, by the same code as in a run. That needs the private environment: `check` goes
on there in a child process. Where it is not set up the form of the files is all that was looked at (`contents`), and
that is said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import KneePipelineError, MemoryCriticalError, WeightsCorruptError
from ..system import memory
from . import layouts
from .entries import Model, entry
from .failures import ImportRefusedError

MOST_S = 900.0
NOT_OPENED = ("Only the form of its files was checked, because the private environment is not set up yet. Once it is, "
              "open it with: python3 -m KneePipelineLib models verify {name}")


@dataclass(frozen=True)
class Opened:
    """What became of a look into a model: whether it was opened at all, and what whoever uses it should know."""

    opened: bool
    notes: tuple[str, ...] = ()


def check(model: Model, folder: Path) -> Opened:
    """Open a model that lies in ``folder`` as `layouts.plan` arranges it.

    Raises
    ------
    ImportRefusedError
        With the sentence of the run, when a run could not open it.
    """
    from .. import environment

    if environment.inside():
        try:
            return Opened(True, tuple(open_here(model, folder)))
        except KneePipelineError as error:
            raise ImportRefusedError(error.message, error.hint) from error
    python = environment.private_python()
    if python is None:
        return Opened(False, (NOT_OPENED.format(name=model.name),))
    return _elsewhere(python, model, folder)


def open_here(model: Model, folder: Path) -> list[str]:
    """Open a model in this process, which has the libraries; what whoever uses it should know.

    Raises
    ------
    KneePipelineError
        As in a run.
    """
    path = folder / layouts.entry_point(model)
    if model.kind == "nnunet":
        return _open_nnunet(model, path)
    if model.kind == "planar":
        from ..segmentation.planar import open_network

        open_network(path)
    elif model.kind == "shape":
        from ..shape.checkpoint import load_model

        load_model(path)
    return []


def _open_nnunet(model: Model, folder: Path) -> list[str]:
    from ..segmentation.names import EVERYTHING_ELSE
    from ..segmentation.nnunet import find_stages, open_stage

    stages = find_stages(folder, layouts.stages_kind(model), ignored=(EVERYTHING_ELSE,))
    for stage in stages:
        open_stage(stage)
    extra = stages[-1].dropped
    if not extra:
        return []
    return [f"It also labels {', '.join(extra)}, which is not measured here: run it with --ignore-structures all."]


def _elsewhere(python: Path, model: Model, folder: Path) -> Opened:
    """`open_here` in the private environment."""
    from .. import environment

    line = [*environment.command(python, [])[:-1], __name__, model.name, str(folder)]
    try:
        done = subprocess.run(line, env=environment.child_environment(), capture_output=True, text=True,
                              encoding="utf-8", errors="replace", timeout=MOST_S, check=False)
        answer = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        raise ImportRefusedError(f"{model.name} could not be opened within {MOST_S:g} s.", "Try again.") from error
    except (OSError, ValueError, IndexError) as error:
        if not isinstance(error, OSError) and memory.is_meant_by(done.stderr):
            raise MemoryCriticalError(memory.NO_MEMORY, memory.memory_hint()) from error
        raise WeightsCorruptError(f"{model.name} could not be opened: the process that tried ended without an answer.",
                                  "Run: python3 -m KneePipelineLib doctor") from error
    if "error" in answer:
        raise ImportRefusedError(answer["error"]["message"], answer["error"].get("hint") or "")
    return Opened(True, tuple(answer["notes"]))


def main(arguments: Iterable[str]) -> int:
    """The child's side: one JSON object on the last line of stdout."""
    name, folder = arguments
    try:
        answer: dict = {"notes": open_here(entry(name), Path(folder))}
    except KneePipelineError as error:
        answer = {"error": {"message": error.message, "hint": error.hint}}
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
