"""What the names of the measures mean, by version: results of different versions are never joined in silence.

Standard library only: the run's start and the Slicer side ask it, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from .errors import ConfigError

MEASURES_VERSION = "2"
"""Changes whenever a measure's name begins to mean something else."""

CHANGES = {
    "2": "tAB is what cartilage covers or would cover in health instead of what it covers and encloses, and with it "
         "dAB, ThC_tAB and the borders of all regions on worn bone; extrusion is measured from the bony margin of the "
         "tibia instead of from the cartilage",
}
"""Version -> what it changed."""


def version_in(folder: str | Path) -> str | None:
    """The version of the measures in a finished results folder, "1" where its results.json names none; None without
    a readable one."""
    try:
        record = json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return str(record.get("measures_version", "1")) if isinstance(record, dict) else None


def changed_since(version: str) -> str:
    """One sentence on what a measure's name means now and did not in that version; "" when nothing changed."""
    if version == MEASURES_VERSION:
        return ""
    if not version.isdigit() or int(version) > int(MEASURES_VERSION):
        return f"The measures are of version {version}, which this program does not know."
    said = "; ".join(what for later, what in CHANGES.items() if int(later) > int(version))
    return f"Since version {version} of the measures, {said}."


def require_one_version(versions: Iterable[str]) -> str:
    """The one version of several results.

    Raises
    ------
    ConfigError
        If they are of several: the same name would mean different things in one table.
    """
    found = sorted(set(versions), key=lambda v: (len(v), v))
    if len(found) > 1:
        raise ConfigError(
            f"Results with measures of version {' and '.join(found)} cannot be joined: {changed_since(found[0])}",
            "Run the older knees again from their label maps (run --segmentation), then join.")
    return found[0] if found else MEASURES_VERSION
