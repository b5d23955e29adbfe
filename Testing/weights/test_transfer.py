"""How bytes arrive: cut, stalled, resumed, checked and fetched again."""

from __future__ import annotations

import pytest

from KneePipelineLib import weights
from KneePipelineLib.errors import CancelledError, WeightsCorruptError
from KneePipelineLib.weights import failures, hub, store
from Testing.weights.downloads import CORONAL, DOSMA, NNUNET, fetch, part_files
from Testing.weights.loopback_hub import COMMIT, LoopbackHub
from Testing.weights.small_models import TRAINER, nnunet_files, sha256

pytestmark = pytest.mark.usefixtures("hub_library")


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
