"""The `test` command's processes: which tests run where, and what its exit code says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from KneePipelineLib import self_test
from KneePipelineLib.self_test import run_tests

PID = "import os, pathlib\ndef test_pid():\n    pathlib.Path('pids').open('a').write(f'{os.getpid()} ')\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of tests with two files in each part; every test leaves its process's number in ``pids``."""
    testing = tmp_path / "Testing"
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # the checkout's own may lie above
    for part in ("room", self_test.ENGINE_TESTS):
        (testing / part).mkdir(parents=True)
        for name in ("one", "two"):
            (testing / part / f"test_{part}_{name}.py").write_text(PID, encoding="utf-8")
    return testing


def pids(tree: Path) -> list[str]:
    """The processes that tests ran in, in order."""
    return (tree.parent / "pids").read_text(encoding="utf-8").split()


def test_each_engine_file_has_a_process(tree: Path, capfd: pytest.CaptureFixture) -> None:
    """The other rooms share one; the last line says that nothing failed."""
    assert run_tests(tree) == self_test.OK
    room, engine = pids(tree)[:2], pids(tree)[2:]
    assert len(set(room)) == 1
    assert len(set(engine)) == 2
    assert not set(room) & set(engine)
    assert capfd.readouterr().out.strip().endswith("3 processes of tests; failed: none")


def test_what_is_named_is_all_that_runs(tree: Path) -> None:
    """A room in one process, the engine's files in one each, one test of a file."""
    assert run_tests(tree, ["Testing/room"]) == self_test.OK
    assert len(set(pids(tree))) == 1
    assert run_tests(tree, [f"Testing/{self_test.ENGINE_TESTS}"]) == self_test.OK
    assert len(pids(tree)) == 4
    assert len(set(pids(tree))) == 3
    assert run_tests(tree, ["Testing/room/test_room_one.py::test_pid", "-q"]) == self_test.OK
    assert len(pids(tree)) == 5


@pytest.mark.parametrize("option", [["--deselect", "Testing/room/test_room_one.py::test_pid"],
                                    ["--ignore", "Testing/room/test_room_one.py"],
                                    ["--ignore=Testing/room/test_room_one.py"]], ids=" ".join)
def test_the_value_of_an_option_names_no_tests(tree: Path, option: list[str]) -> None:
    """Everything else still runs, each engine file in its process."""
    assert run_tests(tree, option) == self_test.OK
    assert len(pids(tree)) == 3
    assert len(set(pids(tree))) == 3


def test_one_report_file_cannot_hold_several_processes(tree: Path, capfd: pytest.CaptureFixture) -> None:
    """Each would write over the one before; for one process it is as pytest makes it."""
    assert run_tests(tree, ["--junitxml=x.xml"]) == self_test.USAGE_ERROR
    assert "--junitxml" in capfd.readouterr().err
    assert run_tests(tree, ["--junitxml=x.xml", "Testing/room"]) == self_test.OK
    assert (tree.parent / "x.xml").is_file()


def test_a_failure_is_not_hidden_by_later_parts(tree: Path, capfd: pytest.CaptureFixture) -> None:
    """A failing room, then engine files that pass."""
    (tree / "room" / "test_room_one.py").write_text("def test_it():\n    assert False\n", encoding="utf-8")
    assert run_tests(tree) == self_test.FAILED
    assert len(pids(tree)) == 3
    assert capfd.readouterr().out.strip().endswith("failed: Testing")


def test_an_engine_that_crashes_is_a_failure(tree: Path, capfd: pytest.CaptureFixture) -> None:
    """A process ended by a signal or without a word counts, and the other files still run."""
    crash = "import os\ndef test_it():\n    os." + ("abort()" if os.name != "nt" else "_exit(3)") + "\n"
    (tree / self_test.ENGINE_TESTS / "test_slicer_one.py").write_text(crash, encoding="utf-8")
    assert run_tests(tree) > 0
    assert len(pids(tree)) == 3
    assert capfd.readouterr().out.strip().endswith("failed: Testing/slicer/test_slicer_one.py")


def test_options_alone_reach_every_part(tree: Path) -> None:
    """``-k`` with a word that only one part knows; and with a word that none knows."""
    assert run_tests(tree, ["-k", "slicer_two"]) == self_test.OK
    assert len(pids(tree)) == 1
    assert run_tests(tree, ["-k", "no_such_test"]) == self_test.NOTHING_COLLECTED


def test_a_wrong_option_is_said_once(tree: Path, capfd: pytest.CaptureFixture) -> None:
    """And is a usage error."""
    assert run_tests(tree, ["--no-such-option"]) == self_test.USAGE_ERROR
    assert capfd.readouterr().err.count("unrecognized arguments") == 1
