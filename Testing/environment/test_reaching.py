"""Set up behind firewalls and proxies, and with too little memory: the cause is told, not what followed from it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from KneePipelineLib.environment import checks, reaching
from KneePipelineLib.environment.installing import Installer
from KneePipelineLib.environment.pip_configuration import PipConfiguration
from KneePipelineLib.environment.running import Outcome
from KneePipelineLib.system import memory
from Testing.environment.fakes import FakeWorld

NOBODY = "http://127.0.0.1:9/simple"


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "")


@pytest.fixture
def server() -> Iterator[tuple[str, type]]:
    class Handler(http.server.BaseHTTPRequestHandler):
        status = 200

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(self.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_CONNECT = do_GET

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        threading.Thread(target=it.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{it.server_address[1]}", Handler
        it.shutdown()


@pytest.mark.parametrize(("status", "words"), [(200, ""), (404, ""), (401, "asks for a login"), (403, "forbidden"),
                                               (407, "the proxy asks for a login")])
def test_an_index_that_answers(server: tuple[str, type], status: int, words: str) -> None:
    address, handler = server
    handler.status = status
    found = reaching.why_not(PipConfiguration(index_url=address))
    assert (words in found) if words else found == ""


def test_a_proxy_that_asks_for_a_login(server: tuple[str, type]) -> None:
    address, handler = server
    handler.status = 407
    assert "proxy asks for a login (407)" in reaching.why_not(PipConfiguration(proxy=address))


@pytest.mark.parametrize(("configuration", "words"), [
    (PipConfiguration(index_url=NOBODY), "connection refused"),
    (PipConfiguration(proxy="http://127.0.0.1:9"), "connection refused"),
    (PipConfiguration(index_url="https://nowhere.invalid/simple"), "is not known here")])
def test_an_index_out_of_reach(configuration: PipConfiguration, words: str) -> None:
    found = reaching.why_not(configuration)
    assert words in found
    assert "HTTPS_PROXY" in found


def test_without_an_index_nothing_is_asked() -> None:
    assert reaching.why_not(PipConfiguration(index_url=NOBODY, no_index=True)) == ""
    assert reaching.why_not(PipConfiguration(index_url="file:///srv/simple")) == ""


def test_another_trouble_is_not_blamed_on_the_network() -> None:
    configuration = PipConfiguration(index_url=NOBODY)
    assert reaching.why_not(configuration, "ERROR: [Errno 28] No space left on device") == ""
    assert reaching.why_not(configuration, "ERROR: No matching distribution found for torch==2.13.0+cpu") != ""


def test_a_certificate_is_named_by_the_installer() -> None:
    found = reaching.why_not(PipConfiguration(index_url=NOBODY), "SSLError(SSLCertVerificationError(1, "
                             "'[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate")
    assert "certificate of 127.0.0.1 is not trusted" in found


def test_set_up_without_a_network_says_so(world: FakeWorld, installer: str) -> None:
    """pip's last word then is that the package has no versions."""
    answer = world.call(f"E.setup(options(installer={installer!r}))", installer, PIP_NO_INDEX="", PIP_FIND_LINKS="",
                        PIP_INDEX_URL=NOBODY, PIP_RETRIES="0", UV_HTTP_RETRIES="0", no_proxy="*")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "The package index 127.0.0.1 cannot be used: connection refused." in answer.stdout
    assert "Could not find a version" not in answer.stdout


@pytest.mark.parametrize("said", [
    "ImportError: libfoo.so: failed to map segment from shared object",
    "OpenBLAS error: Memory allocation still failed after 10 attempts, giving up.", "MemoryError",
    "memory allocation of 262144 bytes failed"])
def test_want_of_memory_is_told_as_that(said: str, tmp_path: Path) -> None:
    assert checks.probe_problem({"imports": {"numpy": said}}) == memory.sentence()
    assert Installer(None, tmp_path, tmp_path / "log").problem(Outcome(1, (said,))) == memory.sentence()


def test_a_killed_installer_lacked_memory(tmp_path: Path) -> None:
    assert Installer(None, tmp_path, tmp_path / "log").problem(Outcome(137, ())) == memory.sentence()


def test_a_probe_that_dies_for_want_of_memory(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'OpenBLAS error: Memory allocation still failed' >&2; echo more >&2; exit 1\n")
    python.chmod(0o755)
    assert checks.probe_problem(checks.run_probe(python, ["numpy"])) == memory.sentence()
