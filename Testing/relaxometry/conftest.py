"""A small piece of the digital knee: the medial compartment, with its cartilage's inside known."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.imaging.labels import CARTILAGES
from KneePipelineLib.phantom import DigitalKnee, Grid

# dosma imports a package that asks the network for its newest version; nothing here may go out.
os.environ.setdefault("NIPYPE_NO_ET", "1")
MEDIAL_MM = (20.7, 0.9, -1.5)


@dataclass
class Piece:
    """The knee, the grid around its medial compartment, labels, and the voxels all of whose neighbours are alike."""

    knee: DigitalKnee
    grid: Grid
    labels: Volume
    inner: np.ndarray


@pytest.fixture(scope="session")
def piece() -> Piece:
    from scipy.ndimage import binary_erosion

    knee = DigitalKnee(seed=0, variation=0.0)
    grid = Grid.sagittal((96, 64, 12), (0.4, 0.4, 0.8), centre_mm=MEDIAL_MM)
    labels = knee.labels(grid)
    inner = np.zeros(labels.array.shape, bool)
    for value in CARTILAGES:
        inner |= binary_erosion(labels.array == value)
    assert inner.sum() > 3000
    return Piece(knee, grid, labels, inner)


@pytest.fixture
def volume() -> Callable[..., Volume]:
    """Build an echo: array (z, y, x) and header facts."""
    def build(array: np.ndarray, **meta: object) -> Volume:
        return Volume(np.asarray(array, np.float32), (0.5, 0.5, 2.0), (1.0, 2.0, 3.0), meta=meta)
    return build
