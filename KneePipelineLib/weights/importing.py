"""Import a model from a folder, a zip or a single file, for machines without network.

Only the files that the model's layout names are copied; programs among them are neither copied nor run. An archive
that tries anything (a path outside, a link, a bomb) is refused as a whole.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .. import __version__
from ..errors import MissingFileError
from . import contents, layouts, opening, store
from .entries import Model, catalogue, entry
from .failures import DiskSpaceError, ImportRefusedError, LicenceNotAcceptedError, folder_errors
from .locks import model_lock

MAX_FILES = 20_000
MAX_BYTES = 16 << 30
MAX_RATIO = 200  # weights hardly compress; a file that unpacks to more than this many times its size is a bomb
_RATIO_FROM_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Source:
    """A folder, archive or file as a list of names with sizes and a way to open one of them."""

    root_name: str
    sizes: dict[str, int]
    open: Callable[[str], BinaryIO]

    def small(self, name: str) -> bytes:
        """A small file's content, at most a byte more than any table of a model has."""
        with damaged_archive(name), self.open(name) as stream:
            return stream.read(layouts.MAX_JSON_BYTES + 1)


def import_from(path: str | Path | None, name: str, *, accept_licence: bool = False,
                progress: Callable[[int, int, str], None] | None = None,
                tell: Callable[[str], None] | None = None) -> Path:
    """Copy a model from ``path`` (folder, .zip or .h5) into the models' folder, after it was opened as a run opens it.

    Parameters
    ----------
    path : path
        What somebody brought along: an nnU-Net results folder (the Dataset folder, one above or the trainer folder),
        a planar network's .h5, a shape model's or BScore's folder, or a zip of any of them. None takes what somebody
        put into the models' folder by hand.
    name : str
        Which model of the catalogue it is.
    accept_licence : bool
        Needed for gated and non-commercial models: the person accepts the terms on the model's page.
    progress : callable, optional
        Called with (bytes done, bytes in all, file).
    tell : callable, optional
        Called with what whoever uses the model should know.

    Returns
    -------
    Path
        As :func:`~KneePipelineLib.weights.location`.

    Raises
    ------
    ImportRefusedError
        Not this model, damaged, not to be opened by a run, or an unsafe archive. Nothing is changed.
    MissingFileError, LicenceNotAcceptedError, DiskSpaceError, ModelBusyError
    """
    model = entry(name)
    if model.source.type == "package":
        raise ImportRefusedError("The bundled network comes with KneePipeline and is not imported.",
                                 "Import a network under one of the other names.")
    accepted = store.accepted_licence(model) or (store.now_utc() if accept_licence else None)
    if model.restricted and not accepted:
        raise LicenceNotAcceptedError(
            f"The terms of {model.name} have not been accepted (licence: {model.licence}).",
            f"Read {model.page}, then give --accept-licence.", page=model.page)
    with _opened(_put_by_hand(model) if path is None else Path(path)) as source:
        plan = layouts.plan(model, source.sizes, source.root_name, source.small)
        with folder_errors(model.name), model_lock(store.models_dir(), model.name):
            return _copy(model, source, plan, accepted, progress, tell)


def _put_by_hand(model: Model) -> Path:
    """The model's own folder, where it has files but no receipt."""
    folder = store.folder_of(model)
    if not folder.is_dir() or store.read_receipt(model) is not None:
        raise MissingFileError(f"No files of {model.name} were put into the models' folder by hand.",
                               "Give the PATH of the folder, zip or file to import.")
    return folder


def _copy(model: Model, source: _Source, plan: dict[str, str], accepted: str | None,
          progress: Callable[[int, int, str], None] | None, tell: Callable[[str], None] | None) -> Path:
    total_bytes, done_bytes = sum(source.sizes[name] for name in plan.values()), 0
    prepared = store.models_dir() / ".partial" / f".importing-{model.name}-{os.getpid()}"
    shutil.rmtree(prepared, ignore_errors=True)
    prepared.mkdir(parents=True)
    try:
        free = shutil.disk_usage(prepared).free
        if total_bytes > free:
            raise DiskSpaceError(f"{model.name} needs {total_bytes / 1e9:.1f} GB on the disk of the models' folder, "
                                 f"where {free / 1e9:.1f} GB are free.", "Free some space.", needed_bytes=total_bytes)
        for target, name in plan.items():
            _copy_file(source, name, prepared / target)
            done_bytes += source.sizes[name]
            if progress:
                progress(done_bytes, total_bytes, target)
        contents.check_content(model, prepared, plan)
        files = [store.describe(target, prepared) for target in sorted(plan)]
        _check_identity(model, plan, files)
        found = opening.check(model, prepared)
        where = store.install(model, prepared, _receipt(model, files, accepted) | {"opened": found.opened})
        for note in found.notes if tell else ():
            tell(note)
        return where
    finally:
        shutil.rmtree(prepared, ignore_errors=True)


@contextmanager
def damaged_archive(name: str) -> Iterator[None]:
    """What zipfile says about an archive's member, as one sentence."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ImportRefusedError(f"The archive is damaged at {name}.", "Copy or download it again.") from error


def _copy_file(source: _Source, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    left_bytes = source.sizes[name]
    with damaged_archive(name), source.open(name) as read, target.open("xb") as write:
        while block := read.read(_BLOCK_BYTES):
            left_bytes -= len(block)
            if left_bytes < 0:
                break
            write.write(block)
    if left_bytes:
        raise ImportRefusedError(f"{name} does not have the size it states.", "Copy or download it again.")


def _check_identity(model: Model, plan: dict[str, str], files: list[dict]) -> None:
    """Refuse a file that the catalogue knows as another model's; one's own network under this name is welcome."""
    for file in files:
        for other in catalogue().values():
            same = any(known.sha256 == file["sha256"] for known in other.files if known.sha256)
            if same and other.name != model.name and file["sha256"] != model.sha256_of(file["path"]):
                raise ImportRefusedError(f"This is the model {other.name}, not {model.name}.",
                                         f"Import it as {other.name}.")
        name = Path(plan[file["path"]]).name
        named = next((other for other in catalogue().values() if other.kind == "planar" == model.kind
                      and other.files[0].path == name), model)
        if named.name != model.name and file["sha256"] != model.sha256_of(file["path"]):
            raise ImportRefusedError(f"The file {name} is the model {named.name}, not {model.name}.",
                                     f"Import it as {named.name}.")


def _receipt(model: Model, files: list[dict], accepted: str | None) -> dict:
    known = [model.sha256_of(file["path"]) for file in files]
    published = None if not any(known) else all(
        digest is None or digest == file["sha256"] for digest, file in zip(known, files, strict=True))
    return {
        "format": 1, "model": model.name, "origin": "import", "revision": None, "installed": store.now_utc(),
        "kneepipeline": __version__, "as_published": published,
        "licence": {"text": model.licence, "stated_by_hub": None, "page": model.page, "accepted": accepted},
        "files": files,
    }


@contextmanager
def _opened(path: Path):
    if path.is_dir():
        yield _folder(path)
    elif not path.is_file():
        raise MissingFileError("The folder or file to import does not exist.", "Check the path.")
    elif zipfile.is_zipfile(path) and path.suffix.lower() not in (".pth", ".pt"):
        with damaged_archive("its table of contents"):
            archive = zipfile.ZipFile(path)
        with archive:
            yield _Source(path.stem, _checked_archive(archive), archive.open)
    elif path.suffix.lower() in (".h5", ".hdf5"):
        yield _Source("", {path.name: path.stat().st_size}, lambda _name: path.open("rb"))
    else:
        raise ImportRefusedError("This file is neither a zip nor an HDF5 network.",
                                 "Give a folder, a .zip or an .h5 file.")


def _folder(path: Path) -> _Source:
    """Files below a folder; linked files count (the hub's own cache is made of them), linked folders do not."""
    sizes: dict[str, int] = {}
    for parent, _folders, files in os.walk(path):
        for file in files:
            full = Path(parent) / file
            name = full.relative_to(path).as_posix()
            if full.is_file() and layouts.is_safe(name):
                sizes[name] = full.stat().st_size
        if len(sizes) > MAX_FILES:
            raise ImportRefusedError(f"The folder holds more than {MAX_FILES} files.", "Give the model's own folder.")
    return _Source(path.resolve().name, sizes, lambda name: (path / name).open("rb"))


def _checked_archive(archive: zipfile.ZipFile) -> dict[str, int]:
    """Names and sizes of an archive's files; ImportRefusedError when any member is not a plain file inside it."""
    members = archive.infolist()
    if len(members) > MAX_FILES:
        raise ImportRefusedError(f"The archive holds more than {MAX_FILES} files.", "Pack only the model's folder.")
    sizes: dict[str, int] = {}
    for member in members:
        name = member.filename.rstrip("/")
        # `orig_filename` is what the archive really says: zipfile mends some names silently.
        if not layouts.is_safe(name) or "\\" in member.orig_filename or "\0" in member.orig_filename:
            raise ImportRefusedError("The archive names a path outside itself or one that not every system knows.",
                                     "Do not use it unless you know who made it.")
        mode = member.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ImportRefusedError("The archive contains a link or a device.", "Pack the files themselves.")
        if member.flag_bits & 0x1:
            raise ImportRefusedError("The archive is encrypted.", "Unpack it and import the folder.")
        if member.is_dir():
            continue
        if name in sizes:
            raise ImportRefusedError("The archive contains one name twice.", "Pack it again.")
        if member.file_size > max(_RATIO_FROM_BYTES, MAX_RATIO * member.compress_size):
            raise ImportRefusedError("The archive unpacks to many times its size.",
                                     "Do not use it unless you know who made it.")
        sizes[name] = member.file_size
    if sum(sizes.values()) > MAX_BYTES:
        raise ImportRefusedError(f"The archive unpacks to more than {MAX_BYTES >> 30} GiB.",
                                 "Pack only the model's folder.")
    return sizes
