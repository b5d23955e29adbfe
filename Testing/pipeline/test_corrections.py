"""A correction of the published label map gets the checks of an input, its names included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.errors import SegmentationError
from KneePipelineLib.imaging import Volume, read_labels, write_volume
from KneePipelineLib.job import JobOptions
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.stages.analysis import review

FIVE = {1: 1, 2: 2, 4: 3, 5: 4, 6: 5}
NAMES = {1: "Femur", 2: "Tibia", 3: "Femoral cartilage", 4: "Medial tibial cartilage", 5: "Lateral tibial cartilage"}


@pytest.fixture(scope="module")
def labels() -> Volume:
    return DigitalKnee(0).labels(Grid.isotropic(1.6))


def numbered(labels: Volume, table: dict[int, int]) -> Volume:
    values = np.zeros(256, np.uint8)
    for old, new in table.items():
        values[old] = new
    return labels.with_array(values[labels.array])


def reviewed(tmp_path: Path, labels: Volume, corrected: Volume, names: dict[int, str] | None = None) -> np.ndarray:
    (tmp_path / "segmentation").mkdir()
    (tmp_path / "out").mkdir()
    write_volume(labels, tmp_path / "segmentation" / "labels.nrrd")
    edited = tmp_path / "edited.nrrd"
    write_volume(corrected, edited)
    if names:
        head, _, data = edited.read_bytes().partition(b"\n\n")
        lines = [f"Segment{n}_ID:=S{n}\nSegment{n}_Name:={name}\nSegment{n}_LabelValue:={value}\nSegment{n}_Layer:=0"
                 for n, (value, name) in enumerate(names.items())]
        edited.write_bytes(head + b"\n" + "\n".join(lines).encode() + b"\n\n" + data)
    folders = {"segmentation": tmp_path / "segmentation"}
    context = StageContext("review", JobOptions(), tmp_path / "out", folders=folders, edited=edited,
                           send=lambda event: None)
    assert review(context)["edited"]
    return read_labels(tmp_path / "out" / "labels.nrrd").array


def test_a_good_correction(tmp_path: Path, labels: Volume) -> None:
    corrected = numbered(labels, {v: v for v in range(1, 8)})
    assert np.array_equal(reviewed(tmp_path, labels, corrected), corrected.array)


def test_names_decide(tmp_path: Path, labels: Volume) -> None:
    """Slicer saves segments under numbers of its own."""
    found = reviewed(tmp_path, labels, numbered(labels, FIVE), NAMES)
    assert np.array_equal(found, np.where(np.isin(labels.array, list(FIVE)), labels.array, 0))


@pytest.mark.parametrize(("table", "sentence"), [
    (FIVE, "the patella"), ({1: 2, 2: 1, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7}, "the femur lies below the tibia"),
    ({**{v: v for v in range(1, 11)}, 9: 11}, r"values \[11\]"), ({1: 0}, "empty"),
])
def test_what_would_be_refused_as_an_input(tmp_path: Path, labels: Volume, table: dict, sentence: str) -> None:
    with pytest.raises(SegmentationError, match=f"The corrected label map in the output folder.*{sentence}") as caught:
        reviewed(tmp_path, labels, numbered(labels, table))
    assert "1 femur, 2 tibia, 3 patella" in caught.value.hint
