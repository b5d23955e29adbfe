"""What the tests of downloads share: the repositories, one planar network of 200 kB, and how to fetch it."""

from __future__ import annotations

from pathlib import Path

from KneePipelineLib import weights
from Testing.weights.small_models import hdf5_bytes

NNUNET = "aagatti/nnunet_knee"
DOSMA = "aagatti/dosma_bones"
SHAPE = "aagatti/ShapeMedKnee"
CORONAL = hdf5_bytes(200_000)


def fetch(name: str = "goyal_coronal", **options: object) -> Path:
    """Download a model, its licence accepted; where it lies."""
    return weights.download(name, accept_licence=True, **options)


def part_files() -> list[Path]:
    """Files that have not arrived whole."""
    return sorted(weights.models_dir().rglob("*.part"))
