"""Label maps as segmentations: one segment a structure, with standard codes and colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from ...imaging import labels as L
from .. import terminology
from ..inputs.matching import coded_value, match_one
from .changes import SceneChanges
from .files import LabelMap, oriented_image
from .surfaces import LABELS, SURFACE, into_coordinates_of, move_image, move_surface, smoothing_of, surface_of

if TYPE_CHECKING:
    from .kinds import Kind
    from .steps import Import, Source

_REPRESENTATIONS = (LABELS, SURFACE, "Fractional labelmap")
_FILL_OPACITY = 0.35
_PARTS = {"subregion_labels": ("Femoral cartilage subregions", tuple(s.value for s in L.SUBREGIONS)),
          "depth_labels": ("Cartilage layers", None)}
"""Label maps besides the main one: their names, and which of their values are new (None: all)."""
_LIGHTER = {L.DEEP_OFFSET: 0.0, L.SUPERFICIAL_OFFSET: 0.45}


def bring_structures(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """The main label map: into the person's segmentation if there is one, else into a new one; with surfaces."""
    for source in sources:
        labels = yield from work.read(source)
        changes, follow = work.changes, work.options.closed_surface
        with changes.recorded():
            if changes.present(work.given):
                node = work.given
                ids = fill_segmentation(changes, node, labels, side=work.side, segment_ids=work.options.segment_ids,
                                        source=work.transform, surfaces_follow=follow)
                work.results.by_role.setdefault(source.entry["role"], [node])
            else:
                node, ids = _add(work, source, labels, work.knee)
            work.results.segmentation = node
        yield source.title
        if follow:
            yield from _bring_surfaces(work, node, labels, ids)


def _bring_surfaces(work: Import, node: Any, labels: LabelMap, ids: dict[int, str]) -> Iterator[str]:
    """The closed surface of one segment after the other, made by a thread."""
    segmentation, changes = node.GetSegmentation(), work.changes
    smoothing = smoothing_of(segmentation)
    if smoothing is None:
        with changes.recorded():
            segmentation.CreateRepresentation(SURFACE, True)
        yield _("Surfaces of the segments")
        return
    making = {value: work.pool.submit(surface_of, labels, value, smoothing) for value in ids}
    for value, own_id in ids.items():
        segment = segmentation.GetSegment(own_id)
        if segment is None:
            continue
        name = segment.GetName()
        sentence = _("Surface of {structure}").format(structure=name[:1].lower() + name[1:])
        surface = yield from work.wait(making.pop(value), sentence)
        with changes.recorded():
            if not changes.present(node):
                return
            move_surface(surface, into_coordinates_of(node, work.transform))
            segment.AddRepresentation(SURFACE, surface)
        yield sentence


def bring_parts(work: Import, kind: Kind, sources: list[Source]) -> Iterator[str]:
    """Label maps of parts of the structures, each a segmentation that waits hidden."""
    for source in sources:
        labels = yield from work.read(source)
        title, values = _PARTS.get(source.entry["role"], (source.title, None))
        with work.changes.recorded():
            _add(work, source, labels, title, visible=False, values=values)
        yield source.title


def _add(work: Import, source: Source, labels: LabelMap, title: str, **how: Any) -> tuple[Any, dict[int, str]]:
    """A new segmentation. In 3D a segment would cover the thickness map of its own bone, so such ones are hidden."""
    node, ids = add_segmentation(work.changes.scene, title, labels, side=work.side, **how)
    work.adopt(node, source.entry["role"])
    models = [entry for entry in work.entries() if entry.get("structure") and entry["type"] == "model"]
    shown = {entry["structure"] for entry in models} if work.options.models else set()
    for value, own_id in ids.items():
        if value in L.BY_VALUE and L.BY_VALUE[value].name in shown:
            node.GetDisplayNode().SetSegmentVisibility3D(own_id, False)
    set_reference(node, work.present_reference(), labels)
    return node, ids


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
        New ones are made next: the present surfaces stay until then, or a view would make new ones by itself, on
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
    move_image(image, into_coordinates_of(node, source))
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


def _same_grid(volume_node: Any, image: Any) -> bool:
    if volume_node.GetImageData() is None:
        return False
    matrix, other = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    image.GetImageToWorldMatrix(other)
    entries = [abs(matrix.GetElement(r, c) - other.GetElement(r, c)) for r in range(4) for c in range(4)]
    return tuple(volume_node.GetImageData().GetDimensions()) == tuple(image.GetDimensions()) and max(entries) < 1e-3
