"""The private environment as the panel sees it: its state at a glance, and the commands that change it.

Looking costs a few small files and starts nothing. Everything else is a child process of :mod:`.process` whose progress
comes as callbacks. The commands run on Slicer's own Python, because they need the standard library only; the
environment itself is never made from it (see :mod:`KneePipelineLib.environment.interpreters`).
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..environment import environment_dir, home, private_python
from . import settings
from .commands import PACKAGE_FOLDER, Task, findings_of, slicers_python
from .failures import REPAIR, RunError

try:
    from slicer.i18n import tr as _
except ImportError:  # outside Slicer nobody translates
    _ = str

PACKAGE_HOSTS = ("pypi.org", "files.pythonhosted.org", "download.pytorch.org")
PYTHON_HOST = "github.com"
MISSING, READY, OUTDATED, OWN, BROKEN = "missing", "ready", "outdated", "own", "broken"


@dataclass(frozen=True)
class EnvironmentState:
    """What is there.

    Attributes
    ----------
    state : str
        ``ready``, ``missing``, ``outdated`` (another version of KneePipeline made it), ``broken``, or ``own`` (an
        existing Python that a person named).
    fact, advice : str
        The same for people, and the button that mends it; in Slicer in the person's language.
    folder : Path
        Where it is or will be.
    python : Path or None
        Its interpreter.
    """

    state: str
    fact: str
    advice: str
    folder: Path
    python: Path | None = None

    @property
    def sentence(self) -> str:
        """Fact and advice."""
        return f"{self.fact} {self.advice}".strip()

    @property
    def usable(self) -> bool:
        """Whether an analysis can be started."""
        return self.state in (READY, OWN)


@dataclass(frozen=True)
class SetupPlan:
    """What Set up will do, for people to read before it does it.

    Attributes
    ----------
    folder : Path
    download_mb, installed_mb : float
        At most; the CPU build of torch. `gpu_download_mb` and `gpu_installed_mb` are added with an NVIDIA GPU.
    free_mb : float
        On the disk of `folder`.
    python_download_mb : float
        Added when this computer has no CPython 3.11 to 3.13 of its own.
    hosts : tuple of str
        Who is contacted, unless pip is configured for another index.
    """

    folder: Path
    download_mb: float
    installed_mb: float
    gpu_download_mb: float
    gpu_installed_mb: float
    free_mb: float
    python_download_mb: float
    hosts: tuple[str, ...]

    @property
    def enough_space(self) -> bool:
        """Whether the CPU build fits, with what unpacking needs."""
        return self.free_mb > self.installed_mb + self.download_mb

    def lack(self) -> str:
        """That it does not, in words, and what to do."""
        from ..environment.places import gigabytes

        sentence = _("The disk of {folder} has {free} free, and about {needed} are needed. Free some space, or choose "
                     "another folder.")
        return sentence.format(folder=self.folder, free=gigabytes(self.free_mb),
                               needed=gigabytes(self.installed_mb + self.download_mb))

    def sentence(self) -> str:
        """All of it in words."""
        from ..environment.places import gigabytes

        gpu = ""
        if self.gpu_installed_mb:
            gpu = " " + _("With an NVIDIA GPU up to {download} and {installed}.").format(
                download=gigabytes(self.download_mb + self.gpu_download_mb),
                installed=gigabytes(self.installed_mb + self.gpu_installed_mb))
        base = _("Set up downloads up to {download} from {hosts} and takes {installed} in {folder} ({free} free).")
        python = _("If this computer has no Python 3.11 to 3.13, one is fetched from {host} ({download}). Slicer's own "
                   "Python is not changed.")
        return base.format(
            download=gigabytes(self.download_mb), hosts=", ".join(self.hosts[:-1]), folder=self.folder,
            installed=gigabytes(self.installed_mb), free=gigabytes(self.free_mb)) + gpu + " " + python.format(
            host=self.hosts[-1], download=gigabytes(self.python_download_mb))


def state() -> EnvironmentState:
    """The state of what an analysis would run on, without starting anything."""
    own = settings.value("python") or os.environ.get("KNEEPIPELINE_PYTHON", "")
    folder = environment_dir()
    if own:
        if Path(own).is_file():
            return EnvironmentState(OWN, _("{python} is used, as was asked for.").format(python=own), "", folder,
                                    Path(own))
        return EnvironmentState(
            BROKEN, _("{python}, which was to be used, is no longer there.").format(python=own),
            _("Choose another one with Use existing Python, or press Set up."), folder)
    from ..environment.generations import current, read_state
    from ..environment.lockfile import read_lock

    generation = current(folder)
    if generation is None:
        return EnvironmentState(MISSING, _("The private environment is not set up yet."), _("Press Set up."), folder)
    made, python = read_state(generation), private_python()
    if made is None or python is None:
        return EnvironmentState(BROKEN, _("The private environment is incomplete."),
                                _("Press Repair in the section Set up."), folder)
    if made.digest != read_lock().digest:
        return EnvironmentState(
            OUTDATED, _("The private environment belongs to another version of KneePipeline."),
            _("Press Set up to renew it; most of what it needs is there already."), folder, python)
    ready = _("Ready: Python {python}, torch for {torch}.").format(python=made.python, torch=made.torch)
    lacks = _("Not available: {names}.").format(names=", ".join(made.failed)) if made.failed else ""
    return EnvironmentState(READY, f"{ready} {lacks}".strip(), "", folder, python)


def plan() -> SetupPlan:
    """What Set up would do."""
    from ..environment.lockfile import read_lock
    from ..environment.places import free_bytes

    lock, folder = read_lock(), environment_dir()
    groups, builds = [lock.groups[name] for name in lock.default_groups()], lock.torch["builds"]
    cpu, gpu = builds["cpu"], {}
    for build in builds.values():
        if build is not cpu and platform.system() in build.get("systems", ()):
            libraries = lock.groups.get(build.get("group") or "")
            more = libraries if libraries and libraries.when.get("system", platform.system()) == platform.system() \
                else None
            gpu = {key: build[key] - cpu[key] + (getattr(more, key) if more else 0)
                   for key in ("download_mb", "installed_mb")}
    return SetupPlan(
        folder, sum(g.download_mb for g in groups) + cpu["download_mb"],
        sum(g.installed_mb for g in groups) + cpu["installed_mb"], gpu.get("download_mb", 0),
        gpu.get("installed_mb", 0), free_bytes(folder) / 1e6, lock.bootstrap.get("python_download_mb", 0),
        (*PACKAGE_HOSTS, PYTHON_HOST))


def python_for_runs() -> tuple[Path, bool]:
    """The interpreter of an analysis, and whether a person named it.

    Raises
    ------
    RunError
        ``NO_ENVIRONMENT``, when there is none.
    """
    own = settings.value("python") or os.environ.get("KNEEPIPELINE_PYTHON", "")
    found = state()
    if not found.usable:
        raise RunError("NO_ENVIRONMENT", found.fact,
                       "Press Set up in the section Set up." if found.state != BROKEN else REPAIR)
    return found.python, bool(own)


def results_folder() -> Path:
    """Where runs without an output folder of their own put their results."""
    chosen = settings.value("results_folder")
    return Path(chosen).expanduser() if chosen else home() / "results"


def setup(*, base_python: str = "", torch: str = "auto", folder: Path | None = None, offline: Path | None = None,
          repair: bool = False, **options: Any) -> Task:
    """Create, complete or renew the private environment.

    Parameters
    ----------
    base_python : str
        Make it from this interpreter (CPython 3.11 to 3.13, not Slicer's). Without it the first one found is used, and
        if there is none one is fetched: show `plan` and ask before.
    torch : str
        ``auto`` asks the driver; ``cpu`` or ``cuXXX``.
    folder, offline : Path, optional
        Another place for it; a folder of wheels to install from.
    """
    arguments = ["setup", "--yes", *(["--repair"] if repair else [])]
    for flag, value in (("--python", base_python), ("--env", folder), ("--offline", offline),
                        ("--torch", torch if torch != "auto" else "")):
        if value:
            arguments += [flag, str(value)]

    def finish(said: str) -> Path | None:
        settings.set_value("python", "")
        return private_python()

    return Task(arguments, finish, **options)


def repair(**options: Any) -> Task:
    """Check every file and import of the environment and rebuild what is broken."""
    return setup(repair=True, **options)


def remove(**options: Any) -> Task:
    """Remove the private environment and what Set up fetched for it; model weights and results stay."""
    return Task(["setup", "--remove"], lambda said: None, **options)


def diagnose(**options: Any) -> Task:
    """Look at everything and change nothing; the result is the dict of ``doctor --json``."""
    own = settings.value("python")
    return Task(["doctor", "--json"], findings_of, may_fail=True, as_private=Path(own) if own else None, **options)


def use_python(executable: Path | str, **options: Any) -> Task:
    """Use an existing Python that has everything, as it is, from now on; it is tried first and never changed."""
    executable = Path(executable)

    def finish(said: str) -> Path:
        found = findings_of(said)
        errors = [f["message"] for f in found["findings"] if f["status"] == "error"
                  and (f["subject"] == "environment" or f["subject"].startswith("imports"))]
        if errors:
            raise RunError("SETUP_ERROR", f"This Python cannot be used as it is: {errors[0]}",
                           "Choose another one, or press Set up to make a private environment.")
        settings.set_value("python", str(executable))
        return executable

    return Task(["doctor", "--json"], finish, may_fail=True, as_private=executable, **options)


__all__ = ["PACKAGE_FOLDER", "EnvironmentState", "SetupPlan", "Task", "diagnose", "plan", "python_for_runs", "remove",
           "repair", "results_folder", "setup", "slicers_python", "state", "use_python"]
