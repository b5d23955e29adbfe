"""`models list | download | verify | import | remove`.

Everything but `download` runs on the standard library alone; `import` and `verify` have models opened by a child
process in the private environment, where there is one. `download` continues there, where huggingface_hub is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import EXIT_CANCELLED, EXIT_DONE, ConfigError, KneePipelineError, WeightsCorruptError
from . import opening, store, table
from .entries import Model, catalogue, entry
from .failures import ImportRefusedError

_DEFAULT_HOST = "huggingface.co"


def add_models_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of `models` with its five commands."""
    parser.description = "Model weights: what there is, what is installed, and under which terms."
    commands = parser.add_subparsers(dest="models_command", metavar="ACTION", required=True)

    listing = commands.add_parser("list", help="every model: what it is for, size, licence, state")
    listing.add_argument("--json", action="store_true", help="print JSON")

    download = commands.add_parser("download", help="fetch models from the hub; an interrupted one is continued")
    download.add_argument("names", nargs="+", metavar="NAME")
    download.add_argument("--accept-licence", action="store_true", help="you have read and accept the model's terms")
    download.add_argument("--revision", metavar="COMMIT", help="another commit, tag or branch than the catalogue's")
    download.add_argument("--events", choices=("-",), help="print one JSON object a line on stdout")

    verify = commands.add_parser("verify", help="read every byte, compare checksums, and open it as a run does")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: everything installed")
    verify.add_argument("--json", action="store_true", help="print JSON")

    importing = commands.add_parser("import", help="install a model from a folder, zip or file, without network")
    importing.add_argument("name", metavar="NAME")
    importing.add_argument("path", metavar="PATH", type=Path, nargs="?",
                           help="left out: check and take over what was copied into the models' folder by hand")
    importing.add_argument("--accept-licence", action="store_true", help="you have read and accept the model's terms")

    remove = commands.add_parser("remove", help="delete installed models")
    remove.add_argument("names", nargs="+", metavar="NAME")


