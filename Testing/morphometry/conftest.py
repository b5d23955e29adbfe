"""Knees to measure: a digital one on a grid small enough for quick tests, measured once."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.morphometry import KneeMorphometry, measure_knee
from KneePipelineLib.phantom import DigitalKnee, Grid


@pytest.fixture(scope="session")
def small_grid() -> Grid:
    return Grid.sagittal(size=(256, 256, 112), spacing=(0.5, 0.5, 1.0))


@pytest.fixture(scope="session")
def digital_knee() -> DigitalKnee:
    return DigitalKnee(seed=3, side="right")


@pytest.fixture(scope="session")
def knee_labels(digital_knee: DigitalKnee, small_grid: Grid) -> Volume:
    return digital_knee.labels(small_grid)


@pytest.fixture(scope="session")
def measured(knee_labels: Volume) -> KneeMorphometry:
    return measure_knee(knee_labels)


@pytest.fixture
def relabelled(knee_labels: Volume):
    """The digital knee's labels with values replaced: ``relabelled({7: 0})`` has no patellar cartilage."""

    def change(table: dict[int, int]) -> Volume:
        values = np.arange(256, dtype=np.uint8)
        for old, new in table.items():
            values[old] = new
        return knee_labels.with_array(values[knee_labels.array])

    return change
