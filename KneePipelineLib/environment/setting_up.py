"""Set up: from an empty folder, an old environment or a broken one to one that works, or to no change at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError
from . import bootstrap, checks, generations, places
from .building import Ask, SetupOptions, Work
from .installing import Report
from .lockfile import Lock, read_lock
from .problems import SetupError


def print_progress(fraction: float, message: str) -> None:
    """The default report: one line on stderr."""
    print(f"[{fraction * 100:3.0f} %] {message}", file=sys.stderr, flush=True)


def ask_person(question: str) -> bool:
    """The default question, on the terminal; without one the answer is no."""
    if not (sys.stdin and sys.stdin.isatty()):
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def private_python() -> Path | None:
    """The private environment's interpreter, if there is a finished environment (it is not started)."""
    chosen = os.environ.get("KNEEPIPELINE_PYTHON")
    if chosen:
        return Path(chosen)
    generation = generations.current(places.environment_dir())
    python = generations.python_of(generation) if generation else None
    return python if python is not None and os.path.exists(python) else None


def ensure(extras: Sequence[str] = (), report: Report | None = None, options: SetupOptions | None = None) -> Path:
    """The interpreter of a working private environment, set up first if need be.

    Parameters
    ----------
    extras
        Extra groups that must be there, such as ``"test"``.
    report
        Told the progress as (fraction, message); default lines on stderr.
    options
        For the case that it has to be set up.

    Raises
    ------
    SetupError
        When that fails.
    """
    chosen = os.environ.get("KNEEPIPELINE_PYTHON")
    if chosen:
        if checks.starts(Path(chosen)) is None:
            raise SetupError(f"KNEEPIPELINE_PYTHON names {chosen}, which does not start.",
                             "Correct or unset the variable KNEEPIPELINE_PYTHON.")  # fmt: skip
        return Path(chosen)
    options = options or SetupOptions()
    lock = read_lock(options.lock_file)
    generation = generations.current(options.environment_dir or places.environment_dir())
    problem = checks.quick_problem(generation, lock)
    if not problem:
        state = generations.read_state(generation)
        if set(extras) <= set(state.groups):
            return generations.python_of(generation)
        problem = f"The private environment lacks what is needed for: {', '.join(extras)}."
    if generation is not None and not generations.may_change(generation.parent):
        raise SetupError(f"{problem} It belongs to another user, and this one may not change it.",
                         f"{generations.SHARED_HINT} It lies in {generation.parent}.")
    merged = {**vars(options), "extras": tuple(sorted({*options.extras, *extras}))}
    return setup(SetupOptions(**merged), report=report)


def setup(options: SetupOptions | None = None, report: Report | None = None, ask: Ask | None = None) -> Path:
    """Create, complete, renew or repair the private environment.

    The last working environment stays until its successor has been built and has passed the import probe. Two at once
    wait for each other. What an interrupted one left is removed.

    Parameters
    ----------
    options : SetupOptions
    report
        Told the progress as (fraction, message); default lines on stderr.
    ask
        Asked the one question there may be; default on the terminal.

    Returns
    -------
    Path
        The environment's interpreter.

    Raises
    ------
    SetupError
        When it cannot be set up.
    ConfigError
        For options that cannot be met.
    """
    options, report = options or SetupOptions(), report or print_progress
    ask = (lambda question: True) if options.assume_yes else (ask or ask_person)
    lock = read_lock(options.lock_file)
    _check_options(options, lock)
    report = _never_back(report)
    folder = Path(os.path.abspath(options.environment_dir or places.environment_dir()))
    places.check_path_length(folder / "99")
    generations.claim(folder)
    with generations.locked(folder, lambda sentence: report(0.0, sentence)):
        generations.sweep(folder)
        python = Work(options, lock, folder, report, ask).run()
        if options.environment_dir is not None:
            places.remember_environment_dir(folder)
        return python


def _never_back(report: Report) -> Report:
    """A report whose fraction only grows."""
    highest = 0.0

    def say(fraction: float, message: str) -> None:
        nonlocal highest
        highest = max(highest, fraction)
        report(highest, message)

    return say


def _check_options(options: SetupOptions, lock: Lock) -> None:
    known = [name for name, group in lock.groups.items() if group.extra]
    for extra in options.extras:
        if extra not in known:
            raise ConfigError(f"There is no extra group {extra!r}.", f"Possible: {', '.join(known) or 'none'}.")
    if options.offline is not None and not options.offline.is_dir():
        raise ConfigError(f"The folder {options.offline} does not exist.", "Give --offline a folder with wheels.")


def remove(options: SetupOptions | None = None, report: Report | None = None) -> None:
    """Remove the private environment and what Set up fetched for it; model weights stay.

    Raises
    ------
    SetupError
        When a run uses it, or the folder is not ours.
    """
    options, report = options or SetupOptions(), report or print_progress
    folder = Path(os.path.abspath(options.environment_dir or places.environment_dir()))
    if folder.exists():
        if not generations.is_ours(folder):
            raise SetupError(f"{folder} was not made by KneePipeline and is left alone.", "Give the folder with --env.")
        with generations.locked(folder, lambda sentence: report(0.0, sentence)):
            _remove_generations(folder)
        for name in (generations.LOG, generations.LOCK, generations.TAG, generations.POINTER):
            (folder / name).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    if bootstrap.bootstrap_dir().is_dir():
        generations.remove_tree(bootstrap.bootstrap_dir())
    places.forget_environment_dir()
    report(1.0, f"Removed the private environment in {folder}. Model weights, if any, are still in {places.home()}.")


def _remove_generations(folder: Path) -> None:
    generation = generations.current(folder)
    if generation is not None and not generations.discard(generation):
        raise SetupError("A run is using the private environment.", "Wait for it to end or stop it, then try again.")
    (folder / generations.POINTER).unlink(missing_ok=True)
    if generations.sweep(folder):
        raise SetupError("A run is using an earlier private environment.", "Wait for it to end, then try again.")
