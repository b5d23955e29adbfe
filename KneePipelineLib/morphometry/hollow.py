"""Bones of which only the shell is labelled, filled.

Some people outline the cortex only. Measured as it is, the inside of such a shell is a second surface, and the axes,
which bone's mass near the joint decides, are those of another body. A voxel counts as inside when the bone surrounds it
in its axial plane: the shaft's cut end, where a shell is open, does not matter then, and the intercondylar notch, open
to behind, stays.
"""

from __future__ import annotations

import numpy as np

from ..imaging.labels import BONES, BY_VALUE
from ..imaging.volume import Volume

HOLLOW_SHARE = 0.05
"""Less than this of a bone's volume is a cyst, a lesion or a slip of the pencil, and stays as it was drawn."""


def axial_axis(labels: Volume) -> int:
    """The array's axis (z, y, x) that is nearest to superior-inferior."""
    return 2 - next(i for i, letter in enumerate(labels.orientation) if letter in "SI")


def inside_of(mask: np.ndarray, axis: int) -> np.ndarray:
    """What a mask surrounds in its planes across ``axis``, the mask itself left out."""
    from scipy.ndimage import label

    planes = np.moveaxis(np.pad(mask, [(0, 0) if a == axis else (1, 1) for a in range(3)]), axis, 0)
    cross = np.zeros((3, 3, 3), bool)
    cross[1] = [[False, True, False], [True, True, True], [False, True, False]]
    pieces, count = label(~planes, cross)
    outside = np.zeros(count + 1, bool)
    outside[np.unique(pieces[:, 0])] = True  # the added rim is one piece in every plane
    outside[0] = True
    inner = np.moveaxis(~outside[pieces], 0, axis)
    return inner[tuple(slice(None) if a == axis else slice(1, -1) for a in range(3))]


def fill_hollow_bones(labels: Volume) -> tuple[Volume, list[tuple[str, str]]]:
    """Canonical labels with shells of bone made solid; the same object when there are none.

    Only voxels without a label are filled.
    """
    from scipy.ndimage import find_objects

    array, axis, warnings = labels.array, axial_axis(labels), []
    for bone, box in enumerate(find_objects(array, max(BONES)), start=1):
        if box is None or bone not in BONES:
            continue
        mask = array[box] == bone
        inner = inside_of(mask, axis) & (array[box] == 0)
        if np.count_nonzero(inner) < HOLLOW_SHARE * np.count_nonzero(mask):
            continue
        if array is labels.array:
            array = array.copy()
        array[box][inner] = bone
        millilitres = np.count_nonzero(inner) * labels.voxel_volume_mm3 / 1000
        warnings.append(("HOLLOW_BONE_FILLED", f"Only the shell of the {BY_VALUE[bone].name} was labelled; the "
                         f"{millilitres:.3g} ml inside it were filled."))
    return (labels.with_array(array) if warnings else labels), warnings
