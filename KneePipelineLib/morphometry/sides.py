"""Right or left, and tibial cartilage on the side where it belongs."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError, SegmentationError
from ..imaging.labels import (
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


def laterality(labels: Volume) -> str:
    """Whether canonical labels show a right or a left knee.

    By the centroids of the tibial cartilages: medial further to the patient's left (larger LPS x) is a right knee.
    Where one is missing, by the menisci; where those are, by the fibula, which is lateral.

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


def side_shown(knee: WorkingKnee) -> str | None:
    """``right``, ``left``, or None if the map does not tell."""
    for medial, lateral in ((MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE), (MEDIAL_MENISCUS, LATERAL_MENISCUS)):
        if medial in knee.boxes and lateral in knee.boxes:
            offset = knee.points(medial).mean(axis=0)[0] - knee.points(lateral).mean(axis=0)[0]
            return "right" if offset > 0 else "left"
    if FIBULA in knee.boxes and TIBIA in knee.boxes:
        offset = knee.points(FIBULA, 1.0).mean(axis=0)[0] - knee.points(TIBIA, 2.0).mean(axis=0)[0]
        return "right" if offset < 0 else "left"
    return None


def decided_side(knee: WorkingKnee, side: str) -> tuple[str, list[tuple[str, str]]]:
    """The side to measure as, given what was asked for, and warnings.

    Raises
    ------
    ConfigError
        If ``side`` is not ``auto``, ``right`` or ``left``.
    """
    if side not in SIDES:
        raise ConfigError(f"The side must be auto, right or left, not '{side}'.", "Give one of these with --side.")
    shown = side_shown(knee)
    if side == "auto":
        if shown is not None:
            return shown, []
        guessed = side_of_condyles(knee)
        return guessed, [("SIDE_GUESSED", f"Nothing but the shape of the femur tells the side; taken for a {guessed} "
                          "knee. Give --side to be sure.")]
    if shown not in (None, side):
        return side, [("SIDE_CONTRADICTED", f"The label map looks like a {shown} knee but was declared {side}; medial "
                       "and lateral were exchanged to fit.")]
    return side, []


def exchanged_menisci(knee: WorkingKnee, side: str) -> WorkingKnee:
    """With a declared side that the labels contradict, the menisci exchanged."""
    if MEDIAL_MENISCUS not in knee.boxes or LATERAL_MENISCUS not in knee.boxes:
        return knee
    offset = knee.points(MEDIAL_MENISCUS).mean(axis=0)[0] - knee.points(LATERAL_MENISCUS).mean(axis=0)[0]
    if (offset > 0) == (side == "right"):
        return knee
    table = np.arange(256, dtype=np.uint8)
    table[[MEDIAL_MENISCUS, LATERAL_MENISCUS]] = LATERAL_MENISCUS, MEDIAL_MENISCUS
    return knee.with_array(np.take(table, knee.array))


def side_of_condyles(knee: WorkingKnee) -> str:
    """The side guessed from the femur's shape: along the knee's axes the medial condyle reaches further distally."""
    points = knee.bone_axes.to_frame(knee.bone_points(1))
    across, height = points[:, 0], points[:, 2]
    middle = (np.quantile(across, 0.02) + np.quantile(across, 0.98)) / 2
    lowest = [np.quantile(height[half], 0.01) for half in (across < middle, across >= middle)]
    return "right" if lowest[1] < lowest[0] else "left"


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
    plateau = axes.to_frame(knee.bone_points(TIBIA))
    plateau = plateau[plateau[:, 2] > plateau[:, 2].max() - 25, 0]
    middle = (np.quantile(plateau, 0.01) + np.quantile(plateau, 0.99)) / 2
    middle = middle if side == "right" else -middle
    wrong = medial != (towards_medial >= _dividing_line(towards_medial, medial, middle))
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
