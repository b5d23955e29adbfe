"""A hub that refuses, fails or cannot be reached: errors, tokens, proxies, certificates, offline."""

from __future__ import annotations

import json

import pytest

from KneePipelineLib import weights
from KneePipelineLib.weights import failures, hub
from Testing.weights.downloads import CORONAL, DOSMA, SHAPE, fetch
from Testing.weights.loopback_hub import LoopbackHub, LoopbackProxy
from Testing.weights.small_models import shape_files

pytestmark = pytest.mark.usefixtures("hub_library")


def test_500_then_fine(coronal):
    coronal.fail_status = [500, 503]
    assert fetch().read_bytes() == CORONAL
    assert len(coronal.seen("GET", "/api/")) == 3


def test_500_for_good(coronal):
    coronal.fail_status = [500] * 50
    with pytest.raises(failures.HubServerError, match="500") as raised:
        fetch()
    assert "continues" in raised.value.hint
    assert len(coronal.requests) == hub.ATTEMPTS


def test_404_repository_revision_and_file(coronal, monkeypatch):
    with pytest.raises(failures.NotOnHubError, match=r"the revision .*404"):
        fetch(revision="f" * 40)
    coronal.repositories = {DOSMA: {"README.md": b"card"}}
    with pytest.raises(failures.NotOnHubError, match="no longer has the files"):
        fetch()
    coronal.repositories = {}
    with pytest.raises(failures.NotOnHubError, match=r"the repository .*404") as raised:
        fetch()
    assert raised.value.code == "FILE_NOT_FOUND"
    assert "https://huggingface.co/aagatti/dosma_bones" in raised.value.hint


@pytest.fixture
def gated(monkeypatch, unpinned):
    files = {**shape_files("647_nsm_femur_v0.0.1"), **shape_files("551_nsm_femur_bone_v0.0.1", 8, 1150)}
    with LoopbackHub({SHAPE: files}, gated=True, granted_token="hf_right") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_gated_without_a_token(gated):
    with pytest.raises(failures.GatedAccessError, match="log in") as raised:
        fetch("shape_647")
    assert "https://huggingface.co/aagatti/ShapeMedKnee" in raised.value.hint
    assert "HF_TOKEN" in raised.value.hint


