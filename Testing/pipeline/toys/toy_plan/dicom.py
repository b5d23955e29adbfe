"""Toy bodies with a fixed answer."""

from __future__ import annotations

from KneePipelineLib.errors import SegmentationError
from KneePipelineLib.pipeline.context import StageContext


def found(context: StageContext) -> dict:
    """A DICOM series of two echoes."""
    (context.out / "out.txt").write_text("(input)")
    return {"kind": "image", "dicom": True, "echo_count": 2}


def fails(context: StageContext) -> dict:
    """A segmentation that fails."""
    raise SegmentationError("It failed.", "Do something.")


def unsure(context: StageContext) -> dict:
    """A segmentation that is not sure of itself."""
    (context.out / "out.txt").write_text("(segmentation)")
    return {"confidence": "low"}
