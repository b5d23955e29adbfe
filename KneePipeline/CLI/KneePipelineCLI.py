#!/usr/bin/env python-real
"""The command-line module: one run of KneePipeline as Slicer's command-line interface knows it.

A thin adapter: arguments in, ``python -m KneePipelineLib run ... --events -`` in the private environment, its events
out as Slicer's progress tags, the asked-for files copied to where Slicer wants them. Standard library only; started by
Slicer's own Python with Slicer's own variables, of which none reaches the private environment.

Exit codes are those of the command line: 0 done, 1 error, 2 usage, 3 cancelled, 4 timed out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Where the package lies, seen from here: in a checkout, and beside the modules of an installed or built extension.
PACKAGE_PLACES = ("../..", "../qt-scripted-modules", "../../qt-scripted-modules")
TEMPORARY = "kneepipeline_cli_"
OUTPUTS = {
    "outputlabels": ("all_labels", None),
    "outputfemur": ("bone_surface", "femur"),
    "outputtibia": ("bone_surface", "tibia"),
    "outputpatella": ("bone_surface", "patella"),
    "outputt2map": ("t2_map", None),
    "outputtable": ("results_table", None),
}
"""Argument -> role (and structure) of the file in results.json."""
THICKNESSES = {
    "femoralThicknessMm": "fem_cart",
    "medialTibialThicknessMm": "med_tib_cart",
    "lateralTibialThicknessMm": "lat_tib_cart",
    "patellarThicknessMm": "pat_cart",
}
"""Return value -> region."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments that KneePipelineCLI.xml describes."""
    parser = argparse.ArgumentParser(prog="KneePipelineCLI", description="Measure one knee.", allow_abbrev=False)
    for flag in ("inputvolume", "inputfolder", "echoes", "labels", "outputfolder", "returnparameterfile", *OUTPUTS):
        parser.add_argument(f"--{flag}", metavar="PATH")
    for flag, default in (("labelscheme", "auto"), ("side", "auto"), ("model", "bundled"), ("device", "auto")):
        parser.add_argument(f"--{flag}", default=default)
    parser.add_argument("--timeoutminutes", type=int, default=0)
    options = parser.parse_args(argv)
    if bool(options.inputvolume) == bool(options.inputfolder):
        parser.error("give either a volume or a DICOM folder")
    return options


def run_arguments(options: argparse.Namespace, out: Path) -> list[str]:
    """The command line of ``run`` for these arguments."""
    line = ["run", options.inputvolume or options.inputfolder, str(out), "--events", "-"]
    line += ["--side", options.side, "--device", options.device]
    if options.labels:
        line += ["--segmentation", options.labels, "--label-scheme", options.labelscheme]
    else:
        line += ["--model", options.model]
    if options.echoes:
        line += ["--echoes", options.echoes]
    if options.timeoutminutes > 0:
        line += ["--timeout", str(60 * options.timeoutminutes)]
    return line


