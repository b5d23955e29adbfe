"""Find uv, or fetch it, and with it a Python where the computer has none that suits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from . import reaching
from .child import child_environment
from .interpreters import Interpreter, ask
from .lockfile import Lock
from .pip_configuration import pip_environment, read_pip_configuration
from .places import home
from .problems import SetupError

_OLDEST_UV = (0, 4, 0)
_ASTRAL = "https://github.com/astral-sh/python-build-standalone/releases/download"


def bootstrap_dir() -> Path:
    """Folder for uv and the Python it fetched."""
    return home() / "bootstrap"


def uv_version(uv: str | Path) -> tuple[int, ...] | None:
    """Version of a uv that starts, else None."""
    try:
        answer = subprocess.run([str(uv), "--version"], capture_output=True, text=True, timeout=60, check=False)
        return tuple(int(part) for part in answer.stdout.split()[1].split(".")[:3])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return None


def find_uv(environ: Mapping[str, str] | None = None) -> Path | None:
    """uv on PATH, or the one fetched earlier; too old ones (below 0.4) do not count."""
    environ = os.environ if environ is None else environ
    name = "uv.exe" if os.name == "nt" else "uv"
    for place in (shutil.which("uv", path=environ.get("PATH")), bootstrap_dir() / "uv" / "bin" / name):
        if place and Path(place).is_file() and (uv_version(place) or (0,)) >= _OLDEST_UV:
            return Path(place)
    return None


def fetch_uv(lock: Lock, python: str | None = None) -> Path:
    """Install the locked uv with pip into a folder of its own; no Python installation is changed.

    Parameters
    ----------
    python
        Interpreter whose pip does it; default the running one.

    Raises
    ------
    SetupError
        When there is no pip, or it fails.
    """
    python = python or sys.executable
    target = bootstrap_dir() / "uv"
    target.mkdir(parents=True, exist_ok=True)
    environ = pip_environment(os.environ)
    command = [python, *_pip_of(python, environ, target), "install", "--no-deps", "--only-binary", ":all:", "--upgrade",
               "--target", str(target), f"uv=={lock.bootstrap['uv']}"]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environ, cwd=target,
                            check=False)
    found = find_uv({"PATH": ""})
    if answer.returncode != 0 or found is None:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        unreached = reaching.why_not(read_pip_configuration(), answer.stderr)
        raise SetupError(
            f"uv could not be installed with pip: {unreached or last}",
            "Install Python 3.11 (python.org or your system's package manager) and run setup again.",
        )
    return found


def _pip_of(python: str, environ: dict[str, str], folder: Path) -> list[str]:
    """Arguments that start pip: the installed one, else the wheel that ensurepip carries (put on PYTHONPATH).

    Asked, and to be started, in a `folder` of our own: Python looks for modules where it is started, and in the
    person's folder there may be a pip.py or a json.py.
    """
    have = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, env=environ, cwd=folder, check=False)
    if have.returncode == 0:
        return ["-m", "pip"]
    where = ("import ensurepip, pathlib; "
             "print(next(pathlib.Path(ensurepip.__file__).parent.glob('_bundled/pip-*.whl')))")  # fmt: skip
    bundled = subprocess.run([python, "-c", where], capture_output=True, text=True, env=environ, cwd=folder,
                             check=False)
    if bundled.returncode == 0:
        environ["PYTHONPATH"] = bundled.stdout.strip()
        return ["-m", "pip"]
    raise SetupError(
        "No suitable Python (CPython 3.11 to 3.13) was found, and this one has no pip to fetch it with.",
        "Install Python 3.11 with its venv module (on Debian or Ubuntu: apt install python3 python3-venv python3-pip), "
        "or name one with setup --python EXE.",
    )


def install_python(
    lock: Lock, report: Callable[[str], None], agree: Callable[[str], bool], uv: Path | None = None
) -> Interpreter:
    """Fetch CPython with ``uv python install`` into :func:`bootstrap_dir`, after asking.

    Parameters
    ----------
    report
        Told what happens, in sentences.
    agree
        Asked one question that names host, size and folder; False ends it.
    uv
        The uv to use; None fetches it first.

    Raises
    ------
    SetupError
        When the person declines, or uv fails.
    """
    version = ".".join(map(str, lock.pythons[0]))
    folder = bootstrap_dir() / "python"
    environ = child_environment()
    environ.update(UV_PYTHON_INSTALL_DIR=str(folder), UV_PYTHON_INSTALL_BIN="0", UV_PYTHON_INSTALL_REGISTRY="0",
                   UV_NO_PROGRESS="1", **read_pip_configuration().uv_environment())  # fmt: skip
    host = python_host(uv, version, environ)
    question = (
        f"No suitable Python was found. Download Python {version} from {host} "
        f"(about {lock.bootstrap['python_download_mb']} MB, {lock.bootstrap['python_installed_mb']} MB on disk) into "
        f"{folder}?"
    )
    if uv is None:
        question = question[:-1] + ", with uv, which pip fetches first (about 25 MB)?"
    if not agree(question):
        raise SetupError(
            "No suitable Python (CPython 3.11 to 3.13, not 3D Slicer's own) was found, and none was downloaded.",
            "Run setup --yes to allow the download, or name an interpreter with setup --python EXE.",
        )
    if uv is None:
        report("Fetching uv.")
        uv = fetch_uv(lock)
    report(f"Fetching Python {version} from {host}.")
    answer = _run_uv(uv, ["python", "install", version], environ)
    if answer.returncode != 0:
        last = " ".join(answer.stderr.strip().splitlines()[-3:])
        raise SetupError(f"Python {version} could not be fetched: {last[:500]}",
                         "Check the network, or name an interpreter with setup --python EXE.")  # fmt: skip
    found = installed_python(uv, version, environ)
    if found is None:
        raise SetupError(f"The Python {version} that uv fetched does not start.", "Run setup --python EXE.")
    return found


def installed_python(uv: Path, version: str, environ: Mapping[str, str]) -> Interpreter | None:
    """The Python that uv keeps in its installation folder."""
    answer = _run_uv(uv, ["python", "find", "--managed-python", "--no-project", version], environ)
    place = answer.stdout.strip()
    return ask((os.path.realpath(place),)) if answer.returncode == 0 and place else None


def python_host(uv: Path | None, version: str, environ: Mapping[str, str]) -> str:
    """Host that ``uv python install`` will download from: a configured mirror, else what uv says."""
    mirror = environ.get("UV_PYTHON_INSTALL_MIRROR")
    address = mirror or _ASTRAL
    if not mirror and uv is not None:
        answer = _run_uv(uv, ["python", "list", version, "--only-downloads", "--output-format", "json"], environ)
        try:
            address = next(entry["url"] for entry in json.loads(answer.stdout) if entry.get("url"))
        except (ValueError, StopIteration, KeyError, TypeError):
            address = _ASTRAL
    return urlsplit(address).hostname or address


def _run_uv(uv: Path, arguments: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run([str(uv), *arguments], capture_output=True, text=True, errors="replace", env=dict(environ),
                          check=False)  # fmt: skip
