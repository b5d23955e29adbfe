"""A run folder that somebody else prepared: nothing outside of it is moved, replaced, emptied or removed by it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from KneePipelineLib.errors import InvalidFormatError
from KneePipelineLib.pipeline.checkpoints import MANIFEST, Manifest
from KneePipelineLib.pipeline.files import files_below, hash_file, hash_json, hash_tree, hash_weights, stays_below

from .conftest import ToyRun

CODES = {0, 1, 2, 3, 4}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")


def signed(manifest: Path, **changes: object) -> None:
    """Change a manifest and give it the digest that goes with that."""
    values = json.loads(manifest.read_text()) | changes
    values.pop("digest", None)
    manifest.write_text(json.dumps({**values, "digest": hash_json(values)}))


def manifest_of(toy_run: ToyRun, step: str = "FORMATTING.files") -> Path:
    return toy_run.out / "checkpoints" / step / MANIFEST


def listed(path: Path) -> dict:
    return {"sha256": hash_file(path), "bytes": path.stat().st_size}


def test_staged_results_under_names_that_lead_out_are_not_moved_there(toy_run: ToyRun) -> None:
    """From the staging folder the name leads to a file of the run folder, from the run folder to one two above it."""
    assert toy_run() == 0
    name = f"victim-{toy_run.folder.name}"
    victim, bait = toy_run.folder.parent / name, toy_run.out / name
    victim.write_text("mine")
    bait.write_text("theirs")
    final = manifest_of(toy_run)
    staged = toy_run.out / "checkpoints" / "staged-FORMATTING.files"
    staged.mkdir()
    (staged / MANIFEST).write_text(final.read_text())
    outputs = json.loads(final.read_text())["outputs"]
    signed(staged / MANIFEST, outputs={**outputs, f"../../{name}": listed(bait)})
    try:
        assert toy_run() == 0
        assert victim.read_text() == "mine"
    finally:
        victim.unlink()


def test_stale_results_under_names_that_lead_out_are_not_removed(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    victim = toy_run.folder / "victim"
    victim.write_text("known to everybody")
    outputs = json.loads(manifest_of(toy_run).read_text())["outputs"]
    signed(manifest_of(toy_run), outputs={**outputs, "../victim": listed(victim)})
    assert toy_run(restart=True) == 0
    assert victim.exists()


def test_a_correction_is_nothing_but_the_kept_copy(toy_run: ToyRun) -> None:
    """--restart sets the kept correction aside, which removes it where its note says that it lies."""
    assert toy_run() == 0
    victim = toy_run.folder / "victim.nrrd"
    victim.write_text("mine")
    edits = toy_run.out / "checkpoints" / "edits"
    edits.mkdir()
    (edits / "about.json").write_text(json.dumps({"file": "../../../victim.nrrd", "sha256": "", "based_on": ""}))
    assert toy_run(restart=True) == 0
    assert victim.exists()
    assert not list(toy_run.out.glob("set_aside*"))


@POSIX
@pytest.mark.parametrize("link", ["checkpoints/.lock", "checkpoints/.probe", "log.txt", "pipeline.json", "config.json",
                                  "results.json", "checkpoints/FORMATTING.files", "checkpoints/edits"])
def test_a_link_in_the_place_of_our_own_file_is_not_written_through(link: str, toy_run: ToyRun) -> None:
    """`checkpoints` itself may be one: people move it to a larger disk."""
    place = toy_run.out / link
    place.parent.mkdir(parents=True)
    victim = toy_run.folder / "victim"
    is_folder = "." not in link or link.endswith(".files")
    if is_folder:
        victim.mkdir()
    else:
        victim.write_text("mine")
    place.symlink_to(victim)
    assert toy_run() in CODES
    assert (list(victim.iterdir()) == []) if is_folder else (victim.read_text() == "mine")


SICK = {
    "key": {"key": []}, "outputs": {"outputs": [1]}, "entry": {"outputs": {"a": 1}}, "result": {"result": [1]},
    "record": {"record": None}, "warnings": {"warnings": [["one"]]}, "not text": {"warnings": [[1, 2]]},
    "options": {"key": {"options": 1}}, "reads": {"key": {"reads": "x"}}, "size": {"outputs": {"a": {"sha256": "x"}}},
    "out": {"outputs": {"../a": {"sha256": "x", "bytes": 1}}}, "step": {"step": 5},
}


@pytest.mark.parametrize("changes", SICK.values(), ids=SICK)
def test_a_manifest_of_other_kinds_of_values_is_a_damaged_one(changes: dict, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(Manifest("step", {}, {}, {}).to_dict()))
    assert Manifest.from_dict(json.loads((tmp_path / MANIFEST).read_text())) is not None
    signed(tmp_path / MANIFEST, **changes)
    assert Manifest.from_dict(json.loads((tmp_path / MANIFEST).read_text())) is None


def test_json_of_no_sense_is_damage_wherever_it_lies(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    checkpoints = toy_run.out / "checkpoints"
    (checkpoints / "edits").mkdir()
    signed(manifest_of(toy_run, "DETECTION.second"), outputs=[1])
    for path in (toy_run.out / "pipeline.json", toy_run.out / "results.json", checkpoints / "edits" / "about.json",
                 manifest_of(toy_run), checkpoints / ".lock"):
        path.write_text("[" * 100_000)
    assert toy_run() == 0
    assert "CHECKPOINT_DAMAGED" in dict(toy_run.warnings)


@pytest.mark.parametrize("name", ["/a", "a/../b", "..", ".", "", "a//b", "C:a", "..\\a", "\\\\host\\a", "a\0", None, 5])
def test_names_that_leave_a_folder(name: object) -> None:
    assert not stays_below(name)


def test_names_that_stay() -> None:
    assert all(stays_below(name) for name in ("a", "a/b.nrrd", "knee_all-labels.nii.gz", "..a", "a.."))


@POSIX
def test_what_has_no_end_or_no_content_is_no_file_of_a_folder(tmp_path: Path) -> None:
    """A pipe would be waited for, a device read, for ever: of a model's folder as of an input."""
    (tmp_path / "file").write_bytes(b"x")
    alone = hash_weights(tmp_path), hash_tree(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "circle").symlink_to("circle")
    assert files_below(tmp_path) == [tmp_path / "file"]
    assert (hash_weights(tmp_path), hash_tree(tmp_path)) == alone
    for name in ("pipe", "device"):
        with pytest.raises(InvalidFormatError, match="neither a file nor a folder"):
            hash_tree(tmp_path / name)
