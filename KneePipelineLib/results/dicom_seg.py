"""The labels as a DICOM segmentation object (SEG), for PACS and for viewers that read nothing else.

One binary segment for each structure (PS3.3 A.51, C.8.20), on the labels' own grid, frame by frame with a reference to
the slice it was drawn on. A segmentation object lies in the patient's study, so this is the one file of a run that
carries what the input's header carried: the patient and study modules, UIDs and dates. Its name tells nothing, no
message quotes it, and the archive of results leaves it out unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..errors import SegmentationError
from ..imaging import Volume
from ..imaging.dicom_frames import quiet_pydicom
from ..system.atomic import whole_file
from .dicom_segments import Drawing, segment_descriptions, structures_in
from .dicom_source import DicomSource, SourceImage, decimal, derived_uid
from .outputs import Output, checked_prefix

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from pydicom.dataset import Dataset

GRID_TOLERANCE_MM = 0.01
SERIES_NUMBER_OFFSET = 1000
"""Added to the source's series number: beside it in a list, and hardly taken."""
SEGMENTATION = ("DCM", "113076", "Segmentation")
SOURCE_IMAGE = ("DCM", "121322", "Source image for image processing operation")


def dicom_seg_output(prefix: str) -> Output:
    """The listing of the file."""
    return Output("dicom_seg", f"{checked_prefix(prefix)}_segmentation.dcm", "dicom", "Segmentation as DICOM SEG",
                  reference=f"{prefix}_all-labels.nrrd")


def write_dicom_seg(folder: Path | str, prefix: str, labels: Volume, source: DicomSource, *, side: str = "unknown",
                    drawing: Drawing | None = None, created: datetime | None = None) -> list[Output]:
    """Write ``<prefix>_segmentation.dcm``.

    Parameters
    ----------
    folder : path-like
        Where it goes.
    prefix : str
        Beginning of its name.
    labels : Volume
        Canonical labels in the source's frame of reference; on the source's grid (axes in any order and direction) or
        on another one, whose frames then refer to the series but to no single slice of it.
    source : DicomSource
        From `read_source`.
    side : str
        ``right``, ``left`` or ``unknown``.
    drawing : Drawing, optional
        How the labels came about; by default they were handed in.
    created : datetime, optional
        Local time; now by default. The same arguments write the same bytes.

    Raises
    ------
    SegmentationError
        If there are no labels, or values that are no structure.
    """
    output = dicom_seg_output(prefix)
    with quiet_pydicom():
        segmentation = make_segmentation(labels, source, side=side, drawing=drawing or Drawing(), created=created)
        with whole_file(Path(folder) / output.path) as temporary:
            segmentation.save_as(temporary)
    return [output]


def make_segmentation(labels: Volume, source: DicomSource, *, side: str, drawing: Drawing,
                      created: datetime | None = None) -> Segmentation:
    """The object itself; see `write_dicom_seg`."""
    from highdicom.seg import Segmentation

    labels, aligned = _on_source_axes(labels, source.grid)
    try:
        structures = structures_in(labels.array)
    except KeyError as error:
        raise SegmentationError(f"The label map holds the value {error.args[0]}, which is no structure.") from None
    if not structures:
        raise SegmentationError("The label map is empty, and a DICOM segmentation without segments is none.")
    numbers = np.zeros(256, np.uint8)
    numbers[[s.value for s in structures]] = np.arange(1, len(structures) + 1)
    numbered = labels.with_array(numbers[labels.array])
    created = created or datetime.now()
    uid_parts = (__version__, created.isoformat(), drawing.sentence(), *(i.instance_uid for i in source.images),
                 labels.affine.tobytes().hex(), _digest(labels.array))
    # One slice is enough for highdicom to fill in all modules; the frames are ours, see `_frames`.
    segmentation = Segmentation(
        source_images=[source.header], pixel_array=_first_slice(numbered, source.header.FrameOfReferenceUID),
        segmentation_type="BINARY", segment_descriptions=segment_descriptions(structures, side, drawing),
        series_instance_uid=derived_uid("series", *uid_parts), sop_instance_uid=derived_uid("instance", *uid_parts),
        series_number=source.series_number + SERIES_NUMBER_OFFSET, instance_number=1, manufacturer="KneePipeline",
        manufacturer_model_name="KneePipeline", software_versions=__version__, device_serial_number=__version__,
        content_label="KNEE", content_description=_content(side), content_creator_name="KneePipeline^",
        omit_empty_frames=False, series_description=drawing.series_description(), content_date=created.date(),
        content_time=created.time(), series_date=created.date(), series_time=created.time())
    _finish(segmentation, source, side, created, derived_uid("dimensions", *uid_parts))
    _place(segmentation, numbered)
    _fill_frames(segmentation, numbered, source.images if aligned else None)
    return segmentation


def _on_source_axes(labels: Volume, grid: Volume) -> tuple[Volume, bool]:
    """The labels with their axes in the source's order, and whether they then lie slice on slice.

    Labels of another grid only get a right-handed one, because frames are stacked along the normal of their plane.
    """
    turned = labels.reoriented(grid.orientation)
    if turned.same_grid(grid, GRID_TOLERANCE_MM):
        return turned, True
    if np.linalg.det(labels.direction) > 0:
        return labels, False
    last = labels.to_physical((0, 0, labels.size[2] - 1))
    return Volume(labels.array[::-1], labels.spacing, last, labels.direction * (1, 1, -1)), False


