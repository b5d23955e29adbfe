"""Download a model: terms, room on the disk, bytes, checksums, and only then into place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .. import __version__
from ..errors import ConfigError, WeightsCorruptError
from ..system.atomic import replace
from . import contents, layouts, opening, store
from .checksums import git_blob_sha1_of, sha256_of
from .entries import Model, entry
from .failures import DiskSpaceError, ImportRefusedError, LicenceNotAcceptedError, NotOnHubError, folder_errors
from .hub import Hub, RemoteFile, RemoteRepository
from .locks import model_lock

SPARE_BYTES = 256 << 20  # left free on the disk
Progress = Callable[[int, int, str], None]


def download(name: str, *, progress: Progress | None = None, accept_licence: bool = False,
             revision: str | None = None) -> Path:
    """Fetch a model and return what :func:`~KneePipelineLib.weights.location` returns.

    An interrupted download is continued; files of an installed version that are still right are kept, so this also
    mends a damaged model. A consensus fetches its members and returns the folder of all models.

    Parameters
    ----------
    name : str
        A name or alias of the catalogue.
    progress : callable, optional
        Called with (bytes done, bytes in all, file) as they arrive; may raise to cancel, what arrived is kept.
    accept_licence : bool
        The person accepts the terms on the model's page. An acceptance on record from an earlier download counts too.
    revision : str, optional
        Another commit, tag or branch than the catalogue's.

    Raises
    ------
    LicenceNotAcceptedError
        The terms were never accepted.
    WeightsCorruptError
        E_HARD_003: twice in a row the content did not have the recorded checksum. Nothing is installed.
    DownloadError
        One of its kinds, see :mod:`KneePipelineLib.weights.failures`.
    ConfigError
        The model cannot be downloaded (bundled, import only).
    """
    model = entry(name)
    if model.source.type == "virtual":
        for member in model.needs:
            if store.state(member) != store.INSTALLED:
                download(member, progress=progress, accept_licence=accept_licence, revision=revision)
        return store.models_dir()
    _check_downloadable(model)
    accepted = store.accepted_licence(model) or (store.now_utc() if accept_licence else None)
    if model.needs_acceptance and not accepted:
        raise LicenceNotAcceptedError(
            f"The terms of {model.name} have not been accepted (licence: {model.licence}).",
            f"Read {model.page}, then run: python3 -m KneePipelineLib models download {model.name} --accept-licence",
            page=model.page)
    with folder_errors(model.name), model_lock(store.models_dir(), model.name):
        return _download(model, Hub(model), revision or model.revision, accepted, progress)


def _check_downloadable(model: Model) -> None:
    if model.source.type == "package":
        raise ConfigError("The bundled network comes with KneePipeline and is not downloaded.",
                          "" if store.state(model.name) == store.BUNDLED else "It is not in this build.")
    if model.source.type == "import":
        raise ConfigError(
            f"{model.name} cannot be downloaded by us: its authors state no licence.",
            f"Fetch {model.source.origin} yourself, then run: "
            f"python3 -m KneePipelineLib models import {model.name} PATH")


def _download(model: Model, hub: Hub, revision: str | None, accepted: str | None, progress: Progress | None) -> Path:
    repository = hub.repository(revision)
    wanted = _wanted(model, repository)
    wanted = {target: hub.completed(file, repository.commit) for target, file in wanted.items()}
    _check_against_catalogue(model, wanted, repository.commit)
    partial = store.partial_folder_of(model)
    partial.mkdir(parents=True, exist_ok=True)
    _drop_strangers(partial, wanted)
    missing = {target: file for target, file in wanted.items() if not _reuse(file, partial / target)}
    _check_space(model, partial, missing)

    total_bytes = sum(file.size_bytes for file in wanted.values())
    done_bytes = total_bytes - sum(file.size_bytes for file in missing.values())
    for target, file in missing.items():
        before_bytes = done_bytes

        def report(file_bytes: int, target: str = target, before_bytes: int = before_bytes) -> None:
            if progress:
                progress(before_bytes + file_bytes, total_bytes, target)

        _fetch_checked(model, hub, repository.commit, file, partial / target, report)
        done_bytes += file.size_bytes
    if progress:
        progress(total_bytes, total_bytes, "")
    try:
        contents.check_content(model, partial, wanted)
        opening.check(model, partial)
    except ImportRefusedError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise WeightsCorruptError(f"{model.name} was not installed: {error.message}", f"See {model.page}.",
                                  model=model.name) from error
    return store.install(model, partial, _receipt(model, hub, repository, partial, wanted, accepted))


def _wanted(model: Model, repository: RemoteRepository) -> dict[str, RemoteFile]:
    """Installed path -> the hub's file, for exactly the files that the model needs."""
    names = layouts.select(repository.files, model.source.patterns)
    try:
        chosen = layouts.plan(model, names)
    except ImportRefusedError as error:
        raise NotOnHubError(f"The repository of {model.name} no longer has the files that are expected there.",
                            f"See {model.page}; give --revision if an older commit has them.",
                            cause=error.message) from error
    return {target: repository.files[name] for target, name in chosen.items()}


