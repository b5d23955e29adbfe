"""From the trainer's checkpoints to a results folder that nnU-Net itself can run, and to labels by the name bundled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_bundled import SMALL, use_small_stages, write_training
from tiny_nnunet import nnunet_answer, toy_knee

from KneePipelineLib.errors import MissingFileError, WeightsCorruptError
from KneePipelineLib.imaging.labels import remap_labels
from KneePipelineLib.segmentation import SegmentationOptions, segment
from KneePipelineLib.segmentation.bundled import NOTICE, export, parts, predict
from KneePipelineLib.segmentation.nnunet import find_results, predict_cascade, predict_fullres
from KneePipelineLib.segmentation.nnunet.checkpoint import load_checkpoint
from KneePipelineLib.segmentation.nnunet.focus import focus_box, hand_down

torch = pytest.importorskip("torch")
CPU = torch.device("cpu")
BOTH, FIRST = ("lowres", "fullres"), ("lowres",)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch) -> Path:
    use_small_stages(monkeypatch)
    return write_training(tmp_path / "trained")


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    export.export(trained, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def knee():
    return toy_knee(3, (24, 46, 44), (3.0, 3.0, 4.0))[0]  # 138 x 132 x 96 mm: larger than the small patches


def test_averaged_weights_are_written_once_in_half_precision(trained: Path, model: Path) -> None:
    for stage, configuration in export.CONFIGURATIONS.items():
        file = find_results(model, configuration).checkpoints[0]
        average = parts.load(trained / f"{stage}.pt")["average"]
        numbers = sum(tensor.numel() for tensor in average.values())
        assert file.stat().st_size < 2 * numbers + 600 * (len(average) + 60)  # not twice, though named several times
        raw = torch.load(file, map_location="cpu", weights_only=True)
        assert {tensor.dtype for tensor in raw["network_weights"].values()} == {torch.float16}
        weights = load_checkpoint(file).weights
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
        for name, tensor in average.items():
            assert torch.equal(weights[name], tensor.half().float())
        assert "decoder.encoder.stages.0.0.convs.0.all_modules.0.weight" in weights


def test_trainer_network_and_exported_network_answer_alike(trained: Path, model: Path) -> None:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from KneePipelineLib.segmentation.bundled import train
    from KneePipelineLib.segmentation.nnunet.network import build_network, load_weights

    for stage, configuration in export.CONFIGURATIONS.items():
        folder = find_results(model, configuration)
        manager = PlansManager(folder.plans)
        theirs = build_network(manager, manager.get_configuration(configuration), folder.dataset)
        load_weights(theirs, load_checkpoint(folder.checkpoints[0]).weights, "0")
        ours = train.make_network(stage).eval()
        ours.load_state_dict(parts.load(trained / f"{stage}.pt")["average"])
        x = torch.randn(1, 1 if stage == "lowres" else 10, *SMALL[stage].pairs.patch,
                        generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected, found = ours(x)[0], theirs(x)
        assert torch.allclose(found, expected, atol=0.02 * expected.abs().max().item())
        assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.98


def test_nnunets_own_predictor_gives_the_same_labels(model: Path, knee) -> None:
    first = find_results(model, "3d_lowres")
    second = find_results(model, "3d_cascade_fullres")
    seen = knee.reoriented(first.orientation)
    low = nnunet_answer(first.path, seen)
    full = nnunet_answer(second.path, seen, previous=low)
    options = SegmentationOptions(postprocess=False)
    ours_low = predict_fullres(seen, model, configuration="3d_lowres", device=CPU, options=options)
    ours = predict_cascade(seen, model, device=CPU, options=options)
    for found, theirs in ((ours_low, low), (ours, full)):
        expected = remap_labels(theirs.astype(np.uint8), first.mapping)
        assert len(np.unique(expected)) > 2
        assert np.mean(found.labels.array == expected) > 0.999


def test_orientation_order_and_training_are_written_down(model: Path) -> None:
    folder = find_results(model, "3d_cascade_fullres")
    assert folder.orientation == "PIR"
    assert folder.mapping == {1: 7, 2: 4, 3: 5, 4: 6, 5: 8, 6: 9, 7: 1, 8: 2, 9: 3}
    assert folder.dataset["kneepipeline_notice"] == NOTICE
    assert folder.dataset["kneepipeline_training"]["fullres"] == {"steps": 8, "minutes": 0.5}
    plans = json.loads((folder.path / "plans.json").read_text())
    assert plans["configurations"]["3d_lowres"]["next_stage"] == "3d_cascade_fullres"


def test_first_stage_alone_is_a_model(trained: Path, tmp_path: Path, knee) -> None:
    export.export(trained, tmp_path / "one", FIRST)
    plans = json.loads((find_results(tmp_path / "one", "3d_lowres").path / "plans.json").read_text())
    assert "next_stage" not in plans["configurations"]["3d_lowres"]
    found = segment(knee, "bundled", weights=tmp_path / "one", device="cpu")
    assert [stage["configuration"] for stage in found.model["stages"]] == ["3d_lowres"]


def test_a_new_export_replaces_the_old_one(trained: Path, model: Path) -> None:
    (model / "MODEL_CARD.md").write_text("card")
    export.export(trained, model, FIRST)
    with pytest.raises(MissingFileError):
        find_results(model, "3d_cascade_fullres")
    assert (model / "MODEL_CARD.md").is_file()


def test_nothing_trained_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="not trained"):
        export.export(tmp_path, tmp_path / "out")


def test_catalogue_knows_the_checksums(model: Path, tmp_path: Path) -> None:
    from KneePipelineLib.weights.entries import CATALOGUE_FILE, read_catalogue

    copy = tmp_path / "catalogue.json"
    copy.write_text(CATALOGUE_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    total = export.enter_in_catalogue(model, copy)
    entry = read_catalogue(copy)["bundled"]
    assert len(entry.files) == 6
    assert entry.size_bytes == total == sum(file.size_bytes for file in entry.files)
    assert all(len(file.sha256) == 64 for file in entry.files)
    before = {m["name"]: m for m in json.loads(CATALOGUE_FILE.read_text(encoding="utf-8"))["models"]}
    after = {m["name"]: m for m in json.loads(copy.read_text(encoding="utf-8"))["models"]}
    assert {name for name in after if after[name] != before[name]} <= {"bundled"}


def test_the_name_bundled_runs_the_cascade_and_says_what_it_is(model: Path, knee) -> None:
    trainer_folder = find_results(model, "3d_cascade_fullres").path
    for where in (model, trainer_folder):
        found = segment(knee, "bundled", weights=where, device="cpu")
        assert found.labels.same_grid(knee)
        assert found.model["name"] == "bundled"
        assert found.model["configuration"] == "3d_cascade_fullres"
        assert found.model["stages"] == [
            {"configuration": "3d_lowres", "trainer": "nnUNetTrainer", "folds": ["0"],
             "checkpoint": "checkpoint_final.pth"},
            {"configuration": "3d_cascade_fullres", "trainer": "nnUNetTrainer", "folds": ["0"],
             "checkpoint": "checkpoint_final.pth"}]
        assert found.model["notice"] == NOTICE
        said = [message for code, message in found.warnings if code == "BUNDLED_NETWORK"]
        assert len(said) == 1
        assert said[0].lower() == f"{NOTICE}."


@pytest.mark.parametrize("cut", [
    (slice(0, 8), slice(None), slice(None)), (slice(None), slice(20, 36), slice(None)),
    (slice(9, 11), slice(0, 30), slice(10, 40))])
def test_volumes_smaller_than_a_patch(model: Path, knee, cut) -> None:
    part = knee.cropped(tuple(s.indices(n)[0] for s, n in zip(cut[::-1], knee.size, strict=True)),
                        tuple(s.indices(n)[1] for s, n in zip(cut[::-1], knee.size, strict=True)))
    found = segment(part, "bundled", weights=model, device="cpu")
    assert found.labels.array.shape == part.array.shape


def test_weights_of_another_width_are_refused(trained: Path, model: Path, knee) -> None:
    file = find_results(model, "3d_lowres").path / "plans.json"
    plans = json.loads(file.read_text())
    plans["configurations"]["3d_lowres"]["architecture"]["arch_kwargs"]["features_per_stage"][0] += 1
    file.write_text(json.dumps(plans))
    with pytest.raises(WeightsCorruptError):
        segment(knee, "bundled", weights=model, device="cpu")


def test_focus_is_the_labels_box_and_a_margin() -> None:
    labels = np.zeros((40, 60, 80), np.uint8)
    labels[10:20, 30:33, 2:9] = 1
    spacing = (2.0, 1.0, 0.5)
    assert focus_box(labels, spacing, 4.0, (0, 0, 0)) == (slice(8, 22), slice(26, 37), slice(0, 17))
    wide = focus_box(labels, spacing, 0.0, (40.0, 20.0, 100.0))
    assert [s.stop - s.start for s in wide] == [20, 20, 80]
    assert wide[0].start <= 10
    assert wide[0].stop >= 20
    assert focus_box(np.zeros_like(labels), spacing, 4.0, (0, 0, 0)) is None
    labels[39, 59, 79] = 2  # a stray voxel widens nothing
    assert focus_box(labels, spacing, 4.0, (0, 0, 0))[0] == slice(8, 22)


def test_labels_of_another_grid_arrive_where_they_were() -> None:
    coarse = np.zeros((10, 6, 8), np.uint8)
    coarse[4:7, 2:5, 3:6] = 1  # of an image of 20 x 12 x 16: voxels 8 to 14, 4 to 10, 6 to 12
    box = (slice(4, 18), slice(0, 12), slice(2, 16))
    same = hand_down(coarse, (20, 12, 16), box, (14, 12, 14))
    assert [np.flatnonzero(same.any(axis=a)).tolist() for a in ((1, 2), (0, 2), (0, 1))] == [
        list(range(4, 10)), list(range(4, 10)), list(range(4, 10))]
    assert hand_down(coarse, (20, 12, 16), box, (28, 24, 28)).sum() == 8 * same.sum()


def test_a_focus_that_holds_everything_changes_nothing(model: Path, knee) -> None:
    whole = predict_cascade(knee, model, device=CPU)
    focused = predict_cascade(knee, model, device=CPU, options=SegmentationOptions(focus_mm=500.0))
    assert np.array_equal(whole.labels.array, focused.labels.array)


def test_brightest_and_darkest_do_not_narrow_the_rest(knee) -> None:
    spoiled = knee.array.copy()
    spoiled[3, 3, 3:9] = 1e6
    window = predict.windowed(knee.with_array(spoiled)).array
    usual = predict.windowed(knee).array
    assert window.max() < 2 * usual.max()
    inner = (knee.array > usual.min()) & (knee.array < usual.max()) & (spoiled < 1e6)
    assert np.array_equal(window[inner], spoiled[inner])
    flat = knee.with_array(np.zeros_like(knee.array))
    assert predict.windowed(flat) is flat
