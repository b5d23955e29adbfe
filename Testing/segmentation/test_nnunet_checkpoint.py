"""Checkpoints of people's own training: what is let through, what is named and refused, what is told apart."""

from __future__ import annotations

import argparse
import collections
import datetime
import os
import re
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
import torch

from KneePipelineLib.errors import WeightsCorruptError
from KneePipelineLib.segmentation.nnunet.checkpoint import load_checkpoint

HARMLESS = {
    "path": PurePosixPath("/a/b"), "here": Path("a"), "windows": PureWindowsPath("C:/a"), "text": np.str_("x"),
    "bytes": np.bytes_(b"x"), "date": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    "day": datetime.date(2024, 1, 2), "took": datetime.timedelta(1),
    "lists": collections.defaultdict(list, {"a": [1]}), "whole": np.int16(3),
    "single": np.float32(0.5), "yes": np.bool_(True), "numbers": np.arange(5.0), "words": np.array(["a", "b"]),
    "when": np.datetime64("2024-01-02"), "wide": np.longdouble(1), "options": argparse.Namespace(a=1),
    "slice": slice(1, 2), "counts": collections.Counter("aab"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_people_keep_in_their_checkpoints_is_let_through(name: str, tmp_path: Path) -> None:
    """Paths, dates, NumPy's text: none of them is built, none is needed, and the network is read."""
    path = tmp_path / "checkpoint_final.pth"
    content = {"network_weights": {"module._orig_mod.a": torch.ones(2, dtype=torch.float64)},
               "init_args": {"configuration": "3d_fullres", "more": HARMLESS[name]}, "trainer_name": "mine"}
    torch.save(content, path)
    found = load_checkpoint(path)
    assert found.weights["a"].dtype == torch.float32
    assert found.weights["a"].tolist() == [1, 1]
    assert (found.configuration, found.trainer) == ("3d_fullres", "mine")


def test_numpys_own_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": {"a": torch.ones(1)}, "inference_allowed_mirroring_axes": tuple(np.arange(2))}, path)
    assert load_checkpoint(path).mirror_axes == (0, 1)


class _Own:
    """A class of somebody's own training code."""


def test_what_is_more_than_numbers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"
    for content, name in ((_Own(), "_Own"), (os.getcwd, "posix.getcwd|nt.getcwd"), (np.array([None]), "numpy.object_")):
        torch.save({"network_weights": {"a": torch.ones(1)}, "logging": content}, path)
        with pytest.raises(WeightsCorruptError, match="more than numbers") as caught:
            load_checkpoint(path)
        assert re.search(name, caught.value.message)
        assert "save it again" in caught.value.hint


@pytest.mark.parametrize(("content", "sentence"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:ced2\nsize 816143232\n", "Git LFS pointer"),
    (b"\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>", "web page"), (b"", "empty"),
    (b'{"error": "Repository not found"}', "JSON"), (b"PK\x03\x04" + bytes(300), "cut short"),
    (bytes(range(256)) * 4, "damaged"), (b"\x80\x02}q\x00.", "damaged|no nnU-Net checkpoint"),
])
def test_files_that_are_no_checkpoint_are_told_apart(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsCorruptError, match=sentence) as caught:
        load_checkpoint(path)
    assert "more than numbers" not in caught.value.message
    assert caught.value.hint


def test_a_checkpoint_that_was_packed_again_is_read_right(tmp_path: Path) -> None:
    """Compressed members cannot be mapped: they would be taken for numbers as they lie there."""
    path, packed = tmp_path / "as_saved.pth", tmp_path / "checkpoint_final.pth"
    numbers = torch.arange(5000.0)
    torch.save({"network_weights": {"a": numbers}}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in source.infolist():
            archive.writestr(member.filename, source.read(member))
    assert torch.equal(load_checkpoint(packed).weights["a"], numbers)


@pytest.mark.parametrize("weights", [
    {"a": 1}, {1: torch.ones(1)}, {"a": torch.ones(1).to_sparse()}, {"a": torch.ones(1, dtype=torch.complex64)},
    {"a": torch.ones(1, dtype=torch.float16).expand(10**12)}, {"a": torch.ones(1, device="meta")}, [torch.ones(1)],
])
def test_weights_that_are_no_plain_tensors_are_refused(weights: object, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": weights}, path)
    with pytest.raises(WeightsCorruptError):
        load_checkpoint(path)
