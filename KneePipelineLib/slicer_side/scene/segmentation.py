"""Label maps as segmentations: one segment a structure, with standard codes, colours and closed surfaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ...errors import InvalidFormatError
from ...imaging import labels as L
from .. import terminology
from ..inputs.matching import coded_value, match_one
from .changes import SceneChanges
from .files import LabelMap, oriented_image

LABELS, SURFACE = "Binary labelmap", "Closed surface"
_REPRESENTATIONS = (LABELS, SURFACE, "Fractional labelmap")
_FILL_OPACITY = 0.35
_LIGHTER = {L.DEEP_OFFSET: 0.0, L.SUPERFICIAL_OFFSET: 0.45}


def add_segmentation(
    scene: Any, name: str, labels: LabelMap, *, side: str = "unknown", values: tuple[int, ...] | None = None,
    visible: bool = True,
) -> tuple[Any, dict[int, str]]:
    """A new segmentation node of a label map, and the ID of each value's segment.

    Parameters
    ----------
    name : str
        Of the node.
    labels : LabelMap
        Canonical labels, cartilage layers (+100, +200) or anything else.
    side : str
        Of the knee, for the terminology.
    values : tuple of int, optional
        Only these; all that occur by default.
    visible : bool
        Whether it is shown at once.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility(visible)
    display.SetOpacity2DFill(_FILL_OPACITY)
    display.SetPreferredDisplayRepresentationName3D(SURFACE)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(LABELS)
    image = oriented_image(labels.volume)
    ids = {v: segment_id(v) for v in (labels.boxes if values is None else values) if v in labels.boxes}
    for value, own_id in ids.items():
        segmentation.AddSegment(new_segment(value, side, image), own_id)
    return node, ids


def fill_segmentation(
    changes: SceneChanges, node: Any, labels: LabelMap, *, side: str = "unknown",
    segment_ids: Mapping[int, str] | None = None, source: Any = None, surfaces_follow: bool = False,
) -> dict[int, str]:
    """Put a label map into a person's segmentation node: their segments keep identity, name and colour.

    Structures that the node lacks are added. Segments that are no structure of the knee stay as they are, and so do
    those that are one structure in several parts, because the label map does not know which part is which.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        The person's.
    segment_ids : mapping of canonical value to segment ID, optional
        Which segment holds which structure; otherwise found by tag, terminology and name.
    source : vtkMRMLTransformNode, optional
        What the label map lies under; in the world by default.
    surfaces_follow : bool
        `closed_surfaces` comes next: the present surfaces stay until then, or a view would make new ones by itself, on
        the whole grid.

    Returns
    -------
    dict of int to str
        The segment of every value that was filled in.
    """
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() == 0:
        segmentation.SetSourceRepresentationName(LABELS)
    image = oriented_image(labels.volume)
    _move_image(image, _into_coordinates_of(node, source))
    known, doubtful = segments_by_value(node)
    known |= {value: [own_id] for value, own_id in (segment_ids or {}).items()}
    ids = {}
    for value in labels.boxes:
        holders = known.get(value, [])
        if len(holders) > 1 or (holders and value in doubtful):
            continue
        segment = segmentation.GetSegment(holders[0]) if holders else None
        if segment is None:
            own_id = segmentation.GenerateUniqueSegmentID(segment_id(value))
            changes.on_undo(lambda own_id=own_id: segmentation.RemoveSegment(own_id))
            segmentation.AddSegment(new_segment(value, side, image), own_id)
            ids[value] = own_id
            continue
        changes.on_undo(_restorer(segment))
        segment.SetLabelValue(value)
        _set_representations(segment, {LABELS: image, **({SURFACE: segment.GetRepresentation(SURFACE)}
                                                         if surfaces_follow else {})})
        ids[value] = holders[0]
        if value in L.BY_VALUE:
            terminology.describe(segment, value, side)
    return ids


def segments_by_value(node: Any) -> tuple[dict[int, list[str]], set[int]]:
    """The segments of each structure in a segmentation, canonical value -> segment IDs; and the structures of which a
    further segment bears the codes, under a name that makes one doubt."""
    segmentation, found, doubtful = node.GetSegmentation(), {}, set()
    for own_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(own_id)
        value = match_one(segment).value
        if value is not None:
            found.setdefault(value, []).append(own_id)
        else:
            doubtful.add(coded_value(segment))
    return found, doubtful


def set_reference(node: Any, reference: Any, labels: LabelMap) -> None:
    """The grid on which the segmentation is edited: the volume's where it is the label map's, else the label map's.

    A volume node may lie on another grid, as when all echoes of a series were stacked into one.
    """
    image = oriented_image(labels.volume)
    if reference is not None and _same_grid(reference, image):
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        return
    converter = slicer.vtkSegmentationConverter
    text = converter.SerializeImageGeometry(image)
    node.GetSegmentation().SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), text)


def closed_surfaces(node: Any, labels: LabelMap, ids: Mapping[int, str], source: Any = None) -> Iterator[str]:
    """Make the closed surface of one segment after the other; yields its name.

    Slicer's own conversion, but inside each structure's box: the whole grid for each would take ten times as long.

    Parameters
    ----------
    ids : mapping of label value to segment ID
        As `add_segmentation` and `fill_segmentation` return them.
    source : vtkMRMLTransformNode, optional
        What the label map lies under; in the world by default.
    """
    segmentation = node.GetSegmentation()
    for value, own_id in ids.items():
        segment = segmentation.GetSegment(own_id)
        if segment is None:
            continue
        surface = _surface_of(segmentation, labels, value)
        _move_surface(surface, _into_coordinates_of(node, source))
        segment.AddRepresentation(SURFACE, surface)
        yield segment.GetName()


