"""The front door: names of models, weights, devices, warnings, progress."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_keras import write_unet
from tiny_nnunet import toy_knee

from KneePipelineLib.errors import CancelledError, ConfigError, MissingFileError, NothingUsableError
from KneePipelineLib.segmentation import MODELS, SegmentationOptions, majority, segment
from KneePipelineLib.segmentation.device import choose_device
from KneePipelineLib.segmentation.nnunet import find_results
from KneePipelineLib.segmentation.planar import predict_planar

PLANES = ("goyal_sagittal", "goyal_coronal", "goyal_axial")


@pytest.fixture
def knee():
    return toy_knee(9, (14, 30, 30))[0]


def test_nnunet_end_to_end(fullres: Path, knee) -> None:
    seen: list[float] = []
    answer = segment(knee.reoriented("LPS"), "nnunet_fullres", weights=fullres, device="cpu",
                     progress=lambda f, m: seen.append(f))
    assert answer.labels.orientation == "LPS"
    assert answer.labels.array.dtype == np.uint8
    assert {1, 2, 4} <= set(np.unique(answer.labels.array))
    assert answer.model["name"] == "nnunet_fullres"
    assert answer.model["device"] == "cpu"
    assert answer.confidence.structures["femur"].margin > 0.3
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert json.loads(json.dumps(answer.model)) == answer.model


def test_a_toy_of_a_knee_is_not_trusted(fullres: Path, knee) -> None:
    """A few millilitres of femur: the verdict is low and said."""
    answer = segment(knee, "nnunet_fullres", weights=fullres, device="cpu")
    assert answer.confidence.level == "low"
    assert "LOW_CONFIDENCE" in [code for code, _ in answer.warnings]


def test_cascade_by_name(cascade: Path, knee) -> None:
    answer = segment(knee, "nnunet_cascade", weights={"nnunet_cascade": find_results(cascade, "3d_lowres").path.parent},
                     device="cpu")
    assert answer.model["configuration"] == "3d_cascade_fullres"


def test_planar_file_or_folder(keras_file: Path, knee) -> None:
    by_file = segment(knee, "dosma_ananya", weights=keras_file, device="cpu")
    by_folder = segment(knee, "dosma_ananya", weights=keras_file.parent, device="cpu")
    assert np.array_equal(by_file.labels.array, by_folder.labels.array)
    assert by_file.model["plane"] == "sagittal"


@pytest.mark.parametrize("rule", ["staple", "majority"])
def test_consensus_of_three_planes(rule: str, tmp_path: Path, knee) -> None:
    paths = {name: write_unet(tmp_path / f"{name}.h5", seed=n) for n, name in enumerate(PLANES)}
    options = SegmentationOptions(consensus=rule, postprocess=False)
    answer = segment(knee, "staple", weights=paths, device="cpu", options=options)
    assert answer.model["rule"] == rule
    assert list(answer.model["members"]) == list(PLANES)
    planes = [predict_planar(knee, paths[name], name.split("_")[1], device=torch.device("cpu")).labels
              for name in PLANES]
    if rule == "majority":
        assert np.array_equal(answer.labels.array, majority(planes)[0].array)
    agreed = (planes[0].array == planes[1].array) & (planes[1].array == planes[2].array)
    known = np.isin(planes[0].array, np.unique(answer.labels.array))
    assert np.array_equal(answer.labels.array[agreed & known], planes[0].array[agreed & known])


def test_consensus_needs_all_three(keras_file: Path, knee) -> None:
    with pytest.raises(ConfigError, match="three networks"):
        segment(knee, "staple", weights=keras_file, device="cpu")
    with pytest.raises(MissingFileError, match="goyal_coronal"):
        segment(knee, "staple", weights={"goyal_sagittal": keras_file}, device="cpu")


def test_a_cpu_in_place_of_a_gpu_is_never_silent(keras_file: Path, knee) -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is a GPU here")
    answer = segment(knee, "goyal_axial", weights=keras_file, device="auto")
    assert ("CPU_ONLY" in [code for code, _ in answer.warnings]) is True
    quiet = segment(knee, "goyal_axial", weights=keras_file, device="cpu")
    assert "CPU_ONLY" not in [code for code, _ in quiet.warnings]
    with pytest.raises(ConfigError, match="cuda:1"):
        segment(knee, "goyal_axial", weights=keras_file, device="cuda:1")
    with pytest.raises(ConfigError):
        choose_device("mps")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0", ""])
def test_devices_that_do_not_exist(name: str) -> None:
    with pytest.raises(ConfigError):
        choose_device(name)


@pytest.mark.parametrize("lack", [
    NotImplementedError("The operator 'aten::conv_transpose3d' is not implemented for the MPS device"),
    RuntimeError("Conv3D is not supported on MPS"), TypeError("Cannot convert a MPS Tensor to float64 dtype"),
])
def test_an_apple_gpu_without_an_operation_hands_over_with_a_warning(keras_file: Path, knee, monkeypatch,
                                                                    lack: Exception) -> None:
    """And says so at once: the deadline of a GPU must not end what a CPU does now."""
    from KneePipelineLib.segmentation import dispatch

    tried, told = [], []

    def on_mps_only_fails(volume, model, weights, device, *rest):
        tried.append(device.type)
        if device.type == "mps":
            raise lack
        return original(volume, model, weights, device, *rest)

    original = dispatch._run_on
    monkeypatch.setattr(dispatch, "_run_on", on_mps_only_fails)
    monkeypatch.setattr(dispatch, "choose_device", lambda name: (torch.device("mps"), []))
    monkeypatch.setattr(dispatch, "release_memory", lambda device: None)
    answer = segment(knee, "goyal_axial", weights=keras_file, on_device=told.append)
    assert tried == told == ["mps", "cpu"]
    assert "CPU_FALLBACK" in [code for code, _ in answer.warnings]
    assert answer.model["device"] == "cpu"


def test_an_apple_gpu_without_memory_hands_over_to_nobody(keras_file: Path, knee, monkeypatch) -> None:
    """Smaller portions may do; that is for the caller to ask."""
    from KneePipelineLib.segmentation import dispatch

    def starves(*arguments: object) -> None:
        raise RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")

    monkeypatch.setattr(dispatch, "_run_on", starves)
    monkeypatch.setattr(dispatch, "choose_device", lambda name: (torch.device("mps"), []))
    with pytest.raises(RuntimeError, match="out of memory"):
        segment(knee, "goyal_axial", weights=keras_file)


def test_what_is_refused(keras_file: Path, knee) -> None:
    with pytest.raises(ConfigError) as refused:
        segment(knee, "unet", weights=keras_file)
    assert all(name in refused.value.hint for name in MODELS)
    with pytest.raises(NothingUsableError, match="same value"):
        segment(knee.with_array(np.ones_like(knee.array)), "goyal_axial", weights=keras_file)
    broken = knee.array.copy()
    broken[3, 3, 3] = np.nan
    with pytest.raises(NothingUsableError, match="not finite"):
        segment(knee.with_array(broken), "goyal_axial", weights=keras_file)
    with pytest.raises(NothingUsableError, match="single slice"):
        segment(knee.cropped((0, 0, 0), (30, 30, 1)), "goyal_axial", weights=keras_file)
    with pytest.raises(CancelledError):
        segment(knee, "goyal_axial", weights=keras_file, device="cpu", cancelled=lambda: True)


@pytest.mark.parametrize("wrong", [{"tile_step": 0}, {"tile_step": 1.1}, {"slice_batch": 0}, {"tile_batch": 0},
                                   {"precision": "double"}, {"consensus": "mean"}])
def test_options_are_checked(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        SegmentationOptions(**wrong)


def test_a_folder_of_several_files_is_ambiguous(keras_file: Path, tmp_path: Path, knee) -> None:
    for name in ("a.h5", "b.h5"):
        shutil.copy(keras_file, tmp_path / name)
    with pytest.raises(MissingFileError, match=r"2 \.h5 files"):
        segment(knee, "goyal_axial", weights=tmp_path, device="cpu")


def test_names_of_models_are_those_of_the_design() -> None:
    assert set(MODELS) == {"bundled", "nnunet_fullres", "nnunet_cascade", "dosma_ananya", "goyal_sagittal",
                           "goyal_coronal", "goyal_axial", "staple"}
