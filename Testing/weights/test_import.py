"""Import from folders, zips and files: what is recognised, what is refused, and that nothing is run or left behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from KneePipelineLib import weights
from KneePipelineLib.errors import MemoryCriticalError, MissingFileError
from KneePipelineLib.nnunet_folders import CASCADE, stages_below
from KneePipelineLib.weights import failures, importing, layouts, opening
from KneePipelineLib.weights.entries import catalogue
from Testing.weights.small_models import (
    TRAINER,
    bscore_files,
    hdf5_bytes,
    nnunet_files,
    pickle_bytes,
    shape_files,
    write,
)


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def installed(name: str) -> list[str]:
    folder = weights.models_dir() / name
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")
                  if path.is_file() and path.name != "receipt.json")


def assert_untouched(name: str) -> None:
    assert weights.state(name) == "not installed"
    leftovers = [path for path in weights.models_dir().rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert leftovers == []


@pytest.mark.parametrize("depth", ["above models", "models", "Dataset folder"])
def test_nnunet_folder_at_any_depth(tmp_path, depth):
    brought = write(tmp_path / "brought", nnunet_files("3d_fullres", "3d_lowres", "3d_cascade_fullres"))
    start = {"above models": brought, "models": brought / "models",
             "Dataset folder": brought / "models" / "Dataset500_KneeMRI"}[depth]
    where = weights.import_from(start, "nnunet_cascade")
    dataset = "Dataset500_KneeMRI"
    assert where == weights.models_dir() / "nnunet_cascade"
    stages = stages_below(where, CASCADE)
    assert [stage.configuration for stage in stages] == ["3d_lowres", "3d_cascade_fullres"]
    names = ("dataset.json", "fold_1/checkpoint_best.pth", "plans.json")
    assert installed("nnunet_cascade") == sorted(
        f"{dataset}/{TRAINER}{stage}/{name}" for stage in ("3d_lowres", "3d_cascade_fullres") for name in names)
    assert weights.location("nnunet_cascade") == where


def test_nnunet_trainer_folder_itself_and_final_checkpoints(tmp_path):
    folder = tmp_path / "nnUNetTrainer_250epochs__nnUNetPlans__3d_fullres"
    write(folder, {"dataset.json": b"{}", "plans.json": b"{}", "fold_all/checkpoint_final.pth": pickle_bytes(80),
                   "fold_0/checkpoint_best.pth": pickle_bytes(90), "fold_0/progress.png": b"picture"})
    weights.import_from(folder, "nnunet_fullres")
    where = next(weights.models_dir().rglob(folder.name))
    assert sorted(path.relative_to(where).as_posix() for path in where.rglob("*.pth")) == [
        "fold_0/checkpoint_best.pth", "fold_all/checkpoint_final.pth"]
    assert not list(where.rglob("*.png"))


def test_incomplete_nnunet_is_refused(tmp_path):
    brought = write(tmp_path / "brought", nnunet_files("3d_cascade_fullres"))
    with pytest.raises(failures.ImportRefusedError, match="3d_lowres"):
        weights.import_from(brought, "nnunet_cascade")
    (next(brought.rglob("*3d_cascade_fullres")) / "plans.json").unlink()
    with pytest.raises(failures.ImportRefusedError, match="3d_cascade_fullres"):
        weights.import_from(brought, "nnunet_cascade")
    assert_untouched("nnunet_cascade")


def test_damaged_json_is_refused(tmp_path):
    files = nnunet_files("3d_fullres")
    plans = next(name for name in files if name.endswith("plans.json"))
    for content in (b'{"cut', b"[1]", b"\xff\xfe", b"[" * 100_000):
        brought = write(tmp_path / "brought", {**files, plans: content})
        with pytest.raises(failures.ImportRefusedError, match=r"plans\.json"):
            weights.import_from(brought, "nnunet_fullres")
    assert_untouched("nnunet_fullres")


@pytest.mark.parametrize("form", ["file", "folder", "zip", "renamed file"])
def test_planar_network(tmp_path, form):
    content = hdf5_bytes()
    folder = write(tmp_path / "brought", {"coronal_best_model.h5": content, "notes.txt": b"hello"})
    path = {"file": folder / "coronal_best_model.h5", "folder": folder,
            "zip": tmp_path / "brought.zip", "renamed file": tmp_path / "mine.h5"}[form]
    if form == "zip":
        zip_of(path, {"weights/coronal_best_model.h5": content})
    if form == "renamed file":
        shutil.copy(folder / "coronal_best_model.h5", path)
    where = weights.import_from(path, "goyal_coronal")
    assert where == weights.models_dir() / "goyal_coronal" / "coronal_best_model.h5"
    assert where.read_bytes() == content
    assert installed("goyal_coronal") == ["coronal_best_model.h5"]
    receipt = json.loads((where.parent / "receipt.json").read_text())
    assert receipt["as_published"] is False  # a network of one's own is welcome, and known as such


def test_another_planes_network_is_refused(tmp_path):
    path = write(tmp_path, {"axial_best_model.h5": hdf5_bytes()}) / "axial_best_model.h5"
    with pytest.raises(failures.ImportRefusedError, match="is the model goyal_axial, not goyal_coronal"):
        weights.import_from(path, "goyal_coronal")
    assert_untouched("goyal_coronal")


def test_published_content_is_known_whatever_its_name(tmp_path, use_catalogue):
    content = hdf5_bytes()

    def edit(models: dict) -> None:
        from Testing.weights.small_models import sha256

        models["goyal_axial"]["files"][0]["sha256"] = sha256(content)

    use_catalogue(edit)
    path = write(tmp_path, {"some.h5": content}) / "some.h5"
    with pytest.raises(failures.ImportRefusedError, match="is the model goyal_axial"):
        weights.import_from(path, "goyal_coronal")
    where = weights.import_from(path, "goyal_axial")
    assert json.loads((where.parent / "receipt.json").read_text())["as_published"] is True


def test_something_that_only_ends_in_h5(tmp_path):
    path = write(tmp_path, {"coronal_best_model.h5": b"version https://git-lfs.github.com/spec/v1\n"})
    with pytest.raises(failures.ImportRefusedError, match="Git LFS pointer"):
        weights.import_from(path / "coronal_best_model.h5", "goyal_coronal")
    assert_untouched("goyal_coronal")


def test_shape_model_is_found_among_others_and_needs_acceptance(tmp_path):
    brought = write(tmp_path / "NSM_MODELS", {
        **shape_files("647_nsm_femur_v0.0.1"), **shape_files("551_nsm_femur_bone_v0.0.1", epoch=1150),
        **shape_files("231_nsm_femur_cartilage_v0.0.1")})
    with pytest.raises(failures.LicenceNotAcceptedError, match="shape_551"):
        weights.import_from(brought, "shape_551")
    assert_untouched("shape_551")
    where = weights.import_from(brought, "shape_551", accept_licence=True)
    assert where == weights.models_dir() / "shape_551"
    assert installed("shape_551") == ["model/1150.pth", "model_params_config.json"]


def test_shape_folder_of_the_other_model_is_refused(tmp_path):
    brought = write(tmp_path, shape_files("551_nsm_femur_bone_v0.0.1"))
    for path in (brought / "551_nsm_femur_bone_v0.0.1", brought):
        with pytest.raises(failures.ImportRefusedError, match="is the model shape_551, not shape_647"):
            weights.import_from(path, "shape_647", accept_licence=True)


def test_shape_folder_under_a_name_of_ones_own_takes_the_last_epoch(tmp_path):
    files = {**shape_files("mine", epoch=900), **shape_files("mine", epoch=1000)}
    weights.import_from(write(tmp_path, files) / "mine", "shape_647", accept_licence=True)
    assert installed("shape_647") == ["model/1000.pth", "model_params_config.json"]


def test_bscore_folder_takes_the_numbers_and_leaves_the_program(tmp_path):
    folders = {"NSM_Orig_BScore_Bone_Cartilage_April_17_2025": 8, "NSM_Orig_BScore_Bone_Only_April_18_2025": 6}
    files = {name: content for folder, length in folders.items()
             for name, content in bscore_files(folder, length).items()}
    brought = write(tmp_path / "BSCORE_MODELS", files)
    weights.import_from(brought, "bscore_551")
    assert installed("bscore_551") == ["model.json"]
    assert len(weights.bscore_pair("shape_551").vector) == 6
    with pytest.raises(failures.ImportRefusedError, match="is the model bscore_551, not bscore_647"):
        weights.import_from(brought / "NSM_Orig_BScore_Bone_Only_April_18_2025", "bscore_647")


@pytest.mark.parametrize("content", [
    {}, {"bscore_vector": [], "mean_healthy": 0, "std_healthy": 1},
    {"bscore_vector": [1, "2"], "mean_healthy": 0, "std_healthy": 1},
    {"bscore_vector": [1.0], "mean_healthy": 0, "std_healthy": 0},
    {"bscore_vector": [float("nan")], "mean_healthy": 0, "std_healthy": 1},
])
def test_bscore_without_its_numbers_is_refused(tmp_path, content):
    brought = write(tmp_path / "b", {"model.json": json.dumps(content).encode()})
    with pytest.raises(failures.ImportRefusedError, match="bscore_vector"):
        weights.import_from(brought, "bscore_647")


def test_a_later_import_replaces_the_earlier_one(tmp_path):
    for seed in (1, 2):
        path = write(tmp_path, {"mine.h5": hdf5_bytes(seed=seed)}) / "mine.h5"
        where = weights.import_from(path, "goyal_axial")
    assert where.read_bytes() == hdf5_bytes(seed=2)


def test_a_refused_import_leaves_the_installed_model_alone(tmp_path):
    path = write(tmp_path, {"mine.h5": hdf5_bytes()}) / "mine.h5"
    weights.import_from(path, "goyal_axial")
    path.write_bytes(b"nonsense")
    with pytest.raises(failures.ImportRefusedError):
        weights.import_from(path, "goyal_axial")
    assert weights.location("goyal_axial").read_bytes() == hdf5_bytes()


def test_nothing_and_nonsense(tmp_path):
    with pytest.raises(MissingFileError):
        weights.import_from(tmp_path / "nowhere", "goyal_axial")
    path = write(tmp_path, {"model.txt": b"hello"}) / "model.txt"
    with pytest.raises(failures.ImportRefusedError, match="neither a zip nor"):
        weights.import_from(path, "goyal_axial")
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("nnunet_fullres", "goyal_axial", "bscore_647"):
        with pytest.raises(failures.ImportRefusedError):
            weights.import_from(empty, name)
    for name in ("bundled", "staple"):
        with pytest.raises(failures.ImportRefusedError):
            weights.import_from(empty, name)


def test_linked_files_are_read_and_linked_folders_are_not(tmp_path):
    """The hub's own cache consists of linked files; a linked folder could lead anywhere, even in a circle."""
    blobs = write(tmp_path / "blobs", {"abc": hdf5_bytes()})
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    try:
        os.symlink(blobs / "abc", snapshot / "coronal_best_model.h5")
        os.symlink(tmp_path, snapshot / "circle", target_is_directory=True)
    except OSError:
        pytest.skip("this system does not let us make links")
    where = weights.import_from(snapshot, "goyal_coronal")
    assert not where.is_symlink()
    assert where.read_bytes() == hdf5_bytes()


