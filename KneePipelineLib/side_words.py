"""Which knee a description or a file's name says it is. Only the side is taken from a name; the name goes no further.

Standard library only: the orchestrator asks too, and loads nothing heavy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise

_SIDE_WORDS = {"right": {"right", "rt", "rknee", "rightknee", "kneeright", "rechts", "droit", "droite"},
               "left": {"left", "lt", "lknee", "leftknee", "kneeleft", "links", "gauche"}}
_NAMED = {"name": "input", "labels_name": "segmentation"}


def side_in_words(text: str) -> str | None:
    """The side that a description names (``SAG DESS RT KNEE``, ``knee_left``, ``R knee``), None if none or both."""
    words = [w for w in re.split(r"[^a-z]+", text.lower()) if w]
    found = {side for side, known in _SIDE_WORDS.items() if known & set(words)}
    for first, second in pairwise(words):
        if "knee" in (first, second):
            found |= {{"r": "right", "l": "left"}[w] for w in (first, second) if w in ("r", "l")}
    return found.pop() if len(found) == 1 else None


def side_of_name(path: str | os.PathLike | None) -> str | None:
    """``"right"`` or ``"left"`` when the last part of a path says so, else None.

    >>> side_of_name("/scans/knee_RT.nii.gz"), side_of_name("/left/scan.nrrd"), side_of_name("left_and_right")
    ('right', None, None)
    >>> side_of_name("12_KneeL_dess"), side_of_name("rightKnee.nrrd")
    ('left', 'right')
    """
    if path is None:
        return None
    name = os.path.basename(os.path.normpath(path))
    return side_in_words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))  # kneeL and rightKnee are two words each


def named_sides(options: Mapping[str, object]) -> dict[str, str]:
    """``name`` (of the input) and ``labels_name`` -> the side that each says; without those that say none."""
    found = {source: side_of_name(options.get(option)) for source, option in _NAMED.items()
             if option == "input" or options.get(option) != options.get("input")}
    return {source: side for source, side in found.items() if side}
