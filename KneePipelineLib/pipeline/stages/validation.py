"""VALIDATION: is there a knee in what was handed in?"""

from __future__ import annotations

from ...imaging import EchoChoiceError, Volume, check_plausible_knee, read_image
from ...imaging.two_knees import one_limb
from ..context import StageContext
from ..networks import weights_of_network
from .input_kind import labels_by_name, values_are_labels

_LAST_READ: dict[str, Volume] = {}


def check_input(context: StageContext) -> dict:
    """Read INPUT once and check that it can be a knee; check the weights too, when a network will be needed.

    Returns
    -------
    dict
        ``kind`` (``image`` or ``labels``), ``kind_from`` (``values``, or what was ``said``), ``dicom``, ``echo_count``,
        ``format``, ``size``, ``spacing_mm``.
    """
    options = context.options
    context.progress(0.1, "Reading the input")
    volume = read_input(context)
    is_labels = volume.meta["content"] == "labels"
    if not is_labels:
        for code, message in check_plausible_knee(volume, anyway=options.anyway):
            context.warn(code, message)
        if options.segmentation is None:
            weights_of_network(options)
    for code, message in volume.meta.get("warnings", []):
        context.warn(code, message)
    return {
        "kind": "labels" if is_labels else "image", "kind_from": volume.meta["content_from"],
        "format": volume.meta.get("format"),
        "dicom": volume.meta.get("format") == "DICOM", "echo_count": int(volume.meta.get("echoes") or 1),
        "size": list(volume.size), "spacing_mm": volume.spacing.tolist(),
    }


def read_input(context: StageContext) -> Volume:
    """INPUT as one volume, ``meta["content"]`` being ``image`` or ``labels``.

    Several echoes are combined unless one was asked for.

    The steps of one worker ask twice for the same thing, so the last volume read is kept for one further call.
    """
    options = context.options
    key = f"{options.input} {options.series} {options.echo} {options.side} {options.spacing} {options.input_kind}"
    if key in _LAST_READ:
        return _LAST_READ.pop(key)
    volume = labels_by_name(options)
    if volume is not None:
        volume.meta.update(content="labels", content_from="said")
    else:
        volume = _read_image(context)
    _LAST_READ.clear()
    _LAST_READ[key] = volume
    return volume


def _read_image(context: StageContext) -> Volume:
    """What only its values can tell to be an image or a label map."""
    options = context.options
    echo = int(options.echo) if options.echo and options.echo.isdecimal() else options.echo
    chosen = {"series": options.series, "side": options.side, "spacing": options.spacing}
    try:
        volume = read_image(options.input, echo=echo, **chosen)
    except EchoChoiceError:
        if echo is not None:
            raise
        volume = read_image(options.input, echo="rss", **chosen)
        context.warn("ECHOES_COMBINED", "INPUT holds several echoes; they were combined as the root of the sum of "
                     "their squares.")
    by_values = options.segmentation is None and options.input_kind == "auto"
    volume.meta.update(content="labels" if values_are_labels(options, volume) else "image",
                       content_from="values" if by_values else "said")
    if not options.segmentation and volume.meta["content"] == "image":
        volume = one_limb(volume, options.side)
    return volume


def forget_input() -> None:
    """Let go of what was kept for a further call that nobody made: the image came from an earlier run."""
    _LAST_READ.clear()
