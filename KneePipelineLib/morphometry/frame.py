"""The knee's own axes, found from the bones near the joint alone.

Only bone within a ball around the joint counts, so the axes do not depend on how much shaft the field of view or a
crop leaves, nor on how the grid lies in space:

- Superior: the line from the centroid of the tibia's to the centroid of the femur's part in the ball. In an extended
  knee the femoral one lies anterior, by about 10 degrees in two knees whose sagittal slices had been planned along the
  shafts; ``PITCH_DEG`` takes that out.
- Left-right: the posterior condylar line, the common tangent of both femoral condyles from behind, made perpendicular.
- Posterior: perpendicular to both.

The patient frame (LPS) is used only to begin with: it tells left from right to a person's accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import SegmentationError

BALL_MM = 40.0
"""Radius around the joint's centre within which bone counts: all of the condyles and the plateau, little shaft."""

CONDYLE_BALL_MM = 55.0
PITCH_DEG = 9.6
ITERATIONS = 6
TANGENT_FRACTION = 0.004
"""The share of a condyle's bone whose mean stands for its most posterior point: a tangent that noise cannot move."""


@dataclass(frozen=True)
class BoneAxes:
    """Centre (LPS mm) and rows left, posterior, superior (unit vectors in LPS) of a knee, side not yet known."""

    center: np.ndarray
    axes: np.ndarray

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """LPS mm to left, posterior, superior mm."""
        return (points - self.center) @ self.axes.T


def bone_axes(femur: np.ndarray, tibia: np.ndarray) -> BoneAxes:
    """Axes of a knee from points that fill its bones.

    Parameters
    ----------
    femur, tibia : (n, 3) floats
        Points spread evenly through each bone, LPS mm; a few ten thousand suffice.

    Raises
    ------
    SegmentationError
        If there is no femur or no tibia, or they do not lie one above the other.
    """
    if len(femur) < 50 or len(tibia) < 50:
        raise SegmentationError(
            "The label map holds no measurable femur and tibia, so the knee's axes cannot be found.",
            "Check the segmentation and the label scheme.",
        )
    superior = _unit(femur.mean(axis=0) - tibia.mean(axis=0))
    left = np.array([1.0, 0.0, 0.0])
    center = _first_center(femur, tibia, superior)
    for _ in range(ITERATIONS):
        femoral, tibial = _in_ball(femur, center, BALL_MM), _in_ball(tibia, center, BALL_MM)
        if not len(femoral) or not len(tibial):
            raise SegmentationError(
                "Femur and tibia lie too far apart to form a knee joint.", "Check the label map for stray labels."
            )
        upper, lower = femoral.mean(axis=0), tibial.mean(axis=0)
        line = _unit(upper - lower)
        left = _unit(left - (left @ line) * line)
        superior = _pitched(line, left)
        left = _condylar_line(_in_ball(femur, center, CONDYLE_BALL_MM), left, superior, center)
        center = _joint_center(femoral, tibial, line)
    posterior = np.cross(superior, left)
    return BoneAxes(center, np.stack([left, posterior, superior]))


def turned_onto_templates(knee: BoneAxes, turns: Sequence[np.ndarray], side: str) -> BoneAxes:
    """A bone's own axes: those of the template knees, carried back by the match of the bones.

    The knee's axes lean on both bones, so that they lie between them when the knee is bent. A bone laid on the
    templates' bones (see `correspondence`) has theirs, however the rest of the knee lies.

    Parameters
    ----------
    knee : BoneAxes
        The knee's axes, in which the match was made.
    turns : sequence of (3, 3) arrays
        The bone's rotation onto each template's, in a right knee's frame (medial, posterior, superior).
    side : str
        ``right`` or ``left``.

    Returns
    -------
    BoneAxes
        The knee's own where there is no match.
    """
    from scipy.spatial.transform import Rotation

    if not turns:
        return knee
    turn = Rotation.from_matrix(np.stack(turns)).mean().as_matrix()
    if side == "left":
        mirror = np.diag([-1.0, 1.0, 1.0])
        turn = mirror @ turn @ mirror
    return BoneAxes(knee.center, turn @ knee.axes)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _in_ball(points: np.ndarray, center: np.ndarray, radius_mm: float) -> np.ndarray:
    offset = points - center
    return points[np.einsum("ij,ij->i", offset, offset) < radius_mm**2]


def _gap_height(femur: np.ndarray, tibia: np.ndarray, superior: np.ndarray) -> float:
    """Height of the joint line: between the lowest of the femur and the highest of the tibia, outliers aside."""
    return float(np.quantile(femur @ superior, 0.02) + np.quantile(tibia @ superior, 0.98)) / 2


def _first_center(femur: np.ndarray, tibia: np.ndarray, superior: np.ndarray) -> np.ndarray:
    height = _gap_height(femur, tibia, superior)
    both = np.concatenate([femur, tibia])
    near = both[np.abs(both @ superior - height) < 20]
    center = (near if len(near) else both).mean(axis=0)
    return center + (height - center @ superior) * superior


def _joint_center(femoral: np.ndarray, tibial: np.ndarray, line: np.ndarray) -> np.ndarray:
    """The next centre: level with the joint line, midway between the two bones' centroids across it."""
    center = (femoral.mean(axis=0) + tibial.mean(axis=0)) / 2
    return center + (_gap_height(femoral, tibial, line) - center @ line) * line


def _pitched(line: np.ndarray, left: np.ndarray) -> np.ndarray:
    """The line turned backwards about the left-right axis by ``PITCH_DEG``."""
    posterior = np.cross(line, left)
    angle = np.radians(PITCH_DEG)
    return np.cos(angle) * line + np.sin(angle) * posterior


def _condylar_line(femur: np.ndarray, left: np.ndarray, superior: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Unit vector along the posterior condylar line, perpendicular to ``superior``, towards the left."""
    left = _unit(left - (left @ superior) * superior)
    posterior = np.cross(superior, left)
    across, behind = (femur - center) @ left, (femur - center) @ posterior
    middle = (np.quantile(across, 0.02) + np.quantile(across, 0.98)) / 2
    tangents = []
    for condyle in (across < middle, across >= middle):
        if not condyle.any():
            return left
        edge = np.quantile(behind[condyle], 1 - TANGENT_FRACTION)
        tangents.append(femur[condyle][behind[condyle] >= edge].mean(axis=0))
    line = tangents[1] - tangents[0]
    return _unit(line - (line @ superior) * superior)
