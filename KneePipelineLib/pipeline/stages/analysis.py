"""ANALYSIS of the labels: corrections taken over, then subregions and surfaces, then thickness and areas."""

from __future__ import annotations

import numpy as np

from ...errors import InvalidFormatError, SegmentationError
from ...imaging import Volume, read_labels, write_volume
from ...imaging.labels import FEMORAL_CARTILAGE, STRUCTURES, remap_labels
from ...morphometry import MorphometryOptions, measure_prepared, prepare_knee, read_prepared, write_prepared
from ..context import StageContext
from ..files import write_json
from . import handover

GRID_TOLERANCE_MM = 0.01
PRACTICE_VERTICES = {"femur": 2000, "tibia": 2000, "patella": 1000}


def review(context: StageContext) -> dict:
    """The labels that everything after is measured on: the segmentation, or a person's correction of it.

    Raises
    ------
    SegmentationError
        If the correction holds values that are no structure.
    """
    labels = read_labels(context.path("segmentation", "labels.nrrd"))
    edited = context.edited is not None
    if edited:
        corrected = _readable(context)
        if corrected is None:
            edited = False
        elif corrected.same_grid(labels, GRID_TOLERANCE_MM):
            labels = labels.with_array(_checked(corrected))
        else:
            edited = False
            context.warn("EDIT_REFUSED", "The label map in the output folder lies on another grid than the "
                         "segmentation; it was not taken over. Save corrections on the grid of the original.")
    write_volume(labels, context.out / "labels.nrrd")
    return {"edited": edited, "femoral_cartilage": bool((labels.array == FEMORAL_CARTILAGE).any())}


def _readable(context: StageContext) -> Volume | None:
    """The correction, or None (and a warning) when it is in a form that cannot be read."""
    try:
        return read_labels(context.edited)
    except InvalidFormatError as error:
        context.warn("EDIT_REFUSED", "The label map in the output folder was changed but cannot be read; it was not "
                     f"taken over. {error.message}")
        return None


def _checked(corrected: Volume) -> np.ndarray:
    try:
        return remap_labels(corrected.array, {s.value: s.value for s in STRUCTURES})
    except SegmentationError as error:
        raise SegmentationError("The corrected label map holds values that are no structure.",
                                "Use the values 1 to 10 of the design's label table only.", **error.details) from None


def morphometry_options(context: StageContext) -> MorphometryOptions:
    """How to measure; practice mode makes do with coarse surfaces."""
    more = {"vertices": PRACTICE_VERTICES} if context.options.practice else {}
    return MorphometryOptions(cartilage_variance_mm2=context.options.image_smooth_var_cart, **more)


def surfaces(context: StageContext) -> dict:
    """Subregions and the surfaces of bones and cartilages."""
    labels = read_labels(context.path("review", "labels.nrrd"))
    context.progress(0.1, "Making subregions and surfaces")
    prepared = prepare_knee(labels, side=context.options.side, options=morphometry_options(context))
    for code, message in prepared.warnings:
        context.warn(code, message)
    context.progress(0.8, "Keeping the surfaces")
    write_prepared(prepared, context.out)
    return {"side": prepared.side, "growth_plates": any(code == "GROWTH_PLATES" for code, _ in prepared.warnings)}


def thickness(context: StageContext) -> dict:
    """Thickness on every bone vertex, the regional measures, depth layers and menisci."""
    prepared = read_prepared(context.folders["surfaces"])
    context.progress(0.1, "Measuring cartilage thickness")
    measured = measure_prepared(prepared, options=morphometry_options(context))
    known = set(prepared.warnings)
    for code, message in measured.warnings:
        if (code, message) not in known:
            context.warn(code, message)
    context.progress(0.8, "Keeping the measures")
    write_volume(measured.depth, context.out / "depth.nrrd")
    handover.save_surfaces(measured.surfaces, context.out / "measured.npz")
    write_volume(measured.fine_labels, context.out / "parts.nrrd")
    write_json(context.out / "measures.json", handover.finite({
        "regions": measured.regions, "menisci": measured.menisci, "fine": measured.fine, "sums": measured.sums,
        "joint": measured.joint}))
    return {"side": measured.side}
