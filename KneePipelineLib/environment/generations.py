"""The environment's folder: numbered generations, a pointer to the one that works, and its state.

::

    env/
      current.json        {"generation": "3"}: switched in one step, after everything else
      setup.lock          one Set up at a time
      setup.log           what the last Set up's installers said
      3/                  a virtual environment (these cannot be moved, hence the numbers)
        kneepipeline.json its state, written last: without it a generation is a leftover

Whatever dies in the middle leaves a generation without a pointer to it; the next Set up sweeps it away. Numbers are
never used twice, so a leftover process cannot write into a newer generation.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ..system import atomic
from ..system.atomic import replace, write_json
from ..system.locks import Lock, exclusive, is_held
from .child import IN_USE_NAME, STATE_NAME
from .problems import SetupError

POINTER = "current.json"
TAG = "kneepipeline-environment"
LOG = "setup.log"
LOCK = "setup.lock"
SHARED_HINT = ("Ask its owner to run Set up and to let everybody read and execute it, or have one of your own: set "
               "KNEEPIPELINE_HOME to a folder of yours.")


@dataclass
class State:
    """What is known about a finished generation."""

    digest: str
    groups: list[str]
    torch: str
    python: str
    base: str
    installer: str
    versions: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    torch_wanted: str = "auto"
    python_wanted: str | None = None
    probe: dict = field(default_factory=dict)
    created: str = ""


def python_of(generation: Path) -> Path:
    """The interpreter of a virtual environment."""
    return generation / "Scripts" / "python.exe" if os.name == "nt" else generation / "bin" / "python"


def site_packages(generation: Path) -> Path:
    """The folder of a virtual environment that packages are installed into."""
    if os.name == "nt":
        return generation / "Lib" / "site-packages"
    found = sorted((generation / "lib").glob("python3.*/site-packages"))
    return found[0] if found else generation / "lib" / "site-packages"


def current(folder: Path) -> Path | None:
    """The generation that the pointer names; None without one that was finished."""
    try:
        number = json.loads((folder / POINTER).read_text(encoding="utf-8"))["generation"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    generation = folder / str(number)
    # os.path, because it answers False, too, where one may not look.
    return generation if os.path.isfile(generation / STATE_NAME) else None


def read_state(generation: Path) -> State | None:
    """The state of a generation; None if it has none that can be read."""
    try:
        content = json.loads((generation / STATE_NAME).read_text(encoding="utf-8"))
        known = {f.name for f in fields(State)}
        return State(**{key: value for key, value in content.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_state(generation: Path, state: State) -> None:
    """Finish a generation, or note a change in it."""
    write_json(generation / STATE_NAME, asdict(state))


def switch_to(folder: Path, generation: Path) -> None:
    """Make a finished generation the current one."""
    write_json(folder / POINTER, {"generation": generation.name})


def claim(folder: Path) -> None:
    """Create the environment's folder, or recognise it as ours.

    Raises
    ------
    SetupError
        When it holds somebody else's files, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = {entry.name for entry in folder.iterdir()}
        if TAG not in content:
            if any(not name.startswith(LOCK) for name in content):
                raise SetupError(
                    f"The folder {folder} exists and holds other files.",
                    "Give --env an empty or a new folder; everything in it belongs to the environment.",
                )
            (folder / TAG).write_text("Made by KneePipeline; removed by: setup --remove\n", encoding="utf-8")
    except OSError as problem:
        raise SetupError(
            f"The folder {folder} cannot be written ({problem.strerror or problem}).",
            "Choose another one with setup --env DIR or the variable KNEEPIPELINE_HOME.",
        ) from problem


def may_change(folder: Path) -> bool:
    """Whether this user may build in, or remove, an environment's folder that exists: a shared one is another's."""
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK)


@contextmanager
def locked(folder: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Be the only one who changes an environment's folder; wait for whoever does.

    Parameters
    ----------
    waiting : callable
        Told once, in a sentence, for whom we wait.

    Raises
    ------
    SetupError
        When this user may not change it.
    """
    def tell(lock: Lock) -> None:
        waiting(f"Waiting for another Set up to finish ({lock.owner()}). {lock.advice()}".rstrip())

    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / LOCK, waiting=tell))
        except OSError as problem:
            raise SetupError(f"The private environment in {folder} cannot be changed by this user "
                             f"({problem.strerror or problem}).", SHARED_HINT) from problem
        yield


def is_ours(folder: Path) -> bool:
    """Whether `folder` was made by :func:`claim`."""
    return (folder / TAG).is_file()


def new_generation(folder: Path) -> Path:
    """Path of a generation that never existed (not created)."""
    used = [int(p.name.partition(".")[0]) for p in folder.iterdir() if p.name.partition(".")[0].isdigit()]
    counter = folder / TAG
    text = counter.read_text(encoding="utf-8")
    used += [int(line) for line in text.splitlines() if line.isdigit()]
    number = max(used, default=0) + 1
    first_line = text.splitlines()[0] if text else ""
    counter.write_text(f"{first_line}\n{number}\n", encoding="utf-8")
    return folder / str(number)


def sweep(folder: Path) -> list[Path]:
    """Remove every generation but the current one; those in use stay, and are returned.

    Call only while holding the lock.
    """
    atomic.sweep(folder)
    keep, in_use = current(folder), []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name.partition(".")[0].isdigit() and entry != keep and not discard(entry):
            in_use.append(entry)
    return in_use


def discard(generation: Path) -> bool:
    """Remove one generation; False if a process uses it (Windows: or holds one of its files open)."""
    if is_held(generation / IN_USE_NAME):
        return False
    doomed = generation
    if not generation.name.endswith(".gone"):
        doomed = generation.with_name(f"{generation.name}.{os.getpid()}.gone")
        try:
            replace(generation, doomed)
        except OSError:
            return False
    remove_tree(doomed)
    return True


def remove_tree(folder: Path) -> None:
    """Delete a folder, read-only files included, as far as the system allows."""

    def make_writable(function, path, _problem) -> None:
        with suppress(OSError):
            os.chmod(path, stat.S_IRWXU)
            os.chmod(os.path.dirname(path), stat.S_IRWXU)
            function(path)

    hook = "onexc" if sys.version_info >= (3, 12) else "onerror"
    shutil.rmtree(folder, **{hook: make_writable})
