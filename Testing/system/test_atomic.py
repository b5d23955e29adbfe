"""Whole-or-nothing writes, and renames that wait for whoever has a file open."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from KneePipelineLib.errors import FileInUseError, KneePipelineError
from KneePipelineLib.system import atomic


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_ON_WINDOWS", True)
    monkeypatch.setattr(atomic, "_PAUSE_S", 0.0)


def _refusing(times: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a rename fail as Windows does while somebody has the target open."""
    rename, refused = os.replace, []

    def replace(source: object, target: object) -> None:
        if len(refused) < times:
            refused.append(str(target))
            raise PermissionError(errno.EACCES, "Access is denied")
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    return refused


@pytest.mark.usefixtures("windows")
def test_a_file_that_a_scanner_has_open_for_a_moment_is_waited_for(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    refused = _refusing(3, monkeypatch)
    atomic.write_text(tmp_path / "a.csv", "new")
    assert (tmp_path / "a.csv").read_text() == "new"
    assert len(refused) == 3


@pytest.mark.usefixtures("windows")
def test_a_file_that_stays_open_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "knee_thickness_results.csv").write_text("old")
    _refusing(10**9, monkeypatch)
    monkeypatch.setattr(atomic, "PATIENCE_S", 0.0)
    with pytest.raises(FileInUseError, match=r"knee_thickness_results\.csv .* open in another program") as caught:
        atomic.write_text(tmp_path / "knee_thickness_results.csv", "new")
    assert isinstance(caught.value, KneePipelineError)
    assert caught.value.hint.startswith("Close it")
    assert [p.name for p in tmp_path.iterdir()] == ["knee_thickness_results.csv"]
    assert (tmp_path / "knee_thickness_results.csv").read_text() == "old"


def test_elsewhere_a_refusal_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_ON_WINDOWS", False)
    refused = _refusing(1, monkeypatch)
    with pytest.raises(PermissionError) as caught:
        atomic.write_text(tmp_path / "a", "new")
    assert not isinstance(caught.value, FileInUseError)
    assert len(refused) == 1


@pytest.mark.parametrize("folder", [False, True])
def test_a_rename_onto_another_disk_is_a_copy(folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `checkpoints` that is a link to scratch space, for example."""
    source, target = tmp_path / "from", tmp_path / "to"
    if folder:
        source.mkdir()
    (source / "x" if folder else source).write_text("content")
    rename = os.replace

    def replace(here: object, there: object) -> None:
        if Path(str(here)) == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(here, there)

    monkeypatch.setattr(os, "replace", replace)
    atomic.replace(source, target)
    assert (target / "x" if folder else target).read_text() == "content"
    assert [p.name for p in tmp_path.iterdir()] == ["to"]


def test_a_name_that_is_no_utf8_survives_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff")
    atomic.write_json(tmp_path / "config.json", {"output": name, "title": "é膝"})
    text = (tmp_path / "config.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"output": name, "title": "é膝"}
    assert "é膝" in text


def test_a_file_system_without_fsync_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fsync(_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", no_fsync)
    atomic.write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"


def test_what_a_killed_writer_leaves_is_recognised(tmp_path: Path) -> None:
    with atomic.whole_file(tmp_path / "knee.v2.nii.gz") as temporary:
        temporary.write_bytes(b"half")
        assert temporary.name.endswith(".nii.gz")
        assert [atomic.is_temporary(p.name) for p in tmp_path.iterdir()] == [True]
    assert [p.name for p in tmp_path.iterdir()] == ["knee.v2.nii.gz"]
    assert not any(atomic.is_temporary(name) for name in ("knee.nii.gz", ".lock", "0123456789abcdef.part"))
