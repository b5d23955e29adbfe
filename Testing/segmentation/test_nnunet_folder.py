"""Results folders: what is found, what is refused, and that nothing a file asks for is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_nnunet import NATIVE_NAMES, dataset_json, toy_knee

from KneePipelineLib.errors import (
    CancelledError,
    ConfigError,
    InvalidFormatError,
    MemoryCriticalError,
    MissingFileError,
    NothingUsableError,
    SegmentationError,
    WeightsCorruptError,
)
from KneePipelineLib.segmentation.nnunet import find_results, open_results, predict_cascade, predict_fullres
from KneePipelineLib.segmentation.nnunet.checkpoint import load_checkpoint
from KneePipelineLib.segmentation.nnunet.sliding import SlidingWindow
from KneePipelineLib.segmentation.types import SegmentationOptions

CPU = torch.device("cpu")


@pytest.fixture
def copied(fullres: Path, tmp_path: Path) -> Path:
    source = find_results(fullres, "3d_fullres").path
    return Path(shutil.copytree(source, tmp_path / source.name))


@pytest.fixture
def small_knee():
    return toy_knee(9, (14, 30, 30))[0]


class WritesAFile:
    """What a malicious checkpoint carries."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"echo bad > {self.path}",)


def test_a_malicious_checkpoint_does_nothing(copied: Path, small_knee, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    checkpoint = copied / "fold_0" / "checkpoint_final.pth"
    genuine = torch.load(checkpoint, weights_only=False)
    torch.save({**genuine, "logging": WritesAFile(mark)}, checkpoint)
    with pytest.raises(WeightsCorruptError, match="more than numbers"):
        predict_fullres(small_knee, copied, device=CPU)
    assert not mark.exists()
    torch.load(checkpoint, weights_only=False)  # the trap itself does work
    assert mark.exists()


def test_numpy_objects_in_a_checkpoint_are_refused(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "fold_0" / "checkpoint_final.pth"
    path.parent.mkdir()
    for trick in (np.array([WritesAFile(mark)], dtype=object), np.array([np.float64(1), "text"], dtype=object)):
        torch.save({"network_weights": {"a": torch.zeros(1)}, "logging": trick}, path)
        with pytest.raises(WeightsCorruptError):
            load_checkpoint(path)
        assert not mark.exists()


def test_plain_pickles_and_cut_files_are_refused(tmp_path: Path, copied: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "fold_0" / "checkpoint_final.pth"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(WritesAFile(mark)))
    with pytest.raises(WeightsCorruptError):
        load_checkpoint(path)
    assert not mark.exists()
    genuine = (copied / "fold_0" / "checkpoint_final.pth").read_bytes()
    for length in (0, 100, len(genuine) // 2, len(genuine) - 10):
        path.write_bytes(genuine[:length])
        with pytest.raises(WeightsCorruptError):
            load_checkpoint(path)
    torch.save({"something": 1}, path)
    with pytest.raises(WeightsCorruptError, match="no nnU-Net checkpoint"):
        load_checkpoint(path)


def test_genuine_checkpoints_are_read(copied: Path) -> None:
    checkpoint = load_checkpoint(copied / "fold_0" / "checkpoint_final.pth")
    assert checkpoint.configuration == "3d_fullres"
    assert checkpoint.trainer == "nnUNetTrainer"
    assert checkpoint.mirror_axes == (0, 1, 2)
    assert all(isinstance(v, torch.Tensor) for v in checkpoint.weights.values())


@pytest.mark.parametrize("change", [
    {"network_class_name": "subprocess.Popen"},
    {"arch_kwargs": {"conv_op": "os.system"}, "_kw_requires_import": ["conv_op"]},
])
def test_plans_cannot_call_what_they_like(change: dict, copied: Path, small_knee, tmp_path: Path) -> None:
    """Through a whole prediction; every place and disguise: test_nnunet_plans.py."""
    plans = json.loads((copied / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"].update(change)
    (copied / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(WeightsCorruptError, match="unknown library"):
        predict_fullres(small_knee, copied, device=CPU)


def test_weights_of_another_network_are_refused(copied: Path, small_knee) -> None:
    plans = json.loads((copied / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["features_per_stage"] = [8, 16, 24]
    (copied / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(WeightsCorruptError, match="do not fit"):
        predict_fullres(small_knee, copied, device=CPU)


def test_finding_folds_and_checkpoints(copied: Path) -> None:
    assert open_results(copied).folds == ["0"]
    shutil.copytree(copied / "fold_0", copied / "fold_10")
    shutil.copytree(copied / "fold_0", copied / "fold_2")
    (copied / "fold_2" / "checkpoint_final.pth").rename(copied / "fold_2" / "checkpoint_best.pth")
    (copied / "fold_7").mkdir()
    found = open_results(copied)
    assert found.folds == ["0", "2", "10"]
    assert found.checkpoints[1].name == "checkpoint_best.pth"
    assert open_results(copied, folds=("10",)).folds == ["10"]
    with pytest.raises(MissingFileError, match="fold 7"):
        open_results(copied, folds=("7",))
    for fold in (0, 2, 10):
        shutil.move(copied / f"fold_{fold}", copied.parent / f"old_{fold}")
    with pytest.raises(MissingFileError, match="no checkpoint"):
        open_results(copied)
    shutil.move(copied.parent / "old_0", copied / "fold_all")
    assert open_results(copied).folds == ["all"]


def test_finding_configurations(cascade: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="3d_fullres"):
        find_results(cascade, "3d_fullres")
    with pytest.raises(MissingFileError):
        find_results(tmp_path / "nowhere", "3d_fullres")
    low = find_results(cascade, "3d_lowres").path
    shutil.copytree(low, tmp_path / "a" / low.name)
    shutil.copytree(low, tmp_path / "b" / low.name)
    with pytest.raises(ConfigError, match="2 models"):
        find_results(tmp_path, "3d_lowres")
    renamed = Path(shutil.copytree(low, tmp_path / "renamed"))
    assert find_results(renamed, "3d_lowres").path == renamed


def test_a_cascade_without_its_first_stage(cascade: Path, tmp_path: Path, small_knee) -> None:
    second = find_results(cascade, "3d_cascade_fullres").path
    shutil.copytree(second, tmp_path / second.name)
    with pytest.raises(MissingFileError, match="3d_lowres"):
        predict_cascade(small_knee, tmp_path, device=CPU)
    with pytest.raises(SegmentationError, match="needs an earlier stage"):
        predict_fullres(small_knee, tmp_path, configuration="3d_cascade_fullres", device=CPU)


@pytest.mark.parametrize(("dataset", "sentence"), [
    (dataset_json({**NATIVE_NAMES, "acl": 10}), "acl"),
    (dataset_json({**NATIVE_NAMES, "femur bone": 10}), "same structure"),
    (dataset_json({**NATIVE_NAMES, "fibula": [1, 2]}), "several values"),
    ({**dataset_json(), "channel_names": {"0": "T1", "1": "T2"}}, "2 images"),
])
def test_label_tables_that_are_refused(dataset: dict, sentence: str, copied: Path) -> None:
    (copied / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(SegmentationError, match=sentence):
        open_results(copied)


def test_labels_are_taken_by_name_not_by_number(copied: Path, small_knee) -> None:
    """Two names exchanged in the table exchange the structures in the answer."""
    before = predict_fullres(small_knee, copied, device=CPU)
    names = {**NATIVE_NAMES, "femur": NATIVE_NAMES["tibia"], "tibia": NATIVE_NAMES["femur"]}
    (copied / "dataset.json").write_text(json.dumps(dataset_json(names)))
    after = predict_fullres(small_knee, copied, device=CPU)
    assert (before.labels.array == 1).sum() > 100
    assert np.array_equal(before.labels.array == 1, after.labels.array == 2)
    assert before.margins[1] == after.margins[2]


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_damaged_tables(name: str, copied: Path) -> None:
    (copied / name).write_text("{")
    with pytest.raises(WeightsCorruptError, match=name):
        open_results(copied)


def test_checkpoint_of_another_configuration(copied: Path, small_knee) -> None:
    other = copied.parent / copied.name.replace("3d_fullres", "3d_lowres")
    copied.rename(other)
    with pytest.raises(InvalidFormatError, match="trained for 3d_fullres"):
        predict_fullres(small_knee, other, configuration="3d_lowres", device=CPU)


def test_empty_images_are_refused(fullres: Path, small_knee) -> None:
    with pytest.raises(NothingUsableError, match="zero everywhere"):
        predict_fullres(small_knee.with_array(np.zeros_like(small_knee.array)), fullres, device=CPU)


# --- memory, cancelling, manners ------------------------------------------------------------------------------------

def test_memory_that_runs_out_halves_the_tile_batch_and_changes_nothing(fullres: Path, monkeypatch) -> None:
    volume = toy_knee(5)[0]
    whole = predict_fullres(volume, fullres, device=CPU)
    assert whole.facts["tiles"] >= 8
    original, sizes = SlidingWindow._predict, []

    def scarce(self, tiles):
        sizes.append(len(tiles))
        if len(sizes) > 1 and len(tiles) > 2:  # the first batch still fits: the error comes in mid-inference
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return original(self, tiles)

    monkeypatch.setattr(SlidingWindow, "_predict", scarce)
    answer = predict_fullres(volume, fullres, device=CPU, options=SegmentationOptions(tile_batch=4))
    assert sizes[:3] == [4, 4, 2]
    assert answer.facts["tile_batch"] == 2
    assert np.array_equal(answer.labels.array, whole.labels.array)


def test_not_even_one_tile(fullres: Path, small_knee, monkeypatch) -> None:
    def none_left(self, tiles):
        raise MemoryError

    monkeypatch.setattr(SlidingWindow, "_predict", none_left)
    with pytest.raises(MemoryCriticalError, match="one tile"):
        predict_fullres(small_knee, fullres, device=CPU)


def test_numbers_beyond_half_precision_are_summed_again_in_single(fullres: Path, small_knee, monkeypatch) -> None:
    whole = predict_fullres(small_knee, fullres, device=CPU)
    original = SlidingWindow._predict
    monkeypatch.setattr(SlidingWindow, "_predict", lambda self, tiles: original(self, tiles) * 1e5)
    answer = predict_fullres(small_knee, fullres, device=CPU)
    assert (answer.labels.array == whole.labels.array).mean() > 0.999


def test_nonsense_from_the_network_is_an_error(fullres: Path, small_knee, monkeypatch) -> None:
    original = SlidingWindow._predict
    monkeypatch.setattr(SlidingWindow, "_predict", lambda self, tiles: original(self, tiles) * float("nan"))
    with pytest.raises(SegmentationError, match="not finite"):
        predict_fullres(small_knee, fullres, device=CPU)


def test_cancelling_stops_before_the_next_tile(fullres: Path) -> None:
    volume, asked = toy_knee(5)[0], []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(CancelledError):
        predict_fullres(volume, fullres, device=CPU, cancelled=cancelled)
    assert len(asked) == 4


def test_progress_and_silence(fullres: Path, capfd) -> None:
    """One event a tile, forwards only; not a word on stdout; the environment as it was."""
    before, events = dict(os.environ), []
    answer = predict_fullres(toy_knee(5)[0], fullres, device=CPU, progress=lambda f, m: events.append((f, m)))
    fractions = [f for f, _ in events]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    tiles = answer.facts["tiles"]
    assert [m for _, m in events if "tile" in m] == [f"Segmenting tile {n} of {tiles}" for n in range(1, tiles + 1)]
    assert capfd.readouterr().out == ""
    assert dict(os.environ) == before
    assert json.loads(json.dumps(answer.facts)) == answer.facts
