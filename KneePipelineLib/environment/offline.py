"""Which wheels an offline folder lacks, said all at once before anything begins.

The tags of a wheel's file name are compared with what the target accepts (PEP 425, 600, 656; a few lines instead of
the `packaging` library, because this runs before anything is installed). The installer has the last word.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .lockfile import Package, Target, canonical_name

_SOURCE = re.compile(r"(?P<name>.+)-(?P<version>\d[^-]*)\.(tar\.gz|zip)$")
_MACHINES = {"x86_64": ("x86_64", "amd64"), "arm64": ("arm64", "aarch64", "universal2")}


@dataclass(frozen=True)
class Wheel:
    """A wheel's file name, taken apart."""

    name: str
    version: str
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]


def parse_wheel(filename: str) -> Wheel | None:
    """Take a wheel's file name apart; None if it is none."""
    parts = filename[: -len(".whl")].split("-") if filename.endswith(".whl") else []
    if len(parts) not in (5, 6):
        return None
    name, version, (pythons, abis, platforms) = parts[0], parts[1], parts[-3:]
    return Wheel(canonical_name(name), version, *(tuple(tags.split(".")) for tags in (pythons, abis, platforms)))


def fits(wheel: Wheel, target: Target, libc: tuple[int, int] | None = None) -> bool:
    """Whether a wheel can be installed on `target`.

    Parameters
    ----------
    libc
        glibc's version on Linux; default this computer's.
    """
    major, minor = target.python
    pure = any(tag in ("py3", f"py{major}{minor}") for tag in wheel.pythons) and "none" in wheel.abis
    own = f"cp{major}{minor}" in wheel.pythons and {f"cp{major}{minor}", "abi3", "none"}.intersection(wheel.abis)
    stable = "abi3" in wheel.abis and any(_stable_for(tag, minor) for tag in wheel.pythons)
    return bool(pure or own or stable) and any(_platform_fits(tag, target, libc) for tag in wheel.platforms)


def _stable_for(tag: str, minor: int) -> bool:
    found = re.fullmatch(r"cp3(\d+)", tag)
    return bool(found) and int(found[1]) <= minor


def _platform_fits(tag: str, target: Target, libc: tuple[int, int] | None) -> bool:
    if tag == "any":
        return True
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(target.machine.lower(), target.machine.lower())
    if not any(tag.endswith(name) for name in _MACHINES.get(machine, (machine,))):
        return False
    if target.system == "Windows":
        return tag.startswith("win")
    if target.system == "Darwin":
        found = re.match(r"macosx_(\d+)_(\d+)_", tag)
        system = tuple(int(part) for part in (platform.mac_ver()[0] or "99.0").split(".")[:2])
        return bool(found) and (int(found[1]), int(found[2])) <= system
    if tag.startswith("linux_"):
        return True
    old = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
    found = re.match(r"manylinux_(\d+)_(\d+)_", tag)
    needs = (int(found[1]), int(found[2])) if found else old.get(tag.split("_")[0])
    return needs is not None and needs <= (libc or _glibc())


def _glibc() -> tuple[int, int]:
    name, version = platform.libc_ver()
    return tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" and version else (2, 17)


def missing(folder: Path, packages: Iterable[Package], target: Target, torch_requirement: str) -> list[str]:
    """Pins of `packages` for which `folder` holds nothing that fits.

    Parameters
    ----------
    torch_requirement
        ``torch==...`` of the chosen build, looked for in place of the lock's torch.
    """
    files = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
    wheels = [w for w in (parse_wheel(name) for name in files) if w is not None and fits(w, target)]
    there = {(w.name, _version(w.version)) for w in wheels}
    sources = {(canonical_name(m["name"]), _version(m["version"])) for m in map(_SOURCE.match, files) if m}
    absent = []
    for package in packages:
        pin = torch_requirement if package.name == "torch" else package.pin
        key = (package.name, _version(pin.split("==")[1]))
        public = key[1].split("+")[0]
        # A requirement without a local version is met by any, as 2.13.0 is by 2.13.0+cpu (PEP 440).
        met = key in there or ("+" not in key[1] and any(n == key[0] and v.split("+")[0] == public for n, v in there))
        if not met and not (package.sdist and key in sources):
            absent.append(pin)
    return absent


def _version(version: str) -> str:
    return re.sub(r"(\.0)+(?=\+|$)", "", version.replace("_", "."))


def sentence(absent: Sequence[str], folder: Path, target: Target) -> str:
    """What is missing, for a person."""
    python = ".".join(map(str, target.python))
    return (f"{len(absent)} packages for Python {python} on {target.system} {target.machine} are missing in {folder}: "
            f"{', '.join(absent)}.")  # fmt: skip
