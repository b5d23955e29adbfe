"""Right or left, and tibial cartilage on the side where it belongs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError, SegmentationError
from ..imaging.labels import (
    FEMUR,
    FIBULA,
    LATERAL_MENISCUS,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_MENISCUS,
    MEDIAL_TIBIAL_CARTILAGE,
    TIBIA,
)
from ..imaging.volume import Volume
from .working import WorkingKnee, working_knee

SIDES = ("auto", "right", "left")
MIDLINE_TOLERANCE_MM = 7.0
"""How far from the middle of the tibia the line between both cartilages may be: the width of the spine."""

BIN_MM = 0.25
TROCHLEA_MM, PLATEAU_MM = 40.0, 15.0
"""How far above the joint the trochlea is looked for, and how much below its top the plateau."""

CLEAR_SHAPE_MM = 1.5
"""`side_of_bones` counts as a witness from here on; below, the shape is that of no side."""


@dataclass(frozen=True)
class Witness:
    """What one thing in a label map says about the side.

    Attributes
    ----------
    what : str
        Plural, in words.
    side : str
        ``right`` or ``left``.
    weight : float
        How much it counts where witnesses disagree.
    """

    what: str
    side: str
    weight: float


def laterality(labels: Volume) -> str:
    """Whether canonical labels show a right or a left knee.

    Medial structures further to the patient's left (larger LPS x) make a right knee, and the fibula is lateral; where
    they disagree, the weightier ones (`witnesses`).

    Returns
    -------
    str
        ``right`` or ``left``.

    Raises
    ------
    SegmentationError
        If nothing in the map tells.
    """
    side = side_shown(working_knee(labels))
    if side is None:
        raise SegmentationError(
            "The label map does not show whether the knee is a right or a left one: no tibial cartilages, menisci or "
            "fibula.",
            "Say which with --side.",
        )
    return side


def labelled_witnesses(knee: WorkingKnee) -> list[Witness]:
    """What the tibial cartilages, the menisci and the fibula say; without those that are not there."""
    found = []
    for what, medial, lateral in (("tibial cartilages", MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE),
                                  ("menisci", MEDIAL_MENISCUS, LATERAL_MENISCUS)):
        if medial in knee.boxes and lateral in knee.boxes:
            offset = knee.points(medial).mean(axis=0)[0] - knee.points(lateral).mean(axis=0)[0]
            found.append(Witness(what, "right" if offset > 0 else "left", 1.0))
    if FIBULA in knee.boxes and TIBIA in knee.boxes:
        offset = knee.points(FIBULA, 1.0).mean(axis=0)[0] - knee.points(TIBIA, 2.0).mean(axis=0)[0]
        found.append(Witness("fibula", "right" if offset < 0 else "left", 1.5))  # no word for medial can be mistaken
    return found


def witnesses(knee: WorkingKnee) -> list[Witness]:
    """`labelled_witnesses`, and the shape of the bones where it is clear."""
    found = labelled_witnesses(knee)
    side, strength = side_of_bones(knee)
    if strength >= CLEAR_SHAPE_MM:
        found.append(Witness("bones' shape", side, 1.0))
    return found


def side_of(found: list[Witness]) -> str | None:
    """The side with more weight; of equals that of the first witness; None without any."""
    if not found:
        return None
    weight = {side: sum(w.weight for w in found if w.side == side) for side in ("right", "left")}
    if weight["right"] == weight["left"]:
        return found[0].side
    return max(weight, key=weight.get)


def side_shown(knee: WorkingKnee) -> str | None:
    """``right``, ``left``, or None if nothing in the map but the bones' shape tells."""
    return side_of(witnesses(knee)) if labelled_witnesses(knee) else None


def disagreement(found: list[Witness]) -> str:
    """Who says what, as a clause, when witnesses disagree; else empty."""
    said = {side: [w.what for w in found if w.side == side] for side in ("right", "left")}
    if not all(said.values()):
        return ""
    return "; ".join(f"its {_joined(what)} {'says' if _is_one(what) else 'say'} {side}" for side, what in said.items())


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _is_one(words: list[str]) -> bool:
    return words in (["fibula"], ["bones' shape"])


def side_of_bones(knee: WorkingKnee) -> tuple[str, float]:
    """The side guessed from the bones' shape, and how clearly they tell, in mm.

    Along the knee's axes the medial condyle reaches further distally, the lateral ridge of the trochlea further to the
    front, and the medial plateau is the deeper one from front to back. The three differences are added, the last with
    a third of its weight, since its edges are less sharp: 2 to 4 mm in the real and digital knees looked at.
    """
    axes = knee.bone_axes
    femur, tibia = (axes.to_frame(knee.bone_points(bone)) for bone in (FEMUR, TIBIA))
    right, left = _halves(femur[:, 0])
    distal = np.quantile(femur[left, 2], 0.01) - np.quantile(femur[right, 2], 0.01)
    low = femur[:, 2] < TROCHLEA_MM
    front = [np.quantile(femur[half & low, 1], 0.005) if (half & low).any() else 0.0 for half in (left, right)]
    plateau = tibia[tibia[:, 2] > tibia[:, 2].max() - PLATEAU_MM]
    depth = [np.ptp(np.quantile(plateau[half, 1], (0.01, 0.99))) for half in _halves(plateau[:, 0])]
    medial_is_left = (front[0] - front[1]) - distal + (depth[1] - depth[0]) / 3
    return "right" if medial_is_left > 0 else "left", float(abs(medial_is_left))