# --- archives that mean harm -----------------------------------------------------------------------------------------

GOOD = {"w/coronal_best_model.h5": hdf5_bytes(30_000)}


def refused(path: Path, words: str) -> None:
    with pytest.raises(failures.ImportRefusedError, match=words):
        weights.import_from(path, "goyal_coronal")
    assert_untouched("goyal_coronal")


@pytest.mark.parametrize("name", ["../owned", "a/../../owned", "/owned", "C:/owned", "c:owned", "..", "a//b",
                                  "nul\x01", "trailing. ", "a\\..\\owned"])
def test_zip_with_a_path_outside(tmp_path, name):
    path = zip_of(tmp_path / "bad.zip", {**GOOD, name: b"owned"})
    refused(path, "path outside")
    assert list(tmp_path.rglob("owned")) == []


def test_zip_with_a_link(tmp_path):
    path = zip_of(tmp_path / "bad.zip", GOOD)
    link = zipfile.ZipInfo("w/link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc")
    refused(path, "link")


def test_zip_bomb_by_ratio(tmp_path):
    path = zip_of(tmp_path / "bomb.zip", {**GOOD, "w/zeros.bin": b"\0" * (32 << 20)})
    assert path.stat().st_size < 200_000
    refused(path, "many times its size")


def test_zip_over_the_total_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "MAX_BYTES", 20_000)
    refused(zip_of(tmp_path / "big.zip", GOOD), "unpacks to more than")


