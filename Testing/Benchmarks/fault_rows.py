"""The rows of the fault matrix: each makes a run fail in one way and judges how it ended and how it was mended."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fault_cases as cases
from fault_cases import Ended

from KneePipelineLib.system.atomic import is_temporary

STEPS = ["input", "image", "segmentation", "review", "surfaces", "thickness", "table", "files"]
FOLDERS = ["VALIDATION.input", "PREPROCESSING.image", "DETECTION.segmentation", "ANALYSIS.review", "ANALYSIS.surfaces",
           "ANALYSIS.thickness", "FUSION.table", "FORMATTING.files"]
STATES = {"INIT": "input", "RECEIPT": "input", "VALIDATION": "input", "PREPROCESSING": "image",
          "DETECTION": "segmentation", "ANALYSIS": "review", "FUSION": "table", "SCORING": "files",
          "FORMATTING": "files", "COMPLETE": "files"}
KILLED = -signal.SIGKILL
STOP_S = 2.0


class Skipped(Exception):
    """This machine does not allow a row's fault."""


@dataclass
class Bench:
    """The case, the undisturbed run and room for the rows."""

    folder: Path
    reference: dict[str, str] = field(default_factory=dict)
    timed: bool = False
    """Whether a stop that takes more than two seconds counts; not in tests, where the machine may be busy."""

    @property
    def case(self) -> Path:
        return self.folder / "case"

    @property
    def undisturbed(self) -> Path:
        return self.folder / "undisturbed"

    def prepare(self) -> None:
        """Make the case and run it once without a fault."""
        if not self.case.exists():
            cases.make_case(self.case)
        ended = cases.run(cases.options_for(self.case, self.undisturbed))
        if ended.code:
            raise SystemExit(f"the undisturbed run failed: {ended.events[-1:]}")
        self.reference = cases.digests(self.undisturbed)

    def out(self, row: str, up_to: str | None = None) -> Path:
        """A row's run folder: empty, with the checkpoints before a step, or (``"all"``) a copy of the finished run."""
        out = self.folder / row.replace(" ", "_").replace(":", "-").replace("/", "-")
        (self.folder / f"{out.name}.count").unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        if up_to == "all":
            shutil.copytree(self.undisturbed, out)
        elif up_to:
            cases.partly_done(self.undisturbed, out, up_to, STEPS)
        return out


def must(condition: bool, problem: str, problems: list[str]) -> None:
    """Note a problem unless the condition holds."""
    if not condition:
        problems.append(problem)


def judge(bench: Bench, ended: Ended, options: dict, code: int, error: str = "", *, reused: tuple[str, ...] = (),
          problems: list[str] | None = None) -> list[str]:
    """Check how the disturbed run ended, run again without the fault, and compare with the undisturbed results."""
    problems = [] if problems is None else problems
    must(ended.code == code, f"exit code {ended.code}, not {code}", problems)
    must(not error or ended.error == error, f"error {ended.error or 'none'}, not {error}", problems)
    must(not ended.survivors, f"{ended.survivors} processes left", problems)
    again = cases.run(options)
    must(again.code == 0, f"the rerun ended with {again.code} ({again.error})", problems)
    must(not again.survivors, f"the rerun left {again.survivors} processes", problems)
    missing = [step for step in reused if step not in again.reused]
    must(not missing, f"the rerun did {missing} again", problems)
    same = cases.digests(Path(options["output"])) if again.code == 0 else {}
    differing = sorted(n for n in bench.reference.keys() | same.keys() if bench.reference.get(n) != same.get(n))
    must(not differing or again.code != 0, f"different: {differing}", problems)
    must(not [n for n in os.listdir(options["output"]) if is_temporary(n)], "temporary files left", problems)
    return problems


def killed_at(point: str, up_to: str) -> Callable[[Bench, str], list[str]]:
    """A row: SIGKILL to the orchestrator at a point."""

    def row(bench: Bench, name: str) -> list[str]:
        options = cases.options_for(bench.case, bench.out(name, up_to))
        ended = cases.run(options, fault=f"{point}=kill_run", row=name)
        return judge(bench, ended, options, KILLED, reused=tuple(STEPS[:STEPS.index(up_to)]))

    return row


def faulty(fault: str, up_to: str, code: int, error: str = "", warning: str = "", **more: object) -> Callable:
    """A row: a fault inside a worker, survived (code 0) or not."""

    def row(bench: Bench, name: str) -> list[str]:
        options = cases.options_for(bench.case, bench.out(name, up_to))
        ended = cases.run({**options, **more}, fault=fault, row=name)
        problems: list[str] = []
        must(not warning or warning in ended.warnings, f"no warning {warning}", problems)
        return judge(bench, ended, options, code, error, reused=tuple(STEPS[:STEPS.index(up_to)]), problems=problems)

    return row


