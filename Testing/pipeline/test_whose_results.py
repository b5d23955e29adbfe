"""A run folder that holds results already: of the same knee, of another one, under another prefix."""

from __future__ import annotations

import json
import shutil

import pytest

from .conftest import ToyRun

FAILS = {"first": {"fail": "SegmentationError"}}


def another_knee(toy_run: ToyRun) -> None:
    (toy_run.folder / "knee.nrrd").write_bytes(b"another knee")


def names(toy_run: ToyRun) -> set[str]:
    """What stands in the run folder beside the records."""
    return {path.name for path in toy_run.out.iterdir()} - {"pipeline.json", "config.json", "log.txt", "checkpoints"}


RESULTS = {"results.json", "left.txt", "right.txt"}


@pytest.mark.parametrize("lost", [(), ("checkpoints",), ("pipeline.json",)])
def test_after_a_failed_run_with_another_knee_no_results_of_the_first_stand_there(toy_run: ToyRun,
                                                                                lost: tuple[str, ...]) -> None:
    assert toy_run() == 0
    assert names(toy_run) == RESULTS
    first = (toy_run.out / "results.json").read_bytes()
    for name in lost:
        path = toy_run.out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    another_knee(toy_run)
    assert toy_run(FAILS) == 1
    assert names(toy_run) == {"earlier_results_1"}
    assert (toy_run.out / "earlier_results_1" / "results.json").read_bytes() == first
    assert [code for code, _ in toy_run.warnings] == ["RESULTS_SET_ASIDE"]
    assert toy_run.record["published"] is None
    assert toy_run() == 0
    assert names(toy_run) == RESULTS | {"earlier_results_1"}
    assert toy_run() == 0
    assert toy_run.executed == []


def test_a_failed_run_of_the_same_knee_leaves_its_results(toy_run: ToyRun) -> None:
    assert toy_run() == 0
    assert toy_run(FAILS, restart=True) == 1
    assert names(toy_run) == RESULTS
    assert toy_run.record["published"]["files"].keys() == RESULTS


def test_results_of_which_nothing_else_is_known_are_not_taken_for_this_knees(toy_run: ToyRun) -> None:
    """Only results.json is left: which input it came from nobody can say."""
    toy_run.out.mkdir()
    listed = [{"path": "report.html"}, {"path": "../x"}]
    (toy_run.out / "results.json").write_text(json.dumps({"prefix": "knee", "outputs": listed}))
    (toy_run.out / "report.html").write_text("of somebody")
    (toy_run.folder / "x").write_text("not ours")
    assert toy_run(FAILS) == 1
    assert names(toy_run) == {"earlier_results_1"}
    assert {path.name for path in (toy_run.out / "earlier_results_1").iterdir()} == {"results.json", "report.html"}
    assert (toy_run.folder / "x").exists()


def test_another_prefix_is_refused_and_everything_stays(toy_run: ToyRun) -> None:
    """Left and right knee share the names of surfaces, report and results.json."""
    assert toy_run(prefix="right") == 0
    before = {path: path.read_bytes() for path in toy_run.out.rglob("*") if path.is_file()}
    assert toy_run(prefix="left") == 2
    error = toy_run.of("error")[-1]
    assert (error["code"], error["details"]) == ("CONFIG_ERROR", {"prefix": "right"})
    assert "output folder of its own" in error["hint"]
    assert {path: path.read_bytes() for path in toy_run.out.rglob("*") if path.is_file()} == before
    assert toy_run(prefix="right") == 0
    assert toy_run.executed == []


def test_a_publication_that_was_interrupted_is_somebodys_too(toy_run: ToyRun) -> None:
    """The first run of the folder died while it moved its results there: they are the right knee's all the same."""
    assert toy_run(prefix="right") == 0
    checkpoints = toy_run.out / "checkpoints"
    staged = checkpoints / "staged-FORMATTING.files"
    (checkpoints / "FORMATTING.files").rename(staged)
    for name in RESULTS:
        (toy_run.out / name).rename(staged / name)
    (toy_run.out / "pipeline.json").unlink()
    assert toy_run(prefix="left") == 2
    assert toy_run(prefix="left", restart=True) == 0
    assert {path.name for path in (toy_run.out / "earlier_results_1").iterdir()} == RESULTS


def test_another_prefix_with_restart_keeps_the_earlier_results_below(toy_run: ToyRun) -> None:
    assert toy_run(prefix="right") == 0
    assert toy_run(prefix="left", restart=True) == 0
    assert names(toy_run) == RESULTS | {"earlier_results_1"}
    assert {path.name for path in (toy_run.out / "earlier_results_1").iterdir()} == RESULTS
