"""How much of its bone a cartilage covers, relative to the bone's own size: what a truth would show, without one.

The area in which cartilage and bone meet, divided by the square of a length of the same bone (femur and tibia: their
width; patella: the cube root of its volume), hardly differs between knees: in two real and ten digital ones it was
0.98 to 1.17 on the femur, 0.14 to 0.24 on each side of the tibia and 1.3 to 1.7 on the patella. Bone tells how large
the cartilage should be, so a half that is missing shows, whatever the size of the knee.
"""

from __future__ import annotations

import numpy as np

from ..imaging import labels as L
from ..imaging.volume import Volume

COARSE_MM = 1.0
OBLIQUE = 1.5
"""Faces of voxels over the area of the surface that they step along, on average over its directions."""

USUAL = {L.FEMORAL_CARTILAGE: 1.06, L.MEDIAL_TIBIAL_CARTILAGE: 0.195, L.LATERAL_TIBIAL_CARTILAGE: 0.185,
         L.PATELLAR_CARTILAGE: 1.5}
LEAST = {L.FEMORAL_CARTILAGE: 0.68, L.MEDIAL_TIBIAL_CARTILAGE: 0.125, L.LATERAL_TIBIAL_CARTILAGE: 0.115,
         L.PATELLAR_CARTILAGE: 0.98}
"""Below this a good part is missing: bare bone, or cartilage that was not found. Two thirds of the usual or less."""

_BONE_OF = {cartilage: bone for bone, cartilages in L.BONE_CARTILAGES.items() for cartilage in cartilages}


def coverages(labels: Volume) -> dict[int, float]:
    """Cartilage label -> covered area over the square of its bone's length, for each whose bone is there.

    Parameters
    ----------
    labels : Volume
        Canonical labels, uint8.
    """
    from scipy.ndimage import find_objects

    steps = [max(1, int(COARSE_MM / s)) for s in labels.spacing]
    coarse = Volume(labels.array[:: steps[2], :: steps[1], :: steps[0]], labels.spacing * steps, labels.origin,
                    labels.direction)
    boxes = find_objects(coarse.array, max(L.CARTILAGES))
    lengths = {bone: _length_mm(coarse, bone, boxes[bone - 1]) for bone in L.BONES if boxes[bone - 1] is not None}
    found = {}
    for cartilage, bone in _BONE_OF.items():
        if lengths.get(bone):
            box = boxes[cartilage - 1]
            found[cartilage] = 0.0 if box is None else _area_mm2(coarse, bone, cartilage, box) / lengths[bone] ** 2
    return found


def _length_mm(labels: Volume, bone: int, box: tuple[slice, ...]) -> float:
    mask = labels.array[box] == bone
    if bone == L.PATELLA:
        return float(np.cbrt(np.count_nonzero(mask) * labels.voxel_volume_mm3))
    across = labels.to_physical(np.argwhere(mask)[:, ::-1] + [s.start for s in reversed(box)])[:, 0]
    return float(np.quantile(across, 0.995) - np.quantile(across, 0.005))


def _area_mm2(labels: Volume, bone: int, cartilage: int, box: tuple[slice, ...]) -> float:
    """Where the cartilage, grown by one voxel over gaps, meets the bone."""
    from scipy.ndimage import binary_dilation

    part = labels.array[tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in box)]
    on = part == bone
    over = binary_dilation(part == cartilage) & ~on
    i, j, k = labels.spacing
    area = 0.0
    for axis, face_mm2 in enumerate((i * j, i * k, j * k)):
        for one, other in ((on, over), (over, on)):
            first = np.take(one, range(one.shape[axis] - 1), axis=axis)
            second = np.take(other, range(1, other.shape[axis]), axis=axis)
            area += float(np.count_nonzero(first & second)) * face_mm2
    return area / OBLIQUE
