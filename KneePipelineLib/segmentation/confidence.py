"""How far a segmentation can be trusted, structure by structure, without knowing the truth.

Five things are looked at: how clearly the network decided (mean distance between the two best class probabilities),
whether the volume is one a knee can have, how much of its bone a cartilage covers (`covering`), in how many pieces the
structure came, and whether it is cut off by the image's border. The bounds are wide: they are meant to catch a failed
segmentation, not an unusual knee. Cartilage volumes of healthy adults lie well within them (Eckstein et al.,
Osteoarthritis Cartilage 2006;14 Suppl A:A46-75); bone volumes depend on the field of view and are bounded only by what
a knee coil shows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from ..imaging import labels as L
from . import covering
from .postprocess import Cleaned

PLAUSIBLE_ML = {
    L.FEMUR: (25.0, 450.0), L.TIBIA: (15.0, 400.0), L.PATELLA: (5.0, 50.0), L.FEMORAL_CARTILAGE: (2.5, 40.0),
    L.MEDIAL_TIBIAL_CARTILAGE: (0.3, 8.0), L.LATERAL_TIBIAL_CARTILAGE: (0.3, 9.0), L.PATELLAR_CARTILAGE: (0.3, 10.0),
    L.MEDIAL_MENISCUS: (0.4, 9.0), L.LATERAL_MENISCUS: (0.4, 9.0), L.FIBULA: (0.2, 60.0),
}
"""Millilitres between which a structure's volume is believed."""

LEAST_MARGIN = 0.5
LEAST_KEPT = 0.75
MOST_ON_BORDER = 0.005
CUT_BY_THE_FIELD_OF_VIEW = (L.FEMUR, L.TIBIA, L.FIBULA)
"""Bones whose shafts always end at the image's border."""

NEEDED = (L.FEMUR, L.TIBIA, L.FEMORAL_CARTILAGE)
"""Without trust in these nothing that follows can be trusted, least of all the shape of the femur."""
MOST_DOUBTED = 3


@dataclass(frozen=True)
class StructureConfidence:
    """One structure's marks.

    Attributes
    ----------
    name, title : str
    level : str
        ``ok`` or ``low``.
    reasons : list of str
        Why it is low; empty when it is ok.
    volume_ml : float
    margin : float or None
        Mean over its voxels of the best minus the second best probability; None when the network gives none.
    pieces : int
        Separate pieces before cleaning.
    kept_share : float
        Share of the raw voxels that was kept by the cleaning.
    border_share : float
        Share of its voxels on the image's border.
    coverage : float or None
        Cartilage: covered area of its bone over what is usual for a bone of that size; 1 is usual.
    score : float
        0 to 1, the product of what all five say: to compare segmentations with, not a Dice.
    """

    name: str
    title: str
    level: str
    reasons: list[str]
    volume_ml: float
    margin: float | None
    pieces: int
    kept_share: float
    border_share: float
    coverage: float | None = None
    score: float = 1.0


@dataclass(frozen=True)
class Confidence:
    """The verdict on a segmentation.

    Attributes
    ----------
    level : str
        ``low`` if femur, tibia or femoral cartilage is doubtful or missing, or three structures are; ``check`` if any
        other is; else ``ok``.
    reasons : list of str
        Sentences for the report.
    structures : dict
        Short name -> StructureConfidence, in the order of the labels; absent structures are there with volume 0.
    """

    level: str
    reasons: list[str] = field(default_factory=list)
    structures: dict[str, StructureConfidence] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """JSON-serialisable form."""
        return asdict(self)


def judge(cleaned: Cleaned, margins: dict[int, float] | None = None) -> Confidence:
    """Judge cleaned labels.

    Parameters
    ----------
    margins : dict
        Label -> mean probability margin; structures without one are judged by the rest.
    """
    margins = margins or {}
    found = {}
    counts = _count(cleaned.labels.array)
    on_border = counts - _count(cleaned.labels.array[1:-1, 1:-1, 1:-1])
    covered = covering.coverages(cleaned.labels)
    for structure in L.STRUCTURES:
        count, border = int(counts[structure.value]), int(on_border[structure.value])
        mark = _judge_structure(structure, cleaned, margins.get(structure.value), count, border,
                                covered.get(structure.value))
        if mark is not None:
            found[structure.name] = mark
    doubted = [m for m in found.values() if m.level == "low"]
    needed = {L.BY_VALUE[v].name for v in NEEDED}
    low = len(doubted) >= MOST_DOUBTED or any(m.name in needed for m in doubted)
    reasons = [f"{m.title}: {'; '.join(m.reasons)}." for m in doubted]
    return Confidence("low" if low else "check" if doubted else "ok", reasons, found)


def _judge_structure(structure: L.Structure, cleaned: Cleaned, margin: float | None, count: int,
                     on_border: int, covered: float | None) -> StructureConfidence | None:
    value, labels = structure.value, cleaned.labels
    if count == 0 and value == L.FIBULA:
        return None  # not every network knows it, not every image shows it
    volume_ml = count * labels.voxel_volume_mm3 / 1000
    border = on_border / count if count else 0.0
    kept = cleaned.kept_share.get(value, 0.0)
    reasons = ["not found"] if count == 0 else _doubts(value, volume_ml, margin, kept, border)
    coverage = None if covered is None else covered / covering.USUAL[value]
    if count and covered is not None and covered < covering.LEAST[value]:
        reasons.append(f"it covers {coverage:.0%} of what is usual on a bone of this size: bare bone, or a part that "
                       "was not found")
    score = (min(1.0, coverage if coverage is not None else 1.0) * (1.0 if margin is None else max(margin, 0.0)) * kept
             * (1 - border))
    return StructureConfidence(structure.name, structure.title, "low" if reasons else "ok", reasons,
                               round(volume_ml, 3), None if margin is None else round(margin, 4),
                               cleaned.pieces.get(value, 0), round(kept, 4), round(border, 5),
                               None if coverage is None else round(coverage, 3), round(score, 4) if count else 0.0)


def _doubts(value: int, volume_ml: float, margin: float | None, kept: float, border: float) -> list[str]:
    low, high = PLAUSIBLE_ML[value]
    doubts = []
    if not low <= volume_ml <= high:
        doubts.append(f"volume of {volume_ml:.2g} ml outside {low:g} to {high:g} ml")
    if margin is not None and margin < LEAST_MARGIN:
        doubts.append(f"the network was undecided (mean margin {margin:.2f})")
    if kept < LEAST_KEPT:
        doubts.append(f"only {kept:.0%} of it hung together")
    if border > MOST_ON_BORDER and value not in CUT_BY_THE_FIELD_OF_VIEW:
        doubts.append("cut off by the image's border")
    return doubts


def _count(array: np.ndarray) -> np.ndarray:
    """Voxels of each label, slice by slice: at once it would take eight bytes for every voxel."""
    counts = np.zeros(256, dtype=np.int64)
    for part in array:
        counts += np.bincount(part.ravel(), minlength=256)
    return counts
