"""One Set up at work, under the lock: confirm, complete or build the environment, group by group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from . import bootstrap, checks, generations, interpreters, offline, places, torch_build
from .generations import State
from .installing import Counter, Installer, Report, make_installer
from .lockfile import Lock, Package, Target
from .problems import SetupError
from .torch_build import TorchChoice

Ask = Callable[[str], bool]


@dataclass(frozen=True)
class SetupOptions:
    """What a person can choose.

    Attributes
    ----------
    environment_dir : Path or None
        Folder of the environment; None: the remembered or default one.
    base_python : str or None
        Interpreter to make it from.
    torch : str or None
        ``auto``, ``cpu`` or ``cuXXX``; None: as before, at first ``auto``.
    offline : Path or None
        The only folder to take packages from.
    repair : bool
        Look deeply, and rebuild if anything is wrong.
    extras : tuple of str
        Extra groups, such as ``test``.
    assume_yes : bool
        Answer yes to the one question there may be (downloading a Python).
    installer : str
        ``auto``, ``uv`` or ``pip``.
    lock_file : Path or None
        Another lock than the package's own.
    """

    environment_dir: Path | None = None
    base_python: str | None = None
    torch: str | None = None
    offline: Path | None = None
    repair: bool = False
    extras: tuple[str, ...] = ()
    assume_yes: bool = False
    installer: str = "auto"
    lock_file: Path | None = None


@dataclass
class Work:
    """One Set up; whoever makes it holds the lock of `folder`."""

    options: SetupOptions
    lock: Lock
    folder: Path
    report: Report
    ask: Ask

    def run(self) -> Path:
        """Do what is needed and return the environment's interpreter."""
        generation = generations.current(self.folder)
        state = generations.read_state(generation) if generation else None
        if not self._must_rebuild(generation, state):
            return self._complete(generation, state)
        return self._build(state)

    def _must_rebuild(self, generation: Path | None, state: State | None) -> bool:
        problem = checks.quick_problem(generation, self.lock)
        if not problem and self.options.base_python not in (None, state.python_wanted):
            problem = "Another base interpreter was asked for."
        if not problem and self.options.torch is not None:
            target = Target(python=tuple(int(part) for part in state.python.split(".")[:2]))
            if torch_build.choose(self.options.torch, self.lock, target).build != state.torch:
                problem = "Another torch build was asked for."
        if not problem and self.options.repair:
            self.report(0.01, "Checking every file and every import.")
            problem = self._deep_problem(generation, state)
        if problem and generation is not None:
            self.report(0.01, f"{problem} It is built anew; the old one stays until then.")
        return bool(problem)

    def _deep_problem(self, generation: Path, state: State) -> str:
        found = checks.package_problems(generation, self.lock, state)
        damaged = checks.damaged_packages(generation)
        if damaged:
            found.append(f"Files of {', '.join(damaged)} are missing or changed.")
        for name in () if found else state.groups:
            result = checks.run_probe(generations.python_of(generation), self.lock.groups[name].imports)
            if checks.probe_problem(result):
                found.append(checks.probe_problem(result) + ".")
        return " ".join(found[:3])

    def _complete(self, generation: Path, state: State) -> Path:
        """Add groups that are missing: extras asked for, and optional ones that failed (only when repairing)."""
        target = Target(python=tuple(int(part) for part in state.python.split(".")[:2]))
        wanted = [extra for extra in self.options.extras if extra not in state.groups]
        retry = list(state.failed) if self.options.repair else []
        python = generations.python_of(generation)
        if not wanted and not retry:
            self.report(1.0, f"The private environment in {generation} is ready.")
            return python
        base = interpreters.ask((str(python),))
        if base is None:
            raise SetupError("The private environment's Python does not start.", "Run setup --repair.")
        installer = self._installer(base, generation)
        self._offline_check([*wanted, *retry], target, f"torch=={self.lock.torch['version']}+{state.torch}")
        have = set(checks.expected_versions(self.lock, state.groups, target))
        packages = [p for p in self.lock.select([*wanted, *retry], target) if p.name not in have]
        counter = Counter(len(packages), self.report)
        for name in [*wanted, *retry]:
            problem = self._install_group(installer, name, target, counter, have, again=True)
            if problem and name in wanted:
                raise SetupError(f"The group {name} could not be installed: {problem}", self._hint())
            if problem:
                state.failed[name] = problem
                self._warn(name, problem)
            else:
                state.failed.pop(name, None)
                state.groups.append(name)
                have |= set(checks.expected_versions(self.lock, [name], target))
                generations.write_state(generation, state)
        generations.write_state(generation, state)
        self.report(1.0, f"The private environment in {generation} is ready.")
        return python

    def _build(self, before: State | None) -> Path:
        wanted_python = self.options.base_python or (before.python_wanted if before else None)
        wanted_torch = self.options.torch or (before.torch_wanted if before else "auto")
        base = self._base(wanted_python)
        target = Target(python=base.short)
        torch = torch_build.choose(wanted_torch, self.lock, target, lambda: torch_build.ask_driver(base.executable))
        earlier = [name for name in (before.groups if before else ())
                   if name in self.lock.groups and self.lock.groups[name].extra]  # fmt: skip
        extras = dict.fromkeys([*self.options.extras, *earlier])
        required = ["core", *self.lock.build_group(torch.build, target), *extras]
        optional = [name for name in self.lock.default_groups() if self.lock.groups[name].optional]
        self._announce([*required, *optional], torch, base)
        self._offline_check([*required], target, torch.requirement)
        generation = generations.new_generation(self.folder)
        installer = self._installer(base, generation)
        state = State(self.lock.digest, [], torch.build, ".".join(map(str, base.version)), str(base.executable),
                      installer.name, torch_wanted=wanted_torch, python_wanted=wanted_python,
                      created=datetime.now(timezone.utc).isoformat(timespec="seconds"))  # fmt: skip
        try:
            installer.create()
            self._fill(installer, state, required, optional, target, torch)
            generations.write_state(generation, state)
        except BaseException:
            generations.discard(generation)
            raise
        generations.switch_to(self.folder, generation)
        for kept in generations.sweep(self.folder):
            self.report(1.0, f"A run still uses the earlier environment {kept}; a later setup removes it.")
        self._summarise(generation, state)
        return generations.python_of(generation)

    def _fill(self, installer: Installer, state: State, required: list[str], optional: list[str], target: Target,
              torch: TorchChoice) -> None:  # fmt: skip
        """Install and probe group by group; the required ones must work, the optional ones may fail."""
        counter = Counter(len(self.lock.select([*required, *optional], target)), self.report)
        have: set[str] = set()
        self._install_torch(installer, torch, counter)
        have.add("torch")
        for name in [*required, *optional]:
            problem = self._install_group(installer, name, target, counter, have, state=state)
            if problem and name in required:
                raise SetupError(f"Set up did not succeed: {problem}", self._hint())
            if problem:
                state.failed[name] = problem
                self._warn(name, problem)
            else:
                state.groups.append(name)
                have |= set(checks.expected_versions(self.lock, [name], target))
        state.versions = checks.installed_versions(installer.generation)

    def _install_torch(self, installer: Installer, torch: TorchChoice, counter: Counter) -> None:
        """The configured sources first; PyTorch's own index only if they do not have this build."""
        if not any(p.name == "torch" for p in self.lock.packages):
            return
        outcome = installer.install([torch.requirement], counter)
        if outcome.code != 0 and torch.index and not installer.offline:
            self.report(0.05, f"The configured sources do not offer {torch.requirement}; asking {torch.index}.")
            outcome = installer.install([torch.requirement], counter, index=torch.index)
        if outcome.code != 0:
            problem, other = installer.problem(outcome, torch.index), ""
            if torch.build == "cpu" and torch.index and not installer.offline:
                other = ("If PyTorch's index cannot be reached from here, put the wheel into a folder that pip's "
                         "find-links names, or use --torch cu130: larger, and it computes on the CPU too. ")
            raise SetupError(f"{torch.requirement} could not be installed: {problem}", other + self._hint())

    def _install_group(self, installer: Installer, name: str, target: Target, counter: Counter, have: set[str],
                       *, again: bool = False, state: State | None = None) -> str:  # fmt: skip
        """Install what `name` adds to `have`, and probe it; the problem as a sentence, or nothing."""
        group = self.lock.groups[name]
        if not target.fits(group.when):
            return group.why_not
        packages = [p for p in self.lock.select([name], target) if p.name not in have]
        for part, from_source in ((_wheels(packages), False), (_sources(packages), True)):
            if part:
                outcome = installer.install([p.pin for p in part], counter, from_source=from_source, again=again)
                if outcome.code != 0:
                    return installer.problem(outcome)
        self.report(0.0, f"Trying the imports of {name}.")
        result = checks.run_probe(generations.python_of(installer.generation), group.imports)
        if state is not None and "torch" in result:
            state.probe = result["torch"]
        return checks.probe_problem(result)

    def _base(self, wanted: str | None) -> interpreters.Interpreter:
        self.report(0.01, "Looking for a Python to build on.")
        own = bootstrap.bootstrap_dir() / "python"
        found = interpreters.find(self.lock.pythons, wanted, extra_folders=[own])
        if found is not None:
            return found
        if self.options.offline is not None:
            raise SetupError("No suitable Python (CPython 3.11 to 3.13, not 3D Slicer's own) was found, and --offline "
                             "forbids to fetch one.", "Install one, or name it with setup --python EXE.")  # fmt: skip
        return bootstrap.install_python(self.lock, lambda text: self.report(0.02, text), self.ask, bootstrap.find_uv())

    def _installer(self, base: interpreters.Interpreter, generation: Path) -> Installer:
        log = self.folder / generations.LOG
        log.write_text("", encoding="utf-8")
        return make_installer(self.options.installer, base, generation, log, self.options.offline,
                              bootstrap.find_uv, lambda: bootstrap.fetch_uv(self.lock))  # fmt: skip

    def _announce(self, groups: list[str], torch: TorchChoice, base: interpreters.Interpreter) -> None:
        build = self.lock.torch["builds"].get(torch.build, {})
        chosen = [self.lock.groups[name] for name in groups]
        download = sum(group.download_mb for group in chosen) + build.get("download_mb", 0)
        size = sum(group.installed_mb for group in chosen) + build.get("installed_mb", 0)
        source = "" if self.options.offline else f", about {places.gigabytes(download)} to download at most"
        self.report(0.02, f"Setting up the private environment in {self.folder}: about {places.gigabytes(size)} on "
                          f"disk{source}; {base.describe()}; torch for {torch.build}.")  # fmt: skip
        if torch.remark:
            self.report(0.02, f"Note: {torch.remark}")
        places.check_space(self.folder, 1.1 * size + (0 if self.options.offline else download))

    def _offline_check(self, groups: list[str], target: Target, torch_requirement: str) -> None:
        if self.options.offline is None:
            return
        absent = offline.missing(self.options.offline, self.lock.select(groups, target), target, torch_requirement)
        if absent:
            raise SetupError(offline.sentence(absent, self.options.offline, target),
                             "Fetch them on a computer with a network; the list: "
                             "python -m KneePipelineLib.environment requirements")  # fmt: skip

    def _warn(self, name: str, problem: str) -> None:
        self.report(0.0, f"Warning: {name} is not available: {problem.rstrip('.')}. ({self.lock.groups[name].purpose})")

    def _hint(self) -> str:
        kept = " The environment that was there before is unchanged." if generations.current(self.folder) else ""
        return f"The installers' own words are in {self.folder / generations.LOG}.{kept}"

    def _summarise(self, generation: Path, state: State) -> None:
        devices = ", ".join(d["device"] + (f" ({d['name']})" if d["device"].startswith("cuda") else "")
                            for d in state.probe.get("devices", ()) if d.get("works"))  # fmt: skip
        torch = f"torch {state.probe['version']} on {devices}; " if state.probe else ""
        self.report(1.0, f"The private environment is ready: {torch}{len(state.versions)} packages in {generation}.")


def _wheels(packages: list[Package]) -> list[Package]:
    return [package for package in packages if not package.sdist]


def _sources(packages: list[Package]) -> list[Package]:
    return [package for package in packages if package.sdist]
