"""Which Python is chosen, in which order, and that Slicer's own is never touched."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from KneePipelineLib.environment import bootstrap, interpreters, lockfile
from KneePipelineLib.environment.problems import SetupError
from KneePipelineLib.errors import ConfigError
from Testing.environment.fakes import FakeWorld, find_uv

PYTHONS = ((3, 11), (3, 12), (3, 13))
posix = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")


def stand_in(folder: Path, name: str, version: tuple[int, int, int], **more: object) -> Path:
    """A program that answers as a Python of that version would."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "executable": str(folder / name), "version": version, "implementation": "CPython", "bits": 64,
        "machine": "arm64" if sys.platform == "darwin" else "x86_64", "base_prefix": str(folder.parent),
        "slicer_package": False, "missing": [], "ensurepip": True, "pip": True, "free_threaded": False, **more,
    }  # fmt: skip
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(told)}\nEND\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def empty_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables of a computer without any Python; even the running one does not count."""
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "nobody")}


def choose(environ: dict[str, str], wanted: str | None = None, **more: object) -> str | None:
    # The stand-ins need /bin for `cat`; the search must see only their folder.
    asked = interpreters.find(PYTHONS, wanted, environ, **more)
    return None if asked is None else asked.executable.name


@pytest.fixture(autouse=True)
def cat_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = interpreters.child_environment
    path = os.defpath + os.pathsep + "/bin:/usr/bin"
    monkeypatch.setattr(interpreters, "child_environment", lambda environ=None: {**real(environ), "PATH": path})


@posix
def test_311_comes_before_312_and_313(tmp_path: Path, empty_computer: dict[str, str]) -> None:
    assert choose(empty_computer) is None
    stand_in(tmp_path / "bin", "python3.13", (3, 13, 0))
    assert choose(empty_computer) == "python3.13"
    stand_in(tmp_path / "bin", "python3.12", (3, 12, 1))
    assert choose(empty_computer) == "python3.12"
    stand_in(tmp_path / "bin", "python3", (3, 11, 4))
    assert choose(empty_computer) == "python3", "a plain python3 that is a 3.11 is better than a named 3.12"
    stand_in(tmp_path / "bin", "python3.11", (3, 11, 9))
    assert choose(empty_computer) == "python3.11"


@posix
def test_pyenv_and_fetched_installations_are_found(tmp_path: Path, empty_computer: dict[str, str]) -> None:
    stand_in(tmp_path / "bin", "python3", (3, 10, 2))
    assert choose(empty_computer) is None
    fetched = tmp_path / "bootstrap" / "python"
    stand_in(fetched / "cpython-3.12.4-linux-x86_64-gnu" / "bin", "python3.12", (3, 12, 4))
    assert choose(empty_computer, extra_folders=[fetched]) == "python3.12"
    empty_computer["PYENV_ROOT"] = str(tmp_path / "pyenv")
    for patch in (2, 10):
        stand_in(tmp_path / "pyenv" / "versions" / f"3.11.{patch}" / "bin", "python3.11", (3, 11, patch))
    found = interpreters.find(PYTHONS, None, empty_computer, extra_folders=[fetched])
    assert found.version == (3, 11, 10), "the newest of its kind, and 10 is newer than 2"


@posix
@pytest.mark.parametrize(("spoiled", "why"), [
    ({"slicer_package": True}, "3D Slicer's own"),
    ({"base_prefix": "/somewhere/Slicer-5.10.0-linux-amd64/lib/Python"}, "3D Slicer's own"),
    ({"base_prefix": "/Applications/Slicer.app/Contents/lib/Python"}, "3D Slicer's own"),
    ({"implementation": "PyPy"}, "CPython is needed"),
    ({"bits": 32}, "32-bit"),
    ({"free_threaded": True}, "free-threaded"),
    ({"missing": ["ctypes"]}, "without ctypes"),
    ({"version": (3, 14, 0)}, "3.11, 3.12, 3.13 are possible"),
])  # fmt: skip
def test_unsuitable_ones_are_passed_over_and_refused_by_name(
    tmp_path: Path, empty_computer: dict[str, str], spoiled: dict, why: str
) -> None:
    version = spoiled.pop("version", (3, 11, 4))
    path = stand_in(tmp_path / "bin", "python3.11", version, **spoiled)
    assert choose(empty_computer) is None
    with pytest.raises(ConfigError, match=why):
        choose(empty_computer, wanted=str(path))
    spoiled["version"] = version


@posix
def test_slicers_python_is_known_by_its_name_and_by_its_home(tmp_path: Path, empty_computer: dict[str, str]) -> None:
    path = stand_in(tmp_path / "bin", "PythonSlicer", (3, 12, 10))
    with pytest.raises(ConfigError, match="3D Slicer's own"):
        choose(empty_computer, wanted=str(path))
    stand_in(tmp_path / "bin", "python3.12", (3, 12, 10), base_prefix=str(tmp_path / "opened" / "lib" / "Python"))
    assert choose(empty_computer) == "python3.12"
    assert choose({**empty_computer, "SLICER_HOME": str(tmp_path / "opened")}) is None


@posix
def test_a_clone_named_like_the_repository_is_not_slicer(tmp_path: Path, empty_computer: dict[str, str]) -> None:
    stand_in(tmp_path / "bin", "python3.11", (3, 11, 4), base_prefix="/home/x/SlicerKneePipeline/venv")
    assert choose(empty_computer) == "python3.11"


def test_an_intel_mac_is_refused_with_its_reason() -> None:
    found = dataclasses.replace(interpreters.ask((sys.executable,)), machine="x86_64")
    assert "Intel" in interpreters.objection(found, [found.short], {}, system="Darwin")
    assert interpreters.objection(found, [found.short], {}, system="Linux") == ""


def test_what_does_not_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not start"):
        interpreters.find(PYTHONS, str(tmp_path / "no such python"))


def test_a_virtual_environment_is_traced_to_its_base(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    short = sys.version_info[:2]
    found = interpreters.find([short], str(tmp_path / "v"))
    assert not found.executable.is_relative_to(tmp_path)
    assert found.version == sys.version_info[:3]


def _mirror(folder: Path) -> Path:
    """A Python installation in the form that uv downloads, made of the one that runs, and uv's list naming it."""
    version, short = sys.version.split()[0], ".".join(map(str, sys.version_info[:2]))
    name = f"cpython-{version}+20260101-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"
    unwanted = ("/test/", "/tests/", "site-packages/", "__pycache__", "config-3", "idlelib", "tkinter", "lib2to3")
    (folder / "20260101").mkdir(parents=True)
    archive_file = folder / "20260101" / name
    with tarfile.open(archive_file, "w:gz", compresslevel=1) as archive:
        archive.add(f"{sys.base_prefix}/bin/python{short}", f"python/bin/python{short}")
        archive.add(f"{sys.base_prefix}/lib/python{short}", f"python/lib/python{short}",
                    filter=lambda entry: None if any(part in entry.name for part in unwanted) else entry)  # fmt: skip
    listing = folder / "downloads.json"
    listing.write_text(json.dumps({f"cpython-{version}-linux-x86_64-gnu": {
        "name": "cpython", "arch": {"family": "x86_64", "variant": None}, "os": "linux", "libc": "gnu",
        "major": sys.version_info[0], "minor": sys.version_info[1], "patch": sys.version_info[2], "prerelease": "",
        "url": f"{bootstrap._ASTRAL}/20260101/{name.replace('+', '%2B')}", "variant": None, "build": "20260101",
        "sha256": hashlib.sha256(archive_file.read_bytes()).hexdigest(),
    }}), encoding="utf-8")  # fmt: skip
    return listing


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info[:2] != (3, 11), reason="made from a Linux CPython 3.11")
def test_uv_fetches_a_python_from_a_loopback_mirror(
    world: FakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = find_uv()
    if uv is None:
        pytest.skip("uv is not on this machine")
    listing = _mirror(tmp_path / "mirror")
    asked: list[str] = []
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(world.home))

    class Mirror(SimpleHTTPRequestHandler):
        def __init__(self, *args) -> None:
            super().__init__(*args, directory=str(tmp_path / "mirror"))

        def log_message(self, *args) -> None:
            asked.append(self.path)

    lock = lockfile.read_lock(world.lock_file)
    questions: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(listing))
        with pytest.raises(SetupError, match="none was downloaded"):
            bootstrap.install_python(lock, print, lambda question: bool(questions.append(question)), Path(uv))
        assert asked == [], "nothing is fetched before the answer"
        assert "127.0.0.1" in questions[0]
        assert "30 MB" in questions[0]
        assert str(world.home) in questions[0]
        found = bootstrap.install_python(lock, print, lambda question: True, Path(uv))
        server.shutdown()
    assert len(asked) == 1
    assert found.executable.is_relative_to(world.home / "bootstrap" / "python")
    assert found.version == sys.version_info[:3]
    # It is found again by itself, and an environment can be made from it.
    again = interpreters.find([(3, 11)], None, {"PATH": ""}, extra_folders=[world.home / "bootstrap" / "python"])
    assert again.executable == found.executable
    done = world.setup("uv", f"base_python={str(found.executable)!r}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.call("E.remove(options())").returncode == 0
    assert not (world.home / "bootstrap").exists()


def test_without_a_terminal_nothing_is_downloaded(world: FakeWorld) -> None:
    """No suitable Python, nobody to ask: a sentence, not a download and not a hanging question."""
    world.change_lock(lambda lock: lock.update(python=["3.99"]))
    refused = world.call("E.setup(options(base_python=None))")
    assert refused.returncode == 1
    assert "none was downloaded" in refused.stdout
    assert "setup --yes" in refused.stdout


def test_a_pip_of_the_persons_own_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up is called in a folder in which a pip.py happens to lie."""
    here, ours = tmp_path / "here", tmp_path / "ours"
    here.mkdir()
    ours.mkdir()
    for name in ("pip.py", "ensurepip.py"):
        (here / name).write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()")
    monkeypatch.chdir(here)
    assert bootstrap._pip_of(sys.executable, dict(os.environ), ours) == ["-m", "pip"]
    assert not (tmp_path / "was_run").exists()


@pytest.mark.slow
def test_uv_is_fetched_by_pip_into_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path / "höme"))
    base = interpreters.find(PYTHONS)
    uv = bootstrap.fetch_uv(lockfile.read_lock(), str(base.executable))
    assert uv.is_relative_to(tmp_path)
    assert ".".join(map(str, bootstrap.uv_version(uv))) == lockfile.read_lock().bootstrap["uv"]
