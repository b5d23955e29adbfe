"""Segments of the scene as one canonical label map, on the grid of the image or of an earlier run.

Nothing is added to the scene for it: each segment is copied, resampled (nearest neighbour, the segmentation's
transform applied) and drawn into an array, one segment an event-loop turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InvalidFormatError
from ...imaging.labels import overlap_rank
from .volumes import TO_LPS, Picture, array_of, ijk_to_lps, matrix_of


@dataclass(frozen=True)
class TargetGrid:
    """Voxels (i, j, k) and the 4 x 4 matrix from voxel to LPS millimetres."""

    size: tuple[int, int, int]
    ijk_to_lps: np.ndarray

    @classmethod
    def of_picture(cls, picture: Picture) -> TargetGrid:
        """The grid of an exported image."""
        return cls(tuple(int(n) for n in reversed(picture.array.shape)), picture.ijk_to_lps)

    @classmethod
    def of_volume(cls, node: Any) -> TargetGrid:
        """The grid of a volume node, its own transform left out."""
        return cls(tuple(node.GetImageData().GetDimensions()), ijk_to_lps(node))

    @classmethod
    def of_file(cls, path: Path) -> TargetGrid:
        """The grid of a label map that a run left (.nrrd)."""
        from ...imaging.limits import DEFAULT_LIMITS
        from ...imaging.nrrd import open_nrrd

        image = open_nrrd(path, DEFAULT_LIMITS)
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = image.direction * image.spacing, image.origin
        return cls(image.size, matrix)

    @classmethod
    def of_segmentation(cls, node: Any) -> TargetGrid:
        """The segmentation's own reference geometry, else what its segments share; its transform left out."""
        import slicer

        image = slicer.vtkOrientedImageData()
        geometry = node.GetSegmentation().GetConversionParameter(
            slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName())
        if not (geometry and slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, image, False)):
            _ensure_label_maps(node)
            node.GetSegmentation().SetImageGeometryFromCommonLabelmapGeometry(image)
        first, last = np.array(image.GetExtent()).reshape(3, 2).T
        if (last < first).any():
            raise InvalidFormatError("The segmentation is empty.", "Choose another segmentation under Inputs.")
        import vtk

        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        ijk_to_ras = array_of(matrix)
        ijk_to_ras[:3, 3] = ijk_to_ras[:3, :3] @ first + ijk_to_ras[:3, 3]
        return cls(tuple(int(n) for n in last - first + 1), TO_LPS @ ijk_to_ras)

    def image(self) -> Any:
        """A vtkOrientedImageData of this geometry, without voxels."""
        import slicer

        image = slicer.vtkOrientedImageData()
        image.SetExtent(0, self.size[0] - 1, 0, self.size[1] - 1, 0, self.size[2] - 1)
        image.SetImageToWorldMatrix(matrix_of(TO_LPS @ self.ijk_to_lps))
        return image


def draw_labels(node: Any, values: Mapping[str, int], grid: TargetGrid) -> Iterator[Picture | None]:
    """Draw segments into one label map.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    values : mapping of segment ID -> label
        Where they overlap cartilages cover menisci, and both cover bones; among equals later ones cover earlier ones.
    grid : TargetGrid
        In the world, where the segmentation's transform takes the segments.

    Yields
    ------
    None
        After each segment.
    Picture
        At last: uint8 array (z, y, x).

    Raises
    ------
    InvalidFormatError
        When nothing of the segments lies on the grid.
    """
    _ensure_label_maps(node)
    reference, to_world = grid.image(), _to_world(node)
    labels = np.zeros(tuple(reversed(grid.size)), np.uint8)
    for segment_id, value in sorted(values.items(), key=lambda pair: overlap_rank(pair[1])):
        labels[_inside(node, segment_id, reference, to_world, labels.shape)] = value
        yield None
    if not labels.any():
        raise InvalidFormatError("No voxel of the segmentation lies inside the input volume.",
                                 "Choose the volume that the segmentation was made on, under Inputs.")
    yield Picture(labels, grid.ijk_to_lps)


def _ensure_label_maps(node: Any) -> None:
    name = "Binary labelmap"
    if not node.GetSegmentation().ContainsRepresentation(name) and not node.CreateBinaryLabelmapRepresentation():
        raise InvalidFormatError("The segmentation's surfaces could not be turned into label maps.",
                                 "In the Segmentations module, create the representation 'Binary labelmap' first.")


def _to_world(node: Any) -> Any:
    import vtk

    parent = node.GetParentTransformNode()
    if parent is None:
        return None
    transform = vtk.vtkGeneralTransform()
    parent.GetTransformToWorld(transform)
    return transform


def _inside(node: Any, segment_id: str, reference: Any, to_world: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Where a segment is, as a boolean (z, y, x) array on the reference grid."""
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    own, there = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    if not node.GetBinaryLabelmapRepresentation(segment_id, own) or own.IsEmpty():
        return np.zeros(shape, bool)
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    if not resample(own, reference, there, False, False, to_world):
        raise InvalidFormatError("A segment could not be brought onto the grid of the input volume.",
                                 "Check the segmentation's transform, or harden it in the Transforms module.")
    return vtk_to_numpy(there.GetPointData().GetScalars()).reshape(shape) > 0
