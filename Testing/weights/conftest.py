"""A private home, a quiet environment and no way out but 127.0.0.1 for every test of the weights."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from KneePipelineLib.weights import entries, hub, opening
from Testing.weights.downloads import CORONAL, DOSMA
from Testing.weights.loopback_hub import LoopbackHub

_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY",
              "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """KNEEPIPELINE_HOME in a temporary folder; no proxy, token or hub setting of this machine counts."""
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(folder))
    monkeypatch.setattr(hub, "FIRST_WAIT_S", 0.01)
    return folder


@pytest.fixture(autouse=True)
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests' models are random bytes, which no run could open; what opens is the business of `test_opening`."""
    monkeypatch.setattr(opening, "check", lambda model, folder: opening.Opened(True))


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection elsewhere fails the test."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            raise AssertionError(f"a test reached out to {address[0]}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def hub_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """huggingface_hub without this machine's login; skipped where the private environment is not at hand."""
    library = pytest.importorskip("huggingface_hub")
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "stored_tokens"))
    yield library
    library.close_session()


@pytest.fixture
def use_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that edits a copy of the shipped catalogue and puts it in its place for this test."""

    def use(edit) -> None:
        document = json.loads(entries.CATALOGUE_FILE.read_text(encoding="utf-8"))
        edit({model["name"]: model for model in document["models"]})
        path = tmp_path / "catalogue.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        monkeypatch.setattr(entries, "CATALOGUE_FILE", path)
        entries.catalogue.cache_clear()

    yield use
    monkeypatch.undo()
    entries.catalogue.cache_clear()


@pytest.fixture
def unpinned(use_catalogue) -> None:
    """The shipped catalogue without commits and checksums: the test's own bytes may be downloaded."""

    def edit(models: dict) -> None:
        for model in models.values():
            model["revision"] = None
            for file in model["files"]:
                file["sha256"] = None

    use_catalogue(edit)


@pytest.fixture
def coronal(monkeypatch, unpinned):
    """A hub with one planar network of 200 kB."""
    with LoopbackHub({DOSMA: {"coronal_best_model.h5": CORONAL, "README.md": b"card"}}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