def test_zip_with_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "MAX_FILES", 50)
    refused(zip_of(tmp_path / "many.zip", {**GOOD, **{f"f{i}": b"" for i in range(50)}}), "more than 50 files")


def test_zip_with_one_name_twice(tmp_path):
    path = zip_of(tmp_path / "twice.zip", GOOD)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("w/coronal_best_model.h5", b"other")
    refused(path, "twice")


def test_encrypted_zip(tmp_path):
    path = zip_of(tmp_path / "secret.zip", GOOD)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # general purpose flags, bit 0
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")


def test_zip_that_lies_about_a_size(tmp_path):
    path = zip_of(tmp_path / "liar.zip", GOOD)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # uncompressed size
        start = content.index(signature) + offset
        content[start:start + 4] = (20_000).to_bytes(4, "little")
    path.write_bytes(content)
    refused(path, "damaged")


def test_truncated_and_damaged_zip(tmp_path):
    whole = zip_of(tmp_path / "whole.zip", GOOD).read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole[:20_000])
    refused(cut, "neither a zip nor")
    flipped = bytearray(whole)
    flipped[10_000] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(flipped)
    refused(tmp_path / "flipped.zip", "damaged")


def test_zip_whose_names_only_look_harmless_after_mending(tmp_path):
    """zipfile cuts a name at its first NUL; what the archive really says is what counts."""
    path = zip_of(tmp_path / "nul.zip", {**GOOD, "w/hiddenX.py": b"x"})
    path.write_bytes(path.read_bytes().replace(b"hiddenX.py", b"hidden\0.py"))
    refused(path, "path outside")


