"""Rows of the fault matrix about a run as a whole: what else lies in its folders, who else is there, what time it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fault_cases as cases
from fault_rows import FOLDERS, STEPS, Bench, Skipped, judge, must, small_disk, wait_for

Row = Callable[[Bench, str], list[str]]


def report_fails(fault: str) -> Row:
    """A row: the report cannot be made; the numbers are delivered and say so, and the next run makes it."""

    def row(bench: Bench, name: str) -> list[str]:
        options = cases.options_for(bench.case, bench.out(name, "files"))
        ended = cases.run(options, fault=fault, row=name)
        problems: list[str] = []
        out = Path(options["output"])
        must({"RETRY", "REPORT_NOT_WRITTEN"} <= set(ended.warnings), f"warnings {ended.warnings}", problems)
        told = (out / "results.json").read_text(encoding="utf-8") if (out / "results.json").exists() else ""
        must("REPORT_NOT_WRITTEN" in told, "results.json does not say that there is no report", problems)
        must(not (out / "report.html").exists(), "there is a report", problems)
        judge(bench, ended, options, 0, reused=tuple(STEPS[:-1]), problems=problems)
        must((out / "report.html").exists(), "the next run made no report", problems)
        return problems

    return row


def another_knee(bench: Bench, name: str) -> list[str]:
    """A run with another knee fails in a folder of results: these are kept below it and stand for nobody else."""
    out, case = bench.out(name, "all"), bench.folder / "case_of_another"
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(bench.case, case)
    with open(case / "image.nrrd", "ab") as image:
        image.write(b"\n")
    before = cases.digests(out)
    ended = cases.run({**cases.options_for(case, out), "restart": True}, fault="step:thickness=crash*9", row=name)
    problems: list[str] = []
    must("RESULTS_SET_ASIDE" in ended.warnings, f"warnings {ended.warnings}", problems)
    must(not cases.digests(out), f"still there: {sorted(cases.digests(out))}", problems)
    must(cases.digests(out / "earlier_results_1") == before, "the earlier results are not as they were", problems)
    return judge(bench, ended, cases.options_for(bench.case, out), 1, "PIPELINE_ERROR", problems=problems)


def another_prefix(bench: Bench, name: str) -> list[str]:
    """The left knee into the right one's folder is refused, and nothing there is touched."""
    out = bench.out(name, "all")
    options = cases.options_for(bench.case, out)
    ended = cases.run({**options, "prefix": "left"}, row=name)
    problems: list[str] = []
    must(cases.digests(out) == bench.reference, "results were touched", problems)
    return judge(bench, ended, options, 2, "CONFIG_ERROR", reused=tuple(STEPS), problems=problems)


def litter(bench: Bench, name: str) -> list[str]:
    """Notes of file managers, network drives and synchronisers lie in every checkpoint."""
    out = bench.out(name, "all")
    for folder in FOLDERS:
        for note in (".DS_Store", "._manifest.json", ".nfs0000000000abcdef", ".dropbox.attr", "desktop.ini"):
            (out / "checkpoints" / folder / note).write_text("litter")
    options = cases.options_for(bench.case, out)
    ended = cases.run(options, row=name)
    problems: list[str] = []
    must(not ended.warnings and set(ended.reused) == set(STEPS), f"warned {ended.warnings}, reused {ended.reused}",
         problems)
    return judge(bench, ended, options, 0, reused=tuple(STEPS), problems=problems)


def checkpoints_elsewhere(bench: Bench, name: str) -> list[str]:
    """``checkpoints`` is a link to another disk, from which nothing can be renamed into the run folder."""
    with small_disk(bench.folder / "disk_checkpoints", "200m") as disk:
        out = bench.out(name)
        out.mkdir()
        (out / "checkpoints").symlink_to(disk)
        options = cases.options_for(bench.case, out)
        return judge(bench, cases.run(options, row=name), options, 0, reused=tuple(STEPS))


def name_of_no_encoding(bench: Bench, name: str) -> list[str]:
    """The output folder's name holds a byte that is no UTF-8."""
    out = bench.out(name)
    out = out.with_name(out.name + os.fsdecode(b"\xff"))
    shutil.rmtree(out, ignore_errors=True)
    options = cases.options_for(bench.case, out)
    return judge(bench, cases.run(options, row=name), options, 0, reused=tuple(STEPS))


