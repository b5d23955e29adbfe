"""Whole downloads from a hub on the loopback: what is installed, what is asked for, licence, disk."""

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from KneePipelineLib import weights
from KneePipelineLib.errors import ConfigError, WeightsCorruptError
from KneePipelineLib.nnunet_folders import CASCADE, stages_below
from KneePipelineLib.weights import downloading, failures, hub, store
from Testing.weights.downloads import CORONAL, DOSMA, NNUNET, fetch
from Testing.weights.loopback_hub import COMMIT, LoopbackHub
from Testing.weights.small_models import TRAINER, hdf5_bytes, nnunet_files, sha256

pytestmark = pytest.mark.usefixtures("hub_library")


def test_full_download_installs_exactly_the_files_of_the_model(monkeypatch, unpinned):
    files = nnunet_files("3d_fullres", "3d_lowres", "3d_cascade_fullres")
    with LoopbackHub({NNUNET: files}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        heard = []
        where = fetch("nnunet_fullres", progress=lambda *one: heard.append(one))
    assert where == weights.models_dir() / "nnunet_fullres"
    assert where == weights.location("nnunet_fullres")
    where = where / "Dataset500_KneeMRI" / f"{TRAINER}3d_fullres"
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
    stages = stages_below(where, CASCADE)
    assert [Path(stage.folder).name for stage in stages] == [f"{TRAINER}3d_lowres", f"{TRAINER}3d_cascade_fullres"]
    with LoopbackHub({NNUNET: nnunet_files("3d_cascade_fullres")}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        with pytest.raises(failures.NotOnHubError) as raised:
            fetch("nnunet_cascade")
    assert "3d_lowres" in raised.value.details["cause"]
    assert store.state("nnunet_cascade") == "installed"  # the earlier one is untouched


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
