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
EVERYDAY = frozenset((
    "knee", "knees", "image", "images", "input", "output", "out", "data", "labels", "label", "mask", "dicom",
    "dcm", "scan", "series", "echo", "echoes", "left", "right", "femur", "tibia", "test", "tests", "results",
    "result", "case", "cases", "file", "files", "model", "models", "run", "tmp", "temp", "home", "work", "user",
    "truth", "scheme", "config", "bone", "weights",
))
"""Names that say nothing about anybody and would blot out ordinary words."""

_ABSOLUTE = re.compile(r"""(?<![\w.<>/\\:])(?:file://|[A-Za-z]:[\\/]|\\\\|/(?=[^\s/]+/))[^\s'"<>|,;:()]*""")
_IMAGE_FILE = re.compile(r"[^\s'\"(<>]+\.(?:dcm|ima|nii(?:\.gz)?|nrrd|mha|mhd)\b", re.IGNORECASE)


class Scrubber:
    """Replaces the paths that were given, their names and the home folder.

    Parameters
    ----------
    paths : iterable of str or None
    """

    def __init__(self, paths: Iterable[str | None]) -> None:
        words, short = set(), set()
        for path in filter(None, paths):
            absolute = os.path.abspath(path)
            words |= {path, absolute, os.path.realpath(absolute), os.path.dirname(absolute)}
            name = os.path.basename(absolute)
            stem = name.partition(".")[0]
            # Of a name in several parts those count that look like names.
            for word in {name, stem, *re.findall(r"(?<![^\W_])[A-Z][^\W_]{2,}", stem)}:
                (words if word == name and len(word) >= SURE_LENGTH else short).add(word)
        words.add(os.path.expanduser("~"))
        self._words = sorted((w for w in words if len(w) > 3), key=len, reverse=True)
        kept = sorted((w for w in short if len(w) > 1 and not w.isdigit() and w.lower() not in EVERYDAY), key=len,
                      reverse=True)
        self._short = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, kept))})(?![^\W_])") if kept else None

    def __call__(self, text: str) -> str:
        for word in self._words:
            text = text.replace(word, HIDDEN)
        return self._short.sub(HIDDEN, text) if self._short is not None else text

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
        """Output of somebody else's code: every absolute path and image file name too; source files keep theirs."""
        return _IMAGE_FILE.sub(HIDDEN, _ABSOLUTE.sub(_source_name, self(text)))


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
            found += [path for path in value.values() if isinstance(path, str) and os.sep in path]
    return [*found, options.label_scheme if options.label_scheme not in LABEL_SCHEMES else None]
