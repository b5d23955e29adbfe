"""The neural shape model of the femur: checkpoint, fit, reconstruction, BScore.

Written from a description of the published files and of what is done with them (see `decoder`, `femur`, `fitting`);
no code of the reference implementation, whose licence would not allow it, was read. Names are imported on first use.

>>> from KneePipelineLib.shape import FitOptions
>>> FitOptions().method
'fast'
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "ShapeModel": "checkpoint",
    "load_model": "checkpoint",
    "Decoder": "decoder",
    "PreparedFemur": "femur",
    "prepare_femur": "femur",
    "clip_shaft": "femur",
    "FitOptions": "fitting",
    "LatentFit": "fitting",
    "fit_latent": "fitting",
    "SurfaceSamples": "samples",
    "surface_samples": "samples",
    "mean_surface": "reconstruction",
    "reconstruct": "reconstruction",
    "surface_distances": "distances",
    "SurfaceDistances": "distances",
    "ShapeFit": "shape_fit",
    "fit_femur": "shape_fit",
    "bscore": "scoring",
    "chosen_bscore": "scoring",
    "KINDS": "models",
    "Kind": "models",
    "ModelFiles": "models",
    "model_files": "models",
    "reason_to_skip": "models",
    "why_not": "models",
    "reason_not_to_score": "models",
    "wanted_kinds": "models",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