def run_models(args: argparse.Namespace) -> int:
    """Run one `models` command; errors travel as typed exceptions (with --events also as an event)."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list, "download": _download, "verify": _verify, "import": _import, "remove": _remove}
    return actions[args.models_command](args)


def _list(args: argparse.Namespace) -> int:
    rows = [{**model.raw, "state": store.state(model.name), "installed_revision": _revision(model)}
            for model in catalogue().values()]
    if args.json:
        print(json.dumps({"folder": str(store.models_dir()), "models": rows}, indent=2, ensure_ascii=False))
        return EXIT_DONE
    width = max(80, min(100, shutil.get_terminal_size((100, 24)).columns))
    states = {model.name: store.state(model.name) for model in catalogue().values()}
    print(table.models_table(list(catalogue().values()), states, width))
    for model in catalogue().values():
        if model.card and states[model.name] == store.BUNDLED:
            print(f"\n{model.name}: what it saw, what it is for, how good it is: {store.folder_of(model) / model.card}")
    print(f"\n~ is approximate. Installed models lie in {store.models_dir()}\n"
          "Get one: python3 -m KneePipelineLib models download NAME, or import NAME PATH")
    return EXIT_DONE


def _revision(model: Model) -> str | None:
    return (store.read_receipt(model) or {}).get("revision")


def _download(args: argparse.Namespace) -> int:
    models = [entry(name) for name in args.names]  # a misspelt name is said before anything else happens
    from . import hub

    if not hub.is_available():
        return _continue_in_private_environment(args)
    reporter = _EventReporter() if args.events else _TextReporter(sys.stderr)
    for model in models:
        accepted = args.accept_licence or (not args.events and _ask_for_licence(model))
        try:
            _download_one(model, accepted, args.revision, reporter)
        except KeyboardInterrupt:
            reporter.note(f"{model.name}: cancelled; the next download continues where this one stopped.")
            return EXIT_CANCELLED
        except KneePipelineError as error:
            reporter.error(error)
            raise
    return EXIT_DONE


def _download_one(model: Model, accepted: bool, revision: str | None, reporter: _TextReporter) -> None:
    from .downloading import download

    reporter.begin(model)
    where = download(model.name, progress=reporter.progress, accept_licence=accepted, revision=revision)
    reporter.done(model, where)


def _continue_in_private_environment(args: argparse.Namespace) -> int:
    """Run the same command there; a person sees one command."""
    from .. import environment

    if environment.inside():
        raise ConfigError("The private environment lacks huggingface_hub.",
                          "Run: python3 -m KneePipelineLib setup --repair")
    argv = ["models", "download", *args.names]
    argv += ["--accept-licence"] if args.accept_licence else []
    argv += ["--revision", args.revision] if args.revision else []
    argv += ["--events", args.events] if args.events else []
    return environment.relaunch(argv)


def _ask_for_licence(model: Model) -> bool:
    """Ask at the terminal, with host and size named; False where nobody can answer (the download then explains)."""
    members = [entry(name) for name in model.needs] if model.source.type == "virtual" else [model]
    open_terms = [member for member in members
                  if member.needs_acceptance and not store.accepted_licence(member)]
    if not open_terms or not sys.stdin.isatty():
        return False
    print(f"{model.title} ({model.name}): {table.size_text(model)} from {_DEFAULT_HOST}\n"
          f"  licence: {model.licence}\n  page:    {model.page}\n  cite:    {model.citation}", file=sys.stderr)
    print("Have you read its terms, and do you accept them? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _verify(args: argparse.Namespace) -> int:
    names = args.names or [model.name for model in catalogue().values() if model.source.type != "virtual"
                           and store.state(model.name) in (store.INSTALLED, store.DAMAGED, store.BUNDLED)]
    results, first_error = [], None
    for name in names:
        try:
            files = store.verify(name)
            found = _open(entry(name))
            results.append({"model": entry(name).name, "intact": True, "files": len(files),
                            "bytes": sum(file.size_bytes for file in files), "opened": found.opened,
                            "notes": list(found.notes)})
        except KneePipelineError as error:
            if args.names and len(names) == 1 and not args.json:
                raise
            first_error = first_error or error
            results.append({"model": name, "intact": False, "error": error.to_dict()})
    if args.json:
        print(json.dumps({"models": results}, indent=2))
    else:
        for result in results:
            size = f"{result['files']} files, {table.bytes_text(result['bytes'])}" if result["intact"] else ""
            print(f"{result['model']}: " + (f"intact ({size})" + "".join(f". {note}" for note in result["notes"])
                                            if result["intact"] else
                                            f"{result['error']['message']} {result['error']['hint']}"))
        if not results:
            print("No model is installed.")
    return first_error.exit_code if first_error else EXIT_DONE


def _open(model: Model) -> opening.Opened:
    """A look into every member of a model, as a run opens it; WeightsCorruptError where it cannot."""
    found = []
    for name in model.needs if model.source.type == "virtual" else (model.name,):
        member = entry(name)
        try:
            found.append(opening.check(member, store.folder_of(member)))
        except ImportRefusedError as error:
            raise WeightsCorruptError(f"{member.name} is what was installed, but cannot be used: {error.message}",
                                      error.hint, model=member.name) from error
    return opening.Opened(all(one.opened for one in found), tuple(dict.fromkeys(n for one in found for n in one.notes)))


def _import(args: argparse.Namespace) -> int:
    from .importing import import_from

    notes: list[str] = []
    where = import_from(args.path, args.name, accept_licence=args.accept_licence, tell=notes.append)
    print("\n".join([f"{entry(args.name).name} is installed in {where}", *notes]))
    return EXIT_DONE


def _remove(args: argparse.Namespace) -> int:
    for name in args.names:
        print(f"{entry(name).name}: removed, {table.bytes_text(store.remove(name))} freed")
    return EXIT_DONE


class _TextReporter:
    """Progress for people: one line that is rewritten on a terminal, a line every ten percent elsewhere."""

    def __init__(self, stream) -> None:
        self._stream, self._last, self._name = stream, -1, ""

    def begin(self, model: Model) -> None:
        self._name, self._last = model.name, -1
        host = urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname or _DEFAULT_HOST
        self.note(f"{model.name}: {table.size_text(model)} from {host} to {store.models_dir()}")

    def progress(self, done_bytes: int, total_bytes: int, file: str) -> None:
        percent = int(100 * done_bytes / total_bytes) if total_bytes else 100
        step = 1 if self._stream.isatty() else 10
        if percent // step != self._last // step:
            end = "\r" if step == 1 and percent < 100 else "\n"
            self._stream.write(f"{self._name}: {percent:3d} % of {table.bytes_text(total_bytes)}{end}")
            self._stream.flush()
        self._last = percent

    def done(self, model: Model, where: Path) -> None:
        self.note(f"{model.name}: installed, every checksum agrees.")

    def error(self, error: KneePipelineError) -> None:
        """The command line prints errors itself."""

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class _EventReporter(_TextReporter):
    """Progress for programs: the event protocol's line format, at most five lines a second."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._next_s = 0.0

    def begin(self, model: Model) -> None:
        self._name = model.name
        self._send(event="model", model=model.name, state="downloading")

    def progress(self, done_bytes: int, total_bytes: int, file: str) -> None:
        if time.monotonic() >= self._next_s or done_bytes == total_bytes:
            self._next_s = time.monotonic() + 0.2
            self._send(event="model", model=self._name, state="downloading", file=file, done_bytes=done_bytes,
                       total_bytes=total_bytes, fraction=round(done_bytes / total_bytes, 4) if total_bytes else 1.0)

    def done(self, model: Model, where: Path) -> None:
        self._send(event="model", model=model.name, state=store.state(model.name), fraction=1.0)

    def error(self, error: KneePipelineError) -> None:
        self._send(event="error", **error.to_dict())

    def note(self, text: str) -> None:
        self._send(event="warning", code="NOTE", message=text)

    def _send(self, **fields: object) -> None:
        print(json.dumps({"v": 1, **fields}), file=self._stream, flush=True)
