"""The small knee of the fault matrix, how it is run, and when two runs count as the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROW_VARIABLE = "KNEEPIPELINE_FAULT_MATRIX_ROW"
SPACING_MM = 2.0
NOT_COMPARED = ("pipeline.json", "log.txt", "config.json", "report.html")
"""They carry dates, or pictures of the rest."""

RUN = """
import json, sys
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import run_job
sys.exit(run_job(JobOptions.from_sources(json.loads(sys.argv[1]), env={}), events="-"))
"""
RUN_WITH_BROKEN_CLOCK = """
import json, sys, time
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import run_job
from KneePipelineLib.pipeline.clock import Clock
class Backwards(Clock):
    now = time.time()
    def wall(self):
        Backwards.now -= 3600
        return Backwards.now
sys.exit(run_job(JobOptions.from_sources(json.loads(sys.argv[1]), env={}), events="-", clock=Backwards()))
"""
RUN_THROUGH_STANDBY = """
import json, sys, time
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import run_job
from KneePipelineLib.pipeline.clock import Clock
class Notebook(Clock):
    began = time.monotonic()
    def monotonic(self):
        now = time.monotonic()
        return now + 3600 * (now - self.began > 4)
sys.exit(run_job(JobOptions.from_sources(json.loads(sys.argv[1]), env={}), events="-", clock=Notebook()))
"""
"""Its monotonic clock gains an hour four seconds after the start, as Windows' does while a notebook is closed."""


@dataclass
class Ended:
    """How a run ended."""

    code: int
    events: list[dict]
    seconds: float
    record: dict = field(default_factory=dict)
    survivors: int = 0

    @property
    def error(self) -> str:
        """Code of its last error event, or ""."""
        return next((e["code"] for e in reversed(self.events) if e["event"] == "error"), "")

    @property
    def warnings(self) -> list[str]:
        """Codes of its warnings."""
        return [e["code"] for e in self.events if e["event"] == "warning"]

    @property
    def reused(self) -> list[str]:
        """Steps taken over from an earlier run."""
        return [name for name, step in self.record.get("steps", {}).items() if step["status"] == "reused"]


def make_case(folder: Path) -> None:
    """Write the image and the labels of a coarse digital knee."""
    import numpy as np

    from KneePipelineLib.imaging import write_volume
    from KneePipelineLib.phantom import DigitalKnee, Grid

    folder.mkdir(parents=True, exist_ok=True)
    labels = DigitalKnee(seed=0).labels(Grid.isotropic(SPACING_MM))
    noise = np.random.default_rng(0).normal(0, 10, labels.array.shape)
    image = np.clip(labels.array * 60.0 + 100 + noise, 0, None).astype(np.int16)
    write_volume(labels, folder / "labels.nrrd")
    write_volume(labels.with_array(image), folder / "image.nrrd")


def options_for(case: Path, out: Path, **more: object) -> dict:
    """The options of a run on the case."""
    return {"input": str(case / "image.nrrd"), "segmentation": str(case / "labels.nrrd"), "output": str(out), **more}


def start(options: dict, *, fault: str = "", program: str = RUN, row: str = "row", file: str = "",
          preexec: object = None, cwd: Path | None = None) -> subprocess.Popen:
    """Start a run in a process of its own, with a fault armed."""
    out = Path(options["output"])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KNEEPIPELINE_")}
    environment |= {"PYTHONPATH": str(REPOSITORY), ROW_VARIABLE: _tag(row),
                    "KNEEPIPELINE_HOME": str(out.parent / "home")}
    if fault:
        environment |= {"KNEEPIPELINE_TEST_FAULT": fault,
                        "KNEEPIPELINE_TEST_FAULT_COUNT": str(out.parent / f"{out.name}.count")}
    if file:
        environment["KNEEPIPELINE_TEST_FAULT_FILE"] = file
    safe = ["-P"] if sys.version_info >= (3, 11) else []
    return subprocess.Popen([sys.executable, *safe, "-c", program, json.dumps(options)], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=preexec, cwd=cwd)


def finish(process: subprocess.Popen, options: dict, row: str = "row", limit_s: float = 180) -> Ended:
    """Wait for a run and gather what it said and left."""
    began = time.monotonic()
    try:
        text, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
    seconds = time.monotonic() - began
    events = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            events.append(json.loads(line))
    record = {}
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((Path(options["output"]) / "pipeline.json").read_text(encoding="utf-8"))
    return Ended(process.returncode, events, seconds, record, survivors(row))


def run(options: dict, **how: object) -> Ended:
    """Run to the end."""
    row = str(how.get("row", "row"))
    return finish(start(options, **how), options, row)


def _tag(row: str) -> str:
    """What every process of a row carries; two matrices at once do not see each other's."""
    return f"{os.getpid()} {row}"


def survivors(row: str, within_s: float = 3.0) -> int:
    """Processes of a row that are still there after a moment."""
    wanted = f"{ROW_VARIABLE}={_tag(row)}".encode()
    deadline = time.monotonic() + within_s
    while True:
        count = 0
        for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
            if entry.isdigit() and int(entry) != os.getpid():
                with contextlib.suppress(OSError):
                    count += wanted in Path("/proc", entry, "environ").read_bytes().split(b"\0")
        if not count or time.monotonic() > deadline:
            return count
        time.sleep(0.05)


def digests(out: Path) -> dict[str, str]:
    """Result file -> hash of what must be the same after any fault."""
    found = {}
    for path in sorted(p for p in out.iterdir() if p.is_file() and p.name not in NOT_COMPARED):
        content = path.read_bytes()
        if path.name == "results.json":
            content = json.dumps({**json.loads(content), "created": ""}, sort_keys=True).encode()
        found[path.name] = hashlib.sha256(content).hexdigest()
    return found


def partly_done(reference: Path, out: Path, up_to: str, steps: list[str]) -> None:
    """Make ``out`` look as after a run that ended just before the step ``up_to``."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "checkpoints").mkdir(parents=True)
    for name in steps[:steps.index(up_to)] if up_to in steps else []:
        for folder in (reference / "checkpoints").glob(f"*.{name}"):
            shutil.copytree(folder, out / "checkpoints" / folder.name)


def flip_byte(path: Path, position: float = 0.5) -> None:
    """Change one bit of a file and nothing else about it but its time."""
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] ^= 0x10
    path.write_bytes(bytes(content))
