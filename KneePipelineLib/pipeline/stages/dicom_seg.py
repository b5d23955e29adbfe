"""The DICOM segmentation of a run whose INPUT was DICOM: one more file where it can be made, a warning where not."""

from __future__ import annotations

import sys
import traceback

from ... import results
from ...errors import CancelledError, KneePipelineError
from ...imaging import Volume
from ...results import Output
from ..context import StageContext

CODE = "DICOM_SEG_NOT_WRITTEN"


def write(context: StageContext, labels: Volume | None, side: str) -> tuple[list[Output], list[tuple[str, str]]]:
    """Write the file unless there is nothing to write or nobody wants it.

    Returns
    -------
    outputs : list of Output
    warnings : list of (code, sentence)
        Already sent; for the record.
    """
    options = context.options
    if options.dicom_seg == "off" or labels is None or options.practice:
        return [], []
    if not context.result("input").get("dicom"):
        return [], _warned(context, "INPUT is not DICOM.") if options.dicom_seg == "on" else []
    context.progress(0.5, "Writing the DICOM segmentation")
    drawing = results.drawing_of(context.result("segmentation"), model=options.model,
                                 edited=bool(context.result("review").get("edited")))
    try:
        source = results.read_source(options.input, series=options.series, echo=options.echo,
                                     side=options.side, spacing=options.spacing)
        return results.write_dicom_seg(context.out, options.prefix, labels, source, side=side, drawing=drawing), []
    except CancelledError:
        raise
    except KneePipelineError as error:
        return [], _warned(context, error.message)
    except Exception as error:  # what a library says of a header may quote it; its name and its place are enough
        print("".join(traceback.format_tb(error.__traceback__)), type(error).__name__, file=sys.stderr, flush=True)
        return [], _warned(context, f"The header of INPUT does not allow it ({type(error).__name__}).")


def _warned(context: StageContext, reason: str) -> list[tuple[str, str]]:
    message = f"There is no DICOM segmentation of this run; all other results are complete. {reason}"
    context.warn(CODE, message)
    return [(CODE, message)]
