"""Volume -> canonical labels: nnU-Net, the planar networks, their consensus, cleaning up and a verdict.

>>> from KneePipelineLib.segmentation import MODELS
>>> MODELS[:3]
('bundled', 'nnunet_fullres', 'nnunet_cascade')
"""

from __future__ import annotations

from .confidence import PLAUSIBLE_ML, Confidence, StructureConfidence, judge
from .consensus import majority, staple
from .dispatch import MODELS, Segmentation, segment
from .names import canonical_mapping, canonical_value
from .postprocess import Cleaned, CleaningOptions, clean_labels, correct_sides, shown_side
from .types import SegmentationOptions

__all__ = [
    "MODELS",
    "PLAUSIBLE_ML",
    "Cleaned",
    "CleaningOptions",
    "Confidence",
    "Segmentation",
    "SegmentationOptions",
    "StructureConfidence",
    "canonical_mapping",
    "canonical_value",
    "clean_labels",
    "correct_sides",
    "judge",
    "majority",
    "segment",
    "shown_side",
    "staple",
]