class Teller:
    """Says on stdout, in Slicer's tags, what the events say; keeps the error for the end."""

    def __init__(self) -> None:
        self.error: str | None = None
        self._message = ""

    def on_event(self, event: dict) -> None:
        """One event of the run (see the package's events.schema.json)."""
        kind = event.get("event")
        if kind == "state":
            self._tag("filter-progress", f"{event['fraction']:.4f}")
            self._tag("filter-stage-progress", f"{event['stage_fraction']:.4f}")
            if event["message"] != self._message:
                self._message = event["message"]
                self._tag("filter-comment", self._message)
        elif kind == "warning":
            print(f"Warning: {event['message']}", flush=True)
        elif kind == "error":
            self.error = " ".join(filter(None, (event["message"], event.get("hint"))))

    @staticmethod
    def _tag(name: str, text: str) -> None:
        plain = text.replace("<", "(").replace(">", ")")
        print(f"<{name}>{plain}</{name}>", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run, deliver, and say in one sentence what went wrong if something did."""
    options = parse(argv)
    _find_package()
    from KneePipelineLib import environment
    from KneePipelineLib.errors import EXIT_DONE, EXIT_PIPELINE_ERROR

    python = environment.private_python()
    if python is None:
        return _fail("The private environment is not set up. Open the module Knee Pipeline, section Set up, and press "
                     "Set up.", EXIT_PIPELINE_ERROR)
    with _folder(options) as out:
        line = environment.command(python, run_arguments(options, out))
        code, sentence = _run(line, environment.child_environment(), out)
        if code != EXIT_DONE:
            if not options.outputfolder:
                _show_log(out)
            return _fail(sentence, code)
        record = json.loads((out / "results.json").read_text(encoding="utf-8"))
        _deliver(options, record, out)
    return EXIT_DONE


def _run(line: list[str], variables: dict[str, str], out: Path) -> tuple[int, str]:
    """Exit code of the run, and why if it is not 0. SIGTERM and Ctrl-C cancel it."""
    from KneePipelineLib.slicer_side.process import PlainProcess

    teller, process, code = Teller(), PlainProcess(), []
    process.on_event = teller.on_event
    process.on_finished = lambda exit_code, crashed: code.append(1 if crashed else exit_code)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, frame: process.cancel())
    print("<filter-start><filter-name>Knee Pipeline</filter-name></filter-start>", flush=True)
    process.start(line, variables, out)
    process.wait()
    print("<filter-end><filter-name>Knee Pipeline</filter-name></filter-end>", flush=True)
    last_words = "\n".join(process.last_lines)
    return code[0], teller.error or last_words or "The run ended without saying why."


def _show_log(out: Path) -> None:
    """Error messages refer to log.txt, and this folder is about to go."""
    with contextlib.suppress(OSError):
        print((out / "log.txt").read_text(encoding="utf-8"), flush=True)


def _deliver(options: argparse.Namespace, record: dict, out: Path) -> None:
    """Copy what was asked for, and write the return values."""
    for flag, (role, structure) in OUTPUTS.items():
        target = getattr(options, flag)
        if not target:
            continue
        made = [entry["path"] for entry in record["outputs"]
                if entry["role"] == role and structure in (None, entry.get("structure"))]
        if made:
            shutil.copyfile(out / made[0], target)
        else:
            print(f"There is no {structure or role.replace('_', ' ')} in the results of this run.", flush=True)
    if options.returnparameterfile:
        values = {"measuredSide": record["side"]["value"], "quality": record["quality"]["overall"]}
        for name, region in THICKNESSES.items():
            thickness_mm = record["regions"].get(region, {}).get("measures", {}).get("mm_mean")
            if thickness_mm is not None:
                values[name] = f"{thickness_mm:.6f}"
        lines = "".join(f"{name} = {value}\n" for name, value in values.items())
        Path(options.returnparameterfile).write_text(lines, encoding="utf-8")


@contextlib.contextmanager
def _folder(options: argparse.Namespace) -> Iterator[Path]:
    """The folder of the run: the one asked for, else one that goes away again.

    Slicer cancels by killing, after which nothing here can clean up: what a killed run left is removed by the next.
    """
    if options.outputfolder:
        Path(options.outputfolder).mkdir(parents=True, exist_ok=True)
        yield Path(options.outputfolder)
        return
    beside = options.returnparameterfile or next(filter(None, (getattr(options, flag) for flag in OUTPUTS)), None)
    parent = Path(beside).parent if beside else Path(tempfile.gettempdir())
    _sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}_", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    from KneePipelineLib.system.processes import alive

    for left in parent.glob(f"{TEMPORARY}*"):
        number = left.name[len(TEMPORARY):].split("_")[0]
        if number.isdecimal() and not alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _find_package() -> None:
    """Put the folder that holds KneePipelineLib on the search path."""
    here = Path(__file__).resolve().parent
    for place in PACKAGE_PLACES:
        folder = (here / place).resolve()
        if (folder / "KneePipelineLib" / "__init__.py").is_file():
            sys.path.insert(0, str(folder))
            return


def _fail(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
