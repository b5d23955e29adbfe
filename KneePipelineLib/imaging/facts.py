"""The normalised header: what a report or a quality check may know about an acquisition. An allow-list, de-identified.

Names, identifiers, dates, places, UIDs and free text other than the (cleaned) series description never get in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..side_words import side_in_words
from .dicom_frames import quiet_pydicom
from .dicom_values import number, without_identifiers

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .dicom_geometry import Stack


def header_facts(stack: Stack) -> dict:
    """Facts about one stack as plain JSON types; a fact that the header lacks is None.

    Returns
    -------
    dict
        manufacturer, model, field_strength_t, modality, body_part, names_knee (whether a description or the body part
        says knee), laterality (``"right"``, ``"left"`` or None),
        series_description, sequence_name, scanning_sequence, acquisition_type (2D, 3D), repetition_time_ms,
        echo_times_ms (list), flip_angle_deg, echo_train_length, pixel_bandwidth_hz, spacing_mm (i, j, k),
        slice_thickness_mm, matrix (columns, rows, slices).
    """
    import pydicom

    frame = stack.frames[0]
    with quiet_pydicom():
        try:
            dataset = pydicom.dcmread(frame.header.path, stop_before_pixels=True, force=True)
            facts = _from_dataset(dataset, frame.index or 0)
        except (NameError, ImportError):  # not the header's fault
            raise
        except Exception:  # the facts are a courtesy; a header that yields none is no reason to stop
            facts = _from_dataset({}, 0)
    facts.update(
        modality=frame.header.modality or None,
        series_description=frame.header.description or None,
        repetition_time_ms=frame.repetition_time_ms,
        echo_times_ms=[frame.echo_time_ms],
        flip_angle_deg=frame.flip_angle_deg,
        spacing_mm=[float(s) for s in stack.spacing],
        matrix=list(stack.size),
    )
    return facts


def _from_dataset(dataset: Dataset | dict, index: int) -> dict:
    def text(keyword: str, sequence: str = "") -> str | None:
        value = _functional(dataset, index, sequence, keyword)
        if value is not None and not isinstance(value, str):
            value = "\\".join(str(v) for v in value) if hasattr(value, "__iter__") else value
        return without_identifiers(value, dataset) or None

    def quantity(keyword: str, sequence: str = "") -> float | None:
        return number(_functional(dataset, index, sequence, keyword))

    return {
        "manufacturer": text("Manufacturer"),
        "model": text("ManufacturerModelName"),
        "field_strength_t": _tesla(quantity("MagneticFieldStrength")),
        "body_part": text("BodyPartExamined") or text("BodyPartExamined", "FrameAnatomySequence"),
        "names_knee": _names_knee(dataset) or None,
        "laterality": laterality_of(dataset, index),
        "sequence_name": text("PulseSequenceName") or text("SequenceName") or _ge_sequence(dataset),
        "scanning_sequence": text("ScanningSequence"),
        "acquisition_type": text("MRAcquisitionType"),
        "echo_train_length": quantity("EchoTrainLength")
        or quantity("EchoTrainLength", "MRTimingAndRelatedParametersSequence"),
        "pixel_bandwidth_hz": quantity("PixelBandwidth") or quantity("PixelBandwidth", "MRImagingModifierSequence"),
        "slice_thickness_mm": quantity("SliceThickness", "PixelMeasuresSequence"),
    }


def _functional(dataset: Dataset | dict, index: int, sequence: str, keyword: str) -> Any:
    """A value from the frame's or the shared functional groups, else from the top level."""
    if sequence:
        frames = dataset.get("PerFrameFunctionalGroupsSequence")
        shared = dataset.get("SharedFunctionalGroupsSequence")
        for place in (frames[index] if frames and index < len(frames) else None, shared[0] if shared else None):
            items = place.get(sequence) if place is not None else None
            if items and keyword in items[0]:
                return items[0][keyword].value
    return dataset.get(keyword)


_KNEE = re.compile(r"KNEE|KNIE|GENOU|RODILLA|GINOCCHI|JOELHO|KN(\u00c4|AE?)|POLVI|KOLAN|\u819d|\u30d2\u30b6",
                   re.IGNORECASE)


def _names_knee(dataset: Dataset | dict) -> bool:
    return any(_KNEE.search(str(dataset.get(keyword) or "")) for keyword in (
        "BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription", "RequestedProcedureDescription",
        "PerformedProcedureStepDescription"))


def _tesla(value: float | None) -> float | None:
    """Some headers give the field in milli- or gauss units (15000, 1500)."""
    if value is None or value <= 0:
        return None
    return value / 10_000 if value > 5_000 else value / 1_000 if value > 100 else value


def _ge_sequence(dataset: Dataset | dict) -> str | None:
    if 0x0019109C not in dataset:
        return None
    value = dataset[0x0019109C].value
    return value if isinstance(value, str) and value.isprintable() and value else None


def laterality_of(dataset: Dataset | dict, index: int = 0) -> str | None:
    """``"right"``, ``"left"`` or None from the header only: the laterality elements, else words in the descriptions."""
    for keyword, sequence in (("ImageLaterality", ""), ("FrameLaterality", "FrameAnatomySequence"), ("Laterality", "")):
        value = str(_functional(dataset, index, sequence, keyword) or "").strip().upper()
        if value in ("R", "L"):
            return "right" if value == "R" else "left"
    for keyword in ("SeriesDescription", "ProtocolName", "StudyDescription", "BodyPartExamined"):
        side = side_in_words(str(dataset.get(keyword) or ""))
        if side:
            return side
    return None
