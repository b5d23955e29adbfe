"""The doctor: what works here, what does not, and the command that mends it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import bootstrap, checks, generations, interpreters, places, torch_build
from .lockfile import Lock, Target, read_lock
from .pip_configuration import read_pip_configuration

OK, NOTE, WARNING, ERROR = "ok", "note", "warning", "error"
_COMMAND = "python3 -m KneePipelineLib"
_MARKS = {OK: "ok     ", NOTE: "note   ", WARNING: "warning", ERROR: "ERROR  "}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `status` is ``ok``, ``note``, ``warning`` or ``error``; `mend` the command that helps."""

    subject: str
    status: str
    message: str
    mend: str = ""


@dataclass
class Examination:
    """What the doctor found.

    Attributes
    ----------
    findings : list of Finding
    facts : dict
        Versions, folders and devices, for a report to the authors (no user data).
    """

    findings: list[Finding] = field(default_factory=list)
    facts: dict = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is an error (warnings are allowed)."""
        return all(finding.status != ERROR for finding in self.findings)

    def add(self, subject: str, status: str, message: str, mend: str = "") -> None:
        """Note one finding."""
        self.findings.append(Finding(subject, status, message, mend))

    def to_dict(self) -> dict:
        """For ``doctor --json``."""
        return {"v": 1, "ok": self.ok, "findings": [asdict(f) for f in self.findings], "facts": self.facts}

    def text(self) -> str:
        """For people: one line a finding, the mending command below it."""
        lines = []
        for finding in self.findings:
            lines.append(f"{_MARKS[finding.status]}  {finding.subject}: {finding.message}")
            if finding.mend:
                lines.append(f"         mend: {finding.mend}")
        lines.append("Everything needed works." if self.ok else "Something needed does not work; see ERROR above.")
        return "\n".join(lines)


def doctor(
    environment_dir: Path | None = None, *, lock_file: Path | None = None, more: Iterable[Finding] = ()
) -> Examination:
    """Examine this computer and the private environment; changes nothing.

    Parameters
    ----------
    environment_dir
        Another folder than the remembered or default one.
    lock_file
        Another lock than the package's own.
    more
        Findings of other rooms (models), appended.
    """
    lock = read_lock(lock_file)
    folder = Path(os.path.abspath(environment_dir or places.environment_dir()))
    seen = Examination()
    _look_at_computer(seen, folder)
    chosen = os.environ.get("KNEEPIPELINE_PYTHON")
    if chosen:
        _look_at_chosen(seen, Path(chosen), lock)
    else:
        _look_at_environment(seen, folder, lock)
    seen.findings += more
    return seen


def _look_at_computer(seen: Examination, folder: Path) -> None:
    seen.facts.update(
        system=platform.system(), release=platform.release(), machine=platform.machine(),
        python=platform.python_version(), cpus=os.cpu_count(), home=str(places.home()), environment=str(folder),
    )  # fmt: skip
    seen.add("computer", OK, f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, "
                             f"this Python {platform.python_version()}")  # fmt: skip
    free_gb = places.free_bytes(folder) / 1e9
    seen.facts["free_gb"] = round(free_gb, 1)
    seen.add("disk", OK if free_gb > 2 else WARNING, f"{free_gb:.1f} GB free for {folder}",
             "" if free_gb > 2 else f"free some space, or: {_COMMAND} setup --env DIR")  # fmt: skip
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        seen.add("folder", WARNING, f"{existing} cannot be written", f"{_COMMAND} setup --env DIR")
    try:
        places.check_path_length(folder / "99")
    except Exception as problem:
        seen.add("path length", ERROR, str(problem), f"{_COMMAND} setup --env C:\\KneePipe")
    configuration = read_pip_configuration()
    uv = bootstrap.find_uv()
    seen.facts.update(uv=str(uv) if uv else None, pip_configuration=list(configuration.sources))
    seen.add("installer", OK, f"{'uv' if uv else 'venv and pip'}, packages from {configuration.describe()}")


def _look_at_chosen(seen: Examination, python: Path, lock: Lock) -> None:
    """The interpreter that KNEEPIPELINE_PYTHON names: only its imports can be judged."""
    if checks.starts(python) is None:
        seen.add("environment", ERROR, f"KNEEPIPELINE_PYTHON names {python}, which does not start",
                 "unset KNEEPIPELINE_PYTHON")  # fmt: skip
        return
    seen.add("environment", NOTE, f"{python}, named by KNEEPIPELINE_PYTHON, is used as it is")
    _try_imports(seen, python, lock, lock.default_groups())


def _look_at_environment(seen: Examination, folder: Path, lock: Lock) -> None:
    generation = generations.current(folder)
    problem = checks.quick_problem(generation, lock)
    if problem:
        outdated = "another version" in problem  # nothing to repair: it only needs its successor
        mend = f"{_COMMAND} setup" if generation is None or outdated else f"{_COMMAND} setup --repair"
        seen.add("environment", ERROR, problem, mend)
        if generation is None:
            _look_for_base(seen, lock)
            return
    state = generations.read_state(generation)
    if state is None:
        return
    python = generations.python_of(generation)
    seen.facts.update(generation=str(generation), groups=state.groups, torch_build=state.torch, created=state.created,
                      made_with=state.installer, private_python=state.python)  # fmt: skip
    if not problem:
        seen.add("environment", OK, f"Python {state.python} in {generation}, made with {state.installer}")
    found = checks.package_problems(generation, lock, state)
    damaged = checks.damaged_packages(generation)
    found += [f"{count} files of {name} are missing or changed." for name, count in damaged.items()]
    if found:
        seen.add("packages", ERROR, " ".join(found[:5]), f"{_COMMAND} setup --repair")
    else:
        seen.add("packages", OK, f"all {len(checks.installed_versions(generation))} are whole and as locked")
    if checks.starts(python) is not None:
        _try_imports(seen, python, lock, state.groups)
    for name, why in state.failed.items():
        purpose = lock.groups[name].purpose if name in lock.groups else ""
        mend = f"{_COMMAND} setup --repair"
        if name in lock.groups and why == lock.groups[name].why_not:
            mend = f"{_COMMAND} setup --python PYTHON3.11"
        seen.add(name, WARNING, f"not available ({purpose}): {why}", mend)


def _look_for_base(seen: Examination, lock: Lock) -> None:
    base = interpreters.find(lock.pythons, extra_folders=[bootstrap.bootstrap_dir() / "python"])
    if base is not None:
        seen.add("base interpreter", OK, f"{base.describe()} would be used")
    else:
        seen.add("base interpreter", WARNING, "no CPython 3.11 to 3.13 was found; setup will offer to download one",
                 f"{_COMMAND} setup --yes")  # fmt: skip


def _try_imports(seen: Examination, python: Path, lock: Lock, groups: list[str]) -> None:
    for name in groups:
        group = lock.groups.get(name)
        if group is None or not group.imports:
            continue
        result = checks.run_probe(python, group.imports)
        problem = checks.probe_problem(result)
        if problem:
            status = WARNING if group.optional or group.extra else ERROR
            seen.add(f"imports of {name}", status, problem, f"{_COMMAND} setup --repair")
        else:
            seen.add(f"imports of {name}", OK, f"all {len(group.imports)} work")
        if "torch" in result:
            _judge_torch(seen, result["torch"], lock)


def _judge_torch(seen: Examination, torch: dict, lock: Lock) -> None:
    seen.facts["torch"] = torch
    working = [d for d in torch["devices"] if d["works"]]
    names = ", ".join(f"{d['device']} ({d['name']})" if d["device"] != "cpu" else "cpu" for d in working)
    seen.add("torch", OK if working else ERROR, f"{torch['version']} computes on {names or 'nothing'}")
    for device in torch["devices"]:
        if not device["works"]:
            seen.add("torch", WARNING, f"{device['name']} is there but does not compute: {device.get('problem', '')}",
                     f"{_COMMAND} setup --torch auto")  # fmt: skip
    if torch.get("cuda") is None and platform.system() != "Darwin":
        driver = torch_build.ask_driver()
        if driver is None:
            return
        best = torch_build.choose("auto", lock, Target(python=sys.version_info[:2]), lambda: driver)
        if best.build != "cpu":
            seen.add("GPU", WARNING, f"{driver.devices[0][0]} is not used: torch is the CPU build",
                     f"{_COMMAND} setup --torch {best.build}")  # fmt: skip
        elif best.remark:
            seen.add("GPU", NOTE, best.remark)


__all__ = ["Examination", "Finding", "doctor"]
