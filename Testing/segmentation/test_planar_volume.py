"""Volumes through the planar networks: orientation, resizing, batches, memory, cancelling."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_keras import write_unet

from KneePipelineLib.errors import CancelledError, GpuMemoryError, InvalidFormatError, MemoryCriticalError
from KneePipelineLib.imaging.labels import NATIVE_TO_CANONICAL, remap_labels
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.segmentation.device import memory_error
from KneePipelineLib.segmentation.planar import PLANES, load_network, predict_planar
from KneePipelineLib.segmentation.planar import predict as planar_predict
from KneePipelineLib.segmentation.types import SegmentationOptions

CPU = torch.device("cpu")
ORIENTATIONS = ["".join(p) for letters in permutations(("RL", "AP", "IS")) for p in product(*letters)]


@pytest.fixture
def knee() -> Volume:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(4).normal(size=(14, 20, 17))
    return Volume(gaussian_filter(noise, 1.5).astype(np.float32) * 100 + 300, (0.7, 0.6, 1.2), (5, -3, 10)
                  ).reoriented("PIR")


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("plane", PLANES)
def test_every_orientation_of_one_knee_gives_the_same_labels(plane: str, keras_file: Path, knee: Volume) -> None:
    network = load_network(keras_file)
    first = predict_planar(knee, network, plane, device=CPU).labels
    assert len(np.unique(first.array)) > 3
    for orientation in ORIENTATIONS:
        turned = knee.reoriented(orientation)
        answer = predict_planar(turned, network, plane, device=CPU).labels
        assert answer.same_grid(turned)
        assert np.array_equal(answer.reoriented("PIR").array, first.array), orientation


@pytest.mark.parametrize(("plane", "axes"), [("sagittal", "PIR"), ("coronal", "RIP"), ("axial", "RPI")])
def test_the_network_sees_the_slices_it_was_trained_on(plane: str, axes: str, keras_file: Path, knee: Volume) -> None:
    """Against the published recipe done by hand: reorient, whiten, network, arg-max, remap."""
    seen = knee.reoriented(axes).array.astype(np.float64)
    pads = [(0, 0), *[(0, n % 2) for n in seen.shape[1:]]]
    white = np.pad((seen - seen.mean()) / (seen.std() + 1e-8), pads, mode="edge").astype(np.float32)
    found = load_network(keras_file)(torch.from_numpy(white)[:, None]).argmax(1).numpy()
    found = found[:, :seen.shape[1], :seen.shape[2]]
    answer = predict_planar(knee, keras_file, plane, device=CPU)
    assert np.array_equal(answer.labels.reoriented(axes).array, remap_labels(found, NATIVE_TO_CANONICAL))
    assert 0 < min(answer.margins.values()) <= max(answer.margins.values()) <= 1


def test_a_fixed_size_is_resized_to_and_back(tmp_path: Path, knee: Volume) -> None:
    path = write_unet(tmp_path / "fixed.h5", (32, 32))
    answer = predict_planar(knee, path, "sagittal", device=CPU)
    assert answer.labels.same_grid(knee)
    assert answer.facts["slice_size"] == [32, 32]
    free = predict_planar(knee, write_unet(tmp_path / "free.h5"), "sagittal", device=CPU)
    # Same weights, other resolution: not the same labels, but the same size in space.
    assert set(np.unique(answer.labels.array)) & set(np.unique(free.labels.array))


def test_memory_errors_halve_the_batch_and_change_nothing(keras_file: Path, knee: Volume, monkeypatch) -> None:
    whole = predict_planar(knee, keras_file, "sagittal", device=CPU)
    original, sizes = planar_predict._predict_batch, []

    def scarce(network, chunk, device, precision):
        sizes.append(len(chunk))
        if len(chunk) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(network, chunk, device, precision)

    monkeypatch.setattr(planar_predict, "_predict_batch", scarce)
    answer = predict_planar(knee, keras_file, "sagittal", device=CPU)
    assert max(sizes) > 2
    assert answer.facts["batch"] <= 2
    assert np.array_equal(answer.labels.array, whole.labels.array)
    assert answer.margins == pytest.approx(whole.margins)


def test_not_even_one_slice(keras_file: Path, knee: Volume, monkeypatch) -> None:
    def none_left(*args):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 byte")

    monkeypatch.setattr(planar_predict, "_predict_batch", none_left)
    with pytest.raises(MemoryCriticalError):
        predict_planar(knee, keras_file, "sagittal", device=CPU)
    assert isinstance(memory_error(torch.device("mps"), "a tile"), GpuMemoryError)


def test_other_errors_are_not_mistaken_for_memory(keras_file: Path, knee: Volume, monkeypatch) -> None:
    def broken(*args):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(planar_predict, "_predict_batch", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        predict_planar(knee, keras_file, "sagittal", device=CPU)


def test_cancelling_and_progress(keras_file: Path, knee: Volume) -> None:
    seen: list[float] = []
    predict_planar(knee, keras_file, "axial", device=CPU, progress=lambda f, m: seen.append(f))
    assert seen == sorted(seen)
    assert len(seen) > 3
    calls = iter([False, True])
    with pytest.raises(CancelledError):
        predict_planar(knee, keras_file, "axial", device=CPU, cancelled=lambda: next(calls, True))


def test_a_network_of_other_classes_is_refused(tmp_path: Path, knee: Volume) -> None:
    with pytest.raises(InvalidFormatError, match="4 classes"):
        predict_planar(knee, write_unet(tmp_path / "four.h5", classes=4), "sagittal", device=CPU,
                       options=SegmentationOptions(slice_batch=2))
