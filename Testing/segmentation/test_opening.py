"""`models import` and `verify` open what a run will open: networks as people have them, and what is none.

The coarse stage of the bundled network stands for a network that somebody trained in one stage.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_keras import write_unet

from KneePipelineLib import weights
from KneePipelineLib.errors import ConfigError, MissingFileError, SegmentationError, WeightsCorruptError
from KneePipelineLib.nnunet_folders import SINGLE
from KneePipelineLib.segmentation import canonical_mapping
from KneePipelineLib.segmentation.nnunet import find_stages
from KneePipelineLib.weights import opening, store
from KneePipelineLib.weights.failures import ImportRefusedError

TRAINER = "nnUNetTrainer__nnUNetPlans__3d_fullres"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 816143232\n"
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KNEEPIPELINE_PYTHON", sys.executable)  # the environment is this one
    return tmp_path / "home"


class Brought:
    """A results folder that somebody brings, to be changed before it is imported."""

    def __init__(self, folder: Path) -> None:
        if weights.state("bundled") != "bundled":
            pytest.skip("the bundled network is not in this build")
        source = next(weights.location("bundled").glob("*__3d_lowres"))
        self.root, self.folder = folder, folder / "Dataset500_Knee" / TRAINER
        shutil.copytree(source, self.folder)
        self.checkpoint = self.folder / "fold_0" / "checkpoint_final.pth"
        self.plans, self.dataset = (json.loads((self.folder / name).read_text()) for name in ("plans.json",
                                                                                            "dataset.json"))
        settings = copy.deepcopy(self.plans["configurations"]["3d_lowres"])
        settings.pop("next_stage")
        self.plans["configurations"] = {"3d_fullres": settings}
        content = torch.load(self.checkpoint, weights_only=True)
        content["init_args"] = {"configuration": "3d_fullres"}
        torch.save(content, self.checkpoint)

    def imported(self) -> Path:
        (self.folder / "plans.json").write_text(json.dumps(self.plans))
        (self.folder / "dataset.json").write_text(json.dumps(self.dataset))
        self.told: list[str] = []
        return weights.import_from(self.root, "nnunet_fullres", tell=self.told.append)


@pytest.fixture
def brought(tmp_path: Path) -> Brought:
    return Brought(tmp_path / "brought")


def stage(where: Path, *ignored: str):
    return find_stages(where, SINGLE, ignored=ignored)[0]


def test_a_network_of_ones_own_is_opened_and_used(brought: Brought) -> None:
    where = brought.imported()
    assert stage(where).configuration == "3d_fullres"
    assert brought.told == []
    assert store.read_receipt(weights.entry("nnunet_fullres"))["opened"] is True


def renamed(brought: Brought, name: str) -> None:
    brought.folder = brought.folder.rename(brought.folder.with_name(name))


def own_configuration(brought: Brought) -> None:
    renamed(brought, "nnUNetTrainer__nnUNetPlans__3d_fullres_bs4")
    brought.plans["configurations"] = {"3d_fullres_bs4": brought.plans["configurations"]["3d_fullres"]}
    file = brought.folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(file, weights_only=True), "init_args": {"configuration": "3d_fullres_bs4"}}, file)


@pytest.mark.parametrize("change", [
    lambda b: renamed(b, "nnUNetTrainer_250-epochs__nnUNetResEncUNetLPlans__3d_fullres"),
    lambda b: renamed(b, "my knee model"), own_configuration,
    lambda b: b.checkpoint.parent.rename(b.folder / "fold_all"),
    lambda b: b.checkpoint.rename(b.checkpoint.with_name("checkpoint_best.pth")),
    lambda b: b.dataset["labels"].update(ignore=len(b.dataset["labels"]))],
    ids=["trainer", "renamed", "configuration", "fold_all", "best", "ignore"])
def test_what_people_call_things(brought: Brought, change: Callable[[Brought], object]) -> None:
    change(brought)
    assert len(stage(brought.imported()).mapping) == 9


@pytest.mark.parametrize(("content", "sentence"), [
    (POINTER, "Git LFS pointer"), (PAGE, "web page"), (None, "cut off"), (b"", "empty"), (b"hello", "no PyTorch file")],
    ids=["pointer", "page", "cut", "empty", "text"])
def test_what_lies_in_place_of_a_checkpoint(brought: Brought, content: bytes | None, sentence: str) -> None:
    whole = brought.checkpoint.read_bytes()
    brought.checkpoint.write_bytes(whole[:len(whole) // 2] if content is None else content)
    with pytest.raises(ImportRefusedError, match=sentence):
        brought.imported()
    assert weights.state("nnunet_fullres") == "not installed"


def test_only_an_unfinished_training(brought: Brought) -> None:
    brought.checkpoint.rename(brought.checkpoint.with_name("checkpoint_latest.pth"))
    with pytest.raises(ImportRefusedError, match=r"only checkpoint_latest\.pth"):
        brought.imported()


def test_weights_of_another_network(brought: Brought) -> None:
    arguments = brought.plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [n + 1 for n in arguments["features_per_stage"]]
    with pytest.raises(ImportRefusedError, match="do not fit"):
        brought.imported()


class TestExtraStructures:
    """A network may know more than is measured: what that is gets named, and is left out on request only."""

    def test_told_at_import_and_left_out_by_name(self, brought: Brought) -> None:
        labels = brought.dataset["labels"]
        labels["ACL"] = labels.pop("patella")
        where = brought.imported()
        assert "ACL" in brought.told[0]
        assert "--ignore-structures all" in brought.told[0]
        with pytest.raises(SegmentationError, match="'ACL'") as raised:
            stage(where)
        assert "--ignore-structures ACL" in raised.value.hint
        for names in (("acl",), ("all",), ("ACL", "fibula")[:1]):
            found = stage(where, *names)
            assert found.dropped == ("ACL",)
            assert found.mapping[labels["ACL"]] == 0
            assert len(set(found.mapping.values()) - {0}) == 8

    def test_spelling_and_mistakes(self) -> None:
        table = {"background": 0, "femur": 1, "Anterior Cruciate-Ligament": 2, "medial_meniscus": 3, "ignore": 4}
        assert canonical_mapping(table, ("anterior_cruciate ligament",)) == ({1: 1, 2: 0, 3: 8},
                                                                             ("Anterior Cruciate-Ligament",))
        assert canonical_mapping(table, ("all", "medial meniscus"))[0] == {1: 1, 2: 0, 3: 0}
        with pytest.raises(ConfigError, match="'pcl'"):
            canonical_mapping(table, ("all", "PCL"))
        with pytest.raises(SegmentationError, match="no structure"):
            canonical_mapping({"background": 0, "ACL": 1}, ("all",))

    def test_background_where_a_structure_was_left_out(self, brought: Brought) -> None:
        from KneePipelineLib.phantom import DigitalKnee, Grid
        from KneePipelineLib.segmentation import SegmentationOptions, segment

        labels = brought.dataset["labels"]
        image = DigitalKnee(seed=3).image(Grid.sagittal((48, 48, 36), (3.0, 3.0, 3.2)), "dess")
        whole = segment(image, "nnunet_fullres", weights=brought.imported(), device="cpu",
                        options=SegmentationOptions(postprocess=False))
        labels["ACL"] = labels.pop("patella")
        found = segment(image, "nnunet_fullres", weights=brought.imported(), device="cpu",
                        options=SegmentationOptions(postprocess=False, ignored_structures=("acl",)))
        expected = np.where(whole.labels.array == 3, 0, whole.labels.array)
        assert (whole.labels.array == 3).sum() > 50
        assert np.array_equal(found.labels.array, expected)
        assert found.model["ignored_structures"] == ["ACL"]
        assert [code for code, _ in found.warnings].count("STRUCTURES_IGNORED") == 1


class TestPlanar:
    def test_a_whole_network_is_opened(self, tmp_path: Path) -> None:
        weights.import_from(write_unet(tmp_path / "mine.h5"), "goyal_sagittal")

    def test_weights_without_architecture(self, tmp_path: Path) -> None:
        import h5py

        with h5py.File(tmp_path / "sagittal_best_model.h5", "w") as file:
            file.create_group("conv2d")
        with pytest.raises(ImportRefusedError, match="not a whole Keras model"):
            weights.import_from(tmp_path / "sagittal_best_model.h5", "goyal_sagittal")

    def test_cut_files(self, tmp_path: Path) -> None:
        whole = write_unet(tmp_path / "mine.h5")
        whole.write_bytes(whole.read_bytes()[:-1000])
        with pytest.raises(ImportRefusedError, match="cut off"):
            weights.import_from(whole, "goyal_sagittal")

    @pytest.mark.parametrize("form", ["archive", "folder", "unpacked"])
    def test_keras_archives(self, tmp_path: Path, form: str) -> None:
        names = ("config.json", "metadata.json", "model.weights.h5")
        folder = tmp_path / "in"
        folder.mkdir()
        with zipfile.ZipFile(folder / "mine.keras", "w") as archive:
            for name in names:
                archive.writestr(name, b"\x89HDF\r\n\x1a\n")
                if form == "unpacked":
                    (folder / name).write_bytes(b"\x89HDF\r\n\x1a\n")
        with pytest.raises(ImportRefusedError, match=r"\.keras") as raised:
            weights.import_from(folder / "mine.keras" if form == "archive" else folder, "goyal_sagittal")
        assert "model.save('network.h5')" in raised.value.hint


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess:
    from KneePipelineLib.environment import child_environment

    return subprocess.run([sys.executable, "-m", "KneePipelineLib", "models", *arguments], capture_output=True,
                          text=True, env={**child_environment(), "KNEEPIPELINE_HOME": str(home)}, timeout=300,
                          check=False)


def test_copied_by_hand_and_taken_over(brought: Brought, home: Path) -> None:
    """A cluster without network: the folder was copied into the home; the sentence names the command that works."""
    brought.imported()
    weights.remove("nnunet_fullres")
    shutil.copytree(brought.root, home / "models" / "nnunet_fullres")
    with pytest.raises(WeightsCorruptError, match="by hand") as raised:
        weights.location("nnunet_fullres")
    said = command(*raised.value.hint.split(" models ")[1].split(), home=home)
    assert said.returncode == 0, said.stderr
    assert stage(weights.location("nnunet_fullres")).folds == ["0"]
    with pytest.raises(MissingFileError, match="by hand"):
        weights.import_from(None, "nnunet_fullres")


def test_verify_opens_too_and_another_process_gives_the_same_sentence(brought: Brought, home: Path) -> None:
    """What an earlier version installed unseen shows in `verify`; the child tells what the run would."""
    where = brought.imported()
    file = next(where.rglob("plans.json"))
    plans = json.loads(file.read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["features_per_stage"][0] += 1
    file.write_text(json.dumps(plans))
    model = weights.entry("nnunet_fullres")
    receipt = store.read_receipt(model)
    receipt["files"] = [store.describe(one["path"], where) for one in receipt["files"]]
    (where / "receipt.json").write_text(json.dumps(receipt))
    assert len(weights.verify("nnunet_fullres")) == 3
    said = command("verify", "nnunet_fullres", home=home)
    assert said.returncode == 1
    assert "do not fit" in said.stderr
    with pytest.raises(ImportRefusedError, match="do not fit"):
        opening._elsewhere(Path(sys.executable), model, where)


def test_without_the_environment_the_form_alone_is_checked_and_that_is_said(
        brought: Brought, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("KneePipelineLib.environment.inside", lambda: False)
    monkeypatch.delenv("KNEEPIPELINE_PYTHON")
    brought.imported()
    assert "Only the form" in brought.told[0]
    assert "models verify nnunet_fullres" in brought.told[0]
    assert store.read_receipt(weights.entry("nnunet_fullres"))["opened"] is False
