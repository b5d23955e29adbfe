"""Whose results lie in a run folder, and giving them a folder of their own when they are another knee's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..system.atomic import replace
from .checkpoints import Manifest
from .files import stays_below

LAST = "results.json"
"""Appears last and goes first: where it is, all is."""
PRACTICE = "practice"


@dataclass(frozen=True)
class Published:
    """What lies in a run folder: whose results, and which files.

    Attributes
    ----------
    prefix : str
        Beginning of their names; "" when unknown.
    input : str
        Hash of the input they come from, `PRACTICE` for the digital knee's; "" when unknown.
    files : dict
        File name -> SHA-256, "" when unknown.
    """

    prefix: str = ""
    input: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> Published:
        """From what the step that wrote them has left."""
        options, inputs = manifest.key.get("options", {}), manifest.key.get("inputs", {})
        source = PRACTICE if manifest.key.get("practice") else inputs.get("input", "")
        return cls(options.get("prefix", ""), source,
                   {name: entry["sha256"] for name, entry in manifest.outputs.items()})

    @classmethod
    def from_dict(cls, values: object) -> Published | None:
        """From pipeline.json; None for anything else."""
        if not isinstance(values, dict) or not isinstance(values.get("files"), dict):
            return None
        return cls(str(values.get("prefix", "")), str(values.get("input", "")),
                   {str(name): str(digest) for name, digest in values["files"].items()})

    @classmethod
    def from_results(cls, values: object) -> Published | None:
        """From results.json itself, when nothing else is left; it does not say which input it comes from."""
        if not isinstance(values, dict) or not isinstance(values.get("outputs"), list):
            return None
        names = [str(output.get("path")) for output in values["outputs"] if isinstance(output, dict)]
        return cls(str(values.get("prefix", "")), "", dict.fromkeys([LAST, *names], ""))

    def set_aside(self, out: Path) -> str | None:
        """Move the files into a folder of their own, results.json first; its name, None when nothing was left of them.
        """
        there = [name for name in sorted(self.files, key=lambda name: (name != LAST, name))
                 if stays_below(name) and (out / name).is_file()]
        number = 1
        while (out / f"earlier_results_{number}").exists():
            number += 1
        folder = out / f"earlier_results_{number}"
        for name in there:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            replace(out / name, folder / name)
        return folder.name if there else None