def _halves(across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points on the patient's right and left of the middle."""
    middle = (np.quantile(across, 0.02) + np.quantile(across, 0.98)) / 2
    return across < middle, across >= middle


def decided_side(knee: WorkingKnee, side: str) -> tuple[str, list[tuple[str, str]]]:
    """The side to measure as, given what was asked for, and warnings.

    Raises
    ------
    ConfigError
        If ``side`` is not ``auto``, ``right`` or ``left``.
    """
    if side not in SIDES:
        raise ConfigError(f"The side must be auto, right or left, not '{side}'.", "Give one of these with --side.")
    found = witnesses(knee)
    shown = side_of(found) if labelled_witnesses(knee) else None
    if side == "auto" and shown is None:
        guessed, _ = side_of_bones(knee)
        return guessed, [("SIDE_GUESSED", f"Nothing but the shape of the bones tells the side; taken for a {guessed} "
                          "knee. Give --side to be sure.")]
    clause = disagreement(found)
    if side == "auto":
        return shown, [("SIDE_DOUBTFUL", f"The label map contradicts itself about the side: {clause}. It was measured "
                        f"as a {shown} knee; medial and lateral are exchanged if that is wrong.")] if clause else []
    against = [w for w in found if w.side != side]
    if against and (shown != side or against[0] is found[0]):
        looks = against[0].side
        return side, [("SIDE_CONTRADICTED", f"The label map looks like a {looks} knee but was declared {side}; medial "
                       f"and lateral were exchanged to fit.{f' Of what it shows, {clause}.' if clause else ''}")]
    return side, [("SIDE_DOUBTFUL", f"The label map contradicts itself about the side: {clause}. It was declared "
                   f"{side} and measured as that; what did not fit was exchanged.")] if clause else []


def exchanged_menisci(knee: WorkingKnee, side: str) -> tuple[WorkingKnee, list[tuple[str, str]]]:
    """The menisci exchanged where they contradict the side, and a warning that says so."""
    if MEDIAL_MENISCUS not in knee.boxes or LATERAL_MENISCUS not in knee.boxes:
        return knee, []
    offset = knee.points(MEDIAL_MENISCUS).mean(axis=0)[0] - knee.points(LATERAL_MENISCUS).mean(axis=0)[0]
    if (offset > 0) == (side == "right"):
        return knee, []
    table = np.arange(256, dtype=np.uint8)
    table[[MEDIAL_MENISCUS, LATERAL_MENISCUS]] = LATERAL_MENISCUS, MEDIAL_MENISCUS
    return knee.with_array(np.take(table, knee.array)), [
        ("MENISCI_EXCHANGED", f"The medial and the lateral meniscus lay as in the other knee; they were exchanged to "
         f"fit a {side} one.")]


def middle_of_the_tibia(knee: WorkingKnee) -> float:
    """Where, along the knee's left axis in mm, the middle of the tibial plateau lies."""
    plateau = knee.bone_axes.to_frame(knee.bone_points(TIBIA))
    plateau = plateau[plateau[:, 2] > plateau[:, 2].max() - 25, 0]
    return float((np.quantile(plateau, 0.01) + np.quantile(plateau, 0.99)) / 2)


def correct_tibial_sides(knee: WorkingKnee, side: str) -> tuple[WorkingKnee, int]:
    """Give tibial cartilage voxels the label of the side of the tibia on which they lie.

    The dividing line is looked for near the middle of the tibia, where it contradicts the fewest voxels; so cartilage
    that reaches towards the spine keeps its label, and scattered or exchanged voxels do not.

    Parameters
    ----------
    side : str
        ``right`` or ``left``: says where medial is.

    Returns
    -------
    knee : WorkingKnee
        The same object if nothing had to change.
    changed : int
        Voxels relabelled.
    """
    present = [v for v in (MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE) if v in knee.boxes]
    if not present:
        return knee, 0
    where = np.nonzero((knee.array == MEDIAL_TIBIAL_CARTILAGE) | (knee.array == LATERAL_TIBIAL_CARTILAGE))
    medial = knee.array[where] == MEDIAL_TIBIAL_CARTILAGE
    axes = knee.bone_axes
    towards_left = axes.to_frame(knee.volume.to_physical(np.stack(where[::-1], axis=1)))[:, 0]
    towards_medial = towards_left if side == "right" else -towards_left
    middle = middle_of_the_tibia(knee) if side == "right" else -middle_of_the_tibia(knee)
    exchanged = np.count_nonzero(medial == (towards_medial >= middle)) < len(medial) / 2
    wrong = medial != (towards_medial >= _dividing_line(towards_medial, medial != exchanged, middle))
    if not wrong.any():
        return knee, 0
    array = knee.array.copy()
    array[tuple(axis[wrong] for axis in where)] = np.where(
        medial[wrong], LATERAL_TIBIAL_CARTILAGE, MEDIAL_TIBIAL_CARTILAGE
    )
    return knee.with_array(array), int(wrong.sum())


def _dividing_line(towards_medial: np.ndarray, medial: np.ndarray, middle: float) -> float:
    """The position within the tolerance that the fewest voxels contradict; of equals, the one nearest the middle."""
    lines = middle + np.arange(-MIDLINE_TOLERANCE_MM, MIDLINE_TOLERANCE_MM + BIN_MM / 2, BIN_MM)
    medial_below = np.searchsorted(np.sort(towards_medial[medial]), lines)
    lateral = np.sort(towards_medial[~medial])
    lateral_above = len(lateral) - np.searchsorted(lateral, lines)
    contradicted = medial_below + lateral_above
    best = np.flatnonzero(contradicted == contradicted.min())
    return float(lines[best[np.abs(lines[best] - middle).argmin()]])
