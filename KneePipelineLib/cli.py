"""The commands a person types: demo, test, setup, run, models, doctor.

Only the standard library is imported here, so that every command can speak before the private environment exists.
``demo``, ``test`` and ``run`` continue inside that environment, set up first when it is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__, environment
from .environment import commands as environment_commands
from .errors import EXIT_DONE, ConfigError, MissingFileError
from .uncaught import as_error, tell
from .weights import commands as weights_commands

if TYPE_CHECKING:
    from .job import JobOptions

_NOT_JOB_OPTIONS = ("command", "handler", "config", "events", "pytest_arguments")

EPILOG = """\
exit codes: 0 done, 1 pipeline error, 2 usage, 3 cancelled, 4 timed out

first steps:
  python3 -m KneePipelineLib demo out/             measure the digital knee, see out/report.html
  python3 -m KneePipelineLib run knee_folder out/  measure your own knee
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see the design's section 4)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # Everything behind `test` belongs to pytest, options included; argparse would claim them.
    own, passed_on = (argv[:1], argv[1:]) if argv[:1] == ["test"] else (argv, [])
    args = build_parser().parse_args(own)
    args.pytest_arguments = passed_on
    try:
        return args.handler(args, argv)
    except BaseException as error:
        return tell(error)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, built without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="python3 -m KneePipelineLib", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="From one knee MRI to labels, surfaces, cartilage thickness and a report.",
    )
    parser.add_argument("--version", action="version", version=f"KneePipeline {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="measure the digital knee and compare with its known truth")
    demo.add_argument("out", nargs="?", default="kneepipeline_demo", metavar="OUT", help="folder for the results")
    demo.add_argument("--seed", type=_seed, default=0, help="which digital knee: 0, 1, 2, ... (default 0)")
    demo.add_argument("--side", choices=("left", "right"), default="right", help="which side it is (default right)")
    demo.add_argument("--coarse", action="store_true", help="a coarser image: quicker, less exact")
    demo.add_argument("--own-labels", action="store_true",
                      help="no network: measure the knee's own labels, so that only the measuring is tried")
    demo.set_defaults(handler=_demo)

    test = commands.add_parser("test", help="run the tests; what follows is passed on to pytest (--slow: all of them)")
    test.set_defaults(handler=_test)

    setup = commands.add_parser("setup", help="create, repair or remove the private environment")
    environment_commands.add_setup_arguments(setup)
    setup.set_defaults(handler=lambda args, argv: environment_commands.run_setup(args))

    _add_run(commands)

    models = commands.add_parser("models", help="list, download, verify, import or remove model weights")
    weights_commands.add_models_arguments(models)
    models.set_defaults(handler=lambda args, argv: weights_commands.run_models(args))

    doctor = commands.add_parser("doctor", help="what works here, what does not, and the command that mends it")
    environment_commands.add_doctor_arguments(doctor)
    doctor.set_defaults(handler=lambda args, argv: environment_commands.run_doctor(args))
    return parser


def _add_run(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser("run", help="measure one knee", description="Measure one knee.")
    run.set_defaults(handler=_run)
    run.add_argument("input", metavar="INPUT", help="DICOM folder or zip, NIfTI, NRRD or MHA: an image or a label map")
    run.add_argument("output", metavar="OUT", help="folder for the results; a run that was interrupted is resumed")
    add = run.add_argument
    add("--model", dest="segmentation_model", metavar="NAME", help="which network segments (see: models list)")
    add("--as", dest="input_kind", choices=("auto", "image", "labels"), help="what INPUT is, where its values leave it "
        "open (default auto)")
    add("--segmentation", metavar="LABELS", help="use this label map instead of segmenting")
    add("--ignore-structures", metavar="NAMES", help="structures of the model that are left out, comma-separated; all: "
        "every one that is not measured here")
    add("--label-scheme", metavar="SCHEME", help="what its numbers mean: auto, canonical, native, archive, the name "
        "of a public numbering (oai-zib, oai-zib-cm, ski10, skm-tea, oai-imorphics), or a JSON file")
    add("--prefix", metavar="NAME", help="beginning of file names (default knee)")
    add("--config", metavar="FILE", help="options from a config.json")
    add("--echoes", metavar="DICOMDIR", help="the echoes for T2, when they are not in INPUT")
    add("--series", metavar="WHICH", help="which series of INPUT: number, UID or part of its description; "
        "#2 is the second of all")
    add("--echo", metavar="WHICH", help="which image of INPUT to segment: an echo (1, 2, ... or rss), or a kind, "
        "such as water, fat or in-phase")
    add("--side", choices=("auto", "left", "right"), help="default auto: from the cartilage's place; of "
        "an image of both knees, the one to measure")
    add("--spacing", metavar="X,Y,Z", help="voxel size in mm along INPUT's own axes (columns, rows, slices), where the "
        "file tells none, or a wrong one")
    add("--anyway", action="store_true", default=None, help="measure even what by its header or content is no knee, "
        "or no picture")
    add("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps")
    add("--steps", metavar="LIST", help="only these stages, by name, comma-separated")
    add("--timeout", type=float, metavar="SECONDS", help="deadline of the whole run")
    add("--restart", action="store_true", default=None, help="ignore what an earlier run in OUT has finished")
    add("--zip", action="store_true", default=None, help="also write <prefix>_results.zip")
    add("--dicom-seg", choices=("auto", "on", "off"), help="DICOM segmentation, which names the patient as INPUT does: "
        "auto (default) for DICOM input but not in the zip, on in the zip too, off")
    add("--events", choices=("-",), help="write one JSON object a line on stdout (the event protocol)")


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 0 or more")
    return int(text)


def _check_paths(options: JobOptions) -> None:
    """What a mistyped path would only tell after the environment was installed, told at once.

    Raises
    ------
    MissingFileError
        If something that was named is not there.
    ConfigError
        If OUT is a file.
    """
    named = (("input", "INPUT"), ("segmentation", "The label map given with --segmentation"),
             ("echoes", "The folder given with --echoes"))
    for option, title in named:
        path = getattr(options, option)
        if path is not None and not options.practice and not os.path.exists(path):
            raise MissingFileError(f"{title} does not exist.", "Check the path and that its disk is connected.")
    _check_folder(options.output)


def _check_folder(path: str | Path | None) -> None:
    if path is not None and os.path.exists(path) and not os.path.isdir(path):
        raise ConfigError("OUT is a file.", "Give a folder; it is made if it does not exist.")


def _in_private_environment(argv: Sequence[str], extras: Sequence[str] = ()) -> int | None:
    """Continue this command in the private environment; None when we are already inside it."""
    if environment.inside(extras):
        environment.hold_in_use()  # Slicer starts the private Python directly; nobody may remove it meanwhile
        return None
    return environment.relaunch(argv, extras=extras)


def _run(args: argparse.Namespace, argv: Sequence[str]) -> int:
    try:
        return _run_knee(args, argv)
    except BaseException as error:
        if args.events:  # who reads the event protocol must hear of a run that never began, too
            with contextlib.suppress(OSError, ValueError):
                print(json.dumps({"v": 1, "event": "error", **as_error(error).to_dict()}, default=str), flush=True)
        raise


def _run_knee(args: argparse.Namespace, argv: Sequence[str]) -> int:
    from .job import JobOptions

    given = {key: value for key, value in vars(args).items()
             if value is not None and key not in _NOT_JOB_OPTIONS}
    options = JobOptions.from_sources(given, config_file=args.config)
    _check_paths(options)
    code = _in_private_environment(argv)
    if code is not None:
        return code
    from .pipeline import run_job

    code = run_job(options, events="-" if args.events else None)
    if code == EXIT_DONE:
        _tell_results(Path(options.output))
    return code


def _tell_results(out: Path) -> None:
    """What a person wants to know at the end, on stderr: stdout belongs to the event protocol."""
    from .results import summary

    with contextlib.suppress(OSError, ValueError):  # a folder that vanishes in this moment is no failure of the run
        record = json.loads((out / "results.json").read_text(encoding="utf-8"))
        print(summary(record, out), file=sys.stderr)


def _demo(args: argparse.Namespace, argv: Sequence[str]) -> int:
    _check_folder(args.out)
    code = _in_private_environment(argv)
    if code is not None:
        return code
    from .demo import run_demo

    return run_demo(Path(args.out), seed=args.seed, side=args.side, coarse=args.coarse,
                    own_labels=args.own_labels)


def _test(args: argparse.Namespace, argv: Sequence[str]) -> int:
    testing = Path(__file__).resolve().parents[1] / "Testing"
    if not testing.is_dir():
        raise ConfigError("The tests are not part of an installed package.", "Run this command in a clone.")
    code = _in_private_environment(argv, extras=("test",))
    if code is not None:
        return code
    from .self_test import exit_code, run_tests

    return exit_code(run_tests(testing, args.pytest_arguments))
