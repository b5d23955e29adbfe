"""The lock: every package of the private environment, pinned to one version.

``lock.json`` is JSON because Python 3.10 reads no TOML. It is written and checked by
``python -m KneePipelineLib.environment``; people edit ``requirements.json`` instead.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOCK_FILE = Path(__file__).with_name("lock.json")
FORBIDDEN = frozenset({
    "tensorflow", "tensorflow-cpu", "tensorflow-intel", "tf-nightly", "torchvision", "timm", "jupyter", "jupyterlab",
    "notebook", "itkwidgets", "etelemetry",
})  # fmt: skip
_MACHINES = {"amd64": "x86_64", "x64": "x86_64", "aarch64": "arm64"}


def canonical_name(name: str) -> str:
    """A package name in the normal form of PEP 503: ``'PySide6_Essentials'`` -> ``'pyside6-essentials'``."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Target:
    """The computer and Python that packages are chosen for."""

    python: tuple[int, int]
    system: str = field(default_factory=platform.system)
    machine: str = field(default_factory=platform.machine)

    def fits(self, when: Mapping[str, str]) -> bool:
        """Whether the conditions ``python_below``, ``system`` and ``machine`` of a lock entry all hold."""
        machine = _MACHINES.get(self.machine.lower(), self.machine.lower())
        below = when.get("python_below")
        return (
            (below is None or self.python < tuple(int(part) for part in below.split(".")))
            and when.get("system", self.system) == self.system
            and when.get("machine", machine) == machine
        )


@dataclass(frozen=True)
class Package:
    """One pin. `sdist` marks the few without wheels: pure Python, built with the pinned setuptools."""

    name: str
    version: str
    groups: tuple[str, ...]
    sdist: bool = False
    when: Mapping[str, str] = field(default_factory=dict)

    @property
    def pin(self) -> str:
        """``name==version``."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Group:
    """Packages that are installed, or left out, together."""

    name: str
    purpose: str
    imports: tuple[str, ...] = ()
    optional: bool = False
    extra: bool = False
    when: Mapping[str, str] = field(default_factory=dict)
    why_not: str = ""
    download_mb: float = 0
    installed_mb: float = 0


@dataclass(frozen=True)
class Lock:
    """The content of lock.json.

    Attributes
    ----------
    groups : dict[str, Group]
        ``core`` is required, `optional` groups may fail, `extra` ones come only when asked for, the others belong to a
        torch build.
    packages : tuple of Package
    torch : dict
        Version, wheel indexes and the builds there are.
    bootstrap : dict
        The uv that Set up fetches when no suitable Python is found.
    pythons : tuple of (int, int)
        CPython versions, the preferred first.
    digest : str
        SHA-256 of everything that decides what is installed.
    """

    groups: Mapping[str, Group]
    packages: tuple[Package, ...]
    torch: Mapping
    bootstrap: Mapping
    pythons: tuple[tuple[int, int], ...]
    digest: str

    def select(self, groups: Iterable[str], target: Target) -> list[Package]:
        """The packages of `groups` that `target` needs, sorted by name."""
        wanted = set(groups)
        return [p for p in self.packages if wanted.intersection(p.groups) and target.fits(p.when)]

    def default_groups(self) -> list[str]:
        """``core`` first, then the optional groups."""
        return [name for name, group in self.groups.items() if name == "core" or group.optional]

    def build_group(self, build: str, target: Target) -> list[str]:
        """The group of libraries that the torch build `build` needs on `target`: none or one."""
        group = self.torch["builds"].get(build, {}).get("group")
        return [group] if group and target.fits(self.groups[group].when) else []


def read_lock(path: Path | None = None) -> Lock:
    """Read lock.json (or `path`)."""
    content = json.loads(Path(path or LOCK_FILE).read_text(encoding="utf-8"))
    groups = {name: _group(name, fields) for name, fields in content["groups"].items()}
    packages = tuple(
        Package(p["name"], p["version"], tuple(p["groups"]), p.get("sdist", False), p.get("when", {}))
        for p in content["packages"]
    )
    what_counts = [content["packages"], content["torch"]["version"]]
    digest = hashlib.sha256(json.dumps(what_counts, sort_keys=True).encode()).hexdigest()
    pythons = tuple(tuple(int(part) for part in version.split(".")) for version in content["python"])
    return Lock(groups, packages, content["torch"], content.get("bootstrap", {}), pythons, digest)


def _group(name: str, fields: Mapping) -> Group:
    known = {key: fields[key] for key in ("optional", "extra", "when", "why_not", "download_mb", "installed_mb")
             if key in fields}  # fmt: skip
    return Group(name, fields.get("purpose", ""), tuple(fields.get("imports", ())), **known)


def complaints(lock: Lock) -> list[str]:
    """What is wrong with a lock, as sentences: duplicates, forbidden packages, unknown groups, loose pins, order."""
    found = []
    names = [package.name for package in lock.packages]
    if names != sorted(names):
        found.append("The packages are not sorted by name.")
    found += [f"{name} appears twice." for name in sorted({n for n in names if names.count(n) > 1})]
    for package in lock.packages:
        if package.name != canonical_name(package.name):
            found.append(f"{package.name} is not in its normal form {canonical_name(package.name)}.")
        if package.name in FORBIDDEN:
            found.append(f"{package.name} must never be part of the environment.")
        if not re.fullmatch(r"\d[\w.]*", package.version):
            found.append(f"{package.name} is not pinned to one public version: {package.version}.")
        found += [f"{package.name} is in an unknown group: {g}." for g in package.groups if g not in lock.groups]
    return found
