"""The fault matrix: what happens to a run when things go wrong, and whether the next plain run mends it.

    python Testing/Benchmarks/fault_matrix.py [--fast] [--only WORD] [FOLDER]

Each row makes a real run of the pipeline on a coarse digital knee fail in one way (real signals, a real full disk, real
damage), checks how it ended and that no process was left, then runs the same command again without the fault and
compares every result file with those of a run that was never disturbed: label maps, tables, meshes and results.json
byte for byte (results.json but for its date).
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import fault_rows as make  # noqa: E402
import fault_rows_of_runs as of_runs  # noqa: E402
from fault_rows import FOLDERS, STATES, STEPS, Bench, Skipped  # noqa: E402

Row = Callable[[Bench, str], list[str]]


@dataclass
class Outcome:
    """What a row found."""

    name: str
    how: str
    problems: list[str]
    seconds: float
    skipped: str = ""


def rows() -> dict[str, tuple[Row, bool]]:
    """Name -> (row, whether it belongs to the fast half)."""
    table: dict[str, tuple[Row, bool]] = {}
    for state, up_to in STATES.items():
        table[f"SIGKILL in {state}"] = make.killed_at(f"state:{state}", up_to), state in ("DETECTION", "COMPLETE")
    for step in STEPS:
        table[f"SIGKILL as {step} begins"] = make.killed_at(f"step:{step}", step), False
        table[f"SIGKILL before {step} is committed"] = make.killed_at(f"done:{step}", step), False
    for step, files in (("image", 1), ("segmentation", 1), ("review", 1), ("surfaces", 3), ("thickness", 2),
                        ("table", 1), ("files", 12)):
        for number in sorted({1, (files + 1) // 2, files}):
            table[f"SIGKILL in {step}, file {number}"] = (make.killed_at(f"write:{step}:{number}", step),
                                                          (step, number) == ("thickness", 2))
    table["SIGKILL between two renames"] = make.killed_in_commit, False
    for number in (1, 6, 12):
        table[f"SIGKILL while publishing, file {number}"] = make.killed_in_publication(number), number == 6
    table |= {
        "failure keeps old results": (make.failed_keeps_old_results, False),
        "worker killed (OOM killer)": (make.faulty("step:thickness=kill_worker", "thickness", 0, "", "RETRY"), True),
        "worker killed, always": (make.faulty("step:thickness=kill_worker*9", "thickness", 1, "E_HARD_002"), False),
        "worker crashes (SIGSEGV)": (make.faulty("step:thickness=crash*9", "thickness", 1, "PIPELINE_ERROR"), True),
        "memory error, once": (make.faulty("step:thickness=memory", "thickness", 0, "", "RETRY"), False),
        "memory error, always": (make.faulty("step:thickness=memory*9", "thickness", 1, "E_HARD_002"), True),
        "GPU memory error, once": (make.faulty("step:thickness=gpu_memory", "thickness", 0, "", "RETRY"), False),
        "disk full in a library": (make.faulty("step:thickness=disk_full*9", "thickness", 1, "PIPELINE_ERROR"), False),
        "network failure, once": (make.faulty("step:segmentation=network", "segmentation", 0, "", "RETRY"), False),
        "hung step, once": (make.faulty("step:thickness=hang;hang_after_s=30", "thickness", 0, "", "RETRY"), False),
        "hung step, always": (make.faulty("step:thickness=hang*9;hang_after_s=1.5", "thickness", 4, "TIMEOUT"), False),
        "--timeout": (make.faulty("step:thickness=hang*9", "thickness", 4, "TIMEOUT", timeout=2.0), True),
        "SIGINT": (make.signalled(signal.SIGINT, "step:surfaces=hang"), False),
        "SIGTERM with grandchildren": (make.signalled(signal.SIGTERM, "step:surfaces=grandchildren"), True),
        "SIGKILL with grandchildren": (make.orphans, True),
        "full disk, 100 kB": (make.full_disk("100k"), True),
        "full disk, 600 kB": (make.full_disk("600k"), False),
        "full disk, 3 MB": (make.full_disk("3m"), False),
        "file size limit": (make.file_size_limit, False),
        "read-only output": (make.read_only_output, True),
        "input gone before": (make.vanished_before, True),
        "input gone meanwhile": (make.vanished_during, True),
        "two runs at once": (make.two_at_once, True),
        "clock going backwards": (make.clock_backwards, True),
        "report crashes, always": (of_runs.report_fails("report=crash*9"), True),
        "report has no memory, ever": (of_runs.report_fails("report=memory*9"), False),
        "another knee in the folder fails": (of_runs.another_knee, False),
        "another prefix in the folder": (of_runs.another_prefix, False),
        "litter in the checkpoints": (of_runs.litter, False),
        "checkpoints on another disk": (of_runs.checkpoints_elsewhere, False),
        "folder's name is no UTF-8": (of_runs.name_of_no_encoding, False),
        "modules in the current folder": (of_runs.modules_in_the_way, False),
        "standby of an hour": (of_runs.standby, False),
        "stopped and continued": (of_runs.long_pause, False),
        "guardian killed": (of_runs.guardian_killed, False),
        "process that got away": (of_runs.stray, True),
        "worker forks and crashes": (make.faulty("step:thickness=fork_and_crash", "thickness", 1, "PIPELINE_ERROR"),
                                     False),
        "memory limit of 300 MB": (of_runs.memory_limit(300), False),
        "memory limit of 600 MB": (of_runs.memory_limit(600), False),
        "records damaged": (of_runs.records_damaged, False),
    }
    for folder in FOLDERS:
        table[f"truncated manifest {folder}"] = make.truncated(folder, "manifest.json"), folder == FOLDERS[4]
        table[f"flipped bit, manifest {folder}"] = make.flipped(f"checkpoints/{folder}/manifest.json", 0.3), False
    for folder, file in (("PREPROCESSING.image", "image.nrrd"), ("DETECTION.segmentation", "labels.nrrd"),
                         ("ANALYSIS.review", "labels.nrrd"), ("ANALYSIS.surfaces", "meshes.npz"),
                         ("ANALYSIS.thickness", "measured.npz"), ("FUSION.table", "table.json")):
        path = f"{folder}/{file}"
        table[f"truncated {path}"] = make.truncated(folder, file), folder == "ANALYSIS.surfaces"
        table[f"flipped bit, {path}"] = make.flipped(f"checkpoints/{path}"), folder == "ANALYSIS.thickness"
    for file in ("femur_mesh.vtk", "knee_thickness_results.csv", "results.json", "knee_subregions-labels.nrrd"):
        table[f"flipped bit, {file}"] = make.flipped(file), file == "femur_mesh.vtk"
    table["flipped bit, knee_all-labels.nrrd"] = make.flipped("knee_all-labels.nrrd", 0.6, "RESULT_DAMAGED"), True
    return table


def run_row(bench: Bench, name: str, row: Row) -> Outcome:
    """One row of the table."""
    began = time.monotonic()
    try:
        problems, skipped = row(bench, name), ""
    except Skipped as reason:
        problems, skipped = [], str(reason)
    how = "skipped" if skipped else "ok" if not problems else "FAILED"
    return Outcome(name, how, problems, time.monotonic() - began, skipped)


def main() -> int:
    """Print the table; 1 when a row failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="where to work (default: a temporary folder)")
    parser.add_argument("--fast", action="store_true", help="only the fast half")
    parser.add_argument("--only", default="", help="only rows whose name holds this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fault_matrix_") as temporary:
        bench = Bench(Path(arguments.folder or temporary).resolve(), timed=True)
        bench.prepare()
        outcomes = []
        for name, (row, fast) in rows().items():
            if arguments.only not in name or (arguments.fast and not fast):
                continue
            outcome = run_row(bench, name, row)
            outcomes.append(outcome)
            print(f"{outcome.how:8} {outcome.seconds:6.1f} s  {name}  {'; '.join(outcome.problems) or outcome.skipped}",
                  flush=True)
    count = {how: sum(o.how == how for o in outcomes) for how in ("ok", "FAILED", "skipped")}
    print(f"\n{count['ok']} of {len(outcomes) - count['skipped']} rows as designed, {count['skipped']} skipped")
    return int(count["FAILED"] > 0)


if __name__ == "__main__":
    sys.exit(main())