def _first_slice(labels: Volume, frame_of_reference: str) -> object:
    """A `highdicom.Volume`, whose indices have the array's order (k, j, i)."""
    import highdicom

    return highdicom.Volume(labels.array[:1], labels.affine[:, [2, 1, 0, 3]], coordinate_system="PATIENT",
                            frame_of_reference_uid=frame_of_reference)


def _content(side: str) -> str:
    return f"Structures of the {side} knee" if side in ("right", "left") else "Structures of the knee"


def _digest(array: np.ndarray) -> str:
    from hashlib import sha256

    return sha256(np.ascontiguousarray(array).data).hexdigest()


def _finish(segmentation: Segmentation, source: DicomSource, side: str, created: datetime, uid: str) -> None:
    """What highdicom leaves to chance or to us: body part, references to the series, dates and the one random UID."""
    from pydicom.valuerep import DA, DT, TM

    segmentation.BodyPartExamined = "KNEE"
    if side in ("right", "left"):
        segmentation.Laterality = side[0].upper()
    segmentation.InstanceCreationDate, segmentation.InstanceCreationTime = DA(created.date()), TM(created.time())
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
    # The scanner, its hospital and its place in it are no part of the patient's study and are left out.
    segmentation.ContributingEquipmentSequence = segmentation.ContributingEquipmentSequence[-1:]
    segmentation.ContributingEquipmentSequence[0].ContributionDateTime = DT(created)
    files = dict.fromkeys(SourceImage(image.class_uid, image.instance_uid, None) for image in source.images)
    segmentation.SourceImageSequence = [_reference(file) for file in files]
    segmentation.ReferencedSeriesSequence = [_item(
        SeriesInstanceUID=source.series_uid, ReferencedInstanceSequence=[_reference(file) for file in files])]


def _place(segmentation: Segmentation, labels: Volume) -> None:
    """Orientation and spacing of the labels' own grid, which all frames share (PS3.3 C.7.6.16.2.1, C.7.6.16.2.4)."""
    columns_mm, rows_mm, slices_mm = (decimal(s) for s in labels.spacing)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[rows_mm, columns_mm], SliceThickness=slices_mm,
                                          SpacingBetweenSlices=slices_mm)]
    shared.PlaneOrientationSequence = [_item(
        ImageOrientationPatient=[decimal(v) for v in labels.direction[:, :2].T.ravel()])]


def _fill_frames(segmentation: Segmentation, labels: Volume, images: tuple[SourceImage, ...] | None) -> None:
    """The frames and their functional groups (PS3.3 C.7.6.16), by segment and slice."""
    frames = list(_frames(labels.array, len(segmentation.SegmentSequence)))
    positions = labels.to_physical([(0, 0, k) for k in range(labels.size[2])])
    segmentation.PerFrameFunctionalGroupsSequence = [
        _functional_groups(number, k, positions[k], None if images is None else images[k]) for number, k in frames]
    segmentation.NumberOfFrames = len(frames)
    bits = b"".join(np.packbits([labels.array[k] == number for number, k in frames[n:n + 8]], bitorder="little")
                    for n in range(0, len(frames), 8))  # eight frames of any size fill whole bytes
    segmentation.PixelData = bits + b"\0" * (len(bits) % 2)


def _frames(array: np.ndarray, segments: int) -> Iterator[tuple[int, int]]:
    """(segment, slice) of every frame: the slices in which a segment occurs, and somewhere both ends of the grid.

    A reader takes the extent of the volume from the frames that are there. Without the two ends it would be that of
    the knee instead of that of the image, and the segmentation would not lie on the label map's grid.
    """
    last = len(array) - 1
    occurs = np.array([np.bincount(plane.ravel(), minlength=segments + 1) > 0 for plane in array])
    for number in range(1, segments + 1):
        for k in range(last + 1):
            if occurs[k, number] or (number, k) in ((1, 0), (segments, last)):
                yield number, k


def _functional_groups(number: int, k: int, position: np.ndarray, image: SourceImage | None) -> Dataset:
    """What is said about one frame: segment, place and the image it was drawn on."""
    groups = _item(
        FrameContentSequence=[_item(DimensionIndexValues=[number, k + 1])],
        PlanePositionSequence=[_item(ImagePositionPatient=[decimal(x) for x in position])],
        SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=number)], DerivationImageSequence=[])
    if image is not None:
        reference = _reference(image)
        reference.SpatialLocationsPreserved = "YES"
        reference.PurposeOfReferenceCodeSequence = [_code(SOURCE_IMAGE)]
        groups.DerivationImageSequence = [_item(SourceImageSequence=[reference],
                                                DerivationCodeSequence=[_code(SEGMENTATION)])]
    return groups


def _reference(image: SourceImage) -> Dataset:
    """SOP class and instance (and frame) of one image, PS3.3 table 10-3."""
    item = _item(ReferencedSOPClassUID=image.class_uid, ReferencedSOPInstanceUID=image.instance_uid)
    if image.frame is not None:
        item.ReferencedFrameNumber = image.frame
    return item


def _code(code: tuple[str, str, str]) -> Dataset:
    scheme, value, meaning = code
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _item(**elements: object) -> Dataset:
    """A sequence item."""
    from pydicom.dataset import Dataset

    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item
