"""The command line as a person meets it before anything heavy is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from KneePipelineLib.cli import build_parser

HEAVY = ("numpy", "torch", "SimpleITK", "vtk", "vtkmodules", "scipy", "pydicom", "matplotlib", "skimage", "keras",
         "nnunetv2", "huggingface_hub", "point_cloud_utils", "nibabel", "h5py")

BLOCKER = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {HEAVY!r}:
            raise ImportError('heavy import: ' + name)
sys.meta_path.insert(0, Blocker())
"""


def run_python(repository: Path, code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", BLOCKER + code], cwd=repository, text=True, capture_output=True,
                          env={**os.environ, **environment}, timeout=60)


@pytest.mark.parametrize("command", ["", "demo", "setup", "run", "models", "doctor"])
def test_help_needs_nothing_but_the_standard_library(repository: Path, command: str) -> None:
    arguments = [command, "--help"] if command else ["--help"]
    done = run_python(repository, f"from KneePipelineLib.cli import main; main({arguments!r})")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_the_blocker_of_heavy_imports_blocks(repository: Path) -> None:
    assert "heavy import" in run_python(repository, "import numpy").stderr


def test_later_commands_are_absent_not_stubs() -> None:
    commands = re.findall(r"^    (\w+)  ", build_parser().format_help(), re.M)
    assert commands == ["demo", "test", "setup", "run", "models", "doctor"]


def test_everything_behind_test_is_for_pytest(repository: Path) -> None:
    done = run_python(repository, """
from KneePipelineLib import cli, environment
environment.inside = lambda extras=(): False
environment.relaunch = lambda argv, extras=(): print(list(argv), extras) or 7
print(cli.main(["test", "--slow", "-k", "x"]))
""")
    assert done.stdout.splitlines() == ["['test', '--slow', '-k', 'x'] ('test',)", "7"], done.stderr


@pytest.mark.parametrize(("arguments", "words", "code"), [
    (["run", "nowhere.nrrd", "out"], "INPUT does not exist", 1),
    (["run", "README.md", "out", "--segmentation", "nowhere.nrrd"], "--segmentation does not exist", 1),
    (["run", "README.md", "LICENSE"], "OUT is a file", 2),
    (["demo", "LICENSE"], "OUT is a file", 2),
    (["demo", "out", "--seed", "-1"], "not a whole number", 2),
    (["demo", "out", "--seed", "x"], "not a whole number", 2),
])
def test_a_typing_mistake_is_told_before_anything_is_installed(
        repository: Path, tmp_path: Path, arguments: list[str], words: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-m", "KneePipelineLib", *arguments], cwd=repository, text=True,
                          capture_output=True, timeout=60,
                          env={**os.environ, "KNEEPIPELINE_HOME": str(tmp_path / "home"), "KNEEPIPELINE_PYTHON": ""})
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()


def test_an_unusable_option_is_told_before_anything_is_installed(repository: Path) -> None:
    done = run_python(repository, """
import sys
from KneePipelineLib import cli
sys.exit(cli.main(["run", "in.nrrd", "out", "--device", "abacus", "--prefix", "../up"]))
""")
    assert done.returncode == 2
    assert "device" in done.stderr
    assert "prefix" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["run"], ["run", "in"],
                                       ["run", "in", "out", "--side", "up"]])
def test_wrong_usage_exits_2(repository: Path, arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "KneePipelineLib", *arguments], cwd=repository, text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_the_readme_shows_the_two_commands_first(repository: Path) -> None:
    blocks = re.findall(r"```\w*\n(.*?)```", (repository / "README.md").read_text(encoding="utf-8"), re.S)
    first = blocks[0]
    assert "python3 -m KneePipelineLib demo" in first
    assert "python3 -m KneePipelineLib test" in first
