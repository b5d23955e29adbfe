"""DETECTION: where each structure is, from a network or from a label map that was handed in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidFormatError, NothingUsableError, SegmentationError
from ...imaging import Volume, boxes_overlap, read_image, read_labels, write_volume
from ...job import LABEL_SCHEMES
from ...morphometry import canonical_labels
from ..context import StageContext
from ..networks import weights_of_network
from .input_kind import OR_AN_IMAGE
from .validation import forget_input

if TYPE_CHECKING:
    from ...segmentation.confidence import Confidence


def segment(context: StageContext) -> dict:
    """Leave canonical labels in ``labels.nrrd``.

    Returns
    -------
    dict
        ``source`` (``given`` or ``network``), ``confidence`` (``ok``, ``low``, or ``unknown`` for labels that were
        given) and, by source, ``scheme`` or ``model`` and ``judgement``.
    """
    forget_input()
    options = context.options
    given = options.segmentation or (options.input if context.result("input")["kind"] == "labels" else None)
    labels, result = _given(context, given) if given is not None else _from_network(context)
    context.progress(0.95, "Keeping the labels")
    write_volume(labels, context.out / "labels.nrrd")
    return result


def _given(context: StageContext, path: str) -> tuple[Volume, dict]:
    """A label map that was handed in, under the scheme that was named or can be told."""
    context.progress(0.1, "Reading the label map")
    labels = _canonical(context, path)
    for code, message in labels.meta["warnings"]:
        context.warn(code, message)
    if context.has("image"):
        image = read_image(context.path("image", "image.nrrd"))
        if not boxes_overlap(_labelled_box(labels), image):
            raise InvalidFormatError(
                "The label map and the image do not overlap in space: no label lies within the image.",
                "Check that both are of the same knee and examination, and that neither lost its place in space.")
        if not labels.same_grid(image, tolerance_mm=0.01):
            context.warn("GRIDS_DIFFER", "The label map and the image lie on different grids; the labels' own is "
                         "measured.")
    return labels, {"source": "given", "scheme": labels.meta.get("label_scheme"), "confidence": "unknown",
                    "named_side": labels.meta.get("named_side")}


def _canonical(context: StageContext, path: str) -> Volume:
    """In canonical values; where INPUT was taken for a label map by its values, a refusal names the other way, too."""
    options, scheme = context.options, context.options.label_scheme
    try:
        raw = read_labels(path, spacing=options.spacing if path == options.input else None)
        return canonical_labels(raw, scheme if scheme in LABEL_SCHEMES else Path(scheme), side=options.side)
    except (SegmentationError, InvalidFormatError) as error:
        if context.has("input") and context.result("input").get("kind_from") == "values":
            raise type(error)(error.message, f"{error.hint} {OR_AN_IMAGE}", **error.details) from None
        raise


def _labelled_box(labels: Volume) -> Volume:
    """The map cropped to what is labelled; it may well be larger than the image."""
    lower, upper = [], []
    for axis in (2, 1, 0):
        held = np.flatnonzero(labels.array.any(axis=tuple(a for a in range(3) if a != axis)))
        lower.append(int(held[0]))
        upper.append(int(held[-1]) + 1)
    return labels.cropped(tuple(lower), tuple(upper))


def _from_network(context: StageContext) -> tuple[Volume, dict]:
    """Labels by the network that was asked for, on the device that was asked for."""
    from ...segmentation import SegmentationOptions, segment

    options = context.options
    device = "cpu" if context.force_cpu else options.device
    weights = weights_of_network(options)
    # After a failure for want of memory the smallest tile is tried; before, the room takes what memory allows.
    tuning = SegmentationOptions(slice_batch=context.batch_size, tile_batch=None if context.scale == 1 else 1,
                                 ignored_structures=options.ignore_structures)
    found = segment(read_image(context.path("image", "image.nrrd")), options.model, weights=weights, device=device,
                    progress=lambda fraction, message: context.progress(0.9 * fraction, message), options=tuning,
                    on_device=context.use_device)
    for code, message in found.warnings:
        context.warn(code, message)
    confidence = found.confidence
    _check_that_it_is_a_knee(context, found.labels, confidence)
    # The time it took differs from run to run and is in pipeline.json; what is kept here must not.
    model = {key: value for key, value in found.model.items() if not key.startswith("seconds")}
    return found.labels, {"source": "network", "confidence": confidence.level, "model": model, "side": found.side,
                          "judgement": confidence.to_dict()}


def _check_that_it_is_a_knee(context: StageContext, labels: Volume, confidence: Confidence) -> None:
    """Stop before numbers are made of a picture of something else, unless it was asked for all the same."""
    from ...segmentation.likeness import SIGNS_NEEDED, signs_of_no_knee

    signs = signs_of_no_knee(labels, confidence)
    if len(signs) < SIGNS_NEEDED:
        return
    message = f"The network found no knee in the image ({', '.join(signs)})."
    if not context.options.anyway:
        raise NothingUsableError(message, "Give the series of a knee, in a contrast that the network knows; --anyway "
                                 "measures it all the same.", final=True)
    context.warn("NOT_A_KNEE_CONTENT", f"{message} It was measured all the same, as asked.")