def modules_in_the_way(bench: Bench, name: str) -> list[str]:
    """The person stands in a folder with a queue.py, a scipy.py and a vtk.py of their own."""
    if sys.version_info < (3, 11):
        raise Skipped("Python 3.10 always looks into the current folder")
    here, mark = bench.folder / "here", bench.folder / "was_run"
    here.mkdir(exist_ok=True)
    mark.unlink(missing_ok=True)
    for module in ("queue", "scipy", "vtk", "numpy"):
        (here / f"{module}.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(7)\n")
    options = cases.options_for(bench.case, bench.out(name))
    ended = cases.run(options, row=name, cwd=here)
    problems: list[str] = []
    must(not mark.exists(), "a module of the current folder was run", problems)
    return judge(bench, ended, options, 0, reused=tuple(STEPS), problems=problems)


def standby(bench: Bench, name: str) -> list[str]:
    """The computer sleeps for an hour in the middle of a step, with a deadline of ten minutes."""
    options = cases.options_for(bench.case, bench.out(name, "surfaces"))
    ended = cases.run({**options, "timeout": 600.0}, row=name, program=cases.RUN_THROUGH_STANDBY,
                      fault="step:surfaces=pause;step:thickness=pause")
    problems: list[str] = []
    must("RETRY" not in ended.warnings, "a healthy step was repeated", problems)
    log = (Path(options["output"]) / "log.txt").read_text(encoding="utf-8")
    must("slept" in log, "the run ended before the computer slept", problems)
    return judge(bench, ended, options, 0, reused=tuple(STEPS), problems=problems)


def guardian_killed(bench: Bench, name: str) -> list[str]:
    """The process that watches over a run is gone when the run ends."""
    options = cases.options_for(bench.case, bench.out(name, "surfaces"))
    process = cases.start(options, fault="step:surfaces=pause", row=name)
    wait_for(Path(options["output"]).parent / f"{Path(options['output']).name}.count")
    killed = [pid for pid in _children(process.pid) if b"watch" in _command(pid)]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    ended = cases.finish(process, options, name)
    problems: list[str] = []
    must(len(killed) == 1, f"{len(killed)} guardians", problems)
    last = ended.events[-1] if ended.events else {}
    must(last.get("state") == "COMPLETE", f"the last event is {last}", problems)
    return judge(bench, ended, options, 0, reused=tuple(STEPS), problems=problems)


def _children(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(pid) for pid in text.split()]


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def stray(bench: Bench, name: str) -> list[str]:
    """A process that no net catches holds the worker's stderr; the run ends before it does."""
    options, number = cases.options_for(bench.case, bench.out(name, "thickness")), bench.folder / "stray"
    ended = cases.run(options, fault="step:thickness=stray", row=name, file=str(number))
    problems: list[str] = []
    pid = int(number.read_text(encoding="ascii"))
    must(b"sleep(120)" in _command(pid), "the run waited for it", problems)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return judge(bench, ended, options, 0, reused=tuple(STEPS), problems=problems)


def memory_limit(megabytes: int) -> Row:
    """A row: a batch job that may take so much memory (RLIMIT_AS); it is told for what it is."""

    def row(bench: Bench, name: str) -> list[str]:
        options = cases.options_for(bench.case, bench.out(name))

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

        ended = cases.run(options, row=name, preexec=limit)
        problems: list[str] = []
        hint = next((e["hint"] for e in reversed(ended.events) if e["event"] == "error"), "")
        must("ulimit -v" in hint, f"the limit is not told: {hint}", problems)
        return judge(bench, ended, options, 1, "E_HARD_002", problems=problems)

    return row


def records_damaged(bench: Bench, name: str) -> list[str]:
    """pipeline.json and this machine's history of times are half written, by a program of another time."""
    out = bench.out(name, "all")
    (out / "pipeline.json").write_text('{"v": 1, "pipeline_execution": {"checkpoints_saved": ["inp')
    home = out.parent / "home"
    home.mkdir(exist_ok=True)
    (home / "history.json").write_text(json.dumps({"cpu": {"input": ["?", None]}, "seconds": 3}))
    options = cases.options_for(bench.case, out)
    return judge(bench, cases.run(options, row=name), options, 0, reused=tuple(STEPS))


def long_pause(bench: Bench, name: str) -> list[str]:
    """The orchestrator is stopped and goes on (Ctrl-Z, fg)."""
    options = cases.options_for(bench.case, bench.out(name, "surfaces"))
    process = cases.start(options, fault="step:surfaces=pause", row=name)
    wait_for(Path(options["output"]).parent / f"{Path(options['output']).name}.count")
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    return judge(bench, cases.finish(process, options, name), options, 0, reused=tuple(STEPS))