def new_segment(value: int, side: str, image: Any) -> Any:
    """A segment of one value of a label map, with name, colour and codes."""
    segment = slicer.vtkSegment()
    name, colour, structure = appearance(value)
    segment.SetName(name)
    segment.SetNameAutoGenerated(False)
    segment.SetColor(*colour)
    segment.SetColorAutoGenerated(False)
    segment.SetLabelValue(value)
    segment.AddRepresentation(LABELS, image)
    if structure is not None:
        terminology.describe(segment, structure, side)
        if structure != value:  # a layer is not the structure itself
            segment.RemoveTag(terminology.STRUCTURE_TAG)
    return segment


def appearance(value: int) -> tuple[str, tuple[float, float, float], int | None]:
    """Name, colour (0 to 1) and structure (canonical value) of a label; cartilage layers are shades of their region."""
    if value in L.BY_VALUE:
        structure = L.BY_VALUE[value]
        return structure.title, tuple(part / 255 for part in structure.color), value
    for offset, word in ((L.SUPERFICIAL_OFFSET, "superficial"), (L.DEEP_OFFSET, "deep")):
        structure = L.BY_VALUE.get(value - offset)
        if structure is not None:
            share = _LIGHTER[offset]
            colour = tuple((part / 255) * (1 - share) + share for part in structure.color)
            return f"{structure.title}, {word}", colour, structure.value
    return f"Label {value}", (0.6, 0.6, 0.6), None


def segment_id(value: int) -> str:
    """The ID of a label's segment in our own segmentations."""
    return L.BY_VALUE[value].name if value in L.BY_VALUE else f"label_{value}"


def _surface_of(segmentation: Any, labels: LabelMap, value: int) -> Any:
    lower, upper = labels.boxes[value]
    (i0, j0, k0), (i1, j1, k1) = lower, upper
    inside = (labels.volume.array[k0:k1, j0:j1, i0:i1] == value).astype(np.uint8)
    padded = np.pad(inside, 1)
    single = slicer.vtkSegmentation()
    single.SetSourceRepresentationName(LABELS)
    for name in ("Smoothing factor", "Decimation factor"):
        if segmentation.GetConversionParameter(name):
            single.SetConversionParameter(name, segmentation.GetConversionParameter(name))
    segment = slicer.vtkSegment()
    segment.SetLabelValue(1)
    segment.AddRepresentation(LABELS, oriented_image(labels.volume, padded, tuple(n - 1 for n in lower)))
    single.AddSegment(segment, "one")
    single.CreateRepresentation(SURFACE)
    return segment.GetRepresentation(SURFACE)


def _restorer(segment: Any) -> Any:
    """A function that makes a segment what it is now."""
    representations = {name: segment.GetRepresentation(name) for name in _REPRESENTATIONS}
    value, tags = segment.GetLabelValue(), {}
    for name in (terminology.STRUCTURE_TAG, segment.GetTerminologyEntryTagName()):
        tags[name] = terminology.tag_of(segment, name)

    def restore() -> None:
        segment.SetLabelValue(value)
        _set_representations(segment, representations)
        for name, text in tags.items():
            segment.SetTag(name, text) if text else segment.RemoveTag(name)

    return restore


def _set_representations(segment: Any, wanted: Mapping[str, Any]) -> None:
    """Give a segment these representations and no other, never taking the last one away in between: a view that finds
    none complains."""
    for name in _REPRESENTATIONS:
        if wanted.get(name) is not None:
            segment.AddRepresentation(name, wanted[name])
    for name in _REPRESENTATIONS:
        if wanted.get(name) is None and segment.GetRepresentation(name) is not None:
            segment.RemoveRepresentation(name)


def _into_coordinates_of(node: Any, source: Any) -> Any:
    """vtkMatrix4x4 from the results' coordinates to the node's own, or None where they are the same.

    Parameters
    ----------
    source : vtkMRMLTransformNode or None
        The results lie under it; None: in the world.

    Raises
    ------
    InvalidFormatError
        If one of the transforms bends: a label map on straight axes cannot be put under it.
    """
    parent = node.GetParentTransformNode()
    if parent is source:
        return None
    matrix, inverse = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    for transform, filled in ((source, matrix), (parent, inverse)):
        if transform is None:
            continue
        if not transform.IsTransformToWorldLinear():
            raise InvalidFormatError(
                _("The output segmentation or the input lies under a transform that is not linear."),
                _("Let a new segmentation be made, or harden the transform first."))
        transform.GetMatrixTransformToWorld(filled)
    inverse.Invert()
    vtk.vtkMatrix4x4.Multiply4x4(inverse, matrix, matrix)
    return matrix


def _move_image(image: Any, matrix: Any) -> None:
    if matrix is not None:
        moved = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(moved)
        vtk.vtkMatrix4x4.Multiply4x4(matrix, moved, moved)
        image.SetGeometryFromImageToWorldMatrix(moved)


def _move_surface(surface: Any, matrix: Any) -> None:
    if matrix is not None:
        transform = vtk.vtkTransform()
        transform.SetMatrix(matrix)
        mover = vtk.vtkTransformPolyDataFilter()
        mover.SetTransform(transform)
        mover.SetInputData(surface)
        mover.Update()
        surface.ShallowCopy(mover.GetOutput())


def _same_grid(volume_node: Any, image: Any) -> bool:
    if volume_node.GetImageData() is None:
        return False
    matrix, other = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    image.GetImageToWorldMatrix(other)
    entries = [abs(matrix.GetElement(r, c) - other.GetElement(r, c)) for r in range(4) for c in range(4)]
    return tuple(volume_node.GetImageData().GetDimensions()) == tuple(image.GetDimensions()) and max(entries) < 1e-3
