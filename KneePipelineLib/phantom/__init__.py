"""The digital knee: labels, images and DICOM series of a knee whose thickness, areas, volumes and T2 are known.

>>> from KneePipelineLib.phantom import DigitalKnee, Grid
>>> knee = DigitalKnee(seed=1, side="left")
>>> labels = knee.labels(Grid.isotropic(2.0))
>>> labels.array.shape
(70, 70, 56)
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "DigitalKnee": ".knee",
    "Defect": ".anatomy",
    "Grid": ".grid",
    "Osteophyte": ".sickness",
    "Sickness": ".sickness",
    "KneeParameters": ".parameters",
    "TrueSurface": ".surfaces",
    "TrueRegions": ".truth",
    "CartilageT2": ".tissues",
    "Dess": ".tissues",
    "SpinEcho": ".tissues",
    "MultiEchoSpinEcho": ".tissues",
    "CONTRASTS": ".tissues",
    "write_dicom": ".dicom",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """Load what is asked for, when it is asked for."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
