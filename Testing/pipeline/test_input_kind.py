"""INPUT's kind is told by evidence: never a label map as an image, never an image refused as a label map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.errors import InvalidFormatError
from KneePipelineLib.imaging import Volume, read_echoes, to_sitk, write_volume
from KneePipelineLib.imaging.image_or_labels import image_or_labels
from KneePipelineLib.job import JobOptions
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.stages.validation import check_input

MESE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mese_dicom"


@pytest.fixture(scope="module")
def labels() -> Volume:
    return DigitalKnee(0).labels(Grid.sagittal(size=(128, 128, 56), spacing=(1.0, 1.0, 2.0)))


@pytest.fixture(scope="module")
def image(labels: Volume) -> np.ndarray:
    """Tissue with shading and noise, as a scanner's numbers are."""
    rng = np.random.default_rng(0)
    tissue = np.array([60, 180, 180, 170, 520, 500, 510, 530, 90, 95, 175], float)[labels.array]
    tissue[labels.array == 0] += 120 * (np.indices(labels.array.shape)[2][labels.array == 0] > 30)
    shading = 1 + 0.3 * np.linspace(-1, 1, labels.array.shape[1])[None, :, None]
    return np.abs(tissue * shading + rng.normal(0, 18, tissue.shape)).astype(np.float32)


def interpolated(array: np.ndarray, order: int) -> np.ndarray:
    from scipy.ndimage import zoom

    return zoom(array.astype(np.float32), (1.6, 1.3, 1.3), order=order)


LABEL_MAPS = {
    "as it is": lambda a: a, "hundreds": lambda a: a.astype(np.int16) * 100,
    "background -1": lambda a: np.where(a == 0, -1, a.astype(np.int16)),
    "nearly whole": lambda a: a + np.where(a > 0, np.float32(1e-6), 0).astype(np.float32),
    "tenths": lambda a: a.astype(np.float32) / 10, "linear": lambda a: interpolated(a, 1),
    "cubic": lambda a: interpolated(a, 3), "one mask": lambda a: np.where(a == 1, 255, 0).astype(np.uint8),
    "cartilage alone": lambda a: np.where((a >= 4) & (a <= 7), a, 0), "thick": lambda a: a[::2],
    "numbers beyond a byte": lambda a: np.where(a > 0, a.astype(np.uint16) + 1000, 0),
}


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_label_maps_are_no_images(labels: Volume, name: str) -> None:
    assert image_or_labels(LABEL_MAPS[name](labels.array)) != "image"


def eight_bits(image: np.ndarray, levels: int) -> np.ndarray:
    return np.rint(np.clip(image / np.percentile(image, 99.5), 0, 1) * levels).astype(np.uint8)


def denoised(image: np.ndarray) -> np.ndarray:
    from scipy.ndimage import median_filter

    return median_filter(image, (1, 3, 3))


IMAGES = {
    "float": lambda a: a, "int16": lambda a: a.astype(np.int16), "255 levels": lambda a: eight_bits(a, 255),
    "36 levels": lambda a: eight_bits(a, 36), "16 levels": lambda a: eight_bits(a, 16),
    "denoised": denoised, "denoised, 36 levels": lambda a: eight_bits(denoised(a), 36),
    "masked": lambda a: np.where(a > 150, a, 0), "padded": lambda a: np.pad(a, ((8, 8), (60, 60), (60, 60))),
    "constant background": lambda a: np.where(a > 150, a, 37), "normalised": lambda a: a / a.max(),
    "saturated": lambda a: np.minimum(a, np.percentile(a, 80)).astype(np.int16),
    "doubled": lambda a: a.repeat(2, 1).repeat(2, 2), "negative": lambda a: a - 300,
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_never_refused(image: np.ndarray, name: str) -> None:
    assert image_or_labels(IMAGES[name](image)) == "image"


@pytest.mark.skipif(not MESE.is_dir(), reason="the real series is not there")
def test_a_real_series() -> None:
    for echo in read_echoes(MESE)[::3]:
        for levels in (0, 36, 255):
            assert image_or_labels(eight_bits(echo.array, levels) if levels else echo.array) == "image"


def looked_at(tmp_path: Path, volume: Volume, **options: str) -> dict:
    write_volume(volume, tmp_path / "input.nrrd")
    (tmp_path / "out").mkdir()
    return check_input(StageContext("input", JobOptions(input=str(tmp_path / "input.nrrd"), **options),
                                    tmp_path / "out", send=lambda event: None))


@pytest.mark.parametrize("split", [lambda a: [a, a], lambda a: [(a == n).astype(np.uint8) for n in range(1, 11)]])
def test_label_maps_in_layers_are_no_echoes(tmp_path: Path, labels: Volume, split: Callable) -> None:
    """Their root of the sum of squares was looked at further, a T2 map promised, and "Done" said."""
    import SimpleITK

    layers = np.stack(split(labels.array), axis=-1)
    image = SimpleITK.GetImageFromArray(layers, isVector=True)
    image.CopyInformation(to_sitk(labels))
    SimpleITK.WriteImage(image, str(tmp_path / "input.nrrd"))
    with pytest.raises(InvalidFormatError, match=f"{layers.shape[-1]} values for every voxel.*label maps") as caught:
        check_input(StageContext("input", JobOptions(input=str(tmp_path / "input.nrrd")), tmp_path,
                                 send=lambda event: None))
    assert "--as image" in caught.value.hint


def test_a_label_map_and_an_image_as_input(tmp_path: Path, labels: Volume, image: np.ndarray) -> None:
    assert looked_at(tmp_path, labels)["kind"] == "labels"
    (tmp_path / "image").mkdir()
    found = looked_at(tmp_path / "image", labels.with_array(image.astype(np.int16)))
    assert (found["kind"], found["kind_from"]) == ("image", "values")


def test_what_could_be_either_is_refused_with_both_ways_out(tmp_path: Path, labels: Volume,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("KneePipelineLib.pipeline.stages.input_kind.image_or_labels", lambda array: "unclear")
    with pytest.raises(InvalidFormatError, match="not clear whether INPUT is an image or a label map") as caught:
        looked_at(tmp_path, labels)
    assert "--segmentation" in caught.value.hint
    assert "--as image" in caught.value.hint
    for said in ("image", "labels"):
        (tmp_path / said).mkdir()
        assert looked_at(tmp_path / said, labels, input_kind=said)["kind"] == said
