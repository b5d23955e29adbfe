"""Make and check the lock: ``python -m KneePipelineLib.environment lock|check|requirements``.

``lock`` works out which packages each group of requirements.json needs, from their own metadata, less those listed
there as pruned, each with its reason. Versions that are already locked stay unless ``--upgrade`` is given.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from . import bootstrap, offline
from .generations import site_packages
from .lockfile import LOCK_FILE, Lock, Target, canonical_name, complaints, read_lock
from .pip_configuration import read_pip_configuration
from .problems import SetupError
from .setting_up import private_python

REQUIREMENTS_FILE = Path(__file__).with_name("requirements.json")


def main(argv: list[str] | None = None) -> int:
    """Run one maintenance command."""
    parser = argparse.ArgumentParser(prog="python -m KneePipelineLib.environment", description="Keep the lock.")
    commands = parser.add_subparsers(dest="command", required=True)
    lock = commands.add_parser("lock", help="work out lock.json from requirements.json (needs uv and a network)")
    lock.add_argument("--upgrade", action="store_true", help="take the newest versions instead of the locked ones")
    check = commands.add_parser("check", help="is every pin there as a wheel for these Pythons?")
    check.add_argument("--python-version", nargs="*", metavar="X.Y", help="default: all")
    check.add_argument("--platform", nargs="*", default=["linux", "windows", "macos"], help="uv's platform names")
    listing = commands.add_parser("requirements", help="print the pins, for pip download --no-deps -r (offline folder)")
    listing.add_argument("--python-version", default="3.11")
    listing.add_argument("--torch", default="cpu", metavar="BUILD")
    listing.add_argument("--extras", nargs="*", default=[])
    args = parser.parse_args(argv)
    if args.command == "lock":
        return make_lock(args.upgrade)
    if args.command == "check":
        return check_lock(args.python_version, args.platform)
    print("\n".join(requirements(read_lock(), args.python_version, args.torch, args.extras)))
    return 0


def requirements(lock: Lock, python_version: str, torch: str, extras: Iterable[str]) -> list[str]:
    """All pins for this system, as lines of a requirements file."""
    from .torch_build import choose

    target = Target(python=_version(python_version))
    groups = [*lock.default_groups(), *lock.build_group(torch, target), *extras]
    choice = choose(torch, lock, target)
    pins = [choice.requirement if p.name == "torch" else p.pin for p in lock.select(groups, target)]
    return ([f"--extra-index-url {choice.index}"] if choice.index else []) + pins


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def make_lock(upgrade: bool) -> int:
    """Write lock.json; versions come from the configured index."""
    wanted = json.loads(REQUIREMENTS_FILE.read_text(encoding="utf-8"))
    uv = _uv()
    kept = {} if upgrade or not LOCK_FILE.exists() else {p.name: p.version for p in read_lock().packages}
    closures = {name: _closure(uv, name, wanted, kept) for name in wanted["groups"]}
    core = closures["core"]
    entries: dict[str, dict] = {}
    for group, versions in closures.items():
        for name, version in versions.items():
            if group != "core" and name in core:
                continue
            entry = entries.setdefault(name, {"name": name, "version": version, "groups": []})
            if entry["version"] != version:
                raise SetupError(f"{name} is {entry['version']} in one group and {version} in {group}.")
            entry["groups"].append(group)
    for name, entry in entries.items():
        if not _has_wheel(uv, name, entry["version"]):
            entry["sdist"] = True
    for name, when in wanted["when"].items():
        entries[name]["when"] = when
    packages = [*entries.values(), *wanted["pins"]]
    content = {
        "about": "Written by python -m KneePipelineLib.environment lock from requirements.json; not edited by hand.",
        "python": wanted["python"],
        "bootstrap": wanted["bootstrap"],
        "torch": wanted["torch"],
        "groups": {name: {k: v for k, v in group.items() if k != "roots"} for name, group in wanted["groups"].items()},
        "packages": sorted(packages, key=lambda entry: entry["name"]),
    }
    LOCK_FILE.write_text(dump(content), encoding="utf-8")
    lock = read_lock()
    for sentence in complaints(lock):
        print(sentence, file=sys.stderr)
    print(f"{len(lock.packages)} packages in {LOCK_FILE.name}")
    return 1 if complaints(lock) else 0


def dump(content: Mapping) -> str:
    """lock.json as text: one package a line, so that a change shows as one line."""
    text = json.dumps({**content, "packages": []}, indent=1, ensure_ascii=False)
    lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in content["packages"])
    return text.replace('"packages": []', f'"packages": [\n{lines}\n ]') + "\n"


def _closure(uv: Path, group: str, wanted: Mapping, kept: Mapping[str, str]) -> dict[str, str]:
    """Every package that `group` (on top of core) needs, by metadata, less the pruned ones."""
    roots = list(wanted["groups"][group]["roots"])
    if group != "core":
        roots += wanted["groups"]["core"]["roots"]
    roots = [f"torch=={wanted['torch']['version']}" if root == "torch" else root for root in roots]
    own = {canonical_name(root.split("==")[0].split("[")[0].split(">")[0]) for root in wanted["groups"][group]["roots"]}
    never = [f"{name}; sys_platform == 'never'" for name in wanted["pruned"] if canonical_name(name) not in own]
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "roots": roots,
            "overrides": [*never, "numpy>=2", "pymeshfix<0.18"],
            "constraints": [f"{name}=={version}" for name, version in kept.items()],
        }
        for name, lines in files.items():
            (Path(folder) / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        configuration = read_pip_configuration()
        sources = [a for url in configuration.extra_index_urls for a in ("--index", url)]
        if configuration.index_url:
            sources += ["--default-index", configuration.index_url]
        answer = subprocess.run(
            [str(uv), "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate",
             "--python-version", wanted["python"][0], "--index-strategy", "unsafe-best-match", *sources,
             "--override", str(Path(folder) / "overrides"), "--constraint", str(Path(folder) / "constraints"),
             str(Path(folder) / "roots")],
            capture_output=True, text=True, env={**os.environ, **configuration.uv_environment()}, check=False,
        )  # fmt: skip
    if answer.returncode != 0:
        raise SetupError(f"The group {group} cannot be resolved: {answer.stderr.strip()}")
    pins = (line.split(";")[0].split("==") for line in answer.stdout.splitlines() if "==" in line)
    return {canonical_name(name.split("[")[0].strip()): version.strip().split("+")[0] for name, version in pins}


def _has_wheel(uv: Path, name: str, version: str) -> bool:
    return _dry_run(uv, [f"{name}=={version}"], "3.11", "x86_64-manylinux_2_40") == ""


def _dry_run(uv: Path, pins: list[str], python_version: str, system: str) -> str:
    """Ask uv whether `pins` exist as wheels; its complaint, or nothing."""
    configuration = read_pip_configuration()
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "pins.txt"
        listing.write_text("\n".join(pins) + "\n", encoding="utf-8")
        answer = subprocess.run(
            [str(uv), "pip", "install", "--dry-run", "--no-deps", "--only-binary", ":all:", "--no-config",
             "--target", str(Path(folder) / "nowhere"), "--python-version", python_version, "--python-platform", system,
             *configuration.uv_arguments(), "-r", str(listing)],
            capture_output=True, text=True, check=False,
            env={**os.environ, **configuration.uv_environment(), "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        )  # fmt: skip
    return "" if answer.returncode == 0 else answer.stderr.strip()


def unresolvable(lock: Lock, python_version: str, system: str) -> str:
    """Why the pins of all groups do not resolve for a Python and system; empty if they do.

    Parameters
    ----------
    system
        ``linux``, ``windows`` or ``macos``.
    """
    names = {"linux": ("Linux", "x86_64"), "windows": ("Windows", "x86_64"), "macos": ("Darwin", "arm64")}
    target = Target(_version(python_version), *names[system])
    groups = [name for name, group in lock.groups.items() if target.fits(group.when)]
    product = {p.name for p in lock.select([g for g in groups if not lock.groups[g].extra], target)}
    uv, problems = _uv(), []
    for of_product in (True, False):
        pins = [p.pin for p in lock.select(groups, target) if not p.sdist and (p.name in product) == of_product]
        # The product runs on every Linux since glibc 2.28; the test extras (PySide6) ask for a newer one.
        linux = "x86_64-manylinux_2_28" if of_product else "x86_64-manylinux_2_40"
        platform = {"macos": "aarch64-apple-darwin", "linux": linux}.get(system, system)
        problems.append(_dry_run(uv, pins, python_version, platform))
    return " ".join(filter(None, problems))


def check_lock(versions: list[str] | None, systems: list[str]) -> int:
    """Check the lock's form, and that its pins exist as wheels."""
    lock = read_lock()
    found = complaints(lock)
    for version in versions or [".".join(map(str, python)) for python in lock.pythons]:
        for system in systems:
            problem = unresolvable(lock, version, system)
            print(f"Python {version} on {system}: {'no: ' + problem if problem else 'every pin is there'}")
            found += [problem] if problem else []
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


def group_sizes(python: Path | None = None) -> dict[str, float]:
    """Megabytes on disk of each group, and of torch, in an environment that exists."""
    python = python or private_python()
    if python is None:
        raise SetupError("There is no private environment to measure.")
    site = site_packages(python.parent.parent)
    owner = {p.name: p.groups[0] for p in read_lock().packages}
    sizes: dict[str, float] = {}
    for folder in site.glob("*.dist-info"):
        name = canonical_name(folder.name[: -len(".dist-info")].rpartition("-")[0])
        with open(folder / "RECORD", encoding="utf-8", newline="") as stream:
            size = sum(int(row[2]) for row in csv.reader(stream) if len(row) == 3 and row[2].isdigit())
        key = "torch" if name == "torch" else owner.get(name, "other")
        sizes[key] = sizes.get(key, 0) + size / 1e6
    return sizes


def _uv() -> Path:
    uv = bootstrap.find_uv()
    if uv is None:
        raise SetupError("uv is needed for this and is not installed.", "Install uv.")
    return uv


__all__ = ["check_lock", "dump", "group_sizes", "main", "make_lock", "offline", "requirements", "unresolvable"]
