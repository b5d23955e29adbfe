"""Finished work, kept: each step's files in one folder with a manifest that says what they came from.

A manifest holds the step's *key* (hashes of everything that matters to the step), the hash of every file it left and
its result; its own digest shows damage. A step is skipped only when the key is the same and every byte is as it was.
Nothing is ever unpickled. A folder appears under its final name only when it is complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..system.atomic import replace
from . import faults
from .files import (
    files_below,
    fresh_folder,
    hash_file,
    hash_folder,
    hash_json,
    missing_files,
    read_json,
    remove,
    stays_below,
    write_json,
)

__all__ = ["CheckpointStore", "Manifest", "hash_folder", "missing_files"]

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What is known about one finished step.

    Attributes
    ----------
    step : str
        Name of the step.
    key : dict
        Hashes of its inputs, options, code and weights.
    outputs : dict
        File name -> {"sha256", "bytes"}.
    result : dict
        What its body returned.
    warnings : list of (code, sentence)
        What it told the person.
    record : dict
        Seconds, memory, attempts; not part of what must match.
    """

    step: str
    key: dict
    outputs: dict[str, dict]
    result: dict
    warnings: list = field(default_factory=list)
    record: dict = field(default_factory=dict)

    def content(self) -> str:
        """One hash for all that a later step can see of this one."""
        return hash_json({"outputs": {name: entry["sha256"] for name, entry in self.outputs.items()},
                          "result": self.result})

    def to_dict(self) -> dict:
        """JSON-serialisable form with its digest."""
        values: dict[str, Any] = {"v": 1, "step": self.step, "key": self.key, "outputs": self.outputs,
                                  "result": self.result, "warnings": [list(w) for w in self.warnings],
                                  "record": self.record}
        return {**values, "digest": hash_json(values)}

    @classmethod
    def from_dict(cls, values: Any) -> Manifest | None:
        """The manifest, or None when it is damaged or was written by another version."""
        if not isinstance(values, dict) or values.get("v") != 1:
            return None
        body = {key: value for key, value in values.items() if key != "digest"}
        if hash_json(body) != values.get("digest"):
            return None
        if not _is_sound(body):
            return None
        return cls(body["step"], body["key"], body["outputs"], body["result"],
                   [tuple(w) for w in body["warnings"]], body["record"])


class CheckpointStore:
    """The checkpoints of one run folder.

    Parameters
    ----------
    root : Path
        The folder ``checkpoints``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        """Where a finished step's files are."""
        return self.root / name

    def working_folder(self, name: str) -> Path:
        """An empty folder for a step that begins."""
        return fresh_folder(self.root / f".new-{name}")

    def clear_leftovers(self) -> None:
        """Remove what runs that were killed left half done."""
        for path in list(self.root.glob(".new-*")) + list(self.root.glob(".old-*")):
            with contextlib.suppress(OSError):  # one that is in use still disturbs nobody
                remove(path)

    def load(self, name: str) -> tuple[Manifest | None, bool]:
        """The manifest of a finished step; the second value tells whether there is one but damaged."""
        path = self.folder(name) / MANIFEST
        manifest = Manifest.from_dict(read_json(path))
        return manifest, manifest is None and path.exists()

    def damaged_files(self, name: str, manifest: Manifest, location: Path | None = None) -> list[str]:
        """Files of a manifest that are missing or changed, in ``location`` or the step's own folder.

        In the step's own folder a file that nobody knows is damage too (litter is not, see `is_litter`).
        """
        folder = location or self.folder(name)
        damaged = [file for file, entry in manifest.outputs.items() if not _intact(folder / file, entry)]
        if location is None and folder.is_dir():
            there = {path.relative_to(folder).as_posix() for path in files_below(folder)}
            damaged += sorted(there - manifest.outputs.keys() - {MANIFEST})
        return damaged

    def commit(self, name: str, manifest: Manifest) -> None:
        """Make a working folder the finished one, in place of an earlier one."""
        working = self.root / f".new-{name}"
        write_json(working / MANIFEST, manifest.to_dict())
        final, old = self.folder(name), self.root / f".old-{name}"
        remove(old)
        if final.exists():
            replace(final, old)
        faults.hit(f"commit:{manifest.step}")
        replace(working, final)
        with contextlib.suppress(OSError):  # the step is done; what is left of the old one goes with the next commit
            remove(old)

    def forget(self, name: str) -> None:
        """Remove a finished step's manifest, and with it its being finished."""
        (self.folder(name) / MANIFEST).unlink(missing_ok=True)


def _is_sound(body: Mapping[str, Any]) -> bool:
    """Whether everything in a manifest is of its kind and no name leads out of the folder.

    The digest tells damage only. Whoever hands over a run folder can make another one to go with names of their choice,
    and published files are moved, replaced and removed by these names.
    """
    warnings, outputs = body.get("warnings"), body.get("outputs")
    return (isinstance(body.get("step"), str) and isinstance(outputs, dict) and isinstance(warnings, list)
            and all(isinstance(body.get(part), dict) for part in ("key", "result", "record"))
            and all(isinstance(body["key"].get(part, {}), dict) for part in ("options", "inputs", "reads"))
            and all(isinstance(w, list) and len(w) == 2 and all(isinstance(t, str) for t in w) for w in warnings)
            and all(stays_below(name) and isinstance(entry, dict) and isinstance(entry.get("sha256"), str)
                    and isinstance(entry.get("bytes"), int) for name, entry in outputs.items()))


def _intact(path: Path, entry: Mapping[str, Any]) -> bool:
    try:
        return path.stat().st_size == entry["bytes"] and hash_file(path) == entry["sha256"]
    except OSError:
        return False
