"""The repository as the index clones it: size, forms of text files, licence, nothing foreign in it."""

from __future__ import annotations

import collections
import subprocess
from pathlib import Path

import pytest

from Testing.index import facts

pytestmark = pytest.mark.skipif(not (facts.REPOSITORY / ".git").exists(), reason="an archive, not a clone")


def test_the_clone_with_its_history_is_small() -> None:
    files = sum((facts.REPOSITORY / name).stat().st_size for name in facts.tracked())
    answer = subprocess.run(["git", "count-objects", "-v"], cwd=facts.REPOSITORY, capture_output=True, text=True,
                            check=True)
    kilobytes = dict(line.split(": ") for line in answer.stdout.splitlines())
    history = 1024 * (int(kilobytes["size"]) + int(kilobytes["size-pack"]))
    assert files + history <= facts.MOST_BYTES_WHOLE, f"{files / 1e6:.0f} MB files, {history / 1e6:.0f} MB history"


def test_no_file_is_large_unless_it_must_be() -> None:
    large = [name for name in facts.tracked() if (facts.REPOSITORY / name).stat().st_size > facts.MOST_BYTES_FILE]
    assert [name for name in large if not name.startswith(facts.UNAVOIDABLY_LARGE)] == []


def test_no_large_file_was_ever_committed() -> None:
    """What is in the history is cloned for ever."""
    names = subprocess.run(["git", "rev-list", "--objects", "HEAD"], cwd=facts.REPOSITORY, capture_output=True,
                           text=True, check=True).stdout
    sizes = subprocess.run(["git", "cat-file", "--batch-check=%(objecttype) %(objectsize) %(rest)"], input=names,
                           cwd=facts.REPOSITORY, capture_output=True, text=True, check=True).stdout
    blobs = [line.split(" ", 2) for line in sizes.splitlines() if line.startswith("blob ")]
    assert len(blobs) > 100
    large = {name for _, size, name in blobs if int(size) > facts.MOST_BYTES_FILE}
    assert {name for name in large if not name.startswith(facts.UNAVOIDABLY_LARGE)} == set()


def test_text_files_are_clean() -> None:
    """UTF-8, LF, one newline at the end, no trailing blanks, no tabs."""
    problems = []
    for name in facts.tracked():
        if facts.is_binary(name):
            continue
        content = (facts.REPOSITORY / name).read_bytes()
        if not content:
            continue
        content.decode("utf-8")
        lines = content.split(b"\n")
        problems += [f"{name}: {what}" for what, found in (
            ("CR", b"\r" in content),
            ("tab", b"\t" in content),
            ("trailing blank", any(line.endswith(b" ") for line in lines)),
            ("no newline at the end", lines[-1] != b""),
            ("empty lines at the end", content.endswith(b"\n\n")),
            ("conflict mark", any(line.startswith((b"<<<<<<< ", b">>>>>>> ")) for line in lines)),
        ) if found]
    assert problems == []


def test_names_are_plain() -> None:
    names = facts.tracked()
    twice = [name for name, n in collections.Counter(name.lower() for name in names).items() if n > 1]
    assert twice == [], "names that differ in case only collide on Windows and macOS"
    assert [name for name in names if not name.isascii() or " " in name or len(name) > 120] == []
    assert [name for name in names if (facts.REPOSITORY / name).is_symlink()] == []


def test_nothing_foreign_is_in_it() -> None:
    """No programs or libraries, no data sets, no source that would make the index skip its packaging test."""
    endings = {Path(name).suffix for name in facts.tracked()}
    assert endings & {".exe", ".dll", ".so", ".dylib", ".whl", ".jar", ".pyc", ".cxx", ".h"} == set()
    assert endings & {".dcm", ".nii", ".mha", ".nrrd", ".mrb", ".zip"} == set()


def test_there_is_a_licence() -> None:
    [licence] = [name for name in facts.LICENSE_NAMES if (facts.REPOSITORY / name).is_file()]
    text = (facts.REPOSITORY / licence).read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0" in text