@pytest.mark.parametrize(("name", "safe"), [
    ("a/b.pth", True), ("fold_0/checkpoint_best.pth", True), ("", False), ("a/", False), ("./a", False),
    ("a/../b", False), ("/a", False), ("a\\b", False), ("a:b", False), ("a\n", False), ("con./x", False)])
def test_is_safe(name, safe):
    assert layouts.is_safe(name) is safe


def test_no_pattern_selects_a_program_or_a_path_outside():
    names = ["m/a.json", "m/a.py", "m/b/hook.pyc", "m/../x.json", "/m/x.json", "n/a.json"]
    assert layouts.select(names, ["m/*"]) == ["m/a.json"]


def test_every_installable_model_can_be_planned_from_its_published_names():
    """The catalogue's own file names and patterns pass the same rules as everybody's."""
    for model in catalogue().values():
        if model.source.type == "hub" and model.kind in ("planar", "shape"):
            prefix = f"{model.folder}/" if model.folder else ""
            names = [prefix + file.path for file in model.files]
            assert layouts.select(names, model.source.patterns) == sorted(names), model.name
            assert set(layouts.plan(model, names)) == {file.path for file in model.files}, model.name


def test_archive_members_are_read_through_the_stated_size(tmp_path):
    """A source that delivers more than it states is stopped at the first byte too many."""
    source = importing._Source("", {"x": 10}, lambda _name: io.BytesIO(b"y" * 1000))
    with pytest.raises(failures.ImportRefusedError, match="size it states"):
        importing._copy_file(source, "x", tmp_path / "out")
    assert not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size <= 10


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for the private Python is a shell script")
def test_too_little_memory_to_open_a_model_is_told_as_that(tmp_path):
    """A batch job's limit, under which torch cannot even be imported."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'ImportError: failed to map segment from shared object' >&2; exit 1\n")
    python.chmod(0o755)
    with pytest.raises(MemoryCriticalError, match="memory does not suffice"):
        opening._elsewhere(python, catalogue()["nnunet_fullres"], tmp_path)
