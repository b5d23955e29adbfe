"""How a process of the private environment is started: its command line and clean variables.

No PYTHON* variable survives, nothing of Slicer's own libraries is on a search path; proxies and certificates pass
through.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGE_PARENT = Path(__file__).resolve().parents[2]
STATE_NAME = "kneepipeline.json"
IN_USE_NAME = "in-use"
_SEARCH_PATHS = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "QT_PLUGIN_PATH")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
"""Slicer's launcher puts its own bundle here, in which a hospital's authority is missing; that one is not passed on."""
_NOISE = ("VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")


def inside(extras: Sequence[str] = (), prefix: str | None = None) -> bool:
    """Whether this very process runs in a private environment that has the groups `extras`.

    One small file is looked at, nothing more. The interpreter named by ``KNEEPIPELINE_PYTHON`` counts as one: whoever
    names it answers for what is in it.
    """
    if prefix is None and _same_file(os.environ.get("KNEEPIPELINE_PYTHON"), sys.executable):
        return True
    try:
        with open(os.path.join(prefix or sys.prefix, STATE_NAME), encoding="utf-8") as stream:
            return set(extras) <= set(json.load(stream)["groups"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _same_file(left: str | None, right: str | None) -> bool:
    # Compared without following links: a virtual environment's python is a link to the one it was made from.
    return bool(left and right) and os.path.abspath(left) == os.path.abspath(right)


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables for a process of the private environment.

    Parameters
    ----------
    environ
        Stand-in for ``os.environ``, which is never changed.
    """
    environ = dict(os.environ if environ is None else environ)
    cleaned = {
        name: value for name, value in environ.items() if not name.upper().startswith("PYTHON") and name not in _NOISE
    }
    slicer_home = environ.get("SLICER_HOME", "")
    if slicer_home:
        for name in _SEARCH_PATHS:
            if name in cleaned:
                kept = [part for part in cleaned[name].split(os.pathsep) if part and not is_below(part, slicer_home)]
                cleaned[name] = os.pathsep.join(kept)
                if not kept:
                    del cleaned[name]
        for name in CERTIFICATES:
            if is_below(cleaned.get(name, ""), slicer_home):
                del cleaned[name]
        del cleaned["SLICER_HOME"]
    cleaned.update(
        PYTHONPATH=str(PACKAGE_PARENT),
        PYTHONUTF8="1",
        PYTHONNOUSERSITE="1",
        KERAS_BACKEND="torch",
        NO_ET="1",
        NIPYPE_NO_ET="1",
    )
    return cleaned


def is_below(path: str, folder: str) -> bool:
    """Whether a path is `folder` or lies in it; an empty path lies nowhere."""
    if not path:
        return False
    path, folder = os.path.normcase(os.path.abspath(path)), os.path.normcase(os.path.abspath(folder))
    return path == folder or path.startswith(folder + os.sep)


def command(python: Path | str, argv: Sequence[str]) -> list[str]:
    """Command line of ``KneePipelineLib ARGV`` under `python`, whose current folder never shadows a package."""
    return [*native_launcher(), str(python), "-P", "-m", "KneePipelineLib", *argv]


def native_launcher() -> list[str]:
    """On an Apple Silicon Mac whose Slicer runs under Rosetta: what makes a child run natively; otherwise nothing."""
    if platform.system() != "Darwin" or platform.machine() == "arm64":
        return []
    answer = subprocess.run(
        ["/usr/sbin/sysctl", "-n", "sysctl.proc_translated"], capture_output=True, text=True, check=False
    )
    return ["/usr/bin/arch", "-arm64"] if answer.stdout.strip() == "1" else []
