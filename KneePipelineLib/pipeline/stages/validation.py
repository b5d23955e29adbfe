"""VALIDATION: is there a knee in what was handed in?"""

from __future__ import annotations

import numpy as np

from ...imaging import EchoChoiceError, Volume, check_plausible_knee, read_image
from ...imaging.two_knees import one_limb
from ...job import JobOptions
from ..context import StageContext
from ..networks import weights_of_network

MOST_LABELS = 40

_LAST_READ: dict[str, Volume] = {}


def check_input(context: StageContext) -> dict:
    """Read INPUT once and check that it can be a knee; check the weights too, when a network will be needed.

    Returns
    -------
    dict
        ``kind`` (``image`` or ``labels``), ``dicom``, ``echo_count``, ``format``, ``size``, ``spacing_mm``.
    """
    options = context.options
    context.progress(0.1, "Reading the input")
    volume = read_input(context)
    is_labels = _is_label_map(options, volume)
    if not is_labels:
        for code, message in check_plausible_knee(volume, anyway=options.anyway):
            context.warn(code, message)
        if options.segmentation is None:
            weights_of_network(options)
    for code, message in volume.meta.get("warnings", []):
        context.warn(code, message)
    return {
        "kind": "labels" if is_labels else "image", "format": volume.meta.get("format"),
        "dicom": volume.meta.get("format") == "DICOM", "echo_count": int(volume.meta.get("echoes") or 1),
        "size": list(volume.size), "spacing_mm": volume.spacing.tolist(),
    }


def read_input(context: StageContext) -> Volume:
    """INPUT as one volume; several echoes are combined unless one was asked for.

    The steps of one worker ask twice for the same thing, so the last volume read is kept for one further call.
    """
    options = context.options
    key = f"{options.input} {options.series} {options.echo} {options.side} {options.spacing}"
    if key in _LAST_READ:
        return _LAST_READ.pop(key)
    echo = int(options.echo) if options.echo and options.echo.isdigit() else options.echo
    chosen = {"series": options.series, "side": options.side, "spacing": options.spacing}
    try:
        volume = read_image(options.input, echo=echo, **chosen)
    except EchoChoiceError:
        if echo is not None:
            raise
        volume = read_image(options.input, echo="rss", **chosen)
        context.warn("ECHOES_COMBINED", "INPUT holds several echoes; they were combined as the root of the sum of "
                     "their squares.")
    if not options.segmentation and not _is_label_map(options, volume):
        volume = one_limb(volume, options.side)
    _LAST_READ.clear()
    _LAST_READ[key] = volume
    return volume


def _is_label_map(options: JobOptions, volume: Volume) -> bool:
    """Whether INPUT itself is a label map: named as one, or few small whole numbers and nothing else."""
    if options.segmentation is not None:
        return options.segmentation == options.input
    if volume.meta.get("format") == "DICOM":
        return False
    array = volume.array
    if array.min() < 0 or array.max() > 255 or not np.array_equal(array, np.rint(array)):
        return False
    return len(np.unique(array)) <= MOST_LABELS
