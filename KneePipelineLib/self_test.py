"""The `test` command: pytest over the clone's tests, Slicer's engine with a process of its own for each file.

Slicer's engine is made for one application that starts once. What one test file leaves behind in it, scenes and modules
and singletons of C++, is no matter for the next.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import EXIT_CANCELLED, EXIT_DONE, EXIT_PIPELINE_ERROR, EXIT_USAGE

OK, FAILED, INTERRUPTED, USAGE_ERROR, NOTHING_COLLECTED = 0, 1, 2, 4, 5
"""Pytest's exit codes."""
_OURS = {OK: EXIT_DONE, INTERRUPTED: EXIT_CANCELLED, USAGE_ERROR: EXIT_USAGE, NOTHING_COLLECTED: EXIT_USAGE}
ENGINE_TESTS = "slicer"
_WITH_VALUE = ("-k", "-m", "-c", "-p", "-o", "-W", "-r", "--ignore", "--ignore-glob", "--deselect", "--rootdir",
               "--basetemp", "--durations", "--maxfail", "--confcutdir", "--capture", "--tb", "--log-level")
"""Options of pytest whose value may stand behind them as an argument of its own."""
_ONE_FILE = ("--junitxml", "--junit-xml")


def run_tests(testing: Path, arguments: Sequence[str] = ()) -> int:
    """Run the tests and return pytest's exit code: of the first part that failed, when there is more than one.

    Parameters
    ----------
    testing : Path
        The folder of tests; `ENGINE_TESTS` in it holds the files that get processes of their own.
    arguments : sequence of str
        For pytest. Where they name files, folders or tests, only those are run.
    """
    options, names = _sorted(arguments, testing.parent)
    parts = _parts(testing, names)
    if len(parts) > 1 and any(option.partition("=")[0] in _ONE_FILE for option in options):
        print(f"{_ONE_FILE[0]} holds the tests of one process: name what to run, outside Testing/{ENGINE_TESTS}.",
              file=sys.stderr)
        return USAGE_ERROR
    codes = {}
    for part in parts:
        codes[part[0]] = subprocess.run([sys.executable, "-m", "pytest", *options, *part], cwd=testing.parent,
                                        check=False).returncode
        if codes[part[0]] == USAGE_ERROR:  # the arguments are wrong: the next part would only say so again
            return USAGE_ERROR
    failed = {name: code for name, code in codes.items() if code not in (OK, NOTHING_COLLECTED)}
    if len(parts) > 1:
        print(f"\n{len(parts)} processes of tests; failed: {', '.join(failed) or 'none'}", flush=True)
    if failed:
        code = next(iter(failed.values()))
        return code if code > 0 else FAILED  # a process that a signal ended has a negative one
    return OK if OK in codes.values() else NOTHING_COLLECTED


def exit_code(result: int) -> int:
    """What the command line ends with after one of pytest's exit codes."""
    return _OURS.get(result, EXIT_PIPELINE_ERROR)


def _sorted(arguments: Sequence[str], folder: Path) -> tuple[list[str], list[str]]:
    """Pytest's options with their values, and what they name of the tests."""
    options, names = [], []
    for before, argument in zip(("", *arguments), arguments, strict=False):
        is_name = argument and not argument.startswith("-") and before not in (*_WITH_VALUE, *_ONE_FILE)
        (names if is_name and (folder / argument.partition("::")[0]).exists() else options).append(argument)
    return options, names


def _parts(testing: Path, names: Sequence[str]) -> list[list[str]]:
    """What each process is told to run: the engine's files one by one, everything else together."""
    engine = testing / ENGINE_TESTS
    files = [file.relative_to(testing.parent).as_posix() for file in sorted(engine.glob("test_*.py"))]
    together, alone = [], []
    for name in names or [testing.name]:
        path = (testing.parent / name.partition("::")[0]).resolve()
        if path == testing.resolve():
            together += [testing.name, f"--ignore={engine}"]
            alone += files
        elif path == engine.resolve():
            alone += files
        elif engine.resolve() in path.parents:
            alone.append(name)
        else:
            together.append(name)
    return ([together] if together else []) + [[name] for name in alone]
