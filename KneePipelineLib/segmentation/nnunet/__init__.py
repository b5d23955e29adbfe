"""nnU-Net v2 inference on any results folder, in this process."""

from __future__ import annotations

from .folder import DEFAULT_ORIENTATION, ResultsFolder, find_results, find_stages, open_results
from .predict import Prediction, open_stage, predict_array, predict_cascade, predict_fullres

__all__ = ["DEFAULT_ORIENTATION", "Prediction", "ResultsFolder", "find_results", "find_stages", "open_results",
           "open_stage", "predict_array", "predict_cascade", "predict_fullres"]
