"""Taking what could identify a person out of everything that a run says, wherever the words come from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from ..job import LABEL_SCHEMES, JobOptions

HIDDEN = "<path>"
SURE_LENGTH = 7
"""A name of this length is replaced wherever it stands, a shorter one only as a word of its own."""
PATIENT_DIGITS = 5
EVERYDAY = frozenset((
    "knee", "knees", "image", "images", "input", "output", "out", "data", "labels", "label", "mask", "dicom",
    "dcm", "scan", "scans", "series", "echo", "echoes", "left", "right", "femur", "tibia", "patella", "cartilage",
    "meniscus", "menisci", "bone", "bones", "segmentation", "segmentations", "thickness", "surface", "surfaces",
    "results", "result", "analysis", "case", "cases", "file", "files", "model", "models", "run", "runs", "tmp", "temp",
    "home", "work", "user", "truth", "scheme", "config", "weights", "test", "tests", "study", "studies", "baseline",
    "patient", "patients", "subject", "subjects", "nrrd", "nii", "gz", "mha", "mhd", "json", "seg",
))
"""Names that say nothing about anybody and would blot out ordinary words."""

_ABSOLUTE = re.compile(r"""(?<![\w.<>/\\:])(?:file://|[A-Za-z]:[\\/]|\\\\|/(?=[^\s/]+/))[^\s'"<>|,;:()]*""")
_IMAGE_FILE = re.compile(r"[^\s'\"(<>]+\.(?:dcm|ima|nii(?:\.gz)?|nrrd|mha|mhd)\b", re.IGNORECASE)


class Scrubber:
    """Replaces the paths that were given, their names and the home folder.

    Our own sentences hold no name of a file or folder, so in those only whole paths and file names with an ending are
    looked for: a folder that happens to be called like a word of theirs must not change what a run says, and with it
    its results. In foreign text every part of a path goes.

    Parameters
    ----------
    paths : iterable of str or None
    """

    def __init__(self, paths: Iterable[str | None]) -> None:
        whole, words, short = {os.path.expanduser("~")}, set(), set()
        for path in filter(None, paths):
            absolute = os.path.abspath(path)
            whole |= {absolute, os.path.realpath(absolute), os.path.dirname(absolute)}
            if os.path.isabs(path) or "/" in path or os.sep in path:
                whole.add(path)
            name = os.path.basename(absolute)
            stem = name.partition(".")[0]
            if stem != name and not _says_nothing(name):
                whole.add(name)
            # Of a name in several parts those count that look like names.
            for word in {name, stem, *re.findall(r"(?<![^\W_])[A-Z][^\W_]{2,}", stem)}:
                (words if word == name and len(word) >= SURE_LENGTH else short).add(word)
        paths_in_order = sorted((w for w in whole if len(w) > 3), key=len, reverse=True)
        self._whole = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, paths_in_order))})(?!\w)") \
            if paths_in_order else None
        self._words = sorted((w for w in words if not _says_nothing(w)), key=len, reverse=True)
        kept = sorted((w for w in short if len(w) > 1 and not _says_nothing(w)), key=len, reverse=True)
        self._short = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, kept))})(?![^\W_])") if kept else None

    def __call__(self, text: str) -> str:
        """One of our own sentences."""
        return self._whole.sub(HIDDEN, text) if self._whole is not None else text

    def values(self, values: Any) -> Any:
        """Every text in nested JSON data, keys as they are."""
        if isinstance(values, str):
            return self(values)
        if isinstance(values, Mapping):
            return {key: self.values(value) for key, value in values.items()}
        return [self.values(value) for value in values] if isinstance(values, (list, tuple)) else values

    def error(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """An error as `KneePipelineError.to_dict` gives it; its code is ours."""
        return {**self.values(values), "code": values["code"]}

    def foreign(self, text: str) -> str:
        """Output of somebody else's code: names, every absolute path and image file name; source files keep theirs."""
        text = self(text)
        for word in self._words:
            text = text.replace(word, HIDDEN)
        if self._short is not None:
            text = self._short.sub(HIDDEN, text)
        return _IMAGE_FILE.sub(HIDDEN, _ABSOLUTE.sub(_source_name, text))


def _says_nothing(name: str) -> bool:
    """Whether a name is made of everyday words and short numbers only; a long one may be a patient's."""
    parts = [part for part in re.split(r"[\W_]+", name.lower()) if part]
    return all(part in EVERYDAY or (part.isdigit() and len(part) < PATIENT_DIGITS) for part in parts)


def _source_name(found: re.Match) -> str:
    name = re.split(r"[/\\]", found.group())[-1]
    return f"{HIDDEN}/{name}" if name.endswith(".py") else HIDDEN


def paths_in(options: JobOptions) -> list[str | None]:
    """Every path that the options name, and that of the configuration file where a variable names it."""
    found: list[str | None] = [os.environ.get("KNEEPIPELINE_CONFIG")]
    for option in fields(options):
        value = getattr(options, option.name)
        if option.metadata["kind"] == "path":
            found.append(value)
        elif option.metadata["kind"] == "paths":
            found += [path for path in value.values() if isinstance(path, str)]
    return [*found, options.label_scheme if options.label_scheme not in LABEL_SCHEMES else None]
