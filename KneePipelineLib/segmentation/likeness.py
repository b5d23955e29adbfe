"""Whether what a network drew can be a knee at all: networks paint one into every picture, a brain or noise too.

A knee that is sick, cut off or badly segmented has some structures that are doubted. A picture of something else has
both long bones in doubt, most of the rest too, and nothing where it belongs. All of that together is asked for, so that
no knee is turned away; what is left to doubt stays a matter of the confidence.
"""

from __future__ import annotations

import numpy as np

from ..imaging import Volume
from ..imaging import labels as L
from .confidence import Confidence

SIGNS_NEEDED = 4
"""Of the five signs of `signs_of_no_knee`."""
MOST = 6
"""Structures in doubt, of the nine that every network draws, that are "most"."""
_BETWEEN = (0.05, 0.95)


def signs_of_no_knee(labels: Volume, confidence: Confidence) -> list[str]:
    """What speaks against a knee, in words: up to five signs.

    Parameters
    ----------
    labels : Volume
        Canonical labels, cleaned.
    confidence : Confidence
        Of the same labels.
    """
    doubted = {name for name, mark in confidence.structures.items() if mark.level == "low"}
    signs = [L.BY_VALUE[value].title for value in (L.FEMUR, L.TIBIA, L.FEMORAL_CARTILAGE)
             if L.BY_VALUE[value].name in doubted]
    signs = [f"{title} in doubt" for title in signs]
    if len(doubted) >= MOST:
        signs.append(f"{len(doubted)} of {len(confidence.structures)} structures in doubt")
    if not _cartilage_between_the_bones(labels):
        signs.append("no cartilage between femur and tibia")
    return signs


def _cartilage_between_the_bones(labels: Volume) -> bool:
    """Whether the middles of femoral and tibial cartilage lie, in this order, between those of femur and tibia."""
    tibial = (L.MEDIAL_TIBIAL_CARTILAGE, L.LATERAL_TIBIAL_CARTILAGE)
    middles = [_middle(labels, values) for values in ((L.FEMUR,), (L.FEMORAL_CARTILAGE,), tibial, (L.TIBIA,))]
    if any(middle is None for middle in middles):
        return False
    femur, femoral, tibial_middle, tibia = middles
    along = tibia - femur
    if not along @ along > 0:
        return False
    places = [float((middle - femur) @ along / (along @ along)) for middle in (femoral, tibial_middle)]
    return _BETWEEN[0] < places[0] < places[1] < _BETWEEN[1]


def _middle(labels: Volume, values: tuple[int, ...]) -> np.ndarray | None:
    k, j, i = np.nonzero(np.isin(labels.array, values))
    return labels.to_physical(np.array([i.mean(), j.mean(), k.mean()])) if len(i) else None
