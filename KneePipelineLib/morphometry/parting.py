"""One label for both tibial cartilages, or both menisci, parted at the middle of the knee."""

from __future__ import annotations

import numpy as np

from ..imaging.volume import Volume
from .numberings import PARTED, TIBIAL_CARTILAGE, TITLES
from .sides import BIN_MM, MIDLINE_TOLERANCE_MM, middle_of_the_tibia, side_of_bones, side_shown
from .working import WorkingKnee, working_knee

SMOOTH_MM = 1.0


def part_at_the_middle(labels: Volume, side: str = "auto") -> tuple[Volume, list[tuple[str, str]]]:
    """Canonical labels without stand-ins: medial and lateral where one label stood for both.

    The line runs where, near the middle of the tibia, there is least of the structure: through the spine.

    Parameters
    ----------
    labels : Volume
        Canonical labels with the stand-ins of `numberings.PARTED`.
    side : str
        ``right``, ``left``, or ``auto``: what else the map shows tells.

    Returns
    -------
    labels, warnings
        uint8 on the same grid, and (code, sentence).
    """
    knee = working_knee(labels)
    warnings = []
    if side == "auto":
        side = side_shown(knee)
        if side is None:
            side, _ = side_of_bones(knee)
            warnings.append(("SIDE_GUESSED", f"Nothing but the shape of the bones tells the side; taken for a {side} "
                             "knee. Give --side to be sure."))
    array = knee.array.copy()
    for stand_in, pair in PARTED.items():
        if stand_in in knee.boxes:
            _part(knee, array, stand_in, pair if side == "right" else pair[::-1])
            what = "tibial cartilage was" if stand_in == TIBIAL_CARTILAGE else f"{TITLES[stand_in].lower()} were"
            warnings.append(("PARTED_AT_THE_MIDDLE", f"The {what} one label; it was parted at the middle of the tibia "
                             "into medial and lateral."))
    return knee.paste(array), warnings


def _part(knee: WorkingKnee, array: np.ndarray, stand_in: int, left_and_right: tuple[int, int]) -> None:
    """Give the voxels of ``stand_in`` the first label on the patient's left, the second on the right."""
    where = np.nonzero(knee.array == stand_in)
    towards_left = knee.bone_axes.to_frame(knee.volume.to_physical(np.stack(where[::-1], axis=1)))[:, 0]
    middle = middle_of_the_tibia(knee)
    lines = middle + np.arange(-MIDLINE_TOLERANCE_MM, MIDLINE_TOLERANCE_MM + BIN_MM / 2, BIN_MM)
    ordered = np.sort(towards_left)
    crowd = np.searchsorted(ordered, lines + SMOOTH_MM) - np.searchsorted(ordered, lines - SMOOTH_MM)
    best = np.flatnonzero(crowd == crowd.min())
    line = lines[best[np.abs(lines[best] - middle).argmin()]]
    array[where] = np.where(towards_left >= line, *left_and_right)
