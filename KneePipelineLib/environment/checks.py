"""Is an environment whole? A cheap look for every start, a deep one for the doctor, and the import probe."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..system import memory
from .child import child_environment, native_launcher
from .generations import State, python_of, read_state, site_packages
from .lockfile import Lock, Target, canonical_name
from .probe import MARK

_PROBE = Path(__file__).with_name("probe.py")
_BROUGHT_BY_VENV = {"pip", "setuptools", "wheel"}


def starts(python: Path, timeout_s: float = 60) -> tuple[int, int] | None:
    """Version of an interpreter if it starts (after an upgrade of the system it may not), else None."""
    try:
        answer = subprocess.run(
            [*native_launcher(), str(python), "-I", "-S", "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True, text=True, timeout=timeout_s, env=child_environment(), check=False,
        )  # fmt: skip
        major, minor = answer.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def quick_problem(generation: Path | None, lock: Lock) -> str:
    """Why a generation cannot be used as it is, as a sentence; empty if it looks well (about 30 ms)."""
    if generation is None:
        return "The private environment does not exist yet."
    state = read_state(generation)
    if state is None:
        return "The private environment's state cannot be read."
    if state.digest != lock.digest:
        return "The private environment belongs to another version of KneePipeline."
    version = starts(python_of(generation))
    if version is None:
        return "The private environment's Python no longer starts."
    if ".".join(map(str, version)) != ".".join(state.python.split(".")[:2]):
        return "The Python under the private environment was replaced by another version."
    return ""


def installed_versions(generation: Path) -> dict[str, str]:
    """Installed packages by canonical name, read from the ``*.dist-info`` folders."""
    found = {}
    for folder in site_packages(generation).glob("*.dist-info"):
        name, _, version = folder.name[: -len(".dist-info")].rpartition("-")
        if (folder / "RECORD").is_file():
            found[canonical_name(name)] = version
    return found


def expected_versions(lock: Lock, groups: Iterable[str], target: Target) -> dict[str, str]:
    """What the lock says must be installed."""
    return {package.name: package.version for package in lock.select(groups, target)}


def package_problems(generation: Path, lock: Lock, state: State) -> list[str]:
    """Differences between what is installed and the lock, as sentences."""
    target = Target(python=tuple(int(part) for part in state.python.split(".")[:2]))
    expected = expected_versions(lock, state.groups, target)
    # A group whose installation failed or was interrupted may have left packages behind: allowed, at their pins.
    allowed = expected_versions(lock, lock.groups, target)
    installed = installed_versions(generation)
    problems = []
    for name, version in expected.items():
        there = installed.get(name)
        if there is None:
            problems.append(f"{name} {version} is missing.")
        elif _public(there) != _public(version):
            problems.append(f"{name} is {there} instead of {version}.")
    strangers = sorted(set(installed) - set(allowed) - _BROUGHT_BY_VENV)
    if strangers:
        problems.append(f"Not in the lock: {', '.join(strangers)}.")
    return problems


def _public(version: str) -> str:
    """A version without its local part (``2.13.0+cpu`` has one) and without ``.0`` at its end."""
    parts = version.split("+")[0].replace("_", "-").split(".")
    while len(parts) > 1 and parts[-1] == "0":
        parts.pop()
    return ".".join(parts)


def damaged_packages(generation: Path) -> dict[str, int]:
    """Packages with files that are missing or have another size than their RECORD says, and how many."""
    site = site_packages(generation)
    damaged: dict[str, int] = {}
    for folder in sorted(site.glob("*.dist-info")):
        name = canonical_name(folder.name[: -len(".dist-info")].rpartition("-")[0])
        try:
            with open(folder / "RECORD", encoding="utf-8", newline="") as stream:
                rows = list(csv.reader(stream))
        except (OSError, csv.Error):
            damaged[name] = damaged.get(name, 0) + 1
            continue
        bad = sum(1 for row in rows if len(row) == 3 and not _is_whole(site, row[0], row[2]))
        if bad:
            damaged[name] = bad
    return damaged


def _is_whole(site: Path, name: str, size: str) -> bool:
    if name.endswith((".pyc", "/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")):
        return True
    try:
        actual = os.stat(os.path.join(site, name)).st_size
    except OSError:
        return False
    return not size or actual == int(size)


def run_probe(python: Path, modules: Sequence[str], timeout_s: float = 600) -> dict:
    """Import `modules` in `python` and return what :mod:`.probe` found.

    A probe that crashes or hangs is an answer too: the key ``crash`` then holds a sentence.
    """
    if not modules:
        return {"imports": {}}
    try:
        answer = subprocess.run(
            [*native_launcher(), str(python), "-I", str(_PROBE), *modules], capture_output=True, text=True,
            encoding="utf-8", errors="replace", timeout=timeout_s, env=child_environment(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"imports": {}, "crash": f"The import probe did not end within {timeout_s:.0f} s."}
    except OSError as problem:
        return {"imports": {}, "crash": f"The import probe did not start: {problem}."}
    for line in reversed(answer.stdout.splitlines()):
        if line.startswith(MARK):
            return json.loads(line[len(MARK):])
    last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
    if memory.is_meant_by(answer.stderr):
        return {"imports": {}, "crash": memory.sentence()}
    return {"imports": {}, "crash": f"The import probe ended with code {answer.returncode}: {last[:300]}"}


def probe_problem(result: dict) -> str:
    """The first thing that went wrong in a probe, as a sentence; empty if all is well."""
    if result.get("crash"):
        return result["crash"]
    for module, error in result["imports"].items():
        if error:
            return memory.sentence() if memory.is_meant_by(error) else f"{module} cannot be imported ({error})"
    return ""
