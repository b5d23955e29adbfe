"""A picture of something else than a knee is told from what the network drew; no knee, however sick, is turned away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from KneePipelineLib.errors import NothingUsableError
from KneePipelineLib.imaging import Volume, write_volume
from KneePipelineLib.imaging import labels as L
from KneePipelineLib.job import JobOptions
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.stages import detection
from KneePipelineLib.segmentation import Segmentation
from KneePipelineLib.segmentation.confidence import judge
from KneePipelineLib.segmentation.likeness import SIGNS_NEEDED, signs_of_no_knee
from KneePipelineLib.segmentation.postprocess import clean_labels

GRID = Grid.sagittal((72, 72, 44), (2.0, 2.0, 2.5))


@pytest.fixture(scope="module")
def knee() -> Volume:
    return DigitalKnee(0).labels(GRID)


def signs(labels: Volume, margins: dict[int, float] | None = None) -> list[str]:
    cleaned = clean_labels(labels)
    return signs_of_no_knee(cleaned.labels, judge(cleaned, margins))


def blobs(scale: float, structures: int = 9, seed: int = 0) -> Volume:
    """Labels as a network paints them into noise: the loudest of smooth random fields, background most often."""
    rng = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(rng.normal(size=(44, 72, 72)), scale) for _ in range(structures + 1)])
    fields /= fields.std(axis=(1, 2, 3), keepdims=True)
    fields[0] += 1.2
    array = fields.argmax(axis=0).astype(np.uint8)
    return Volume(array, (2.0, 2.0, 2.5), (-70.0, -70.0, -50.0))


def test_a_knee_shows_no_sign(knee: Volume) -> None:
    assert signs(knee) == []


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "PIL", "ASR"])
def test_no_orientation_matters(orientation: str, knee: Volume) -> None:
    assert signs(knee.reoriented(orientation)) == []


def without(knee: Volume, *values: int) -> Volume:
    return knee.with_array(np.where(np.isin(knee.array, values), 0, knee.array).astype(np.uint8))


SICK: dict[str, Callable[[Volume], Volume]] = {
    "no menisci": lambda k: without(k, 8, 9),
    "no patella": lambda k: without(k, 3, 7),
    "no cartilage at all": lambda k: without(k, 4, 5, 6, 7),
    "nothing but bones": lambda k: without(k, 4, 5, 6, 7, 8, 9),
    "no femoral cartilage": lambda k: without(k, 4),
    "one compartment": lambda k: k.cropped((0, 0, 0), (72, 72, 20)),
    "cut through the femur": lambda k: k.cropped((0, 30, 0), (72, 72, 44)),
}


@pytest.mark.parametrize("change", SICK.values(), ids=SICK.keys())
def test_a_sick_or_cut_knee_is_not_turned_away(change: Callable, knee: Volume) -> None:
    assert len(signs(change(knee))) < SIGNS_NEEDED


@pytest.mark.parametrize("scale", [2.5, 4.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_paint_without_a_knee_is_told(scale: float, seed: int) -> None:
    assert len(signs(blobs(scale, seed=seed))) >= SIGNS_NEEDED


def test_nothing_drawn_is_no_knee(knee: Volume) -> None:
    assert len(signs(knee.with_array(np.zeros_like(knee.array)))) >= SIGNS_NEEDED


@pytest.mark.parametrize("anyway", [False, True])
def test_the_stage_stops_unless_told_otherwise(anyway: bool, knee: Volume, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned = clean_labels(blobs(2.0))
    drawn = Segmentation(cleaned.labels, judge(cleaned), "right", {"name": "bundled"}, [])
    monkeypatch.setattr("KneePipelineLib.segmentation.segment", lambda *_, **__: drawn)
    (tmp_path / "image").mkdir()
    (tmp_path / "out").mkdir()
    write_volume(knee.with_array(knee.array.astype(np.int16)), tmp_path / "image" / "image.nrrd")
    events: list[dict] = []
    context = StageContext("segmentation", JobOptions(input="x.nrrd", anyway=anyway, device="cpu"), tmp_path / "out",
                           folders={"image": tmp_path / "image"}, results={"input": {"kind": "image"}},
                           send=events.append)
    if anyway:
        assert detection.segment(context)["source"] == "network"
        assert "NOT_A_KNEE_CONTENT" in [e.get("code") for e in events]
        return
    with pytest.raises(NothingUsableError, match="found no knee") as caught:
        detection.segment(context)
    assert "--anyway" in caught.value.hint
    assert L.BY_VALUE[L.FEMUR].title in caught.value.message
