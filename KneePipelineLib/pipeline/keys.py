"""Everything that decides whether a finished step may be used again, as hashes without a path or name in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import MissingFileError
from ..job import LABEL_SCHEMES, JobOptions
from ..side_words import named_sides
from . import networks
from .checkpoints import Manifest
from .code import code_hashes
from .files import Check, hash_file, hash_json, hash_tree, hash_weights
from .plan import STEPS, Step, labels_are_given

_WEIGHT_OPTIONS = ("models", "nsm", "nsm_bone_only", "bscore", "bscore_bone_only")
_INSTALLED = {"nsm": "shape_647", "nsm_bone_only": "shape_551", "bscore": "bscore_647",
              "bscore_bone_only": "bscore_551"}
"""The installed model that stands where an option names no files."""
_LIBRARIES = ("numpy", "scipy", "vtk", "SimpleITK")


def input_hashes(options: JobOptions, check: Check = lambda: None) -> dict[str, str]:
    """Role -> SHA-256 of everything that comes from outside; ``check`` may raise to end it.

    Raises
    ------
    MissingFileError
        If something that was named is not there.
    """
    titles = {"input": "The input", "segmentation": "The label map given with --segmentation",
              "echoes": "The folder given with --echoes", "truth": "The file of known values"}
    hashes = {}
    for role, title in titles.items():
        path = getattr(options, role)
        if path is None:
            continue
        try:
            hashes[role] = hash_tree(path, check)
        except FileNotFoundError:
            if options.practice:
                hashes[role] = "practice"
                continue
            raise MissingFileError(f"{title} does not exist.", "Check the path and that its disk is connected.",
                                   role=role) from None
    return hashes


@cache
def library_version(name: str) -> str:
    """Version of an installed library, from its metadata: importing one would cost seconds."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def libraries_of(step: Step) -> tuple[str, ...]:
    """Libraries whose version may change what a step finds."""
    return (*_LIBRARIES, "torch") if step.uses_device else _LIBRARIES


def weights_hashes(options: JobOptions, names: tuple[str, ...] = _WEIGHT_OPTIONS,
                   check: Check = lambda: None) -> dict[str, str]:
    """What -> hash, of the network's weights and of every file or folder that the options name and that exists."""
    found = networks.network_hashes(options, check) if "models" in names and not options.practice else {}
    for option in names:
        if option in _WEIGHT_OPTIONS and option != "models":
            for name, path in sorted(getattr(options, option).items()):
                if path and os.path.exists(path):
                    found[f"{option}.{name}"] = hash_weights(path, check)
            if not options.practice and not any(getattr(options, option).values()):
                found[option] = networks.hash_of_installed(_INSTALLED[option], check)
    return found


def option_values(options: JobOptions, names: tuple[str, ...], labels_given: bool | None) -> dict[str, Any]:
    """The values of some options; whatever could be a path or a UID only as a hash.

    Those of a network do not count where labels are given; until INPUT has been looked at (None) they do.
    """
    values: dict[str, Any] = {}
    without = networks.OPTIONS if labels_given else ()
    for name in names:
        value = getattr(options, name)
        if name in _WEIGHT_OPTIONS or name in without:
            continue
        if name == "label_scheme" and value not in LABEL_SCHEMES:
            value = hash_file(value) if Path(value).is_file() else "missing"
        elif name in ("series", "nnunet"):
            value = hash_json(value)
        values[name] = list(value) if isinstance(value, tuple) else value
    return values


def told_options(options: JobOptions) -> dict[str, Any]:
    """The options that results.json tells: those that can change a result, without paths."""
    relevant = {name for step in STEPS for name in step.options} | {"practice"}
    if options.segmentation is not None:
        relevant -= set(networks.OPTIONS)
    return {name: value for name, value in options.without_paths().items() if name in relevant}


def step_key(step: Step, options: JobOptions, inputs: Mapping[str, str], before: Mapping[str, Manifest],
             outcomes: Mapping[str, Mapping], edit: Path | None,
             check: Check = lambda: None) -> dict[str, Any]:
    """The key of a step.

    Parameters
    ----------
    inputs : mapping
        From `input_hashes`.
    before : mapping
        Manifests of the steps that finished.
    outcomes : mapping
        What became of each step; a result that reports a skipped branch depends on the reason.
    edit : Path or None
        A person's edit of the label map.
    check : callable
        Called while large files are hashed; raises to end it.
    """
    body = step.body_in(options.practice)
    known = "input" in before or options.segmentation is not None
    given = labels_are_given(options, {name: manifest.result for name, manifest in before.items()}) if known else None
    names = tuple(name for name in step.options if not (given and name in networks.OPTIONS))
    counting = tuple(name for name in step.options if not (given is False and name in step.of_labels))
    key: dict[str, Any] = {
        # The digital knee of practice mode is made anew by several steps, from these two.
        "body": body, "practice": [options.seed, options.side] if options.practice else None, "version": __version__,
        "inputs": {role: inputs[role] for role in step.inputs if role in inputs},
        "reads": {name: before[name].content() for name in step.uses() if name in before},
        "options": option_values(options, counting, given),
        "code": code_hashes(body),
        "libraries": {name: library_version(name) for name in libraries_of(step)},
        "weights": weights_hashes(options, names, check),
    }
    if step.edited:
        key["edit"] = hash_file(edit) if edit else None
    if step.publishes:
        # Of a name only the side that it says is looked at; a renamed input is judged anew.
        key["told"] = hash_json({**told_options(options), "named_sides": named_sides(options.to_dict())})
        key["outcomes"] = {name: [str(o["status"]), o.get("reason"), (o.get("error") or {}).get("code")]
                           for name, o in sorted(outcomes.items()) if name != step.name}
        key["warnings"] = {name: [list(w) for w in before[name].warnings] for name in step.uses() if name in before}
    return key
