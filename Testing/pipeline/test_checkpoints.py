"""Checkpoints, their keys and hashes, and files that are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.checkpoints import CheckpointStore, Manifest
from KneePipelineLib.pipeline.files import hash_folder, hash_tree, write_json, write_text
from KneePipelineLib.pipeline.keys import step_key
from KneePipelineLib.pipeline.plan import STEPS, step_named


def finished(store: CheckpointStore, name: str, content: str = "a") -> Manifest:
    """A step's checkpoint, committed."""
    folder = store.working_folder(name)
    (folder / "x.txt").write_text(content)
    manifest = Manifest(name, {"k": 1}, hash_folder(folder), {"side": "right"})
    store.commit(name, manifest)
    return manifest


def test_checkpoints_come_back_and_damage_is_seen(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    manifest = finished(store, "A.x")
    loaded, damaged = store.load("A.x")
    assert (loaded, damaged) == (manifest, False)
    assert store.damaged_files("A.x", loaded) == []
    (tmp_path / "A.x" / "x.txt").write_text("b")
    assert store.damaged_files("A.x", loaded) == ["x.txt"]
    assert store.load("B.y") == (None, False)


@pytest.mark.parametrize("tamper", [
    lambda text: text.replace("right", "left"), lambda text: text[: len(text) // 2], lambda text: "",
    lambda text: "[]", lambda text: text.replace('"v": 1', '"v": 2'),
])
def test_a_tampered_manifest_is_not_believed(tmp_path: Path, tamper: object) -> None:
    store = CheckpointStore(tmp_path)
    finished(store, "A.x")
    path = tmp_path / "A.x" / "manifest.json"
    path.write_text(tamper(path.read_text()))
    assert store.load("A.x") == (None, True)


def test_no_pickle_anywhere_in_the_pipeline(repository: Path) -> None:
    import ast

    for path in (repository / "KneePipelineLib" / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            assert not {"pickle", "shelve", "marshal", "dill"} & set(names), path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path


def test_keys_change_with_what_matters_and_hold_no_path(tmp_path: Path) -> None:
    step = step_named("segmentation")
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"1")
    scheme = tmp_path / "scheme.json"
    scheme.write_text("{}")
    options = JobOptions(default_seg_model="goyal_axial", models={"goyal_axial": str(weights)},
                         label_scheme=str(scheme))
    before = {"input": Manifest("input", {}, {}, {"kind": "image"})}

    def key(options: JobOptions = options, before: dict = before, sha: str = "a") -> dict:
        return json.loads(json.dumps(step_key(step, options, {"segmentation": sha, "echoes": "z"}, before, {}, None)))

    first = key()
    assert str(tmp_path) not in json.dumps(first)
    assert key() == first
    assert key(sha="b") != first
    assert key(before={"input": Manifest("input", {}, {}, {"kind": "labels"})}) != first
    assert key(options.with_changes(batch_size=4)) != first
    assert key(options.with_changes(prefix="other", timeout=3)) == first
    given = {"input": Manifest("input", {}, {}, {"kind": "labels"})}
    of_labels = key(before=given)
    scheme.write_text("{ }")
    assert key(before=given) != of_labels
    assert key() == first  # no network asks what a label map's numbers mean
    scheme.write_text("{}")
    weights.write_bytes(b"2")
    assert key() != first


def test_every_key_is_what_its_manifest_gives_back() -> None:
    """A key is kept as JSON: a tuple in it would come back as a list, and the step be done again for ever."""
    for step in STEPS:
        key = step_key(step, JobOptions(ignore_structures=("ACL",)), {}, {}, {}, None)
        assert json.loads(json.dumps(key)) == key, step.name


def test_hash_of_a_folder_forgets_the_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Jane").write_text("1")
    before = hash_tree(tmp_path)
    (tmp_path / "a" / "Jane").rename(tmp_path / "a" / "anonymous")
    assert hash_tree(tmp_path) == before
    (tmp_path / "a" / "anonymous").write_text("2")
    assert hash_tree(tmp_path) != before


def test_written_files_are_whole_or_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="full"):
        write_text(path, "new")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
