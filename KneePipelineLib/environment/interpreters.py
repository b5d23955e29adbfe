"""Which Python the private environment is made from.

Order: the one that was asked for; a found CPython 3.11, then 3.12, 3.13; never Slicer's own, whose libraries and
launcher do not survive outside Slicer. If there is none, :mod:`.bootstrap` fetches one.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .child import child_environment, is_below, native_launcher

_QUESTIONS = r"""
import json, os, platform, sys, sysconfig
from importlib.util import find_spec
def has(name):
    try:
        return find_spec(name) is not None
    except Exception:
        return False
slicer = find_spec("slicer")
places = list(slicer.submodule_search_locations or []) + [slicer.origin or ""] if slicer else []
print(json.dumps({
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "version": list(sys.version_info[:3]),
    "implementation": platform.python_implementation(),
    "bits": 64 if sys.maxsize > 2**32 else 32,
    "machine": platform.machine(),
    "base_prefix": sys.base_prefix,
    "slicer_package": any(p and "site-packages" not in p and "dist-packages" not in p for p in places),
    "missing": [m for m in ("ctypes", "ssl", "zlib") if not has("_ctypes" if m == "ctypes" else m)],
    "ensurepip": has("ensurepip") and has("venv"),
    "pip": has("pip"),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """What a Python told about itself. `executable` is the real one behind links, shims and virtual environments."""

    executable: Path
    version: tuple[int, int, int]
    implementation: str
    bits: int
    machine: str
    base_prefix: str
    slicer_package: bool
    missing: tuple[str, ...]
    ensurepip: bool
    pip: bool
    free_threaded: bool

    @property
    def short(self) -> tuple[int, int]:
        """Major and minor version."""
        return self.version[:2]

    def describe(self) -> str:
        """For example ``Python 3.11.7``, with its place."""
        return f"Python {'.'.join(map(str, self.version))} ({self.executable})"


def ask(command: Sequence[str], environ: Mapping[str, str] | None = None, timeout_s: float = 30) -> Interpreter | None:
    """Start an interpreter and let it describe itself; None if it does not start or does not answer."""
    try:
        answer = subprocess.run(
            [*native_launcher(), *command, "-I", "-c", _QUESTIONS], capture_output=True, text=True, encoding="utf-8",
            errors="replace", timeout=timeout_s, env=child_environment(environ), check=False,
        )  # fmt: skip
        told = json.loads(answer.stdout.strip().splitlines()[-1])
        told["executable"] = Path(told["executable"])
        told["version"], told["missing"] = tuple(told["version"]), tuple(told["missing"])
        return Interpreter(**told)
    except (OSError, ValueError, IndexError, KeyError, TypeError, subprocess.TimeoutExpired):
        return None


def is_slicers(interpreter: Interpreter, environ: Mapping[str, str] | None = None) -> bool:
    """Whether an interpreter belongs to a 3D Slicer installation."""
    environ = os.environ if environ is None else environ
    if "pythonslicer" in interpreter.executable.name.lower() or interpreter.slicer_package:
        return True
    slicer_home = environ.get("SLICER_HOME")
    if slicer_home and is_below(interpreter.base_prefix, slicer_home):
        return True
    return any(_is_slicer_folder(part) for part in Path(interpreter.base_prefix).parts)


def _is_slicer_folder(name: str) -> bool:
    # Slicer, Slicer.app, Slicer-5.10.0-linux-amd64, "Slicer 5.10.0"; not SlicerKneePipeline, somebody's clone of this.
    rest = name[6:].lower() if name.lower().startswith("slicer") else None
    return rest is not None and (rest in ("", ".app") or rest.lstrip(" -_")[:1].isdigit())


def objection(
    interpreter: Interpreter, pythons: Sequence[tuple[int, int]], environ: Mapping[str, str] | None = None,
    system: str | None = None,
) -> str:  # fmt: skip
    """Why an interpreter cannot be the base, as the end of a sentence; empty if it can."""
    allowed = ", ".join(f"{major}.{minor}" for major, minor in sorted(pythons))
    if is_slicers(interpreter, environ):
        return "it is 3D Slicer's own Python, which must stay as it is"
    if interpreter.implementation != "CPython":
        return f"it is {interpreter.implementation}, and CPython is needed"
    if interpreter.short not in pythons:
        return f"it is Python {interpreter.short[0]}.{interpreter.short[1]}, and {allowed} are possible"
    if interpreter.bits != 64:
        return "it is a 32-bit Python, and a 64-bit one is needed"
    if interpreter.free_threaded:
        return "it is a free-threaded build, for which most packages have no wheels"
    if interpreter.missing:
        return f"it was built without {', '.join(interpreter.missing)}"
    if (system or platform.system()) == "Darwin" and interpreter.machine != "arm64":
        return "it runs as an Intel program, and torch no longer exists for Intel Macs"
    return ""


def find(
    pythons: Sequence[tuple[int, int]], wanted: str | None = None, environ: Mapping[str, str] | None = None,
    extra_folders: Iterable[Path] = (),
) -> Interpreter | None:  # fmt: skip
    """The base interpreter by the order above.

    Parameters
    ----------
    pythons
        Acceptable (major, minor), the preferred first.
    wanted
        What ``--python`` named: a path, a command on PATH or a virtual environment's folder.
    environ
        Stand-in for ``os.environ``.
    extra_folders
        Further folders with one Python installation in each subfolder.

    Returns
    -------
    Interpreter or None
        None if nothing suitable was found.

    Raises
    ------
    ConfigError
        When `wanted` does not start or is not suitable.
    """
    environ = os.environ if environ is None else environ
    if wanted:
        return _wanted(wanted, pythons, environ)
    asked: dict[tuple[str, ...], Interpreter | None] = {}

    def answer(command: tuple[str, ...]) -> Interpreter | None:
        if command not in asked:
            asked[command] = ask(command, environ)
        return asked[command]

    for version in pythons:
        for command in candidates(version, environ, extra_folders):
            found = answer(command)
            if found is not None and found.short == version and not objection(found, pythons, environ):
                return found
    return None


def _wanted(wanted: str, pythons: Sequence[tuple[int, int]], environ: Mapping[str, str]) -> Interpreter:
    path = os.path.expanduser(wanted)
    if os.path.isdir(path):
        inner = ("python.exe", "Scripts/python.exe") if os.name == "nt" else ("bin/python3", "bin/python")
        path = next((os.path.join(path, i) for i in inner if os.path.isfile(os.path.join(path, i))), path)
    path = shutil.which(path, path=environ.get("PATH")) or path
    found = ask((path,), environ)
    if found is None:
        raise ConfigError(f"--python {wanted} does not start as a Python.", "Name a python executable, 3.11 is best.")
    why = "it is 3D Slicer's own Python, which must stay as it is" if "pythonslicer" in os.path.basename(path).lower() \
        else objection(found, pythons, environ)  # fmt: skip
    if why:
        raise ConfigError(f"--python {wanted} cannot be used: {why}.", "Name another one; CPython 3.11 is best.")
    return found


def candidates(
    version: tuple[int, int], environ: Mapping[str, str], extra_folders: Iterable[Path] = ()
) -> Iterator[tuple[str, ...]]:
    """Commands that may start CPython `version`: named ones first, then those whose version only asking tells."""
    dotted = f"{version[0]}.{version[1]}"
    search = environ.get("PATH")
    executable = "python.exe" if os.name == "nt" else f"bin/python{dotted}"
    if os.name == "nt":
        launcher = shutil.which("py", path=search)
        if launcher:
            yield (launcher, f"-{dotted}")
    else:
        named = shutil.which(f"python{dotted}", path=search)
        if named:
            yield (named,)
    for folder in (*extra_folders, *_installation_folders(environ)):
        for installation in _newest_first(folder, dotted):
            if (installation / executable).is_file():
                yield (str(installation / executable),)
    if platform.system() == "Darwin":
        framework = Path("/Library/Frameworks/Python.framework/Versions") / dotted / executable
        if framework.is_file():
            yield (str(framework),)
    for name in ("python3", "python"):
        generic = shutil.which(name, path=search)
        if generic:
            yield (generic,)
    if sys.executable:
        yield (sys.executable,)


def _installation_folders(environ: Mapping[str, str]) -> list[Path]:
    """Where pyenv and uv keep their interpreters."""
    user = Path(os.path.expanduser("~"))
    folders = [Path(environ.get("PYENV_ROOT") or user / ".pyenv") / "versions"]
    if environ.get("UV_PYTHON_INSTALL_DIR"):
        folders.append(Path(environ["UV_PYTHON_INSTALL_DIR"]))
    if os.name == "nt":
        folders.append(Path(environ.get("APPDATA") or user / "AppData" / "Roaming") / "uv" / "python")
        folders.append(Path(environ.get("LOCALAPPDATA") or user / "AppData" / "Local") / "Programs" / "Python")
    else:
        folders.append(Path(environ.get("XDG_DATA_HOME") or user / ".local" / "share") / "uv" / "python")
    return folders


def _newest_first(folder: Path, dotted: str) -> list[Path]:
    """Installations of one version: ``3.11.7``, ``cpython-3.11.9-linux-x86_64-gnu``, ``Python311``."""
    compact = dotted.replace(".", "")
    try:
        names = [p for p in folder.iterdir() if f"{dotted}." in p.name or p.name in (dotted, f"Python{compact}")]
    except OSError:
        return []
    return sorted(names, key=lambda p: [int(part) for part in p.name.split("-")[1 if "-" in p.name else 0].split(".")
                                        if part.isdigit()], reverse=True)  # fmt: skip