def killed_in_commit(bench: Bench, name: str) -> list[str]:
    """SIGKILL between the two renames that replace an old checkpoint by a new one."""
    out = bench.out(name, "all")
    options = cases.options_for(bench.case, out)
    ended = cases.run({**options, "restart": True}, fault="commit:surfaces=kill_run", row=name)
    return judge(bench, ended, options, KILLED, reused=("input", "image", "segmentation", "review"))


def killed_in_publication(number: int) -> Callable[[Bench, str], list[str]]:
    """A row: SIGKILL while new results replace old ones; every file must be a whole one, old or new."""

    def row(bench: Bench, name: str) -> list[str]:
        out = bench.out(name)
        options = cases.options_for(bench.case, out)
        first = cases.run({**options, "image_smooth_var_cart": 0.6})
        before = cases.digests(out)
        ended = cases.run(options, fault=f"publish:{number}=kill_run", row=name)
        between = cases.digests(out)
        problems: list[str] = []
        must(first.code == 0, "the first run failed", problems)
        torn = [n for n, digest in between.items() if digest not in (before.get(n), bench.reference.get(n))]
        must(not torn, f"neither old nor new: {torn}", problems)
        lost = sorted(set(before) - set(between))
        must(not lost, f"vanished in between: {lost}", problems)
        must(before.get("femur_mesh.vtk") != bench.reference["femur_mesh.vtk"], "old and new are alike", problems)
        return judge(bench, ended, options, KILLED, reused=tuple(STEPS), problems=problems)

    return row


def failed_keeps_old_results(bench: Bench, name: str) -> list[str]:
    """A run that fails leaves the results of the run before untouched."""
    out = bench.out(name, "all")
    options = cases.options_for(bench.case, out)
    ended = cases.run({**options, "restart": True}, fault="step:thickness=crash*9", row=name)
    problems: list[str] = []
    must(cases.digests(out) == bench.reference, "old results were touched", problems)
    return judge(bench, ended, options, 1, "PIPELINE_ERROR", problems=problems)


def signalled(number: int, fault: str) -> Callable[[Bench, str], list[str]]:
    """A row: a signal to the orchestrator while a step works (with grandchildren); gone within two seconds."""

    def row(bench: Bench, name: str) -> list[str]:
        options = cases.options_for(bench.case, bench.out(name, "surfaces"))
        process = cases.start(options, fault=fault, row=name)
        wait_for(Path(options["output"]).parent / f"{Path(options['output']).name}.count")
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(number)
        ended = cases.finish(process, options, name)
        problems: list[str] = []
        seconds = time.monotonic() - began
        must(seconds < STOP_S or not bench.timed, f"took {seconds:.1f} s to stop", problems)
        must(ended.record.get("status") == "cancelled", "pipeline.json does not say cancelled", problems)
        return judge(bench, ended, options, 3, "CANCELLED", reused=("review",), problems=problems)

    return row


def wait_for(path: Path, limit_s: float = 60) -> None:
    """Until a file appears: a fault notes there that it has been reached."""
    deadline = time.monotonic() + limit_s
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs of that size.

    Raises
    ------
    Skipped
        If this machine does not let us mount one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True,
                             check=False) if shutil.which("mount") else None
    if mounted is None or mounted.returncode:
        raise Skipped("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def full_disk(size: str) -> Callable[[Bench, str], list[str]]:
    """A row: a disk on which the run does not fit; then the same disk, made larger."""

    def row(bench: Bench, name: str) -> list[str]:
        with small_disk(bench.folder / f"disk_{size}", size) as disk:
            options = cases.options_for(bench.case, disk / "out")
            ended = cases.run(options, row=name)
            subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
            return judge(bench, ended, options, 1, "PIPELINE_ERROR")

    return row


def file_size_limit(bench: Bench, name: str) -> list[str]:
    """Files may not grow beyond 700 kB (RLIMIT_FSIZE), as under a quota: the image fits, the surfaces do not."""
    options = cases.options_for(bench.case, bench.out(name))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))

    ended = cases.run(options, row=name, preexec=limit)
    return judge(bench, ended, options, 1, "PIPELINE_ERROR", reused=("segmentation",))


def read_only_output(bench: Bench, name: str) -> list[str]:
    """The output folder lies on a file system that was mounted read-only."""
    with small_disk(bench.folder / "disk_ro", "200m") as disk:
        options = cases.options_for(bench.case, disk / "out")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = cases.run(options, row=name)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        return judge(bench, ended, options, 1, "PIPELINE_ERROR")