def test_gated_with_a_token_that_was_not_granted(gated, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(failures.GatedAccessError, match="not been granted") as raised:
        fetch("shape_647")
    assert "https://huggingface.co/aagatti/ShapeMedKnee" in raised.value.hint
    assert "hf_other" not in json.dumps(raised.value.to_dict())


def test_gated_with_the_right_token_from_the_environment(gated, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    where = fetch("shape_647")
    assert sorted(path.relative_to(where).as_posix() for path in where.rglob("*") if path.is_file()) == [
        "model/2000.pth", "model_params_config.json", "receipt.json"]
    assert {one.authorization for one in gated.seen("GET", "/resolve/")} == {"Bearer hf_right"}


def test_token_from_the_cached_login(gated, tmp_path):
    (tmp_path / "token").write_text("hf_right")
    assert (fetch("551_nsm_femur_bone_v0.0.1") / "model" / "1150.pth").is_file()


def test_the_token_stays_with_the_hub(gated, monkeypatch):
    """Large files come from another host, which must not see the token."""
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    with LoopbackHub(gated.repositories) as elsewhere:
        gated.cdn_url = elsewhere.url
        elsewhere.cut_after = [20_000]
        fetch("shape_647")
        assert [one.authorization for one in elsewhere.requests] == [None, None]
        assert elsewhere.requests[1].range == "bytes=20000-"
    assert gated.bodies_sent() == []


@pytest.mark.parametrize("status", [401, 403])
def test_401_and_403_of_the_record(coronal, monkeypatch, status):
    coronal.fail_status = [status]
    with pytest.raises(failures.TokenRefusedError, match="login"):
        fetch()
    coronal.fail_status = [status]
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(failures.TokenRefusedError, match="refused your access token"):
        fetch()


def test_proxy_is_used(coronal, monkeypatch):
    with LoopbackProxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert fetch().read_bytes() == CORONAL
        assert proxy.count >= 2
        assert all(one.via_proxy for one in coronal.requests)


def test_a_proxy_set_since_the_last_download_is_used(coronal, monkeypatch):
    fetch()
    weights.remove("goyal_coronal")
    with LoopbackProxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        fetch()
        assert proxy.count >= 2


def test_proxy_that_wants_a_login(coronal, monkeypatch):
    with LoopbackProxy(refuse_with=407) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(failures.ProxyFailedError, match="407"):
            fetch()
    assert coronal.requests == []


def test_nobody_listens(monkeypatch, unpinned):
    with LoopbackHub({}) as server:
        url = server.url
    monkeypatch.setenv("HF_ENDPOINT", url)
    with pytest.raises(failures.HubUnreachableError, match="no connection") as raised:
        fetch()
    assert "models import goyal_coronal" in raised.value.hint


def test_something_else_answers(coronal):
    coronal.api_body = b"<html>Welcome to the hotel. Please log in.</html>"
    with pytest.raises(failures.HubUnreachableError, match="not that of a hub"):
        fetch()


@pytest.mark.parametrize("body", [b"[]", b'{"hello": 1}', b"null", b'"x"', b"3", b'{"id": "a/b", "siblings": 7}',
                                  b'{"id": "a/b", "siblings": [{}], "sha": "1"}'])
def test_json_that_is_no_hubs(coronal, body):
    """A gateway, or a mirror of something else."""
    coronal.api_body = body
    with pytest.raises(failures.HubUnreachableError, match="not that of a hub"):
        fetch()
    assert len(coronal.requests) == 1


@pytest.mark.parametrize("headers", [{"Content-Type": "text/html; charset=utf-8"}, {}], ids=["html", "another length"])
def test_a_login_page_instead_of_the_file_is_said_at_once(coronal, headers):
    """It comes with status 200; before, it was asked for six times and called a cut connection."""
    coronal.page_instead = headers
    with pytest.raises(failures.HubUnreachableError, match=r"127\.0\.0\.1 sent something else .*login page"):
        fetch()
    assert len(coronal.seen("GET", "/resolve/")) == 1
    coronal.page_instead = None
    assert fetch().read_bytes() == CORONAL


@pytest.mark.parametrize("token", [None, "hf_mine"])
def test_a_firewalls_403_is_no_question_of_tokens(coronal, monkeypatch, token):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    coronal.speaks_like, coronal.fail_status = "firewall", [403]
    with pytest.raises(failures.HubUnreachableError, match="firewall") as raised:
        fetch()
    assert "HF_TOKEN" not in raised.value.hint


def test_a_proxy_that_wants_a_login_before_it_connects(monkeypatch, unpinned):
    """For https the proxy answers CONNECT, and the HTTP library has no response to show."""
    with LoopbackProxy(refuse_with=407) as proxy:
        monkeypatch.setenv("HF_ENDPOINT", "https://huggingface.invalid")
        monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(failures.ProxyFailedError, match="asks for a login") as raised:
            fetch()
    assert "USER:PASSWORD" in raised.value.hint


def test_what_always_stands_still_is_given_up_sooner(coronal, monkeypatch):
    coronal.stall_after, coronal.stall_s = [1000, *[0] * 9], 1.0
    monkeypatch.setattr(hub, "STALL_TIMEOUT_S", 0.2)
    with pytest.raises(failures.TransferStalledError, match="stood still"):
        fetch()
    assert len(coronal.bodies_sent()) == hub.STALLED_ATTEMPTS


def test_offline(coronal, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(failures.OfflineError, match="HF_HUB_OFFLINE") as raised:
        fetch()
    assert "models import" in raised.value.hint
    assert coronal.requests == []


def test_an_untrusted_certificate_is_said_at_once(coronal, monkeypatch):
    import httpx2

    asked = []

    def distrust(*_args: object, **_options: object) -> None:
        asked.append(1)
        raise httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in chain")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", distrust)
    with pytest.raises(failures.HubUnreachableError, match="not trusted") as raised:
        fetch()
    assert "SSL_CERT_FILE" in raised.value.hint
    assert len(asked) == 1
