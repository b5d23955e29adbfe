"""Create a virtual environment and put pinned packages into it, with uv or with venv and pip.

Dependencies are never resolved: what the lock says is what comes. Only wheels are taken, except for the few packages
that exist as source only; those are pure Python and are built with the setuptools of the lock, without a compiler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..system import memory
from . import reaching
from .child import child_environment
from .generations import python_of, site_packages
from .interpreters import Interpreter
from .lockfile import canonical_name
from .pip_configuration import PipConfiguration, pip_environment, read_pip_configuration
from .problems import SetupError
from .running import Outcome, run_guarded

Report = Callable[[float, str], None]
_KILLED = (128 + 9, -9)
"""Exit codes of a program that the kernel ended, which it does for want of memory."""


@dataclass
class Counter:
    """Progress over all packages: fetching and putting in place count half each; the fraction never goes back."""

    total: int
    report: Report
    begin: float = 0.04
    end: float = 0.97
    fetched: set[str] = field(default_factory=set)
    installed: set[str] = field(default_factory=set)
    _fraction: float = 0.0

    def fetching(self, name: str, what: str) -> None:
        """A package is being fetched."""
        self.fetched.add(canonical_name(name))
        self._say(f"fetching package {len(self.fetched | self.installed)} of {self.total}: {what}")

    def present(self, names: set[str]) -> None:
        """These packages are in place by now."""
        fresh = sorted(names - self.installed)
        self.installed |= names
        if fresh:
            self._say(f"package {len(self.installed)} of {self.total} in place: {fresh[-1]}")

    def _say(self, message: str) -> None:
        done = (len(self.fetched | self.installed) + len(self.installed)) / (2 * max(self.total, 1))
        self._fraction = max(self._fraction, min(self.end, self.begin + done * (self.end - self.begin)))
        self.report(self._fraction, message)


@dataclass
class Installer:
    """One way of installing into one generation.

    Attributes
    ----------
    base : Interpreter
        What the virtual environment is made from.
    generation, log : Path
    uv : Path or None
        None: venv and pip.
    offline : Path or None
        The only folder to take packages from.
    """

    base: Interpreter
    generation: Path
    log: Path
    uv: Path | None = None
    offline: Path | None = None
    configuration: PipConfiguration = field(default_factory=read_pip_configuration)

    @property
    def name(self) -> str:
        """``uv`` or ``pip``."""
        return "uv" if self.uv else "pip"

    def create(self) -> None:
        """Make the virtual environment.

        Raises
        ------
        SetupError
            When that fails, with the installer's own words.
        """
        if self.uv:
            command = [str(self.uv), "venv", "--no-project", "--no-config", "--python", str(self.base.executable),
                       str(self.generation)]  # fmt: skip
        else:
            command = [str(self.base.executable), "-I", "-m", "venv", str(self.generation)]
        outcome = self._run(command)
        if outcome.code != 0:
            short = _lacked_memory(outcome)
            raise SetupError(
                f"The virtual environment could not be made with {self.base.describe()}: "
                f"{memory.sentence() if short else outcome.complaint()}",
                "" if short else "Name another interpreter with setup --python EXE.",
            )

    def install(
        self, requirements: Sequence[str], counter: Counter, *, from_source: bool = False, index: str = "",
        again: bool = False,
    ) -> Outcome:  # fmt: skip
        """Install `requirements` (``name==version``) without their dependencies.

        Parameters
        ----------
        from_source
            Source distributions may be built (with the setuptools that is already installed).
        index
            A further index to look at.
        again
            Put the files in place even if the package seems installed.
        """
        listing = self.generation / "requirements.txt"
        listing.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        command = self._uv_install(index, again) if self.uv else self._pip_install(index, again)
        command += ["--no-build-isolation"] if from_source else ["--only-binary", ":all:"]
        if from_source and not self.uv:
            command.append("--use-pep517")
        wanted = {canonical_name(r.split("==")[0]) for r in requirements}
        outcome = self._run(
            [*command, "-r", str(listing)],
            on_line=lambda line: self._heed(line, counter),
            on_tick=lambda: counter.present(self._present() & wanted),
        )
        counter.present(self._present() & wanted)
        listing.unlink(missing_ok=True)
        return outcome

    def problem(self, outcome: Outcome, index: str = "") -> str:
        """Why an installation failed, for a person: want of memory, an index out of reach, or the installer's words."""
        if _lacked_memory(outcome):
            return memory.sentence()
        if self.offline is None:
            for place in ("", index) if index else ("",):
                unreached = reaching.why_not(self.configuration, "\n".join(outcome.lines), place)
                if unreached:
                    return unreached
        return outcome.complaint()

    def _uv_install(self, index: str, again: bool) -> list[str]:
        # Copies, not hard links: a file spoiled in the environment must not spoil uv's cache, which repairs it.
        command = [str(self.uv), "pip", "install", "--python", str(python_of(self.generation)), "--no-deps",
                   "--link-mode", "copy", "--no-progress"]  # fmt: skip
        if self.offline:
            command += ["--offline", "--no-config", "--no-index", "--find-links", str(self.offline)]
        else:
            command += self.configuration.uv_arguments()
            command += ["--index", index] if index else []
        return command + (["--reinstall"] if again else [])

    def _pip_install(self, index: str, again: bool) -> list[str]:
        command = [str(python_of(self.generation)), "-I", "-m", "pip", "install", "--no-deps",
                   "--no-warn-script-location"]  # fmt: skip
        if self.offline:
            command += ["--no-index", "--find-links", str(self.offline)]
        elif index:
            command += ["--extra-index-url", index]
        return command + (["--force-reinstall"] if again else [])

    def _run(
        self, command: list[str], on_line: Callable[[str], None] | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Outcome:  # fmt: skip
        return run_guarded(command, self._variables(), self.log, str(self.base.executable), on_line, on_tick)

    def _variables(self) -> dict[str, str]:
        environ: Mapping[str, str] = child_environment()
        environ = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
        if not self.uv:
            return pip_environment(environ, offline=self.offline is not None)
        if self.offline:
            return {name: value for name, value in environ.items() if not name.startswith("UV_") or "CACHE" in name}
        return {**environ, **self.configuration.uv_environment()}

    def _heed(self, line: str, counter: Counter) -> None:
        words = line.split()
        if len(words) < 2:
            return
        if words[0] == "Collecting":  # pip: Collecting name==1.2 (from -r ...)
            counter.fetching(words[1].split("==")[0], words[1].split("==")[0])
        elif words[0] == "Downloading" and self.uv:  # uv: Downloading name (12.3MiB)
            counter.fetching(words[1], " ".join(words[1:]))
        elif words[0] == "Building" and "==" in words[1]:  # uv: Building name==1.2
            counter.fetching(words[1].split("==")[0], f"{words[1]} (from source)")

    def _present(self) -> set[str]:
        return {
            canonical_name(p.name[: -len(".dist-info")].rpartition("-")[0])
            for p in site_packages(self.generation).glob("*.dist-info")
        }


def _lacked_memory(outcome: Outcome) -> bool:
    return outcome.code in _KILLED or memory.is_meant_by("\n".join(outcome.lines))


def make_installer(
    kind: str, base: Interpreter, generation: Path, log: Path, offline: Path | None,
    find_uv: Callable[[], Path | None], fetch_uv: Callable[[], Path],
) -> Installer:  # fmt: skip
    """uv when it is there, otherwise venv and pip; uv is fetched where the Python came without ensurepip.

    Parameters
    ----------
    kind
        ``auto``, ``uv`` or ``pip``.

    Raises
    ------
    SetupError
        When the way asked for does not exist here.
    """
    uv = find_uv() if kind in ("auto", "uv") else None
    if kind == "uv" and uv is None:
        raise SetupError("uv was asked for but is not installed.", "Install uv, or let setup use pip.")
    if uv is None and not base.ensurepip:
        if offline is not None or kind == "pip":
            raise SetupError(
                f"{base.describe()} cannot make virtual environments: its ensurepip module is missing.",
                "Install it (on Debian or Ubuntu: apt install python3-venv), or install uv.",
            )
        uv = fetch_uv()
    return Installer(base, generation, log, uv, offline)


def process_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for maintenance commands: this process's own without those of Python."""
    return {k: v for k, v in (environ or os.environ).items() if not k.startswith("PYTHON")}
