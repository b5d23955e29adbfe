"""What is installed, whether it is intact, and pairs of shape model and BScore."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from KneePipelineLib import weights
from KneePipelineLib.errors import ConfigError, FileInUseError, WeightsCorruptError
from KneePipelineLib.weights import checksums, failures, store
from Testing.weights.small_models import TRAINER, bscore_files, hdf5_bytes, nnunet_files, shape_files, write


@pytest.fixture
def axial(tmp_path):
    """goyal_axial, imported; the installed file."""
    return weights.import_from(write(tmp_path, {"mine.h5": hdf5_bytes()}) / "mine.h5", "goyal_axial")


def flip_a_byte(path, keep_time: bool = False) -> None:
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


def test_nothing_is_installed_at_first(home):
    assert weights.models_dir() == home / "models"
    states = {name: weights.state(name) for name in weights.catalogue()}
    assert set(states.values()) <= {"not installed", "not in this build", "bundled"}
    assert not home.exists()  # looking creates nothing
    with pytest.raises(failures.WeightsMissingError, match="not installed") as raised:
        weights.location("nnunet_fullres")
    assert raised.value.code == "FILE_NOT_FOUND"
    assert "models download nnunet_fullres" in raised.value.hint
    with pytest.raises(failures.WeightsMissingError) as raised:
        weights.location("bscore_647")
    assert "models import bscore_647" in raised.value.hint


def test_unknown_name_names_the_nearest(home):
    with pytest.raises(ConfigError, match="nnunet_fulres") as raised:
        weights.state("nnunet_fulres")
    assert raised.value.hint.startswith("Did you mean nnunet_fullres?")


def test_corrupt_later_is_a_hard_stop_that_names_file_and_command(axial):
    assert weights.location("goyal_axial") == axial
    flip_a_byte(axial)
    for ask in (weights.location, weights.verify):
        with pytest.raises(WeightsCorruptError, match=r"goyal_axial are damaged: axial_best_model\.h5") as raised:
            ask("goyal_axial")
        assert raised.value.code == "E_HARD_003"
        assert raised.value.hint == "Mend it with: python3 -m KneePipelineLib models import goyal_axial PATH"
        assert raised.value.details == {"model": "goyal_axial", "file": "axial_best_model.h5"}


def test_verify_reads_what_the_memory_of_checksums_would_believe(axial):
    weights.location("goyal_axial")
    flip_a_byte(axial, keep_time=True)
    assert weights.location("goyal_axial") == axial  # size and time are as they were: that is the bargain
    with pytest.raises(WeightsCorruptError):
        weights.verify("goyal_axial")
    with pytest.raises(WeightsCorruptError):  # and what verify saw is remembered
        weights.verify("goyal_axial")


def test_checksums_are_computed_once(axial, monkeypatch):
    hashed = []
    real = checksums.sha256_of
    monkeypatch.setattr(checksums, "sha256_of", lambda path: hashed.append(path.name) or real(path))
    weights.location("goyal_axial")
    weights.location("goyal_axial")
    assert hashed == []  # the import has just computed it
    os.utime(axial)
    weights.location("goyal_axial")
    weights.location("goyal_axial")
    assert hashed == ["axial_best_model.h5"]
    heard = []
    weights.verify("goyal_axial", progress=lambda *one: heard.append(one))
    assert hashed == ["axial_best_model.h5"] * 2
    assert heard == [(200_000, 200_000, "axial_best_model.h5")]


def test_a_damaged_memory_of_checksums_costs_only_time(axial):
    for content in ("{", "[]", json.dumps({"axial_best_model.h5": "x"})):
        (weights.models_dir() / ".checksums" / "goyal_axial.json").write_text(content)
        assert weights.location("goyal_axial") == axial


def test_missing_and_shortened_files_show_in_the_state(tmp_path):
    where = weights.import_from(write(tmp_path / "n", nnunet_files("3d_fullres")), "nnunet_fullres")
    assert weights.state("nnunet_fullres") == "installed"
    checkpoint = next(where.rglob("checkpoint_best.pth"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    assert weights.state("nnunet_fullres") == "damaged"
    with pytest.raises(WeightsCorruptError, match=f"{TRAINER}3d_fullres/fold_1/checkpoint_best.pth"):
        weights.location("nnunet_fullres")
    checkpoint.unlink()
    assert weights.state("nnunet_fullres") == "damaged"
    with pytest.raises(WeightsCorruptError, match="cannot be read"):
        weights.location("nnunet_fullres")


def test_a_lost_receipt_is_damage(axial):
    (axial.parent / "receipt.json").write_text('{"files": [{"path": 1}]}')
    assert weights.state("goyal_axial") == "damaged"
    with pytest.raises(WeightsCorruptError, match="receipt"):
        weights.location("goyal_axial")


def test_remove_frees_everything(axial):
    (weights.models_dir() / ".partial" / "goyal_axial").mkdir(parents=True)
    assert weights.remove("goyal_axial") > 200_000
    assert weights.state("goyal_axial") == "not installed"
    left = [path.name for path in weights.models_dir().rglob("*") if path.is_file()]
    assert left == ["goyal_axial.lock"]
    with pytest.raises(failures.WeightsMissingError, match="not installed"):
        weights.remove("goyal_axial")


@pytest.mark.parametrize("name", ["bundled", "staple"])
def test_what_cannot_be_removed(name):
    with pytest.raises(ConfigError):
        weights.remove(name)


def test_consensus_is_its_members(tmp_path):
    for seed, plane in enumerate(("sagittal", "coronal", "axial")):
        assert weights.state("staple") == ("incomplete" if seed else "not installed")
        weights.import_from(write(tmp_path / plane, {"mine.h5": hdf5_bytes(seed=seed)}), f"goyal_{plane}")
    assert weights.state("staple") == "installed"
    assert list(weights.locations("staple")) == ["goyal_sagittal", "goyal_coronal", "goyal_axial"]
    assert len(weights.verify("staple")) == 3
    with pytest.raises(ConfigError, match="no files of its own"):
        weights.location("staple")


def test_bundled_network_is_read_where_it_ships(tmp_path, monkeypatch, use_catalogue):
    use_catalogue(lambda models: models["bundled"].update(files=[]))
    monkeypatch.setattr(store, "_PACKAGE", tmp_path / "package")
    model = tmp_path / "package" / "segmentation" / "bundled" / "model"
    assert weights.state("bundled") == "not in this build"
    with pytest.raises(failures.WeightsMissingError, match="not in this build"):
        weights.location("bundled")
    write(model, nnunet_files("3d_fullres", prefix="Dataset001_Knee/"))
    assert weights.state("bundled") == "bundled"
    assert weights.location("bundled") == model
    assert len(weights.verify("bundled")) == 3


def test_bundled_checksums_of_the_catalogue_count(tmp_path, monkeypatch, use_catalogue):
    monkeypatch.setattr(store, "_PACKAGE", tmp_path / "package")
    folder = write(tmp_path / "package" / "segmentation" / "bundled" / "model",
                   nnunet_files("3d_fullres", prefix="Dataset001_Knee/"))
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))
             if path.suffix in (".json", ".pth")]

    def edit(models: dict) -> None:
        models["bundled"]["files"] = [{"path": name, "size_bytes": (folder / name).stat().st_size,
                                       "sha256": checksums.sha256_of(folder / name)} for name in names]

    use_catalogue(edit)
    assert weights.location("bundled") == folder
    flip_a_byte(next(folder.rglob("*.pth")))
    with pytest.raises(WeightsCorruptError, match="checkpoint_best") as raised:
        weights.location("bundled")
    assert "install KneePipeline again" in raised.value.hint


@pytest.fixture
def scores(tmp_path):
    """Both BScores and shape model 647 (latent of 8), installed."""
    for name, length in (("bscore_647", 8), ("bscore_551", 6)):
        weights.import_from(write(tmp_path / name, bscore_files(length=length)), name)
    weights.import_from(write(tmp_path / "s", shape_files(latent_size=8)), "shape_647", accept_licence=True)
    return tmp_path


def test_the_right_pair(scores):
    pair = weights.bscore_pair("shape_647", latent_length=8)
    assert pair == weights.bscore_pair("647_nsm_femur_v0.0.1", "NSM_Orig_BScore_Bone_Cartilage_April_17_2025")
    assert (pair.name, pair.vector, pair.mean_healthy, pair.std_healthy) == ("bscore_647", (0.5,) * 8, 1.0, 2.0)
    assert len(weights.bscore_pair("shape_551").vector) == 6  # its shape model is not installed: nothing to compare


def test_wrong_pairs_are_refused(scores):
    with pytest.raises(failures.WrongPairError, match="bscore_551 does not belong to shape_647") as raised:
        weights.bscore_pair("shape_647", "bscore_551", latent_length=6)
    assert raised.value.hint == "Use bscore_647."
    with pytest.raises(failures.WrongPairError, match="vector of 8 numbers, the latent of shape_647 has 512"):
        weights.bscore_pair("shape_647", latent_length=512)
    with pytest.raises(ConfigError, match="not a shape model and a BScore"):
        weights.bscore_pair("bscore_647", "shape_647")
    weights.import_from(write(scores / "longer", shape_files(latent_size=16)), "shape_647", accept_licence=True)
    with pytest.raises(failures.WrongPairError, match="has 16"):
        weights.bscore_pair("shape_647")


def test_a_damaged_bscore_is_a_hard_stop(scores):
    flip_a_byte(weights.location("bscore_647") / "model.json")
    with pytest.raises(WeightsCorruptError, match=r"model\.json"):
        weights.bscore_pair("shape_647", latent_length=8)


def test_a_killed_process_leaves_no_lock(home, repository):
    """The lock belongs to the process: when it dies, the next one gets in."""
    program = ("import sys, time\nsys.path.insert(0, sys.argv[1])\n"
               "from pathlib import Path\nfrom KneePipelineLib.weights.locks import model_lock\n"
               "with model_lock(Path(sys.argv[2]), 'm'):\n    print('locked', flush=True)\n    time.sleep(60)\n")
    child = subprocess.Popen([sys.executable, "-c", program, str(repository), str(home)], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline().strip() == b"locked"
        from KneePipelineLib.weights.locks import model_lock

        with pytest.raises(failures.ModelBusyError), model_lock(home, "m"):
            pass
        child.kill()
        child.wait()
        with model_lock(home, "m"):
            pass
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_model_that_a_run_has_open_is_in_use_not_out_of_reach():
    """Windows does not let a folder go of which a file is mapped into memory."""
    with pytest.raises(failures.ModelBusyError, match="m is in use by a run"), failures.folder_errors("m"):
        raise FileInUseError("m")
