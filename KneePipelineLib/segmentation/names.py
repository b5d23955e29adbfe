"""From the names that label tables use for a structure to the canonical label.

Networks are trained by different people, who write "Femoral Cartilage", "femur_cart", "fem_cart" or "FC". A name is
taken apart into words, abbreviations are spelled out, and what remains must say one structure without doubt;
otherwise the table is refused: a wrong guess would paint one structure as another.
"""

from __future__ import annotations

import re

from ..errors import SegmentationError
from ..imaging import labels as L

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


def canonical_mapping(names: dict[str, int]) -> dict[int, int]:
    """From a label table (name -> value in the file) to file value -> canonical value; ``background`` is 0.

    Raises
    ------
    SegmentationError
        If a name says no structure, two names say the same one, or a name stands for several values.
    """
    mapping: dict[int, int] = {}
    for name, value in names.items():
        if name.lower() == "background" and value in (0, [0]):
            continue
        if not isinstance(value, int):
            raise SegmentationError(f"The network's label '{name}' stands for several values.",
                                    "Only networks with one value for each structure can be used.")
        structure = canonical_value(name)
        if structure is None:
            raise SegmentationError(
                f"The network knows a structure '{name}' that has no place in the label table.",
                "Name the labels in its dataset.json after femur, tibia, patella, fibula, their cartilages, menisci.",
                name=name)
        if structure in mapping.values():
            raise SegmentationError(f"Two of the network's labels mean the same structure as '{name}'.",
                                    "Give every label in its dataset.json its own structure.", name=name)
        mapping[value] = structure
    if not mapping:
        raise SegmentationError("The network's label table holds no structure.", "Check its dataset.json.")
    return mapping
