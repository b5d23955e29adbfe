"""From the names that label tables use for a structure to the canonical label.

Networks are trained by different people, who write "Femoral Cartilage", "femur_cart", "fem_cart" or "FC". Names are
understood as `structure_names` does; a network's label must say one whole structure without doubt, otherwise the table
is refused: a wrong guess would paint one structure as another.
"""

from __future__ import annotations

import re
import shlex

from ..errors import ConfigError, SegmentationError
from ..imaging import labels as L
from ..structure_names import named_structure

EVERYTHING_ELSE = "all"
NOT_TRAINED_ON = "ignore"
"""nnU-Net's own word, in lower case, for the label of voxels that the training leaves out of account."""


def canonical_value(name: str) -> int | None:
    """The canonical label of a structure that a name speaks of, or None when it does not say exactly one whole one.

    >>> canonical_value("Medial_Tibial-Cartilage"), canonical_value("femCart"), canonical_value("ACL")
    (5, 4, None)
    """
    known = L.BY_NAME.get(name.strip().lower())
    if known is not None:
        return known.value
    found = named_structure(name)
    return None if found is None or found.part or found.structure not in L.BY_NAME else L.BY_NAME[found.structure].value


def canonical_mapping(names: dict[str, int], ignored: tuple[str, ...] = ()) -> tuple[dict[int, int], tuple[str, ...]]:
    """From a label table (name -> value in the file) to file value -> canonical value; ``background`` is 0.

    Parameters
    ----------
    names : dict
        As in nnU-Net's dataset.json. Its label ``ignore`` marks voxels that were not trained on: it is never answered
        and has no place in the mapping.
    ignored : tuple of str
        Structures to leave out, in any spelling; ``all`` leaves out every one that has no place in our label table.

    Returns
    -------
    mapping : dict
        File value -> canonical value; 0 for those left out.
    dropped : tuple of str
        Names of those left out, as the table spells them.

    Raises
    ------
    SegmentationError
        If a name says no structure and is not to be left out, two names say the same one, or a name stands for
        several values.
    ConfigError
        If something is to be left out that the table does not have.
    """
    mapping: dict[int, int] = {}
    dropped, unknown = [], []
    wanted = {_bare(name) for name in ignored}
    left_out = wanted - {EVERYTHING_ELSE}
    for name, value in names.items():
        if name.lower() == "background" and value in (0, [0]):
            continue
        if name == NOT_TRAINED_ON:
            continue
        structure = canonical_value(name)
        if _bare(name) in left_out or (structure is None and EVERYTHING_ELSE in wanted):
            dropped.append(name)
            structure = 0
        if not isinstance(value, int) or isinstance(value, bool):
            raise SegmentationError(f"The network's label '{name}' stands for several values.",
                                    "Only networks with one value for each structure can be used.")
        if structure is None:
            unknown.append(name)
        elif structure and structure in mapping.values():
            raise SegmentationError(f"Two of the network's labels mean the same structure as '{name}'.",
                                    "Give every label in its dataset.json its own structure.", name=name)
        else:
            mapping[value] = structure
    missing = left_out - {_bare(name) for name in names}
    if missing:
        raise ConfigError(f"The network knows no structure {' or '.join(repr(name) for name in sorted(missing))} "
                          "that could be left out.", f"Its structures are: {', '.join(map(str, names))}.")
    if unknown:
        raise SegmentationError(
            f"The network also labels {' and '.join(repr(name) for name in unknown)}, which our label table has no "
            "place for.",
            f"Leave out what is not measured with --ignore-structures {shlex.quote(','.join(unknown))} (or all). If it "
            "is one of femur, tibia, patella, fibula, their cartilages or a meniscus, name it so in its dataset.json.",
            names=unknown)
    if not any(mapping.values()):
        raise SegmentationError("The network's label table holds no structure.", "Check its dataset.json.")
    return mapping, tuple(dropped)


def _bare(name: str) -> str:
    """A name without what people write differently: case, blanks, hyphens, underscores."""
    return re.sub(r"[\s_\-]+", "", name).casefold()
