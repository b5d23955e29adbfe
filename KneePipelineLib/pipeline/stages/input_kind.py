"""Whether INPUT is a label map or an image: by what a person says, by its header, by its values; never by default."""

from __future__ import annotations

from ...errors import InvalidFormatError
from ...imaging import Volume, is_segmentation_file, read_labels
from ...imaging.image_or_labels import image_or_labels
from ...job import JobOptions

OR_AN_IMAGE = "If INPUT is an image and no label map, give --as image."


def labels_by_name(options: JobOptions) -> Volume | None:
    """INPUT read as a label map where a person or its header says that it is one; None where only its values can tell.

    Raises
    ------
    InvalidFormatError
        If INPUT is a segmentation file where an image is needed.
    """
    if options.practice or options.input is None:
        return None
    if options.segmentation is not None and options.segmentation != options.input:
        if options.input_kind != "image" and is_segmentation_file(options.input):
            raise InvalidFormatError("INPUT is a segmentation, not an image, and --segmentation gives another one.",
                                     "Give the image as INPUT, or the segmentation alone.")
        return None
    said = options.input_kind == "labels" or options.segmentation == options.input
    if said or (options.input_kind == "auto" and is_segmentation_file(options.input)):
        return read_labels(options.input, spacing=options.spacing)
    return None


def values_are_labels(options: JobOptions, volume: Volume) -> bool:
    """Whether the values of INPUT are those of a label map.

    Raises
    ------
    InvalidFormatError
        If they could be either, or are label maps in several layers.
    """
    if options.segmentation is not None or options.input_kind != "auto" or volume.meta.get("format") == "DICOM":
        return False
    kind, layers = image_or_labels(volume.array), int(volume.meta.get("echoes") or 1)
    if kind == "labels" and layers > 1:
        raise InvalidFormatError(
            f"INPUT holds {layers} values for every voxel, and they are those of label maps, not of echoes.",
            f"Give one label map with one value for every voxel. {OR_AN_IMAGE}")
    if kind == "unclear":
        raise InvalidFormatError(
            "It is not clear whether INPUT is an image or a label map: its voxels are as equal as those of an "
            "interpolated label map, or of an image with few grey levels.",
            "If it is a label map, save it with whole numbers (nearest neighbours) and give it with --segmentation; "
            f"{OR_AN_IMAGE[0].lower()}{OR_AN_IMAGE[1:]}")
    return kind == "labels"
