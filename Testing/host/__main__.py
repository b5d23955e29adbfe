"""A `Slicer` command for scripts: ``python -m Testing.host --no-main-window --python-script script.py ARGUMENTS``.

Takes Slicer's options --python-script, --python-code, --additional-module-paths, --additional-module-path,
--no-main-window, --no-splash, --testing, --exit-after-startup; the arguments after the script's name are the script's.
As in Slicer the application goes on after the script until ``slicer.util.exit()``; --testing and --exit-after-startup
end it. Other than in Slicer an exception in the script ends it with status 1.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from pathlib import Path


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="Slicer", description="The Slicer test host", allow_abbrev=False)
    parser.add_argument("--python-script", help="a Python file to run; what follows are its arguments")
    parser.add_argument("--python-code", help="Python statements to run")
    parser.add_argument("--additional-module-paths", nargs="+", default=[], help="folders with modules")
    parser.add_argument("--additional-module-path", action="append", default=[], help="a folder with modules")
    parser.add_argument("--home", help="folder for settings and temporary files (default: a temporary one)")
    for flag in ("--no-main-window", "--no-splash", "--testing", "--exit-after-startup", "--ignore-slicerrc"):
        parser.add_argument(flag, action="store_true")
    own, script_arguments = arguments, []
    if "--python-script" in arguments:
        cut = arguments.index("--python-script") + 2
        own, script_arguments = arguments[:cut], arguments[cut:]
    return parser.parse_args(own), script_arguments


def main(arguments: list[str] | None = None) -> int:
    """Start the host, load the modules, run the script; returns the exit status."""
    options, script_arguments = _parse(sys.argv[1:] if arguments is None else arguments)
    from Testing import host

    app = host.start(testing=options.testing, main_window=not options.no_main_window, home=options.home)
    for folder in [*options.additional_module_paths, *options.additional_module_path]:
        app.moduleManager().load_folder(Path(folder).resolve())
    app.startupCompleted.emit()
    try:
        if options.python_script:
            sys.argv = [options.python_script, *script_arguments]
            runpy.run_path(options.python_script, run_name="__main__")
        if options.python_code:
            exec(compile(options.python_code, "<python-code>", "exec"), {"__name__": "__main__"})
    except SystemExit as leaving:
        code = leaving.code
        return code if isinstance(code, int) else int(code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    app.processEvents()
    ends = options.testing or options.exit_after_startup or not (options.python_script or options.python_code)
    if app._exit_code is None and not ends:
        app.exec_()
    return app._exit_code or 0


if __name__ == "__main__":
    sys.exit(main())