def vanished_before(bench: Bench, name: str) -> list[str]:
    """The input is gone when the run begins; nothing of the results before is touched."""
    out, case = bench.out(name, "all"), bench.folder / "case_moved"
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(bench.case, case)
    options = cases.options_for(case, out)
    (case / "image.nrrd").rename(case / "elsewhere.nrrd")
    ended = cases.run(options, row=name)
    (case / "elsewhere.nrrd").rename(case / "image.nrrd")
    problems: list[str] = []
    must(cases.digests(out) == bench.reference, "results were touched", problems)
    return judge(bench, ended, options, 1, "FILE_NOT_FOUND", reused=tuple(STEPS), problems=problems)


def vanished_during(bench: Bench, name: str) -> list[str]:
    """The input vanishes after it was hashed and before it is read."""
    case = bench.folder / "case_vanishing"
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(bench.case, case)
    options = cases.options_for(case, bench.out(name))
    ended = cases.run(options, row=name, fault="state:VALIDATION=remove_file", file=str(case / "image.nrrd"))
    shutil.copy(bench.case / "image.nrrd", case)
    return judge(bench, ended, options, 1, "FILE_NOT_FOUND")


def truncated(folder: str, file: str) -> Callable[[Bench, str], list[str]]:
    """A row: a file of a finished checkpoint lost its second half."""

    def row(bench: Bench, name: str) -> list[str]:
        out = bench.out(name, "all")
        path = out / "checkpoints" / folder / file
        os.truncate(path, path.stat().st_size // 2)
        return _redone_with_warning(bench, out, name)

    return row


def flipped(relative: str, position: float = 0.5, warning: str = "CHECKPOINT_DAMAGED") -> Callable:
    """A row: one bit of a file changed."""

    def row(bench: Bench, name: str) -> list[str]:
        out = bench.out(name, "all")
        cases.flip_byte(out / relative, position)
        return _redone_with_warning(bench, out, name, warning)

    return row


def _redone_with_warning(bench: Bench, out: Path, name: str, warning: str = "CHECKPOINT_DAMAGED") -> list[str]:
    options = cases.options_for(bench.case, out)
    ended = cases.run(options, row=name)
    problems: list[str] = []
    must(warning in ended.warnings, f"no warning {warning}, but {ended.warnings}", problems)
    must(cases.digests(out) == bench.reference, "the results are not those of an undisturbed run", problems)
    return judge(bench, ended, options, 0, reused=tuple(STEPS), problems=problems)


def two_at_once(bench: Bench, name: str) -> list[str]:
    """A second run in the same folder is turned away; the first one finishes."""
    options = cases.options_for(bench.case, bench.out(name, "surfaces"))
    first = cases.start(options, fault="step:surfaces=pause", row=name)
    wait_for(Path(options["output"]).parent / f"{Path(options['output']).name}.count")
    second = cases.run(options, row=f"{name} second")
    ended = cases.finish(first, options, name)
    problems: list[str] = []
    must(second.code == 1 and second.error == "PIPELINE_ERROR", f"the second run ended with {second.code}", problems)
    must("Another run" in str(second.events), "the second run does not say why", problems)
    return judge(bench, ended, options, 0, reused=tuple(STEPS), problems=problems)


def clock_backwards(bench: Bench, name: str) -> list[str]:
    """The wall clock loses an hour each time it is asked, and the files are from the future."""
    out = bench.out(name, "surfaces")
    future = time.time() + 10 * 365 * 86400
    for path in out.rglob("*"):
        os.utime(path, (future, future))
    options = cases.options_for(bench.case, out)
    ended = cases.run(options, row=name, program=cases.RUN_WITH_BROKEN_CLOCK)
    problems: list[str] = []
    must("review" in ended.reused, "checkpoints from the future were not used", problems)
    fractions = [e["fraction"] for e in ended.events if e["event"] == "state"]
    must(fractions == sorted(fractions), "the fraction went backwards", problems)
    return judge(bench, ended, options, 0, reused=tuple(STEPS), problems=problems)


def orphans(bench: Bench, name: str) -> list[str]:
    """SIGKILL to the orchestrator while its worker has started processes of its own."""
    options = cases.options_for(bench.case, bench.out(name, "surfaces"))
    process = cases.start(options, fault="step:surfaces=grandchildren", row=name)
    wait_for(Path(options["output"]).parent / f"{Path(options['output']).name}.count")
    time.sleep(0.3)
    process.kill()
    ended = cases.finish(process, options, name)
    return judge(bench, ended, options, KILLED, reused=("review",))
