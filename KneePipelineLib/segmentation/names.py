"""From the names that label tables use for a structure to the canonical label.

Networks are trained by different people, who write "Femoral Cartilage", "femur_cart", "fem_cart" or "FC". Names are
understood as `structure_names` does; a network's label must say one whole structure without doubt, otherwise the table
is refused: a wrong guess would paint one structure as another.
"""

from __future__ import annotations

from ..errors import SegmentationError
from ..imaging import labels as L
from ..structure_names import named_structure


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
