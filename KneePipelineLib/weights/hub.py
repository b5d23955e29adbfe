"""Talking to a Hugging Face hub: what it holds, and the bytes of one file, resumable.

huggingface_hub 2 gives the session (proxies, certificates, offline mode), the token from its usual places, the record
of a repository and the meaning of its refusals. It no longer keeps what a broken download left behind, so the bytes of
a file are streamed here: appended to one part file, continued with a Range request (RFC 9110, section 14) after a cut,
a stall or a new start of the program.

Environment variables honoured: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HOME, HTTP(S)_PROXY, NO_PROXY, SSL_CERT_FILE.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .. import __version__
from .entries import Model
from .failures import OfflineError
from .refusals import NO_HUB, explain, explain_other_content, explain_unreachable

CONNECT_TIMEOUT_S = 15.0
STALL_TIMEOUT_S = 30.0  # without a single byte
ATTEMPTS = 6  # in a row without progress
STALLED_ATTEMPTS = 3  # the same, where each of them stood still: what is blocked does not come by waiting
CONNECT_ATTEMPTS = 3  # as long as nothing at all has arrived: most likely there is no network
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 20.0
_TRANSIENT_STATUS = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RemoteFile:
    """The hub's record of one file: path, bytes, and SHA-256 (large files) or git's SHA-1 (small ones)."""

    path: str
    size_bytes: int
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True)
class RemoteRepository:
    """One commit of a repository: its id, the licence its card states (None: none) and its files."""

    repo: str
    commit: str
    licence: str | None
    files: dict[str, RemoteFile]


class Hub:
    """One conversation with the hub about one model; build it right before use, it reads the environment then.

    Every method raises only :class:`~KneePipelineLib.weights.failures.DownloadError` and its kinds.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._library = library = _library()
        self.endpoint = (os.environ.get("HF_ENDPOINT") or library.constants.ENDPOINT).rstrip("/")
        if _is_true(os.environ.get("HF_HUB_OFFLINE")) or library.constants.HF_HUB_OFFLINE:
            raise OfflineError(f"{model.name} cannot be downloaded, because HF_HUB_OFFLINE is set.",
                               f"Unset it, or import the files: python3 -m KneePipelineLib models import {model.name} "
                               "PATH")
        library.close_session()  # a session opened earlier would not know of a proxy set since
        self._token = library.get_token()
        self._headers = library.utils.build_hf_headers(token=self._token or False, library_name="KneePipeline",
                                                       library_version=__version__)

    @property
    def host(self) -> str:
        """Host name of the endpoint, for asking and for messages."""
        return urlsplit(self.endpoint).hostname or self.endpoint

    def repository(self, revision: str | None) -> RemoteRepository:
        """The record of the model's repository at ``revision`` (None: its newest commit)."""
        repo = self._model.source.repo
        api = self._library.HfApi(endpoint=self.endpoint, token=self._token or False,
                                  library_name="KneePipeline", library_version=__version__)
        with self._an_answer_of_a_hub():
            info = self._persistently(lambda: api.model_info(repo, revision=revision, files_metadata=True,
                                                             timeout=CONNECT_TIMEOUT_S))
        if not info.sha or info.siblings is None:
            raise explain_unreachable(self._model, self.host, NO_HUB)
        files = {}
        for sibling in info.siblings:
            lfs = sibling.lfs
            files[sibling.rfilename] = RemoteFile(
                sibling.rfilename, (lfs.size if lfs else sibling.size) or 0, lfs.sha256 if lfs else None,
                None if lfs else sibling.blob_id)
        licence = getattr(info.card_data, "license", None)
        return RemoteRepository(repo, info.sha, licence if isinstance(licence, str) else None, files)

    def completed(self, file: RemoteFile, commit: str) -> RemoteFile:
        """The record with a checksum: asked by HEAD where the repository's list had none (some mirrors)."""
        if file.sha256 or file.git_sha1:
            return file
        with self._an_answer_of_a_hub():
            metadata = self._persistently(lambda: self._library.get_hf_file_metadata(
                self._url(file.path, commit), token=self._token or False, timeout=CONNECT_TIMEOUT_S,
                endpoint=self.endpoint))
        etag = metadata.etag or ""
        if len(etag) not in (40, 64):
            raise explain_unreachable(self._model, self.host, "it states no checksum")
        return RemoteFile(file.path, metadata.size or file.size_bytes, etag if len(etag) == 64 else None,
                          etag if len(etag) == 40 else None)

    def fetch(self, file: RemoteFile, commit: str, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Append to ``part`` until it has the file's size; ``on_bytes`` hears how many bytes are there.

        A part that is already there is continued. The content is not checked here.
        """
        url = self._url(file.path, commit)
        if _size_of(part) > file.size_bytes:
            part.unlink()
        while _size_of(part) < file.size_bytes:
            self._persistently(lambda: self._stream(url, file, part, on_bytes), progress=lambda: _size_of(part))

    @contextlib.contextmanager
    def _an_answer_of_a_hub(self) -> Iterator[None]:
        """JSON of a gateway or of a mirror that knows half of the hub's language: the library stumbles over it."""
        try:
            yield
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise explain_unreachable(self._model, self.host, NO_HUB) from error

    def _stream(self, url: str, file: RemoteFile, part: Path, on_bytes: Callable[[int], None]) -> None:
        have = max(0, _size_of(part))
        headers = {**self._headers, "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        http = _http(self._library)
        timeout = http.Timeout(STALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        with self._library.get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
            if have and response.status_code == 416:  # the part is not a beginning of this file
                part.unlink()
                return
            self._library.utils.hf_raise_for_status(response)
            if not _is_of(response, file):
                raise explain_other_content(self._model, urlsplit(str(response.url)).hostname or self.host, file.path)
            continued = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if have and not (response.status_code == 206 and continued):
                have = 0  # the server does not resume: from the beginning
            with part.open("r+b" if have else "wb") as stream:
                stream.seek(have)
                for block in response.iter_bytes():
                    stream.write(block)
                    have += len(block)
                    on_bytes(min(have, file.size_bytes))
                    if have > file.size_bytes:  # not the file of the record: its checksum will say so
                        break
        if have < file.size_bytes:
            raise http.RemoteProtocolError("the connection was closed before the end")

    def _persistently(self, action: Callable[[], object], progress: Callable[[], int] = lambda: 0):
        """Run ``action`` until it succeeds; transient failures are retried with growing waits.

        The count of attempts begins anew whenever ``progress`` has grown: a long file over a bad line gets there.
        """
        http, failed, reached = _http(self._library), 0, progress()
        while True:
            try:
                return action()
            except Exception as error:
                wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** failed)
                failed, reached = (1, progress()) if progress() > reached else (failed + 1, reached)
                unconnected = reached <= 0 and isinstance(error, http.ConnectError | http.ConnectTimeout)
                most = CONNECT_ATTEMPTS if unconnected else (
                    STALLED_ATTEMPTS if isinstance(error, http.ReadTimeout) else ATTEMPTS)
                limit = min(ATTEMPTS, most)
                if not _is_transient(error, http) or failed >= limit:
                    translated = explain(error, self._model, self.host, has_token=bool(self._token), http=http)
                    if translated is None:
                        raise
                    raise translated from error
                time.sleep(max(wait_s, _retry_after_s(error)))

    def _url(self, path: str, commit: str) -> str:
        return self._library.hf_hub_url(self._model.source.repo, path, revision=commit, endpoint=self.endpoint)


def _is_of(response: Any, file: RemoteFile) -> bool:
    """Whether an answer can be the file of the record, by its own headers: a login page comes with status 200, too."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml") and not file.path.lower().endswith((".html", ".htm", ".xhtml")):
        return False
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return True  # the length is that of the packed bytes
    if response.status_code == 206:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return not total.isdecimal() or int(total) == file.size_bytes


def is_available() -> bool:
    """Whether huggingface_hub can be imported here (only inside the private environment)."""
    import importlib.util

    return importlib.util.find_spec("huggingface_hub") is not None


def _library() -> ModuleType:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.utils

    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True  # it may have been imported earlier by someone else
    return huggingface_hub


def _http(library: ModuleType) -> ModuleType:
    """The HTTP library huggingface_hub was built on (httpx2 since 2.0, httpx before): errors and timeouts are its."""
    import importlib

    return importlib.import_module(type(library.get_session()).__module__.partition(".")[0])


def _is_transient(error: Exception, http: ModuleType) -> bool:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return False
    if isinstance(error, http.TimeoutException | http.NetworkError | http.RemoteProtocolError):
        return True
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status in _TRANSIENT_STATUS


def _retry_after_s(error: Exception) -> float:
    """What the server asks us to wait (RFC 9110, 10.2.3, seconds form), at most the longest wait."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(headers.get("Retry-After", 0))))
    except ValueError:
        return 0.0


def _size_of(path: Path) -> int:
    """Size in bytes, -1 where there is no file."""
    return path.stat().st_size if path.exists() else -1


def _is_true(value: str | None) -> bool:
    return (value or "").strip().upper() in ("1", "ON", "YES", "TRUE")