def _check_against_catalogue(model: Model, wanted: dict[str, RemoteFile], commit: str) -> None:
    """At the pinned commit the hub must say what the catalogue says; otherwise somebody changed something."""
    for target, file in wanted.items():
        published = model.sha256_of(target)
        if published and commit == model.revision and file.sha256 != published:
            raise WeightsCorruptError(
                f"{model.name} was not downloaded: the hub offers another {target} than the one that was published.",
                f"See {model.page}; if the authors replaced it on purpose, give --revision main.",
                model=model.name, file=target)


def _drop_strangers(partial: Path, wanted: dict[str, RemoteFile]) -> None:
    """Remove leftovers of another revision, so that only what was asked for can be installed."""
    keep = {partial / target for target in wanted} | {_part(partial / target, file) for target, file in wanted.items()}
    for path in sorted(partial.rglob("*")):
        if path.is_symlink() or (path.is_file() and path not in keep):
            path.unlink()


def _reuse(file: RemoteFile, target: Path) -> bool:
    """Whether the right content is there already, from an earlier attempt or in an installed model."""
    if target.is_file() and _is_right(file, target):
        return True
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    twin = store.find_file(file.sha256) if file.sha256 else None
    if twin is None:
        return False
    try:
        os.link(twin, target)
    except OSError:
        shutil.copyfile(twin, target)
    return True


def _check_space(model: Model, partial: Path, missing: dict[str, RemoteFile]) -> None:
    parts = [(_part(partial / target, file), file.size_bytes) for target, file in missing.items()]
    needed = sum(size_bytes - (part.stat().st_size if part.is_file() else 0) for part, size_bytes in parts)
    free = shutil.disk_usage(partial).free
    if missing and needed + SPARE_BYTES > free:
        raise DiskSpaceError(
            f"{model.name} needs {(needed + SPARE_BYTES) / 1e9:.1f} GB on the disk of the models' folder, where "
            f"{free / 1e9:.1f} GB are free.", "Free some space, or set KNEEPIPELINE_HOME to another disk.",
            needed_bytes=needed, free_bytes=free)


def _fetch_checked(model: Model, hub: Hub, commit: str, file: RemoteFile, target: Path,
                   report: Callable[[int], None]) -> None:
    part = _part(target, file)
    for _attempt in range(2):  # a part begun long ago may be to blame, so a wrong file is fetched once more, whole
        hub.fetch(file, commit, part, report)
        if _is_right(file, part):
            replace(part, target)
            return
        part.unlink()
    raise WeightsCorruptError(
        f"{model.name} was not installed: {file.path} arrived with another checksum than the hub records.",
        f"Try again: python3 -m KneePipelineLib models download {model.name}", model=model.name, file=file.path)


def _is_right(file: RemoteFile, path: Path) -> bool:
    if path.stat().st_size != file.size_bytes:
        return False
    return sha256_of(path) == file.sha256 if file.sha256 else git_blob_sha1_of(path) == file.git_sha1


def _part(target: Path, file: RemoteFile) -> Path:
    """The part file bears the content's checksum, so that parts of two revisions are never joined."""
    return target.with_name(f"{(file.sha256 or file.git_sha1 or '')[:16]}.part")


def _receipt(model: Model, hub: Hub, repository: RemoteRepository, partial: Path, wanted: dict[str, RemoteFile],
             accepted: str | None) -> dict:
    files = []
    for target, file in sorted(wanted.items()):
        known = {"path": target, "size_bytes": file.size_bytes, "sha256": file.sha256}
        files.append(known if file.sha256 else store.describe(target, partial))
    return {
        "format": 1, "model": model.name, "origin": "hub", "host": hub.host, "repo": repository.repo,
        "revision": repository.commit, "installed": store.now_utc(), "kneepipeline": __version__,
        "licence": {"text": model.licence, "stated_by_hub": repository.licence, "page": model.page,
                    "accepted": accepted},
        "files": files,
    }
