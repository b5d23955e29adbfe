"""The label map as this room works on it: cropped to what is labelled, axes nearest to Left, Posterior, Superior.

Work done here does not depend on how the volume's axes were flipped or permuted, because the working box is the same
array in every case. Results are written back through the same view of the original grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import SegmentationError
from ..imaging.bone_pieces import WholeBone, whole_bone
from ..imaging.labels import BONES, FEMUR, TIBIA
from ..imaging.volume import Volume
from .frame import BoneAxes, bone_axes

SAMPLE_MM = 1.1
"""Spacing of the points that stand for a bone where its axes are looked for."""

MARGIN = 12
"""Voxels kept around what is labelled, as far as the image goes: so the end of the box is the end of the image."""


@dataclass(frozen=True, eq=False)
class WorkingKnee:
    """Canonical labels on their working box.

    Attributes
    ----------
    source : Volume
        The whole canonical map as it came.
    box : tuple of slices
        (z, y, x) of the source's array that the working box covers.
    volume : Volume
        The box, axes growing nearest to left, posterior, superior.
    """

    source: Volume
    box: tuple[slice, slice, slice]
    volume: Volume

    @property
    def array(self) -> np.ndarray:
        """(superior, posterior, left) labels, uint8."""
        return self.volume.array

    @cached_property
    def boxes(self) -> dict[int, tuple[slice, slice, slice]]:
        """For every label that occurs, the smallest box of the working array that holds it."""
        from scipy.ndimage import find_objects

        found = find_objects(self.array)
        return {label: box for label, box in enumerate(found, start=1) if box is not None}

    def mask(self, label: int) -> np.ndarray:
        """The label within its own box, bool."""
        return self.array[self.boxes[label]] == label

    def points(self, label: int, spacing_mm: float = 0.0) -> np.ndarray:
        """(n, 3) LPS mm of the label's voxel centres, thinned out to about a spacing; empty if it does not occur."""
        if label not in self.boxes:
            return np.zeros((0, 3))
        steps = [max(1, int(spacing_mm / s)) for s in self.volume.spacing]
        mask = self.mask(label)[:: steps[2], :: steps[1], :: steps[0]]
        start = [s.start for s in reversed(self.boxes[label])]
        return self.volume.to_physical(np.argwhere(mask)[:, ::-1] * steps + start)

    def bone_points(self, label: int) -> np.ndarray:
        """Points spread through a bone, LPS mm."""
        return self.points(label, SAMPLE_MM)

    @cached_property
    def bone_axes(self) -> BoneAxes:
        """The knee's axes; see frame.py."""
        return bone_axes(self.bone_points(FEMUR), self.bone_points(TIBIA))

    def with_array(self, array: np.ndarray) -> WorkingKnee:
        """The same knee with other labels in the working box, the source's map updated."""
        return replace(self, source=self.paste(array), volume=self.volume.with_array(array))

    def paste(self, array: np.ndarray, dtype: type = np.uint8) -> Volume:
        """A working-box array back on the source's grid, 0 around it."""
        whole = np.zeros(self.source.array.shape, dtype=dtype)
        lps_view(whole[self.box], self.source.orientation)[...] = array
        return self.source.with_array(whole)


def working_knee(labels: Volume) -> WorkingKnee:
    """Crop canonical labels to what is labelled and turn the axes.

    Raises
    ------
    SegmentationError
        If the map is empty.
    """
    box = labelled_box(labels.array)
    if box is None:
        raise SegmentationError("The label map is empty.", "Check that the segmentation was saved.")
    box = tuple(slice(max(0, s.start - MARGIN), min(n, s.stop + MARGIN))
                for s, n in zip(box, labels.array.shape, strict=True))
    view = labels.cropped(tuple(s.start for s in reversed(box)), tuple(s.stop for s in reversed(box)))
    return WorkingKnee(labels, box, view.reoriented("LPS"))


def labelled_box(array: np.ndarray) -> tuple[slice, slice, slice] | None:
    """The smallest box that holds every voxel that is not 0."""
    planes = np.flatnonzero([slab.any() for slab in array])
    if not len(planes):
        return None
    flat = np.zeros(array.shape[1:], bool)
    for slab in array[planes[0] : planes[-1] + 1]:
        flat |= slab != 0
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    return tuple(slice(int(held[0]), int(held[-1]) + 1) for held in (planes, rows, columns))


def lps_view(array: np.ndarray, orientation: str) -> np.ndarray:
    """A view of an array (z, y, x) with the axes `Volume.reoriented("LPS")` gives; writing into it writes the array.

    Parameters
    ----------
    orientation : str
        Of the array as it is: three letters for i, j, k.
    """
    order = [next(i for i, letter in enumerate(orientation) if letter in pair) for pair in ("LR", "PA", "SI")]
    turned = array.transpose([2 - o for o in reversed(order)])
    backwards = [orientation[o] not in "LPS" for o in order]
    return turned[tuple(slice(None, None, -1) if b else slice(None) for b in reversed(backwards))]


def with_whole_bones(knee: WorkingKnee) -> tuple[WorkingKnee, dict[int, WholeBone]]:
    """The knee with bones as they are measured (see `imaging.bone_pieces`), and what was found about each.

    Stray pieces are gone and growth plates closed in the working box alone: the source stays what it was.
    """
    array, bones = knee.array.copy(), {}
    spacing = knee.volume.spacing[::-1]
    for bone in BONES:
        if bone in knee.boxes:
            box = knee.boxes[bone]
            bones[bone] = whole_bone(knee.array, bone, box, spacing)
            part, mask = array[box], bones[bone].mask
            part[(part == bone) & ~mask] = 0
            part[mask & (part == 0)] = bone
    if all(found.pieces <= 1 for found in bones.values()) and np.array_equal(array, knee.array):
        return knee, bones
    return replace(knee, volume=knee.volume.with_array(array)), bones
