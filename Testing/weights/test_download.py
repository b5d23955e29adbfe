"""Downloads against a hub on the loopback: what arrives, what is asked for, and every way it can go wrong."""

from __future__ import annotations

import errno
import json
import threading
from types import SimpleNamespace

import pytest

from KneePipelineLib import weights
from KneePipelineLib.errors import CancelledError, ConfigError, WeightsCorruptError
from KneePipelineLib.weights import downloading, failures, hub, store
from Testing.weights.loopback_hub import COMMIT, LoopbackHub, LoopbackProxy
from Testing.weights.small_models import TRAINER, hdf5_bytes, nnunet_files, sha256, shape_files

pytestmark = pytest.mark.usefixtures("hub_library")

NNUNET = "aagatti/nnunet_knee"
DOSMA = "aagatti/dosma_bones"
SHAPE = "aagatti/ShapeMedKnee"
CORONAL = hdf5_bytes(200_000)


@pytest.fixture
def coronal(monkeypatch, unpinned):
    """A hub with one planar network of 200 kB."""
    with LoopbackHub({DOSMA: {"coronal_best_model.h5": CORONAL, "README.md": b"card"}}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def fetch(name: str = "goyal_coronal", **options):
    return weights.download(name, accept_licence=True, **options)


def part_files() -> list:
    return sorted(weights.models_dir().rglob("*.part"))


def test_full_download_installs_exactly_the_files_of_the_model(monkeypatch, unpinned):
    files = nnunet_files("3d_fullres", "3d_lowres", "3d_cascade_fullres")
    with LoopbackHub({NNUNET: files}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        heard = []
        where = fetch("nnunet_fullres", progress=lambda *one: heard.append(one))
    assert where == weights.models_dir() / "nnunet_fullres" / "Dataset500_KneeMRI" / f"{TRAINER}3d_fullres"
    assert where == weights.location("nnunet_fullres")
    installed = sorted(path.relative_to(where).as_posix() for path in where.rglob("*") if path.is_file())
    assert installed == ["dataset.json", "fold_1/checkpoint_best.pth", "plans.json"]
    checkpoint = files[f"models/Dataset500_KneeMRI/{TRAINER}3d_fullres/fold_1/checkpoint_best.pth"]
    assert (where / "fold_1" / "checkpoint_best.pth").read_bytes() == checkpoint
    assert [done for done, _, _ in heard] == sorted(done for done, _, _ in heard)
    assert heard[-1][0] == heard[-1][1] == sum(path.stat().st_size for path in where.rglob("*") if path.is_file())
    receipt = json.loads((weights.models_dir() / "nnunet_fullres" / "receipt.json").read_text())
    assert receipt["revision"] == COMMIT
    assert receipt["repo"] == NNUNET
    assert receipt["licence"]["stated_by_hub"] == "cc-by-nc-4.0"
    assert receipt["licence"]["accepted"]
    assert sha256(checkpoint) in [file["sha256"] for file in receipt["files"]]
    # The commit that was resolved once is what every file is asked from, and nothing else is asked at all.
    assert all(one.path.startswith((f"/api/models/{NNUNET}", f"/{NNUNET}/resolve/{COMMIT}/", "/cdn/"))
               for one in server.requests)
    assert store.state("nnunet_fullres") == "installed"


def test_cascade_needs_both_stages(monkeypatch, unpinned):
    with LoopbackHub({NNUNET: nnunet_files("3d_lowres", "3d_cascade_fullres")}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        where = fetch("nnunet_cascade")
    assert where.name == f"{TRAINER}3d_cascade_fullres"
    assert (where.parent / f"{TRAINER}3d_lowres" / "plans.json").is_file()
    with LoopbackHub({NNUNET: nnunet_files("3d_cascade_fullres")}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        with pytest.raises(failures.NotOnHubError) as raised:
            fetch("nnunet_cascade")
    assert "3d_lowres" in raised.value.details["cause"]
    assert store.state("nnunet_cascade") == "installed"  # the earlier one is untouched


def test_resumes_after_a_cut_in_mid_body(coronal):
    coronal.cut_after = [70_000, 50_000]
    where = fetch()
    assert where.read_bytes() == CORONAL
    ranges = [one.range for one in coronal.bodies_sent()]
    assert ranges == [None, "bytes=70000-", "bytes=120000-"]


def test_resumes_in_a_later_run(coronal, monkeypatch):
    monkeypatch.setattr(hub, "ATTEMPTS", 1)
    coronal.cut_after = [90_000]
    with pytest.raises(failures.TransferStalledError, match="goyal_coronal") as raised:
        fetch()
    assert "continues" in raised.value.hint
    assert store.state("goyal_coronal") == "interrupted"
    assert [part.stat().st_size for part in part_files()] == [90_000]
    assert fetch().read_bytes() == CORONAL
    assert coronal.bodies_sent()[-1].range == "bytes=90000-"
    assert part_files() == []


def test_cancelling_keeps_what_arrived(coronal):
    def stop(done_bytes: int, _total: int, _file: str) -> None:
        if done_bytes > 0:
            raise CancelledError("Cancelled.")

    with pytest.raises(CancelledError):
        fetch(progress=stop)
    assert part_files()[0].stat().st_size > 0
    assert not (weights.models_dir() / "goyal_coronal").exists()
    kept_bytes = part_files()[0].stat().st_size
    assert fetch().read_bytes() == CORONAL
    assert coronal.bodies_sent()[-1].range == f"bytes={kept_bytes}-"


def test_a_server_that_ignores_range_is_read_from_the_beginning(coronal):
    coronal.cut_after, coronal.ignore_range = [70_000], True
    assert fetch().read_bytes() == CORONAL
    assert [one.range for one in coronal.bodies_sent()] == [None, "bytes=70000-"]


def test_a_part_of_something_else_is_thrown_away(coronal, monkeypatch):
    monkeypatch.setattr(hub, "ATTEMPTS", 1)
    coronal.cut_after = [90_000]
    with pytest.raises(failures.TransferStalledError):
        fetch()
    part = part_files()[0]
    part.write_bytes(b"\0" * 90_000)
    assert fetch().read_bytes() == CORONAL
    assert [one.range for one in coronal.bodies_sent()] == [None, "bytes=90000-", None]


@pytest.mark.parametrize("excess", [0, 5])
def test_a_part_of_full_or_greater_length(coronal, monkeypatch, excess):
    folder = weights.models_dir() / ".partial" / "goyal_coronal"
    folder.mkdir(parents=True)
    (folder / f"{sha256(CORONAL)[:16]}.part").write_bytes(CORONAL + b"x" * excess)
    assert fetch().read_bytes() == CORONAL
    assert len(coronal.bodies_sent()) == (1 if excess else 0)


def test_wrong_checksum_twice_is_refused_and_nothing_is_installed(coronal):
    coronal.corrupt = 2
    with pytest.raises(WeightsCorruptError, match=r"coronal_best_model\.h5") as raised:
        fetch()
    assert raised.value.code == "E_HARD_003"
    assert "models download goyal_coronal" in raised.value.hint
    assert not (weights.models_dir() / "goyal_coronal").exists()
    assert part_files() == []


def test_wrong_checksum_once_is_fetched_again(coronal):
    coronal.corrupt = 1
    assert fetch().read_bytes() == CORONAL
    assert len(coronal.bodies_sent()) == 2


def test_small_files_are_checked_by_git_object_name(monkeypatch, unpinned):
    files = nnunet_files("3d_fullres")
    with LoopbackHub({NNUNET: files}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        plans = f"models/Dataset500_KneeMRI/{TRAINER}3d_fullres/plans.json"
        real_resolve = server.repositories
        record = dict(files)

        class Shifting(dict):
            """The record shows the right file, the body is another one of the same length."""

            def get(self, key, default=None):
                content = record.get(key, default)
                return content.replace(b"3d", b"4d") if key == plans else content

        server.repositories = {NNUNET: Shifting(real_resolve[NNUNET])}
        with pytest.raises(WeightsCorruptError, match=r"plans\.json"):
            fetch("nnunet_fullres")


def test_a_list_without_checksums_is_completed_by_head(coronal):
    coronal.list_without_checksums = True
    assert fetch().read_bytes() == CORONAL
    assert len(coronal.seen("HEAD", "coronal_best_model.h5")) == 1


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


def test_a_slow_server_is_waited_for(coronal, monkeypatch):
    monkeypatch.setattr(hub, "STALL_TIMEOUT_S", 1.0)
    coronal.drip_s = 0.05  # 30 pieces: longer in all than one stall, but never silent for that long
    coronal.drip_pieces = 30
    assert fetch().read_bytes() == CORONAL
    assert [one.range for one in coronal.bodies_sent()] == [None]


def test_a_stalled_server_is_asked_again_for_the_rest(coronal, monkeypatch):
    monkeypatch.setattr(hub, "STALL_TIMEOUT_S", 0.3)
    coronal.stall_after = [60_000]
    assert fetch().read_bytes() == CORONAL
    assert [one.range for one in coronal.bodies_sent()] == [None, "bytes=60000-"]


def test_stalled_for_good(coronal, monkeypatch):
    monkeypatch.setattr(hub, "STALL_TIMEOUT_S", 0.1)
    monkeypatch.setattr(hub, "ATTEMPTS", 3)
    coronal.stall_after = [60_000] + [0] * 20
    with pytest.raises(failures.TransferStalledError, match="stood still"):
        fetch()
    assert len(coronal.bodies_sent()) <= 5


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


def test_offline(coronal, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(failures.OfflineError, match="HF_HUB_OFFLINE") as raised:
        fetch()
    assert "models import" in raised.value.hint
    assert coronal.requests == []


def test_licence_is_asked_for_before_anything_is_sent(coronal):
    with pytest.raises(failures.LicenceNotAcceptedError, match="have not been accepted") as raised:
        weights.download("goyal_coronal")
    assert "https://huggingface.co/aagatti/dosma_bones" in raised.value.hint
    assert raised.value.exit_code == 2
    assert coronal.requests == []


def test_acceptance_is_remembered(coronal):
    fetch()
    accepted = store.accepted_licence(weights.entry("goyal_coronal"))
    weights.download("goyal_coronal")
    assert store.accepted_licence(weights.entry("goyal_coronal")) == accepted


def test_what_is_installed_already_is_not_sent_again(coronal):
    fetch()
    fetch()
    assert len(coronal.bodies_sent()) == 1


def test_download_mends_a_damaged_model(coronal):
    where = fetch()
    damaged = bytearray(CORONAL)
    damaged[5000] ^= 1
    where.write_bytes(damaged)
    with pytest.raises(WeightsCorruptError):
        weights.location("goyal_coronal")
    weights.download("goyal_coronal")
    assert weights.location("goyal_coronal").read_bytes() == CORONAL


def test_the_same_file_under_two_names_is_sent_once(monkeypatch, unpinned):
    same = hdf5_bytes(100_000, seed=5)
    files = {"sagittal_best_model.h5": same, "Goyal_Bone_Cart_July_2024_best_model.h5": same}
    with LoopbackHub({DOSMA: files}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        fetch("goyal_sagittal")
        assert fetch("dosma_ananya").read_bytes() == same
        assert len(server.bodies_sent()) == 1
    weights.remove("goyal_sagittal")
    assert weights.location("dosma_ananya").read_bytes() == same


def test_consensus_fetches_its_three_members(monkeypatch, unpinned):
    files = {f"{plane}_best_model.h5": hdf5_bytes(30_000, seed) for seed, plane in
             enumerate(("sagittal", "coronal", "axial"))}
    with LoopbackHub({DOSMA: files}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        fetch("goyal_axial")
        assert weights.state("staple") == "incomplete"
        fetch("staple")
    assert weights.state("staple") == "installed"
    assert [path.name for path in weights.locations("staple").values()] == list(files)


def test_catalogue_checksum_guards_the_pinned_commit(monkeypatch, use_catalogue):
    def pin(models: dict) -> None:
        models["goyal_coronal"]["revision"] = COMMIT

    use_catalogue(pin)  # the shipped SHA-256 stays, the test's bytes are others
    with LoopbackHub({DOSMA: {"coronal_best_model.h5": CORONAL}}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        with pytest.raises(WeightsCorruptError, match="another coronal_best_model"):
            fetch()
        assert server.bodies_sent() == []
        assert server.seen("GET", "/api/")[0].path.endswith(f"/revision/{COMMIT}")


def test_too_little_disk_space_is_said_before_the_first_byte(coronal, monkeypatch):
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(failures.DiskSpaceError, match="GB are free") as raised:
        fetch()
    assert raised.value.details["free_bytes"] == 1000
    assert coronal.bodies_sent() == []


def test_a_disk_that_fills_up_on_the_way(coronal, monkeypatch):
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub.Hub, "_stream", full)
    with pytest.raises(failures.DiskSpaceError, match="full"):
        fetch()


def test_a_models_folder_that_cannot_be_made(coronal, home):
    home.write_text("a file where the folder should be")
    with pytest.raises(failures.ModelsFolderError, match="cannot be used for goyal_coronal"):
        fetch()


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


def test_two_downloads_of_one_model_exclude_each_other(coronal, monkeypatch):
    coronal.stall_after, coronal.stall_s = [1000], 1.0
    monkeypatch.setattr(hub, "STALL_TIMEOUT_S", 0.5)
    started, outcome = threading.Event(), []
    first = threading.Thread(target=lambda: outcome.append(fetch(progress=lambda *_: started.set())))
    first.start()
    assert started.wait(10)
    with pytest.raises(failures.ModelBusyError, match="another process"):
        fetch()
    first.join(20)
    assert outcome[0].read_bytes() == CORONAL


@pytest.mark.parametrize(("name", "words"), [("bscore_647", "no licence"), ("bundled", "comes with KneePipeline")])
def test_what_cannot_be_downloaded_says_so(name, words):
    with pytest.raises(ConfigError, match=words):
        fetch(name)


def test_a_hub_that_names_paths_outside_writes_nothing_there(monkeypatch, unpinned, tmp_path):
    outside = f"models/Dataset500_KneeMRI/{TRAINER}3d_fullres/../../../../fold_0/checkpoint_best.pth"
    files = {**nnunet_files("3d_fullres"), outside: b"x" * 30_000}
    with LoopbackHub({NNUNET: files}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        fetch("nnunet_fullres")
        assert len(server.bodies_sent()) == 1
    assert [path.parent.name for path in tmp_path.rglob("checkpoint_best.pth")] == ["fold_1"]
