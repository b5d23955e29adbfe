"""The makers of volumes and series by name, and a folder in which nothing temporary may remain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from Testing.imaging import makers

pytest.register_assert_rewrite("Testing.imaging.refusals")


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The makers, by name."""
    return SimpleNamespace(volume=makers.make_volume, oblique=makers.oblique, points=makers.sample_points,
                           series=makers.write_series, enhanced=makers.write_enhanced, compress=makers.compress,
                           dataset=makers.base_dataset, pixels=makers.set_pixels, decimal=makers.ds,
                           permutations=makers.SIGNED_PERMUTATIONS)


@pytest.fixture
def no_file_left(tmp_path: Path) -> Iterator[Path]:
    """A folder in which no temporary file may remain after the test."""
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []
