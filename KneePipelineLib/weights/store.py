"""Where installed models lie, what is known of them, and whether they are intact.

``<home>/models/<name>/`` holds one model and ``receipt.json``: where it came from, which commit, which licence was
accepted when, and the SHA-256 of every file. Installing is one rename of a finished folder, so a model is there
entirely or not at all. Never in the extension's own folder, which an update would wipe.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import ConfigError, WeightsCorruptError
from ..system.atomic import replace, write_json
from . import layouts
from .checksums import ChecksumCache
from .entries import Model, catalogue, entry
from .failures import WeightsMissingError, folder_errors
from .locks import model_lock

RECEIPT = "receipt.json"
INSTALLED, NOT_INSTALLED, INTERRUPTED, DAMAGED = "installed", "not installed", "interrupted", "damaged"
BUNDLED, NOT_IN_BUILD, INCOMPLETE = "bundled", "not in this build", "incomplete"
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class InstalledFile:
    """One file of an installed model: path relative to its folder, bytes, SHA-256."""

    path: str
    size_bytes: int
    sha256: str


def models_dir() -> Path:
    """The folder of all installed models: ``environment.home() / "models"`` (not created here)."""
    from ..environment import home

    return Path(home()) / "models"


def folder_of(model: Model) -> Path:
    """The folder of one model, whether it exists or not."""
    if model.source.type == "package":
        return _PACKAGE / model.source.path
    return models_dir() / model.name


def partial_folder_of(model: Model) -> Path:
    """Where a download or import is put together before it is renamed into place (same file system)."""
    return models_dir() / ".partial" / model.name


def mending_command(model: Model) -> str:
    """The command that brings a damaged or missing model back."""
    if model.source.type == "package":
        return "install KneePipeline again"
    if model.source.type == "import" or (read_receipt(model) or {}).get("origin") == "import":
        return f"python3 -m KneePipelineLib models import {model.name} PATH"
    return f"python3 -m KneePipelineLib models download {model.name}"


def adopting_command(model: Model) -> str:
    """The command that takes over files which somebody copied into the models' folder."""
    terms = " --accept-licence" if model.restricted else ""
    return f"python3 -m KneePipelineLib models import {model.name}{terms}"


def read_receipt(model: Model) -> dict | None:
    """The receipt of an installed model, None when there is none or it is unreadable."""
    try:
        receipt = json.loads((folder_of(model) / RECEIPT).read_text(encoding="utf-8"))
        [InstalledFile(**file) for file in receipt["files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return receipt


def now_utc() -> str:
    """This moment as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def state(name: str) -> str:
    """One word or two on a model, without reading its weights.

    ``installed``, ``not installed``, ``interrupted`` (a download can be continued), ``damaged`` (a file is missing or
    has another size), ``bundled``, ``not in this build`` (bundled network absent), ``incomplete`` (a consensus some
    of whose members are installed).
    """
    model = entry(name)
    if model.source.type == "virtual":
        states = [state(needed) for needed in model.needs]
        if all(one == INSTALLED for one in states):
            return INSTALLED
        return INCOMPLETE if any(one == INSTALLED for one in states) else NOT_INSTALLED
    if model.source.type == "package":
        return BUNDLED if _bundled_files(model) else NOT_IN_BUILD
    folder = folder_of(model)
    if folder.is_dir():
        receipt = read_receipt(model)
        intact = receipt is not None and all(
            (folder / file["path"]).is_file() and (folder / file["path"]).stat().st_size == file["size_bytes"]
            for file in receipt["files"])
        return INSTALLED if intact else DAMAGED
    return INTERRUPTED if partial_folder_of(model).is_dir() else NOT_INSTALLED


def location(name: str) -> Path:
    """The folder or file to open for a model, after its files were checked against the receipt.

    Planar: the .h5 file; all others: the model's folder. Checksums are remembered by size and time, so this is quick.

    Raises
    ------
    WeightsMissingError
        Not installed, or not in this build.
    WeightsCorruptError
        E_HARD_003: a file is missing or its content has changed.
    ConfigError
        The model is a consensus; ask :func:`locations`.
    """
    model = entry(name)
    if model.source.type == "virtual":
        raise ConfigError(f"{model.name} has no files of its own.", f"It is made of {', '.join(model.needs)}.")
    _checked(model, fresh=False)
    return folder_of(model) / layouts.entry_point(model)


def locations(name: str) -> dict[str, Path]:
    """:func:`location` of every model that ``name`` consists of: itself, or the members of a consensus."""
    model = entry(name)
    members = model.needs if model.source.type == "virtual" else (model.name,)
    return {member: location(member) for member in members}


def verify(name: str, progress: Callable[[int, int, str], None] | None = None) -> list[InstalledFile]:
    """Read every byte of a model and compare with its receipt; returns the files that were checked.

    ``progress(bytes_done, bytes_total, file)`` is called after each file. Errors as for :func:`location`.
    """
    model = entry(name)
    members = model.needs if model.source.type == "virtual" else (model.name,)
    return [file for member in members for file in _checked(entry(member), fresh=True, progress=progress)]


def remove(name: str) -> int:
    """Delete a model with its receipt and everything half-downloaded; returns the bytes freed.

    Raises ConfigError for the bundled network and WeightsMissingError when there is nothing to remove.
    """
    model = entry(name)
    if model.source.type == "package":
        raise ConfigError("The bundled network is a part of KneePipeline and is not removed by itself.",
                          "Remove the extension instead.")
    if model.source.type == "virtual":
        raise ConfigError(f"{model.name} has no files of its own.", f"Remove {', '.join(model.needs)}.")
    found = [folder for folder in (folder_of(model), partial_folder_of(model)) if folder.exists()]
    if not found:
        raise WeightsMissingError(f"The model {model.name} is not installed.", "There is nothing to remove.")
    with folder_errors(model.name), model_lock(models_dir(), model.name):
        freed_bytes = sum(path.stat().st_size for folder in found for path in folder.rglob("*") if path.is_file())
        for folder in found:
            _discard(folder)
        _cache_file(model).unlink(missing_ok=True)
    return freed_bytes


def install(model: Model, prepared: Path, receipt: dict) -> Path:
    """Move a finished folder into place together with its receipt; an older version goes only then."""
    files = [InstalledFile(**file) for file in receipt["files"]]
    write_json(prepared / RECEIPT, receipt)
    folder = folder_of(model)
    if folder.exists():
        _discard(folder)
    replace(prepared, folder)
    cache = ChecksumCache(_cache_file(model))
    for file in files:  # the files were hashed a moment ago
        cache.remember(folder, file.path, file.sha256)
    cache.save()
    return folder / layouts.entry_point(model)


def accepted_licence(model: Model) -> str | None:
    """When the terms of this model were accepted (ISO 8601), from the receipt; None when never."""
    return ((read_receipt(model) or {}).get("licence") or {}).get("accepted")


def find_file(sha256: str) -> Path | None:
    """An installed file with this content, whatever model it belongs to; verified by reading it."""
    for model in catalogue().values():
        for file in (read_receipt(model) or {}).get("files", ()):
            path = folder_of(model) / file["path"]
            if file["sha256"] == sha256 and path.is_file():
                with contextlib.suppress(OSError):
                    if ChecksumCache(_cache_file(model)).sha256(folder_of(model), file["path"], fresh=True) == sha256:
                        return path
    return None


def describe(path: str, folder: Path) -> dict:
    """One file of a receipt, computed from the file itself."""
    from .checksums import sha256_of

    return asdict(InstalledFile(path, (folder / path).stat().st_size, sha256_of(folder / path)))


def _checked(model: Model, *, fresh: bool, progress: Callable[[int, int, str], None] | None = None,
             ) -> list[InstalledFile]:
    expected = _expected_files(model)
    folder, cache = folder_of(model), ChecksumCache(_cache_file(model))
    total_bytes, done_bytes = sum(file.size_bytes for file in expected), 0
    checked = []
    for file in expected:
        try:
            size_bytes = (folder / file.path).stat().st_size
            found = cache.sha256(folder, file.path, fresh=fresh)
        except OSError as error:
            raise _corrupt(model, file.path, "cannot be read") from error
        if file.sha256 and (size_bytes != file.size_bytes or found != file.sha256):
            raise _corrupt(model, file.path, "is not what was installed: its checksum differs")
        checked.append(InstalledFile(file.path, size_bytes, found))
        done_bytes += size_bytes
        if progress:
            progress(done_bytes, total_bytes, file.path)
    cache.save()
    return checked


def _expected_files(model: Model) -> list[InstalledFile]:
    if model.source.type == "package":
        files = _bundled_files(model)
        if not files:
            raise WeightsMissingError(f"The {model.title.lower()} is not in this build of KneePipeline.",
                                      "Choose another model: python3 -m KneePipelineLib models list")
        return files
    if not folder_of(model).is_dir():
        raise WeightsMissingError(f"The model {model.name} is not installed.", f"Run: {mending_command(model)}")
    receipt = read_receipt(model)
    if receipt is None:
        raise WeightsCorruptError(
            f"The files of {model.name} lie in the models' folder without a readable receipt, as when they were copied "
            "by hand: nobody has checked them yet.",
            f"Check and take them over with: {adopting_command(model)}", model=model.name, file=RECEIPT)
    return [InstalledFile(**file) for file in receipt["files"]]


def _bundled_files(model: Model) -> list[InstalledFile]:
    """The files of the bundled network: those of the catalogue, or, where it names none, those of its layout."""
    folder = folder_of(model)
    if model.files:
        present = any((folder / file.path).is_file() for file in model.files)
        return [InstalledFile(file.path, file.size_bytes or 0, file.sha256 or "") for file in model.files if present]
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    with contextlib.suppress(layouts.ImportRefusedError):
        plan = layouts.plan(model, names, folder.name, lambda name: (folder / name).read_bytes())
        return [InstalledFile(name, (folder / name).stat().st_size, "") for name in sorted(plan.values())]
    return []


def _corrupt(model: Model, path: str, what: str) -> WeightsCorruptError:
    return WeightsCorruptError(f"The weights of {model.name} are damaged: {path} {what}.",
                               f"Mend it with: {mending_command(model)}", model=model.name, file=path)


def _cache_file(model: Model) -> Path:
    return models_dir() / ".checksums" / f"{model.name}.json"


def _discard(folder: Path) -> None:
    """Delete a folder in one visible step: a half-deleted model must never look like a whole one."""
    doomed = models_dir() / ".partial" / f".removing-{folder.name}-{os.getpid()}"
    doomed.parent.mkdir(parents=True, exist_ok=True)
    replace(folder, doomed)
    shutil.rmtree(doomed, ignore_errors=True)
