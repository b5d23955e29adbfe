"""Weights: the catalogue of models, download, verification, licences, import and removal.

Models live under ``<home>/models`` (see :func:`models_dir`), never in the extension's folder. Listing, verifying,
importing and removing need the standard library only; where the private environment is set up, import and `models
verify` also open a model there as a run does. Downloading needs huggingface_hub from it.
Nothing is imported before it is asked for::

    from KneePipelineLib import weights

    weights.state("nnunet_fullres")                       # "not installed"
    weights.download("nnunet_fullres", accept_licence=True)
    folder = weights.location("nnunet_fullres")           # checked; WeightsCorruptError (E_HARD_003) when damaged
"""

from __future__ import annotations

import importlib

_HOMES = {
    "Model": "entries",
    "catalogue": "entries",
    "entry": "entries",
    "state": "store",
    "location": "store",
    "locations": "store",
    "verify": "store",
    "remove": "store",
    "models_dir": "store",
    "InstalledFile": "store",
    "download": "downloading",
    "import_from": "importing",
    "bscore_pair": "pairs",
    "BScoreParameters": "pairs",
    "failures": "",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _HOMES[name]:
        return importlib.import_module(f".{name}", __name__)
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
