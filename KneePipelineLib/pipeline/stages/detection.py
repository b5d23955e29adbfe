"""DETECTION: where each structure is, from a network or from a label map that was handed in."""

from __future__ import annotations

from pathlib import Path

from ...imaging import read_image, read_labels, write_volume
from ...morphometry import canonical_labels
from ..context import StageContext
from .validation import explain_missing_network


def segment(context: StageContext) -> dict:
    """Leave canonical labels in ``labels.nrrd``.

    Returns
    -------
    dict
        ``source`` (``given`` or ``network``), ``scheme``, ``confidence`` (``unknown`` for labels that were given).
    """
    options = context.options
    given = options.segmentation or (options.input if context.result("input")["kind"] == "labels" else None)
    if given is None:
        raise explain_missing_network(options.model)
    context.progress(0.1, "Reading the label map")
    scheme = options.label_scheme if options.label_scheme in ("auto", "canonical", "native") \
        else Path(options.label_scheme)
    raw = read_labels(given)
    labels = canonical_labels(raw, scheme)
    for code, message in raw.meta.get("warnings", []):
        context.warn(code, message)
    if context.has("image"):
        image = read_image(context.path("image", "image.nrrd"))
        if not labels.same_grid(image, tolerance_mm=0.01):
            context.warn("GRIDS_DIFFER", "The label map and the image lie on different grids; the labels' own is "
                         "measured.")
    context.progress(0.7, "Keeping the labels")
    write_volume(labels, context.out / "labels.nrrd")
    return {"source": "given", "scheme": labels.meta.get("label_scheme"), "confidence": "unknown"}
