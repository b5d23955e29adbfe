"""`models ...` as a person and as a program use it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

import pytest

from KneePipelineLib import environment, weights
from KneePipelineLib.errors import ConfigError, WeightsCorruptError
from KneePipelineLib.weights import commands, hub, table
from Testing.weights.loopback_hub import LoopbackHub
from Testing.weights.small_models import bscore_files, hdf5_bytes, write


def models(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    commands.add_models_arguments(parser)
    return commands.run_models(parser.parse_args([str(one) for one in argv]))


@pytest.mark.parametrize(("columns", "limit"), [("40", 80), ("80", 80), ("100", 100), ("250", 100)])
def test_list_fits_and_says_what_matters(capsys, monkeypatch, columns, limit):
    monkeypatch.setenv("COLUMNS", columns)
    assert models("list") == 0
    text = capsys.readouterr().out
    lines = text.split("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= limit
    assert lines[0].split() == ["NAME", "WHAT", "FOR", "SIZE", "LICENCE", "STATE"]
    for name in weights.catalogue():
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    row = next(line for line in lines if line.startswith("nnunet_fullres"))
    assert "~816 MB" in row
    assert row.endswith("not installed")
    assert "gated" in text


def test_list_as_json(capsys, home):
    assert models("list", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["folder"] == str(home / "models")
    by_name = {model["name"]: model for model in answer["models"]}
    assert by_name["shape_647"]["gated"] is True
    assert by_name["shape_647"]["pair"] == "bscore_647"
    assert by_name["goyal_axial"]["state"] == "not installed"


def test_import_verify_list_remove(capsys, tmp_path):
    path = write(tmp_path, {"mine.h5": hdf5_bytes()}) / "mine.h5"
    assert models("import", "goyal_axial", path) == 0
    assert models("verify") == 0
    assert "goyal_axial: intact (1 files, 200 kB)" in capsys.readouterr().out
    assert models("list") == 0
    assert any(line.startswith("goyal_axial") and line.endswith(" installed")
               for line in capsys.readouterr().out.splitlines())
    assert models("remove", "goyal_axial") == 0
    assert "goyal_axial: removed, 201 kB freed" in capsys.readouterr().out  # with the receipt
    assert models("verify") == 0
    assert capsys.readouterr().out.startswith("bundled: intact (6 files")  # it came with the package and stays


def test_verify_finds_the_damaged_one_among_several(capsys, tmp_path):
    models("import", "bscore_647", write(tmp_path / "b", bscore_files()))
    models("import", "goyal_axial", write(tmp_path / "a", {"mine.h5": hdf5_bytes()}))
    where = weights.location("goyal_axial")
    where.write_bytes(where.read_bytes()[:-1] + b"x")
    capsys.readouterr()
    assert models("verify") == 1
    out = capsys.readouterr().out
    assert "bscore_647: intact" in out
    assert "axial_best_model.h5" in out
    assert "models import goyal_axial PATH" in out
    with pytest.raises(WeightsCorruptError):
        models("verify", "goyal_axial")
    capsys.readouterr()
    assert models("verify", "--json") == 1
    answer = {one["model"]: one for one in json.loads(capsys.readouterr().out)["models"]}
    assert answer["goyal_axial"]["error"]["code"] == "E_HARD_003"
    assert answer["bscore_647"]["intact"] is True


@pytest.fixture
def coronal(hub_library, monkeypatch, unpinned):
    with LoopbackHub({"aagatti/dosma_bones": {"coronal_best_model.h5": hdf5_bytes()}}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_download_for_people(coronal, capsys):
    assert models("download", "goyal_coronal", "--accept-licence") == 0
    text = capsys.readouterr().err
    assert "~165 MB from 127.0.0.1 to" in text  # host and size are named before anything is fetched
    assert "100 % of 200 kB" in text
    assert "every checksum agrees" in text
    assert weights.state("goyal_coronal") == "installed"


def test_download_for_programs(coronal, capsys):
    assert models("download", "goyal_coronal", "--accept-licence", "--events", "-") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(event["v"] == 1 for event in events)
    assert events[-1] == {"v": 1, "event": "model", "model": "goyal_coronal", "state": "installed", "fraction": 1.0}
    fractions = [event["fraction"] for event in events if "fraction" in event]
    assert fractions == sorted(fractions)


def test_errors_are_events_too(coronal, capsys):
    coronal.repositories = {}
    with pytest.raises(weights.failures.NotOnHubError):
        models("download", "goyal_coronal", "--accept-licence", "--events", "-")
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["code"]) == ("error", "FILE_NOT_FOUND")
    assert last["message"]
    assert last["hint"]


class _Terminal:
    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


@pytest.mark.parametrize(("answer", "accepted"), [("y\n", True), ("yes\n", True), ("\n", False), ("n\n", False)])
def test_terms_are_asked_for_at_a_terminal(coronal, capsys, monkeypatch, answer, accepted):
    monkeypatch.setattr(sys, "stdin", _Terminal(answer))
    if accepted:
        assert models("download", "goyal_coronal") == 0
    else:
        with pytest.raises(weights.failures.LicenceNotAcceptedError):
            models("download", "goyal_coronal")
    asked = capsys.readouterr().err
    assert "https://huggingface.co/aagatti/dosma_bones" in asked
    assert "accept them? [y/N]" in asked
    assert bool(coronal.requests) is accepted


def test_a_misspelt_name_is_said_before_anything_is_fetched(coronal):
    with pytest.raises(ConfigError, match="goyal_axail"):
        models("download", "goyal_coronal", "goyal_axail", "--accept-licence")
    assert coronal.requests == []


def test_download_continues_in_the_private_environment(monkeypatch):
    monkeypatch.setattr(hub, "is_available", lambda: False)
    monkeypatch.setattr(environment, "inside", lambda extras=(): False, raising=False)
    started = []
    monkeypatch.setattr(environment, "relaunch", lambda argv, extras=(): started.append(argv) or 0, raising=False)
    assert models("download", "goyal_axial", "--accept-licence", "--revision", "main", "--events", "-") == 0
    assert started == [["models", "download", "goyal_axial", "--accept-licence", "--revision", "main",
                        "--events", "-"]]
    monkeypatch.setattr(environment, "inside", lambda extras=(): True, raising=False)
    with pytest.raises(ConfigError, match="huggingface_hub"):
        models("download", "goyal_axial")


def test_everything_but_download_runs_on_the_standard_library_alone(home, repository, tmp_path):
    """A bare interpreter (-I -S: no site-packages) lists, imports, verifies and removes."""
    write(tmp_path / "brought", {"mine.h5": hdf5_bytes()})
    program = (
        "import sys, argparse\nsys.path.insert(0, sys.argv[1])\n"
        "from KneePipelineLib.weights import commands\n"
        "for argv in (['list'], ['import', 'goyal_axial', sys.argv[2]], ['verify'], ['remove', 'goyal_axial']):\n"
        "    parser = argparse.ArgumentParser()\n    commands.add_models_arguments(parser)\n"
        "    assert commands.run_models(parser.parse_args(argv)) == 0\n"
        "heavy = {'numpy', 'huggingface_hub', 'torch', 'jsonschema', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy\n")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program, str(repository), str(tmp_path / "brought")],
                          env={**os.environ, "KNEEPIPELINE_HOME": str(home)},
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "201 kB freed" in done.stdout


@pytest.mark.parametrize(("size_bytes", "text"), [(0, "0 B"), (999, "999 B"), (20_000, "20 kB"),
                                                  (165_000_000, "165 MB"), (1_600_000_000, "1.6 GB")])
def test_bytes_text(size_bytes, text):
    assert table.bytes_text(size_bytes) == text
