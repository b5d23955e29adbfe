"""Where things live: the home of everything downloaded or installed, and the environment's folder inside it.

``KNEEPIPELINE_HOME`` overrides the platform's rule. Windows gets a short name, because packages such as torch hold
files whose relative paths come near 200 characters while many Windows programs stop at 260.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigError
from ..system.atomic import write_json
from .problems import SetupError

WINDOWS_PATH_LIMIT = 60
POINTER_NAME = "environment.json"


def home(environ: Mapping[str, str] | None = None, system: str | None = None) -> Path:
    """Folder that holds the private environment, model weights and caches (not created here).

    Parameters
    ----------
    environ, system
        Stand-ins for ``os.environ`` and ``platform.system()``.

    Returns
    -------
    Path
        ``KNEEPIPELINE_HOME`` if set; otherwise ``%LOCALAPPDATA%\\KneePipe`` (Windows),
        ``~/Library/Application Support/KneePipeline`` (macOS), ``$XDG_DATA_HOME/KneePipeline`` or
        ``~/.local/share/KneePipeline`` (elsewhere).
    """
    environ = os.environ if environ is None else environ
    system = system or platform.system()
    chosen = environ.get("KNEEPIPELINE_HOME", "").strip()
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    if system == "Windows":
        local = environ.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), "AppData", "Local")
        return Path(local) / "KneePipe"
    if system == "Darwin":
        return Path(os.path.expanduser("~")) / "Library" / "Application Support" / "KneePipeline"
    data = environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return Path(data) / "KneePipeline"


def environment_dir() -> Path:
    """Folder of the private environment: the one remembered from ``setup --env DIR``, else ``home()/env``."""
    try:
        folder = json.loads((home() / POINTER_NAME).read_text(encoding="utf-8"))["folder"]
        return Path(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return home() / "env"


def remember_environment_dir(folder: Path) -> None:
    """Make `folder` the one that :func:`environment_dir` answers from now on."""
    if folder == home() / "env":
        forget_environment_dir()
        return
    home().mkdir(parents=True, exist_ok=True)
    write_json(home() / POINTER_NAME, {"folder": str(folder)})


def forget_environment_dir() -> None:
    """Go back to the default folder."""
    (home() / POINTER_NAME).unlink(missing_ok=True)


def check_path_length(folder: Path | str, system: str | None = None) -> None:
    """Refuse a folder that is too long for Windows.

    Raises
    ------
    ConfigError
        On Windows, when `folder` (a generation of the environment) has 60 characters or more.
    """
    if (system or platform.system()) == "Windows" and len(str(folder)) >= WINDOWS_PATH_LIMIT:
        raise ConfigError(
            f"The environment's folder has {len(str(folder))} characters, and Windows needs fewer than "
            f"{WINDOWS_PATH_LIMIT}: {folder}",
            "Choose a shorter one, for example: setup --env C:\\KneePipe",
        )


def free_bytes(folder: Path) -> int:
    """Free space on the disk that holds `folder`, which need not exist yet."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return shutil.disk_usage(existing).free


def check_space(folder: Path, needed_mb: float, free: int | None = None) -> None:
    """Refuse to begin what cannot be finished.

    Raises
    ------
    SetupError
        When the disk of `folder` has less than `needed_mb` megabytes free.
    """
    free_mb = (free_bytes(folder) if free is None else free) / 1e6
    if free_mb < needed_mb:
        raise SetupError(
            f"The disk of {folder} has {gigabytes(free_mb)} free, and about {gigabytes(needed_mb)} are needed.",
            "Free some space, or choose another disk with setup --env DIR.",
        )


def gigabytes(megabytes: float) -> str:
    """A size for people, such as ``'2.3 GB'`` or ``'40 MB'``."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{max(megabytes, 1):.0f} MB"
