"""Our nnU-Net inference against nnU-Net's own predictor, on models trained and written by nnU-Net."""

from __future__ import annotations

import json
import shutil
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_nnunet import make_results, nnunet_answer, plans_json, toy_knee

from KneePipelineLib.imaging.labels import NATIVE_TO_CANONICAL, remap_labels
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.segmentation.nnunet import (
    find_results,
    predict_array,
    predict_cascade,
    predict_fullres,
)
from KneePipelineLib.segmentation.types import SegmentationOptions

CPU = torch.device("cpu")
ORIENTATIONS = ["".join(p) for letters in permutations(("RL", "AP", "IS")) for p in product(*letters)]


def least_dice(a: np.ndarray, b: np.ndarray) -> float:
    """The smallest Dice coefficient of any label that either map holds."""
    values = (set(np.unique(a)) | set(np.unique(b))) - {0}
    assert values
    return min(2 * np.sum((a == v) & (b == v)) / (np.sum(a == v) + np.sum(b == v)) for v in values)


def ours(folder, volume: Volume, previous=None, **options) -> np.ndarray:
    return predict_array(folder, volume.array, tuple(volume.spacing[::-1]), device=CPU, previous=previous,
                         options=SegmentationOptions(**options)).labels


def with_dark_border(volume: Volume) -> Volume:
    """Zeros around the knee, which nnU-Net crops away before anything else."""
    array = volume.array.copy()
    array[:2] = array[:, -3:] = array[:, :, :4] = 0
    return volume.with_array(array)


CASES = {
    "the plans' own spacing": ((20, 40, 36), (1.0, 1.0, 2.0)),
    "finer": ((24, 50, 44), (0.8, 0.7, 1.7)),
    "coarser than a tile": ((14, 30, 28), (1.3, 1.4, 2.6)),
    "thick slices": ((9, 40, 36), (0.9, 1.1, 7.0)),
}


@pytest.mark.parametrize("case", CASES)
def test_same_labels_as_nnunet(case: str, fullres: Path) -> None:
    shape, spacing = CASES[case]
    volume = with_dark_border(toy_knee(7, shape, spacing)[0])
    folder = find_results(fullres, "3d_fullres")
    theirs = nnunet_answer(folder.path, volume)
    assert len(np.unique(theirs)) >= 6
    assert least_dice(ours(folder, volume), theirs) >= 0.999


def test_the_model_has_learnt_the_knee(fullres: Path) -> None:
    """Otherwise equality would say little."""
    volume, truth = toy_knee(5)
    answer = ours(find_results(fullres, "3d_fullres"), volume)
    large = (2, 7, 8, 9)
    assert min(2 * np.sum((answer == v) & (truth == v)) / (np.sum(answer == v) + np.sum(truth == v))
               for v in large) > 0.85


def test_mirroring(fullres: Path) -> None:
    volume = toy_knee(3, (16, 34, 32))[0]
    folder = find_results(fullres, "3d_fullres")
    mirrored = ours(folder, volume, mirroring=True)
    assert least_dice(mirrored, nnunet_answer(folder.path, volume, mirroring=True)) >= 0.999
    assert not np.array_equal(mirrored, ours(folder, volume))


def test_cascade(cascade: Path) -> None:
    """Both stages; the first one's labels go in as one-hot channels."""
    volume = toy_knee(6, (22, 44, 40), (0.9, 0.8, 1.9))[0]
    low, full = (find_results(cascade, c) for c in ("3d_lowres", "3d_cascade_fullres"))
    assert low.folds == ["3"]
    chosen = {"folds": ("3",), "checkpoint": "checkpoint_best.pth"}
    before = nnunet_answer(low.path, volume, **chosen)
    theirs = nnunet_answer(full.path, volume, previous=before, **chosen)
    answer = predict_cascade(volume, cascade, device=CPU)
    assert least_dice(answer.labels.array, remap_labels(theirs, NATIVE_TO_CANONICAL)) >= 0.999
    assert answer.facts["first_stage"]["configuration"] == "3d_lowres"
    blank = nnunet_answer(full.path, volume, previous=np.zeros_like(before), **chosen)
    assert least_dice(theirs, blank) < 0.999  # the second stage does look at the first


def test_cascade_named_by_its_second_folder(cascade: Path) -> None:
    """As the catalogue of weights names it."""
    volume = toy_knee(6, (16, 32, 32))[0]
    folder = find_results(cascade, "3d_cascade_fullres").path
    answer = predict_cascade(volume, folder, device=CPU)
    assert np.array_equal(answer.labels.array, predict_cascade(volume, cascade, device=CPU).labels.array)


