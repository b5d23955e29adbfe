"""A run folder used again: what is reused, what is done anew, and whose files are spared."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from .conftest import ToyRun

LITTER = (".DS_Store", "._out.txt", ".nfs000000000123", ".dropbox.attr", "Thumbs.db", "desktop.ini")


def test_second_run_does_nothing_and_changed_options_only_what_depends_on_them(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    assert toy_run() == 0
    assert toy_run.executed == []
    assert toy_run(batch_size=8) == 0
    # Its output is the same as before, so nothing is measured again; but results.json tells the options.
    assert toy_run.executed == ["second", "files"]
    assert toy_run(batch_size=8, timeout=900) == 0
    assert toy_run.executed == []
    assert toy_run(batch_size=8, restart=True) == 0
    assert set(toy_run.executed) == {"first", "second", "left", "right", "files"}


def test_changed_input_repeats_everything_that_saw_it(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    (toy_run.folder / "knee.nrrd").write_bytes(b"other")
    assert toy_run() == 0
    assert toy_run.executed == ["first", "files"]


def test_a_foreign_file_in_a_checkpoint_is_damage(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    folder = toy_run.out / "checkpoints" / "DETECTION.second"
    for name in LITTER:
        (folder / name).write_text("litter")
    assert toy_run() == 0
    assert toy_run.executed == []
    (folder / "extra.txt").write_text("?")
    assert toy_run() == 0
    assert toy_run.executed == ["second"]
    assert not (folder / "extra.txt").exists()


def test_litter_in_the_input_is_no_other_input(toy_run: ToyRun, tmp_path: Path) -> None:
    """Opening a DICOM folder in a file manager must not cost a segmentation."""
    folder = tmp_path / "dicom"
    (folder / "series").mkdir(parents=True)
    (folder / "series" / "1.dcm").write_bytes(b"slice")
    assert toy_run(input=str(folder)) == 0
    for name in LITTER:
        (folder / "series" / name).write_text("litter")
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "thumbnail.jpg").write_text("litter")
    assert toy_run(input=str(folder)) == 0
    assert toy_run.executed == []
    (folder / "series" / "2.dcm").write_bytes(b"another slice")
    assert toy_run(input=str(folder)) == 0
    assert "first" in toy_run.executed


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_checkpoints_on_another_disk(toy_run: ToyRun) -> None:
    """Moved to scratch and linked: no file can be renamed from there into the run folder."""
    other = Path("/dev/shm")
    if not other.is_dir() or os.stat(other).st_dev == os.stat(toy_run.folder).st_dev:
        pytest.skip("there is no second disk here")
    with tempfile.TemporaryDirectory(dir=other) as scratch:
        toy_run.out.mkdir()
        (toy_run.out / "checkpoints").symlink_to(scratch)
        assert toy_run() == 0
        assert (toy_run.out / "left.txt").read_text() == "(left(second(first)))"
        assert toy_run() == 0
        assert toy_run.executed == []


def test_two_steps_that_find_the_same_say_it_once(toy_run: ToyRun) -> None:
    """Which of them says it may depend on the worker that each of them got."""
    orders = {"left": {"warn": "the same"}, "right": {"warn": "the same"}}
    assert toy_run(orders) == 0
    assert toy_run.warnings == [("TOY", "the same")]


def test_a_damaged_checkpoint_is_done_again_with_a_warning(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    path = toy_run.out / "checkpoints" / "DETECTION.second" / "out.txt"
    path.write_text("tampered")
    assert toy_run() == 0
    assert [w["code"] for w in toy_run.of("warning")] == ["CHECKPOINT_DAMAGED"]
    assert toy_run.executed == ["second"]
    assert path.read_text() == "(second(first))"


def test_warnings_of_a_step_are_told_again_when_it_is_reused(toy_run: ToyRun) -> None:
    orders = {"first": {"warn": "look here"}}
    assert toy_run(orders) == 0
    assert toy_run(orders) == 0
    assert toy_run.executed == []
    assert [w["message"] for w in toy_run.of("warning")][-1] == "look here"


def test_paths_of_the_input_stay_in_config_json(toy_run: ToyRun, tmp_path: Path) -> None:
    toy_run.folder = tmp_path / "Jane_Doe_1970"
    toy_run.folder.mkdir()
    path = str(toy_run.folder / "knee.nrrd")
    assert toy_run({"left": {"warn": f"cannot read {path}", "say": f"opening {path}"},
                    "right": {"raise_text": f"no such file {path}"}}) == 0
    for file in toy_run.out.rglob("*"):
        if file.is_file() and file.name != "config.json":
            assert b"Jane_Doe" not in file.read_bytes(), file.name
    assert "Jane_Doe" not in json.dumps(toy_run.events)
    assert json.loads((toy_run.out / "config.json").read_text())["input"] == path


def test_results_that_no_longer_exist_are_removed_and_foreign_files_kept(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    (toy_run.out / "notes of mine.txt").write_text("keep")
    assert toy_run(steps=["left"]) == 0
    assert not (toy_run.out / "right.txt").exists()
    assert (toy_run.out / "notes of mine.txt").read_text() == "keep"


@pytest.mark.parametrize(("role", "name"), [("input", "knee_all-labels.nrrd"), ("segmentation", "knee_x.nrrd")])
def test_the_run_never_writes_over_its_input(toy_run: ToyRun, role: str, name: str) -> None:
    toy_run.out.mkdir()
    (toy_run.out / name).write_bytes(b"mine")
    assert toy_run(**{role: str(toy_run.out / name)}) == 2
    assert (toy_run.out / name).read_bytes() == b"mine"


def test_output_inside_the_input_folder_is_refused(toy_run: ToyRun, tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    assert toy_run(input=str(tmp_path / "dicom"), output=str(tmp_path / "dicom" / "out")) == 2
