"""``setup`` and ``doctor`` on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import EXIT_DONE, EXIT_PIPELINE_ERROR, CancelledError


def add_setup_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``setup``."""
    parser.description = (
        "Create the private environment (nothing is installed anywhere else). Started again it completes, renews or "
        "confirms what is there."
    )
    add = parser.add_argument
    add("--env", type=_folder, metavar="DIR", help="put the environment here, and remember it")
    add("--python", metavar="EXE", help="make it from this Python (CPython 3.11, 3.12 or 3.13; not 3D Slicer's)")
    add("--torch", metavar="BUILD", help="auto (ask the driver; the default), cpu or cuXXX such as cu130")
    add("--offline", type=_folder, metavar="WHEELDIR", help="take packages from this folder only")
    add("--extras", nargs="+", default=[], metavar="GROUP", help="further groups, such as: test")
    add("--yes", action="store_true", help="do not ask before downloading a Python")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--repair", action="store_true", help="check every file and import; rebuild what is broken")
    what.add_argument("--remove", action="store_true", help="remove the environment; model weights stay")


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def run_setup(args: argparse.Namespace) -> int:
    """Run ``setup``; the exit code.

    Raises
    ------
    SetupError, ConfigError, CancelledError
        One sentence each, for the command line to print.
    """
    from .setting_up import SetupOptions, remove, setup

    options = SetupOptions(
        environment_dir=args.env, base_python=args.python, torch=args.torch, offline=args.offline, repair=args.repair,
        extras=tuple(args.extras), assume_yes=args.yes,
    )  # fmt: skip
    try:
        if args.remove:
            remove(options)
        else:
            print(setup(options))
    except KeyboardInterrupt:
        raise CancelledError("Removing was cancelled; run it again to remove the rest." if args.remove else
                             "Set up was cancelled; what was there before is unchanged.") from None
    return EXIT_DONE


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``doctor``."""
    parser.description = "Say what works here and what does not, and the command that mends it. Changes nothing."
    parser.add_argument("--json", action="store_true", help="as JSON on stdout")
    parser.add_argument("--env", type=_folder, metavar="DIR", help="look at the environment in this folder")


def run_doctor(args: argparse.Namespace) -> int:
    """Run ``doctor``; 0 if nothing needed is broken, else 1."""
    from .examination import doctor

    if not args.json:
        print("Looking (a minute at most) ...", file=sys.stderr, flush=True)
    found = doctor(args.env)
    print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False) if args.json else found.text())
    return EXIT_DONE if found.ok else EXIT_PIPELINE_ERROR