@pytest.mark.slow
def test_several_folds_are_averaged(tmp_path: Path) -> None:
    plans = plans_json("plain")
    make_results(tmp_path, "3d_fullres", plans, folds=("1", "4"), steps=60)
    volume = toy_knee(2)[0]
    folder = find_results(tmp_path, "3d_fullres")
    assert folder.folds == ["1", "4"]
    both = ours(folder, volume)
    assert least_dice(both, nnunet_answer(folder.path, volume, folds=("1", "4"))) >= 0.999
    single = find_results(tmp_path, "3d_fullres", folds=("4",))
    assert not np.array_equal(both, ours(single, volume))


CHANGED_PLANS = {
    "mask and zscore": {"use_mask_for_norm": [True]},
    "CT": {"normalization_schemes": ["CTNormalization"]},
    "rescaled": {"normalization_schemes": ["RescaleTo01Normalization"]},
    "torch resampling": {"resampling_fn_probabilities": "resample_torch_fornnunet",
                         "resampling_fn_probabilities_kwargs": {"is_seg": False, "force_separate_z": False,
                                                                "memefficient_seg_resampling": False}},
    "cubic probabilities": {"resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 3, "order_z": 0,
                                                                   "force_separate_z": None}},
    "linear image": {"resampling_fn_data_kwargs": {"is_seg": False, "order": 1, "order_z": 0,
                                                   "force_separate_z": False}},
}


@pytest.mark.parametrize("change", CHANGED_PLANS)
def test_other_plans(change: str, fullres: Path, tmp_path: Path) -> None:
    """Same weights under other normalisation and resampling: whatever comes out must be what nnU-Net says."""
    source = find_results(fullres, "3d_fullres").path
    path = Path(shutil.copytree(source, tmp_path / source.name))
    plans = json.loads((path / "plans.json").read_text())
    plans["configurations"]["3d_fullres"].update(CHANGED_PLANS[change])
    (path / "plans.json").write_text(json.dumps(plans))
    volume = with_dark_border(toy_knee(8, (18, 38, 36), (0.9, 0.9, 2.2))[0])
    assert least_dice(ours(find_results(path, "3d_fullres"), volume), nnunet_answer(path, volume)) >= 0.999


def test_transposed_plans(fullres: Path, tmp_path: Path) -> None:
    """nnU-Net may reorder the axes inside; spacing and labels must follow."""
    source = find_results(fullres, "3d_fullres").path
    path = Path(shutil.copytree(source, tmp_path / source.name))
    plans = json.loads((path / "plans.json").read_text())
    plans.update(transpose_forward=[1, 2, 0], transpose_backward=[2, 0, 1])
    (path / "plans.json").write_text(json.dumps(plans))
    volume = toy_knee(8, (20, 36, 34), (0.9, 1.1, 1.6))[0]
    assert least_dice(ours(find_results(path, "3d_fullres"), volume), nnunet_answer(path, volume)) >= 0.999


def test_every_orientation_of_one_knee_gives_the_same_labels(fullres: Path) -> None:
    volume = toy_knee(9, (14, 30, 30))[0]
    first = predict_fullres(volume, fullres, device=CPU).labels
    assert len(np.unique(first.array)) >= 6
    for orientation in ORIENTATIONS:
        turned = volume.reoriented(orientation)
        answer = predict_fullres(turned, fullres, device=CPU).labels
        assert answer.same_grid(turned)
        assert np.array_equal(answer.reoriented("PIR").array, first.array), orientation


@pytest.mark.slow
def test_every_orientation_of_one_knee_through_the_cascade(cascade: Path) -> None:
    volume = toy_knee(9, (14, 30, 30))[0]
    first = predict_cascade(volume, cascade, device=CPU).labels
    for orientation in ORIENTATIONS:
        answer = predict_cascade(volume.reoriented(orientation), cascade, device=CPU).labels
        assert np.array_equal(answer.reoriented("PIR").array, first.array), orientation


def test_a_model_may_name_its_own_orientation(fullres: Path, tmp_path: Path) -> None:
    source = find_results(fullres, "3d_fullres").path
    path = Path(shutil.copytree(source, tmp_path / source.name))
    dataset = json.loads((path / "dataset.json").read_text())
    dataset["kneepipeline_orientation"] = "LPS"
    (path / "dataset.json").write_text(json.dumps(dataset))
    volume = toy_knee(9, (14, 30, 30))[0]
    answer = predict_fullres(volume, path, device=CPU).labels
    seen = volume.reoriented("LPS")
    theirs = remap_labels(nnunet_answer(path, seen), NATIVE_TO_CANONICAL)
    assert least_dice(answer.reoriented("LPS").array, theirs) >= 0.999
    assert not np.array_equal(answer.array, predict_fullres(volume, fullres, device=CPU).labels.array)


def test_bfloat16_is_close_when_asked_for(fullres: Path) -> None:
    volume = toy_knee(5)[0]
    folder = find_results(fullres, "3d_fullres")
    assert least_dice(ours(folder, volume, precision="bfloat16"), ours(folder, volume)) > 0.97
