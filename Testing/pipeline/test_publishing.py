"""Publishing: results replaced whole, edits of people found, kept and never written over."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from KneePipelineLib.pipeline.checkpoints import CheckpointStore, Manifest
from KneePipelineLib.pipeline.files import hash_folder, write_json
from KneePipelineLib.pipeline.publish import Publisher, is_whole_nrrd


def published(tmp_path: Path, files: dict[str, str]) -> Publisher:
    """Who has published these results of a run in this folder."""
    store = CheckpointStore(tmp_path / "checkpoints")
    publisher = Publisher(tmp_path, store, "FORMATTING.files")
    folder = store.working_folder("FORMATTING.files")
    for name, content in files.items():
        (folder / name).write_text(content)
    publisher.publish(Manifest("files", {"reads": {"segmentation": "s1"}}, hash_folder(folder), {}))
    return publisher


def test_publishing_replaces_removes_and_spares(tmp_path: Path) -> None:
    published(tmp_path, {"results.json": "1", "old.txt": "1", "edited.txt": "1"})
    (tmp_path / "edited.txt").write_text("by hand")
    published(tmp_path, {"results.json": "2"})
    assert (tmp_path / "results.json").read_text() == "2"
    assert not (tmp_path / "old.txt").exists()
    assert (tmp_path / "edited.txt").read_text() == "by hand"
    assert not (tmp_path / "checkpoints" / "staged-FORMATTING.files").exists()


def test_an_interrupted_publication_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from KneePipelineLib.pipeline import publish

    published(tmp_path, {"a.txt": "1", "b.txt": "1", "results.json": "1"})

    def stop(point: str) -> None:
        if point == "publish:2":
            raise InterruptedError

    monkeypatch.setattr(publish.faults, "hit", stop)
    with pytest.raises(InterruptedError):
        published(tmp_path, {"a.txt": "2", "b.txt": "2", "results.json": "2"})
    monkeypatch.undo()
    assert [(tmp_path / n).read_text() for n in ("a.txt", "b.txt", "results.json")] == ["2", "1", "1"]
    publisher = Publisher(tmp_path, CheckpointStore(tmp_path / "checkpoints"), "FORMATTING.files")
    assert publisher.recover()
    assert [(tmp_path / n).read_text() for n in ("a.txt", "b.txt", "results.json")] == ["2", "2", "2"]
    assert not publisher.recover()


def test_an_edit_is_found_kept_and_set_aside(tmp_path: Path) -> None:
    publisher = published(tmp_path, {"results.json": "1", "knee_all-labels.nrrd": "labels"})
    assert publisher.find_edits() == []
    path = tmp_path / "knee_all-labels.nrrd"
    path.write_text("edited")
    assert publisher.find_edits() == [path]
    publisher.adopt_edit(path)
    assert publisher.edit_of("s1").read_text() == "edited"
    assert publisher.edit_of("s2") is None
    assert (tmp_path / publisher.set_edit_aside()).read_text() == "edited"
    assert publisher.edit is None


def labels_in_text(text: str) -> str:
    """A label map as far as its header goes, with raw data of its own."""
    return f"NRRD0004\nsizes: 1\nencoding: raw\n\n{text}"


BOTH = {"results.json": "1", "knee_all-labels.nrrd": labels_in_text("labels"),
        "knee_all-labels.nii.gz": "labels, zipped"}


def test_the_form_for_people_is_an_edit_too_and_the_latest_wins(tmp_path: Path) -> None:
    publisher = published(tmp_path, BOTH)
    nrrd_path, nifti_path = tmp_path / "knee_all-labels.nrrd", tmp_path / "knee_all-labels.nii.gz"
    nifti_path.write_text("edited")
    assert publisher.find_edits() == [nifti_path]
    publisher.adopt_edit(nifti_path)
    assert publisher.edit.name == "labels.nii.gz"
    nrrd_path.write_text("edited as well")
    os.utime(nrrd_path, (1, 1))
    assert publisher.find_edits() == [nifti_path, nrrd_path]
    os.utime(nifti_path, (0, 0))
    assert publisher.find_edits() == [nrrd_path, nifti_path]
    publisher.adopt_edit(nrrd_path)
    assert publisher.edit.read_text() == "edited as well"


def test_a_label_map_nobody_knows_is_never_written_over(tmp_path: Path) -> None:
    published(tmp_path, BOTH)
    path = tmp_path / "knee_all-labels.nrrd"
    during = labels_in_text("saved while the run was at work")
    path.write_text(during)
    again = {name: content + "2" for name, content in BOTH.items()}
    published(tmp_path, again)
    assert path.read_text() == labels_in_text("labels2")
    assert (tmp_path / "set_aside_labels_1.nrrd").read_text() == during
    # Without checkpoints nobody can tell any more whether it is an edit.
    orphaned = labels_in_text("edited, then checkpoints removed")
    path.write_text(orphaned)
    shutil.rmtree(tmp_path / "checkpoints")
    published(tmp_path, again)
    assert (tmp_path / "set_aside_labels_2.nrrd").read_text() == orphaned


def test_known_label_maps_are_not_set_aside(tmp_path: Path) -> None:
    publisher = published(tmp_path, BOTH)
    published(tmp_path, {**BOTH, "knee_all-labels.nrrd": labels_in_text("of a second run")})
    path = tmp_path / "knee_all-labels.nrrd"
    path.write_text(labels_in_text("edited"))
    publisher.adopt_edit(path)
    published(tmp_path, BOTH)
    # The last complete run's list in pipeline.json is still there when the checkpoints are gone.
    files = {name: entry["sha256"] for name, entry in hash_folder(tmp_path).items() if "/" not in name}
    write_json(tmp_path / "pipeline.json", {"published": {"files": files}})
    shutil.rmtree(tmp_path / "checkpoints")
    published(tmp_path, {**BOTH, "knee_all-labels.nrrd": "labels 3", "knee_all-labels.nii.gz": "labels 3"})
    assert not list(tmp_path.glob("set_aside*"))


def nrrd(data: bytes, encoding: str = "gzip") -> bytes:
    """A NRRD of 2 x 2 x 2 bytes."""
    return f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: {encoding}\n\n".encode() + data


def test_whole_and_damaged_nrrd(tmp_path: Path) -> None:
    path = tmp_path / "x.nrrd"
    good = nrrd(gzip.compress(bytes(range(8))))
    for content, whole in ((good, True), (good[:-3], False), (nrrd(bytes(8), "raw"), True), (b"NRRD", False),
                           (nrrd(bytes(7), "raw"), False), (b"", False)):
        path.write_bytes(content)
        assert is_whole_nrrd(path) is whole
    for position in range(good.index(b"\n\n") + 14, len(good)):
        flipped = bytearray(good)
        flipped[position] ^= 1
        path.write_bytes(bytes(flipped))
        assert not is_whole_nrrd(path), position
