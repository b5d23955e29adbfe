"""The lock itself: its form, what must never be in it, and that its pins exist for every Python and system."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from KneePipelineLib.environment import maintenance
from KneePipelineLib.environment.lockfile import FORBIDDEN, LOCK_FILE, Target, canonical_name, complaints, read_lock
from Testing.environment.fakes import find_uv


def test_the_lock_is_in_order() -> None:
    lock = read_lock()
    assert complaints(lock) == []
    pins = {package.name: package.version for package in lock.packages}
    assert pins["torch"] == "2.13.0"
    assert pins["vtk"] == "9.6.0"
    assert pins["mskt"] == "0.1.22"
    assert not FORBIDDEN.intersection(pins)
    assert lock.pythons == ((3, 11), (3, 12), (3, 13))


def test_complaints_are_made(tmp_path: Path) -> None:
    content = json.loads(LOCK_FILE.read_text(encoding="utf-8"))
    content["packages"] += [
        {"name": "Torch_Vision", "version": "1.*", "groups": ["nowhere"]},
        {"name": "torchvision", "version": "1.0", "groups": ["core"]},
        {"name": "torchvision", "version": "1.0", "groups": ["core"]},
    ]
    (tmp_path / "lock.json").write_text(json.dumps(content), encoding="utf-8")
    text = " ".join(complaints(read_lock(tmp_path / "lock.json")))
    for part in ("not sorted", "appears twice", "never be part", "normal form", "not pinned", "unknown group"):
        assert part in text


def test_it_agrees_with_the_requirements_it_was_made_from() -> None:
    wanted = json.loads(maintenance.REQUIREMENTS_FILE.read_text(encoding="utf-8"))
    lock = read_lock()
    pins = {package.name: package for package in lock.packages}
    for name, group in wanted["groups"].items():
        for root in group["roots"]:
            package = canonical_name(root.split("==")[0].split(">")[0].split("[")[0])
            assert package in pins, f"{root} of {name}: run python -m KneePipelineLib.environment lock"
            if "==" in root and "[" not in root:
                assert pins[package].version.startswith(root.split("==")[1])
        assert lock.groups[name].imports == tuple(group["imports"])
    only_for_cuda = {canonical_name(name) for name, why in wanted["pruned"].items() if "CUDA build" in why}
    pruned = {canonical_name(name) for name in wanted["pruned"]} - only_for_cuda
    assert not pruned.intersection(pins)
    assert all(pins[name].groups == ("cu130",) for name in only_for_cuda)


def test_groups_are_selected_for_a_target() -> None:
    lock = read_lock()
    on_311 = {p.name for p in lock.select(["core", "mskt"], Target((3, 11), "Linux", "x86_64"))}
    on_313 = {p.name for p in lock.select(["core", "mskt"], Target((3, 13), "Linux", "x86_64"))}
    assert on_311 - on_313 == {"cycpd"}
    assert "colorama" not in on_311
    assert "colorama" in {p.name for p in lock.select(["core"], Target((3, 11), "Windows", "AMD64"))}
    assert lock.build_group("cu130", Target((3, 11), "Linux", "x86_64")) == ["cu130"]
    assert lock.build_group("cu130", Target((3, 11), "Windows", "AMD64")) == []
    assert lock.build_group("cpu", Target((3, 11), "Linux", "x86_64")) == []


def test_the_digest_follows_the_pins_and_not_the_prose(tmp_path: Path) -> None:
    content = json.loads(LOCK_FILE.read_text(encoding="utf-8"))
    file = tmp_path / "lock.json"
    content["about"] = content["groups"]["core"]["purpose"] = "other words"
    file.write_text(json.dumps(content), encoding="utf-8")
    assert read_lock(file).digest == read_lock().digest
    content["packages"][0]["version"] += ".1"
    file.write_text(json.dumps(content), encoding="utf-8")
    assert read_lock(file).digest != read_lock().digest


def test_requirements_for_an_offline_folder() -> None:
    lines = maintenance.requirements(read_lock(), "3.11", "cpu", ["test"])
    assert any(line.startswith("torch==2.13.0") for line in lines)
    assert any(line.startswith("pytest==") for line in lines)
    assert not any(line.startswith("nvidia") for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("system", ["linux", "windows", "macos"])
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_pin_exists_as_a_wheel(version: str, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = find_uv()
    if uv is None:
        pytest.skip("uv is not on this machine")
    monkeypatch.setenv("PATH", str(Path(uv).parent))
    assert maintenance.unresolvable(read_lock(), version, system) == ""
