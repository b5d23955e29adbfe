"""Which folders are the stages of an nnU-Net model: one answer at import, in a run and in the key of its result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from KneePipelineLib import weights
from KneePipelineLib.errors import ConfigError, KneePipelineError, MissingFileError
from KneePipelineLib.job import JobOptions
from KneePipelineLib.nnunet_folders import ANY, CASCADE, SINGLE, choose, resolved, stages_below, trained
from KneePipelineLib.pipeline.networks import network_hashes, weights_of_network
from KneePipelineLib.weights.layouts import stages_kind
from Testing.weights.small_models import PLANS, TRAINER, nnunet_files, pickle_bytes, write

LOW, FULL, LAST = "3d_lowres", "3d_fullres", "3d_cascade_fullres"


def model(root: Path, *configurations: str, plans: dict = PLANS, trainer: str = TRAINER) -> Path:
    for configuration in configurations:
        write(root / f"{trainer}{configuration}", {
            "plans.json": json.dumps(plans).encode(), "dataset.json": b'{"labels": {"background": 0, "femur": 1}}',
            "fold_0/checkpoint_final.pth": pickle_bytes(60, seed=len(configuration))})
    return root


@pytest.mark.parametrize(("there", "kind", "wanted"), [
    ((LOW, LAST), ANY, [LOW, LAST]), ((LOW, LAST), CASCADE, [LOW, LAST]), ((LOW, FULL, LAST), ANY, [LOW, LAST]),
    ((LOW, FULL, LAST), SINGLE, [FULL]), ((FULL,), ANY, [FULL]), ((LOW,), ANY, [LOW])])
def test_every_stage_and_in_order(tmp_path: Path, there: tuple, kind: str, wanted: list) -> None:
    assert [stage.configuration for stage in stages_below(model(tmp_path, *there), kind)] == wanted


@pytest.mark.parametrize(("there", "kind", "missing"), [
    ((LAST,), CASCADE, LOW), ((LAST,), ANY, LOW), ((LOW,), CASCADE, LAST), ((LOW, LAST), SINGLE, FULL),
    ((LOW,), SINGLE, FULL)])
def test_half_of_a_cascade_is_no_model(tmp_path: Path, there: tuple, kind: str, missing: str) -> None:
    """A coarse first stage gives plausible labels: it must never run in place of the whole."""
    with pytest.raises(MissingFileError, match=missing):
        stages_below(model(tmp_path, *there), kind)


def test_a_cascade_named_by_its_last_stage(tmp_path: Path) -> None:
    root = model(tmp_path / "mine", LOW, LAST)
    assert [stage.configuration for stage in stages_below(root / f"{TRAINER}{LAST}", CASCADE)] == [LOW, LAST]


def test_names_of_ones_own(tmp_path: Path) -> None:
    """Hyphens in a trainer's name, a configuration that inherits, a renamed folder: plans say what it is."""
    plans = {"configurations": {"3d_fullres_bs4": {"inherits_from": "base"}, "base": {"patch_size": [8, 8, 8]}}}
    root = model(tmp_path, "3d_fullres_bs4", plans=plans, trainer="nnUNetTrainer_250-epochs__nnUNetPlans__")
    assert [stage.configuration for stage in stages_below(root, SINGLE)] == ["3d_fullres_bs4"]
    assert resolved(plans, "3d_fullres_bs4")["patch_size"] == [8, 8, 8]
    own = {"configurations": {LOW: {}, "late": {"previous_stage": LOW}}}
    second = model(tmp_path / "second", LOW, "late", plans=own)
    assert [stage.configuration for stage in stages_below(second, CASCADE)] == [LOW, "late"]
    renamed = model(tmp_path / "third", FULL) / f"{TRAINER}{FULL}"
    assert stages_below(renamed.rename(tmp_path / "my knee model"), SINGLE)[0].configuration == FULL


def test_inheritance_in_a_circle_ends() -> None:
    plans = {"configurations": {"a": {"inherits_from": "b", "x": 1}, "b": {"inherits_from": "a"}}}
    assert resolved(plans, "a")["x"] == 1


def test_two_models_are_not_guessed_between(tmp_path: Path) -> None:
    model(tmp_path / "a", FULL)
    model(tmp_path / "b", FULL)
    with pytest.raises(ConfigError, match="more than one"):
        stages_below(tmp_path, SINGLE)


def test_names_alone_say_the_same_as_plans() -> None:
    """The hub's list of files comes without contents."""
    for plans in (None, PLANS):
        found = [trained(f"D/{TRAINER}{name}", f"{TRAINER}{name}", plans) for name in (LAST, FULL, LOW)]
        assert [stage.configuration for stage in choose(found, CASCADE)] == [LOW, LAST]
        assert [stage.configuration for stage in choose(found, SINGLE)] == [FULL]


@pytest.mark.parametrize("name", [name for name, entry in weights.catalogue().items() if entry.kind == "nnunet"])
def test_every_network_of_the_catalogue_runs_whole(tmp_path: Path, name: str) -> None:
    """From the installed files to the stages that run: what the catalogue states, all of it, in its order."""
    if name == "bundled":
        folder = weights.location(name) if weights.state(name) == "bundled" else None
        if folder is None:
            pytest.skip("the bundled network is not in this build")
        wanted = [LOW, LAST]
    else:
        weights.import_from(write(tmp_path / "in", nnunet_files(FULL, LOW, LAST)), name)
        folder, wanted = weights.location(name), list(weights.entry(name).configurations)
    given = weights_of_network(JobOptions.from_dict({"segmentation_model": name}))
    assert given == {name: folder}
    assert [stage.configuration for stage in stages_below(given[name], stages_kind(weights.entry(name)))] == wanted


class TestKey:
    """What decides whether a finished segmentation may be used again."""

    def key(self, folder: Path, name: str = "bundled") -> str:
        return network_hashes(JobOptions.from_dict({"segmentation_model": name, "models": {name: str(folder)}}))[name]

    def test_another_stage_is_another_segmentation(self, tmp_path: Path) -> None:
        root = model(tmp_path / "m", LOW, LAST)
        both = self.key(root)
        assert self.key(root / f"{TRAINER}{LAST}") == both
        shutil.copytree(root, tmp_path / "copy")
        assert self.key(tmp_path / "copy") == both
        shutil.rmtree(root / f"{TRAINER}{LAST}")
        assert self.key(root) not in (both, "missing")

    def test_a_first_stage_beside_the_named_folder_counts(self, tmp_path: Path) -> None:
        root = model(tmp_path / "m", LOW, LAST)
        before = self.key(root / f"{TRAINER}{LAST}", "nnunet_cascade")
        (root / f"{TRAINER}{LOW}" / "fold_0" / "checkpoint_final.pth").write_bytes(pickle_bytes(60, seed=99))
        assert self.key(root / f"{TRAINER}{LAST}", "nnunet_cascade") != before

    def test_choosing_otherwise_changes_the_key_of_the_same_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from KneePipelineLib.pipeline import networks

        before = networks.hash_of_installed("bundled")
        monkeypatch.setattr(networks, "stages_below", lambda folder, kind: stages_below(folder, kind)[:1])
        assert networks.hash_of_installed("bundled") not in (before, "missing")

    def test_a_model_that_cannot_run_still_has_a_key(self, tmp_path: Path) -> None:
        root = model(tmp_path / "m", LAST)
        with pytest.raises(KneePipelineError):
            stages_below(root, CASCADE)
        assert len(self.key(root, "nnunet_cascade")) == 64
