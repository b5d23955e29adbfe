"""Whether femur and tibia have the proportions of a knee's; where not, the voxel size is hardly the true one.

A header that lost its voxel size still tells one, 1 x 1 x 1 mm or the same along all axes, and every measure is wrong
by as much. A knee's width and depth are in a narrow relation to each other, whatever its size.
"""

from __future__ import annotations

import numpy as np

from ..imaging.labels import FEMUR, TIBIA
from .working import WorkingKnee

WIDTH_TO_DEPTH = {FEMUR: 1.25, TIBIA: 1.6}
"""Width from medial to lateral over depth from front to back of the distal femur and of the tibial plateau: 1.2 to 1.3
and 1.5 to 1.8 in the two real and twelve digital knees looked at. Bone alone, along the knee's own axes."""

NEAR_THE_JOINT_MM = {FEMUR: 35.0, TIBIA: 15.0}
AT_MOST = 1.33
"""Both bones together deviate by less than this factor, up or down; by 1.08 in those knees."""


def odd_proportions(knee: WorkingKnee) -> list[tuple[str, str]]:
    """A warning (code, sentence) if width and depth of the bones do not fit each other; none where they do.

    A bone that the image's edge cuts off says nothing.
    """
    deviations = [_deviation(knee, bone) for bone in (FEMUR, TIBIA) if bone in knee.boxes and not _cut_off(knee, bone)]
    if not deviations:
        return []
    factor = float(np.exp(np.mean(np.log(deviations))))
    if 1 / AT_MOST <= factor <= AT_MOST:
        return []
    much, shape = (factor, "wide for their depth") if factor > 1 else (1 / factor, "deep for their width")
    return [("UNUSUAL_PROPORTIONS", f"Femur and tibia are {much:.1f} times as {shape} as a knee's: the voxel size "
             f"({' x '.join(f'{s:.3g}' for s in knee.source.spacing)} mm) is probably wrong.")]


def _deviation(knee: WorkingKnee, bone: int) -> float:
    """Width over depth near the joint, as a multiple of the usual one."""
    points = knee.bone_axes.to_frame(knee.bone_points(bone))
    height = points[:, 2] if bone == FEMUR else -points[:, 2]
    near = points[height < np.quantile(height, 0.005) + NEAR_THE_JOINT_MM[bone]]
    width, depth = (float(np.ptp(np.quantile(near[:, axis], (0.005, 0.995)))) for axis in (0, 1))
    return width / max(depth, 1e-3) / WIDTH_TO_DEPTH[bone]


def _cut_off(knee: WorkingKnee, bone: int) -> bool:
    """Whether a bone reaches the image's edge from side to side or from front to back."""
    return any(box.start == 0 or box.stop == size
               for box, size in list(zip(knee.boxes[bone], knee.array.shape, strict=True))[1:])
