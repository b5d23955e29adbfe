"""A label map handed in beside an image: where the two must lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.errors import InvalidFormatError
from KneePipelineLib.imaging import Volume, read_labels, write_volume
from KneePipelineLib.job import JobOptions
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.stages import validation
from KneePipelineLib.pipeline.stages.detection import segment


@pytest.fixture(scope="module")
def labels() -> Volume:
    return DigitalKnee(0).labels(Grid.isotropic(2.0))


def detect(tmp_path: Path, labels: Volume, image: Volume) -> tuple[dict, list[str]]:
    """The step's result and the codes of its warnings."""
    (tmp_path / "image").mkdir()
    (tmp_path / "out").mkdir()
    write_volume(labels, tmp_path / "labels.nrrd")
    write_volume(image, tmp_path / "image" / "image.nrrd")
    events: list[dict] = []
    validation._LAST_READ["of an earlier step"] = image
    context = StageContext("segmentation", JobOptions(segmentation=str(tmp_path / "labels.nrrd")), tmp_path / "out",
                           folders={"image": tmp_path / "image"}, send=events.append)
    result = segment(context)
    assert not validation._LAST_READ, "an image nobody will ask for again is kept beside the network"
    return result, [e["code"] for e in events if "code" in e]


def image_on(labels: Volume, origin: np.ndarray, spacing: np.ndarray | None = None) -> Volume:
    values = np.random.default_rng(0).integers(0, 900, labels.array.shape).astype(np.int16)
    return Volume(values, labels.spacing if spacing is None else spacing, origin, labels.direction)


def test_the_same_grid_is_no_matter(tmp_path: Path, labels: Volume) -> None:
    result, codes = detect(tmp_path, labels, image_on(labels, labels.origin))
    assert result["source"] == "given"
    assert "GRIDS_DIFFER" not in codes


@pytest.mark.parametrize("change", ["moved", "finer"])
def test_another_grid_is_a_warning(tmp_path: Path, labels: Volume, change: str) -> None:
    image = image_on(labels, labels.origin + 15.0) if change == "moved" else image_on(labels, labels.origin, (1, 1, 1))
    result, codes = detect(tmp_path, labels, image)
    assert codes.count("GRIDS_DIFFER") == 1
    assert result["scheme"] == "canonical"
    assert np.array_equal(read_labels(tmp_path / "out" / "labels.nrrd").array, labels.array)


def test_elsewhere_in_space_is_an_error(tmp_path: Path, labels: Volume) -> None:
    with pytest.raises(InvalidFormatError, match="do not overlap in space") as caught:
        detect(tmp_path, labels, image_on(labels, labels.origin + np.array([0, 0, 400.0])))
    assert "same knee" in caught.value.hint
    assert str(tmp_path) not in caught.value.message + caught.value.hint
    assert not (tmp_path / "out" / "labels.nrrd").exists()


def test_what_is_labelled_counts_rather_than_the_empty_margin(tmp_path: Path, labels: Volume) -> None:
    wide = np.pad(labels.array, ((0, 0), (0, 0), (40, 40)))
    origin = labels.to_physical(np.array([-40, 0, 0]))
    beside = labels.to_physical(np.array([labels.size[0], 0, 0]))  # over the margin, but over no label
    with pytest.raises(InvalidFormatError, match="do not overlap"):
        detect(tmp_path, Volume(wide, labels.spacing, origin, labels.direction), image_on(labels, beside))
