"""A label scheme that a person wrote: a JSON file from the values of a label map to structures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigError, MissingFileError
from ..imaging.labels import BY_NAME, BY_VALUE
from ..structure_names import named_structure
from .numberings import FOLDED_SUBREGIONS, PUBLIC, SCHEMES, UNSIDED_NAMES

MAX_DIGITS = 18
"""Of a label value: what a voxel can hold."""
_HINT = ('Write it as {"1": "femur", "2": "fem_cart", "3": 0}; known names: '
         + ", ".join([*BY_NAME, *UNSIDED_NAMES]) + ", or their titles.")


def read_scheme(path: Path) -> dict[int, int]:
    """A label scheme from a JSON file that maps values to canonical names or values.

    Names may be ours, their titles, or any that `structure_names` knows.

    Raises
    ------
    MissingFileError
        If there is no such file (nor a built-in scheme of that name).
    ConfigError
        If the file is not such a table.
    """
    if not path.is_file():
        raise MissingFileError(
            f"The label scheme is neither auto nor one of {', '.join([*SCHEMES, *PUBLIC])}, nor a file that exists.",
            "Give one of these names or the path of a JSON file.",
        )
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("The label scheme file is not valid JSON.", _HINT) from error
    if not isinstance(table, dict) or not table:
        raise ConfigError("The label scheme file does not hold a table from values to structures.", _HINT)
    mapping = {}
    for key, structure in table.items():
        if not str(key).strip().isdecimal() or len(key) > MAX_DIGITS:
            raise ConfigError(f"The label scheme file has '{key}' where a label value is expected.", _HINT)
        mapping[int(key)] = _structure_value(structure)
    return mapping


def example(counts: Iterable[int], known: dict[int, int]) -> str:
    """A scheme file's content for a map with these values: what is known, and 0 or ``"?"`` to be filled in."""
    names = {value: structure.name for value, structure in BY_VALUE.items()}
    names |= {stand_in: name for name, stand_in in UNSIDED_NAMES.items()}
    table = {str(v): names.get(known[v], 0) if v in known else 0 if known else "?" for v in sorted(counts)[:20]}
    return json.dumps(table)


def _structure_value(structure: object) -> int:
    if isinstance(structure, str):
        found = named_structure(structure)
        value = None if found is None else UNSIDED_NAMES.get(found.structure) or BY_NAME[found.structure].value
    elif isinstance(structure, int) and not isinstance(structure, bool):
        value = structure if structure == 0 or structure in BY_VALUE else None
    else:
        value = None
    if value is None:
        raise ConfigError(f"The label scheme file names an unknown structure, {json.dumps(structure)}.", _HINT)
    return FOLDED_SUBREGIONS.get(value, value)
