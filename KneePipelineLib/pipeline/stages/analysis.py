"""ANALYSIS of the labels: corrections taken over, then subregions and surfaces, then thickness and areas."""

from __future__ import annotations

from ...errors import InvalidFormatError, SegmentationError
from ...imaging import Volume, read_labels, write_volume
from ...imaging.labels import FEMORAL_CARTILAGE, STRUCTURES
from ...morphometry import (
    MorphometryOptions,
    canonical_labels,
    measure_prepared,
    prepare_knee,
    read_prepared,
    write_prepared,
)
from ...structure_names import speaks_of_the_knee
from ..context import StageContext
from ..files import write_json
from . import handover

GRID_TOLERANCE_MM = 0.01
_NUMBERS = ", ".join(f"{s.value} {s.title.lower()}" for s in STRUCTURES)
PRACTICE_VERTICES = {"femur": 2000, "tibia": 2000, "patella": 1000}


def review(context: StageContext) -> dict:
    """The labels that everything after is measured on: the segmentation, or a person's correction of it.

    Raises
    ------
    SegmentationError
        If the correction is one that would be refused as an input: empty, of unknown values or names, no knee.
    """
    labels = read_labels(context.path("segmentation", "labels.nrrd"))
    edited, named_side = context.edited is not None, None
    if edited:
        corrected = _readable(context)
        if corrected is None:
            edited = False
        elif corrected.same_grid(labels, GRID_TOLERANCE_MM):
            corrected = _checked(corrected)
            for code, message in corrected.meta["warnings"]:
                context.warn(code, message)
            labels, named_side = labels.with_array(corrected.array), corrected.meta.get("named_side")
        else:
            edited = False
            context.warn("EDIT_REFUSED", "The label map in the output folder lies on another grid than the "
                         "segmentation; it was not taken over. Save corrections on the grid of the original.")
    write_volume(labels, context.out / "labels.nrrd")
    return {"edited": edited, "femoral_cartilage": bool((labels.array == FEMORAL_CARTILAGE).any()),
            "named_side": named_side}


def _readable(context: StageContext) -> Volume | None:
    """The correction, or None (and a warning) when it is in a form that cannot be read."""
    try:
        return read_labels(context.edited)
    except InvalidFormatError as error:
        context.warn("EDIT_REFUSED", "The label map in the output folder was changed but cannot be read; it was not "
                     f"taken over. {error.message}")
        return None


def _checked(corrected: Volume) -> Volume:
    """The correction in canonical values, with the checks that a label map handed in gets: its names decide, where it
    has any that speak of the knee, else our own numbers."""
    segments = corrected.meta.get("segments") or []
    named = any(speaks_of_the_knee(str(segment.get("name", ""))) or segment.get("terminology") for segment in segments)
    try:
        return canonical_labels(corrected, "auto" if named else "canonical")
    except (SegmentationError, InvalidFormatError) as error:
        raise SegmentationError(
            f"The corrected label map in the output folder cannot be used. {error.message}",
            f"{error.hint} Its numbers are those of the label map that the run wrote ({_NUMBERS}). Correct it, or "
            "delete it to go on without.", **error.details) from None


def morphometry_options(context: StageContext) -> MorphometryOptions:
    """How to measure; practice mode makes do with coarse surfaces and without the healthy footprints."""
    more = {"vertices": PRACTICE_VERTICES, "templates": False} if context.options.practice else {}
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
