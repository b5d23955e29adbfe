"""From the names that label tables use for a structure to the canonical label.

Networks are trained by different people, who write "Femoral Cartilage", "femur_cart", "fem_cart" or "FC". A name is
taken apart into words, abbreviations are spelled out, and what remains must say one structure without doubt;
otherwise the table is refused: a wrong guess would paint one structure as another.
"""

from __future__ import annotations

import re
import shlex

from ..errors import ConfigError, SegmentationError
from ..imaging import labels as L

EVERYTHING_ELSE = "all"
NOT_TRAINED_ON = "ignore"
"""nnU-Net's own word, in lower case, for the label of voxels that the training leaves out of account."""

_WORDS = {
    "fem": "femur", "femoral": "femur", "femur": "femur",
    "tib": "tibia", "tibial": "tibia", "tibia": "tibia",
    "pat": "patella", "patellar": "patella", "patella": "patella",
    "fib": "fibula", "fibular": "fibula", "fibula": "fibula",
    "cart": "cartilage", "cartilage": "cartilage", "cartilages": "cartilage",
    "men": "meniscus", "meniscus": "meniscus", "meniscal": "meniscus", "menisci": "meniscus",
    "med": "medial", "medial": "medial",
    "lat": "lateral", "lateral": "lateral",
}
_IGNORED = {"bone", "bones", "of", "the", "knee", "articular", "plateau", "and", "label"}

_ABBREVIATIONS = {
    "fc": L.FEMORAL_CARTILAGE, "pc": L.PATELLAR_CARTILAGE, "mtc": L.MEDIAL_TIBIAL_CARTILAGE,
    "ltc": L.LATERAL_TIBIAL_CARTILAGE, "tmc": L.MEDIAL_TIBIAL_CARTILAGE, "tlc": L.LATERAL_TIBIAL_CARTILAGE,
    "mm": L.MEDIAL_MENISCUS, "lm": L.LATERAL_MENISCUS,
}

_STRUCTURES = {
    frozenset({"femur"}): L.FEMUR,
    frozenset({"tibia"}): L.TIBIA,
    frozenset({"patella"}): L.PATELLA,
    frozenset({"fibula"}): L.FIBULA,
    frozenset({"femur", "cartilage"}): L.FEMORAL_CARTILAGE,
    frozenset({"patella", "cartilage"}): L.PATELLAR_CARTILAGE,
    frozenset({"tibia", "cartilage", "medial"}): L.MEDIAL_TIBIAL_CARTILAGE,
    frozenset({"tibia", "cartilage", "lateral"}): L.LATERAL_TIBIAL_CARTILAGE,
    frozenset({"meniscus", "medial"}): L.MEDIAL_MENISCUS,
    frozenset({"meniscus", "lateral"}): L.LATERAL_MENISCUS,
}


def canonical_value(name: str) -> int | None:
    """The canonical label of a structure named in English, or None when the name does not say one.

    >>> canonical_value("Medial_Tibial-Cartilage"), canonical_value("femCart"), canonical_value("ACL")
    (5, 4, None)
    """
    if name.strip().lower() in L.BY_NAME:
        return L.BY_NAME[name.strip().lower()].value
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = [w for w in re.split(r"[^a-z]+", spaced.lower()) if w and w not in _IGNORED]
    if len(words) == 1 and words[0] in _ABBREVIATIONS:
        return _ABBREVIATIONS[words[0]]
    if any(w not in _WORDS for w in words):
        return None
    return _STRUCTURES.get(frozenset(_WORDS[w] for w in words))


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
