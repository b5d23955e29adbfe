"""The environment for the second version of Slicer's engine: found, or made once and kept beside the private one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements-5.13.txt")


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def find() -> Path | None:
    """The interpreter named by KNEEPIPELINE_SLICER_NEXT, or the one made before for these requirements."""
    named = os.environ.get("KNEEPIPELINE_SLICER_NEXT")
    if named:
        return Path(named)
    made = python_of(_folder())
    return made if made.exists() and (_folder() / "complete").exists() else None


def make(timeout_s: float = 900) -> Path:
    """Make the environment with uv where it is there, else with venv and pip; returns its interpreter.

    Raises:
        subprocess.CalledProcessError: the packages cannot be had; its output says why.
    """
    folder = _folder()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = _find_uv()
    python = python_of(folder)
    if uv is not None:
        steps = [
            [uv, "venv", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--python", str(python), "-r", str(REQUIREMENTS)],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)],
        ]
    for step in steps:
        subprocess.run(step, check=True, timeout=timeout_s, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    (folder / "complete").touch()
    return python


def _folder() -> Path:
    """Named by the requirements and the Python, so that a change of either makes a new one."""
    from KneePipelineLib.environment import home

    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.split()[0].encode()).hexdigest()[:12]
    return Path(home()) / f"slicer-next-{key}"


def _find_uv() -> str | None:
    from KneePipelineLib.environment import home

    name = "uv.exe" if os.name == "nt" else "uv"
    places = (Path(sys.executable).parent / name, Path(home()) / "bootstrap" / "bin" / name)
    return next((str(place) for place in places if place.exists()), None) or shutil.which("uv")
