"""Which of the package's code a step's body runs, as hashes: a change there repeats the step, one elsewhere does not.

Import lines are followed from the body's module. A room that is imported by its front door counts whole, a module that
is imported by its name counts with what it imports itself. The machinery around the steps does not count: it decides
when a step runs, not what it finds. Files are read as text, nothing is imported.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from .files import hash_file, hash_json

PACKAGE = Path(__file__).resolve().parents[1]
STAGES = "pipeline/stages"
_SUFFIXES = (".py", ".json", ".txt", ".lock")
_IMPORT = re.compile(r"^[ \t]*from (\.+)([\w.]*) import (\([^)]*\)|[^\n#]*)", re.MULTILINE)
_COUNTED_OF_THE_PIPELINE = ("pipeline/networks.py", "pipeline/cores.py")
"""Modules beside the stages that take part in what a step finds."""
_MACHINERY = {"system", "environment", "slicer_side", "cohort", "longitudinal", "job.py", "job_names.py", "errors.py",
              "cli.py"}


@cache
def code_hashes(body: str) -> dict[str, str]:
    """Room or module -> hash, of all that a body (``module:function`` of a plan) runs.

    Parameters
    ----------
    body : str
        One outside `pipeline/stages` (a test's) is not looked at.
    """
    module = body.partition(":")[0]
    if "." in module:
        return {}
    # The digital knee takes part in a run in practice mode only; else it is there because a network is trained on it.
    beside = _MACHINERY if module == "practice" else _MACHINERY | {"phantom"}
    found: set[str] = set()
    waiting = [f"{STAGES}/{module}.py"]
    while waiting:
        name = waiting.pop()
        if name not in found and _counts(name, beside):
            found.add(name)
            waiting += imports_of(name)
    stages = sorted(name for name in found if name.startswith("pipeline/"))
    rooms = sorted(found - set(stages))
    covered = [name for name in rooms if not any(name.startswith(f"{room}/") for room in rooms)]
    return {"stages": hash_json([(name, _hash(name)) for name in stages])[:16],
            **{name: _hash(name) for name in covered}}


@cache
def imports_of(name: str) -> tuple[str, ...]:
    """What a module (``room/module.py``) or a whole room imports of the package, under such names."""
    path = PACKAGE / name
    files = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
    found = {target for file in files for target in _targets(file)}
    return tuple(sorted(target for target in found if not target.startswith(f"{name}/") and target != name))


def _targets(file: Path) -> set[str]:
    found: set[str] = set()
    for dots, module, names in _IMPORT.findall(file.read_text(encoding="utf-8")):
        folder = file.parents[len(dots) - 1]
        if not folder.is_relative_to(PACKAGE):
            continue
        target = folder.joinpath(*module.split(".")) if module else folder
        # What stands behind ``import`` may be a module, or something that a module holds.
        inside = [target / name for name in re.findall(r"\w+", re.sub(r"\bas\s+\w+", "", names))]
        modules = [path for path in inside if _named(path)]
        for path in modules or [target]:
            if path != PACKAGE and (name := _named(path)):
                found.add(name)
    return found


def _named(path: Path) -> str:
    """``room`` for a package's folder, ``room/module.py`` for a module, "" for what is neither."""
    if (path / "__init__.py").is_file():
        return path.relative_to(PACKAGE).as_posix()
    module = path.with_suffix(".py")
    return module.relative_to(PACKAGE).as_posix() if module.is_file() else ""


def _counts(name: str, beside: set[str]) -> bool:
    room = name.partition("/")[0]
    if room == "pipeline":
        return name.startswith(f"{STAGES}/") or name in _COUNTED_OF_THE_PIPELINE
    return room not in beside


@cache
def _hash(name: str) -> str:
    path = PACKAGE / name
    if path.suffix == ".py":
        return hash_file(path)[:16]
    files = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    return hash_json([(file.relative_to(path).as_posix(), hash_file(file)) for file in files])[:16]
