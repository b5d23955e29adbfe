"""Set up, for real, with small packages: from nothing, again, with extras, failing, offline, from another index."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.environment.fakes import BACKEND, PYPROJECT, FakeWorld, posix, write_sdist, write_wheel


def test_sets_up_from_nothing_and_says_what_it_found(world: FakeWorld, installer: str) -> None:
    done = world.setup(installer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(done.stdout.strip()) == world.python()
    for name in ("torch", "alpha", "source", "beta"):
        assert world.imports(name)
    assert not world.imports("gamma"), "an extra group nobody asked for"
    said = done.stderr
    assert said.index(f"in {world.environment}") < said.index("package 1 of"), "folder and size come before anything"
    assert "on disk" in said
    assert "package 5 of 5" in said
    assert "torch 1.0+cpu on cpu" in said.splitlines()[-1]
    fractions = [int(line[1:4]) for line in said.splitlines() if line.startswith("[")]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 100
    state = json.loads((world.environment / "1" / "kneepipeline.json").read_text(encoding="utf-8"))
    assert state["groups"] == ["core", "some"]
    assert state["installer"] == installer
    assert set(state["versions"]) >= {"torch", "alpha", "source", "beta", BACKEND}


def test_a_second_call_changes_nothing(world: FakeWorld, installer: str) -> None:
    assert world.setup(installer).returncode == 0
    before = (world.environment / "1" / "kneepipeline.json").stat().st_mtime_ns
    again = world.setup(installer)
    assert again.returncode == 0
    assert "is ready" in again.stderr
    assert world.generations() == ["1"]
    assert (world.environment / "1" / "kneepipeline.json").stat().st_mtime_ns == before


def test_an_extra_group_is_added_to_what_is_there(world: FakeWorld, installer: str) -> None:
    assert world.setup(installer).returncode == 0
    added = world.call(f"print(E.ensure(('test',), options=options(installer={installer!r})))", installer)
    assert added.returncode == 0, added.stdout + added.stderr
    assert world.generations() == ["1"]
    assert world.imports("gamma")
    assert "test" in json.loads((world.environment / "1" / "kneepipeline.json").read_text(encoding="utf-8"))["groups"]


def test_never_needs_a_compiler(world: FakeWorld, installer: str) -> None:
    done = world.setup(installer, CC="/bin/false")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = subprocess.run([world.python(), "-I", "-c", "import source; print(source.compiled)"],
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert answer.stdout.strip() == "False"


def test_an_optional_group_that_fails_is_a_warning_and_can_be_mended(world: FakeWorld, installer: str) -> None:
    write_sdist(world.wheels, "stubborn", "1.0", {"pyproject.toml": PYPROJECT, "needs_compiler": ""})

    def need_a_compiler(lock: dict) -> None:
        lock["packages"].append({"name": "stubborn", "version": "1.0", "groups": ["some"], "sdist": True})
        lock["packages"].sort(key=lambda entry: entry["name"])

    world.change_lock(need_a_compiler)
    done = world.setup(installer, CC="/bin/false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning: some is not available" in done.stderr
    report = json.loads(world.call("import json; print(json.dumps(E.doctor(lock_file=always['lock_file']).to_dict()))",
                                   installer).stdout)  # fmt: skip
    (finding,) = [f for f in report["findings"] if f["subject"] == "some"]
    assert report["ok"]
    assert finding["status"] == "warning"
    assert finding["mend"].endswith("setup --repair")
    # What was missing arrives: the mending command does mend.
    write_wheel(world.wheels, "stubborn", "1.0", {"stubborn.py": ""})
    mended = world.setup(installer, "repair=True", CC="/bin/false")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert world.imports("stubborn")
    assert world.generations() == ["1"]


def test_a_failing_package_leaves_the_last_working_environment(world: FakeWorld, installer: str) -> None:
    assert world.setup(installer).returncode == 0
    first = world.python()
    write_wheel(world.wheels, "alpha", "2.0", {"alpha/__init__.py": "raise OSError('broken on this computer')\n"})
    world.change_lock(lambda lock: lock["packages"][0].update(version="2.0"))
    failed = world.setup(installer)
    assert failed.returncode == 1
    assert "alpha cannot be imported (OSError: broken on this computer)" in failed.stdout
    assert "is unchanged" in failed.stdout
    assert world.python() == first
    assert world.imports("alpha")
    assert world.generations() == ["1"]
    # A version that does not exist at all.
    world.change_lock(lambda lock: lock["packages"][0].update(version="3.0"))
    failed = world.setup(installer)
    assert failed.returncode == 1
    assert "alpha" in failed.stdout
    assert world.python() == first


def test_a_new_lock_builds_a_new_generation_and_keeps_the_extras(world: FakeWorld, installer: str) -> None:
    assert world.setup(installer, "extras=('test',)").returncode == 0
    write_wheel(world.wheels, "alpha", "2.0", {"alpha/__init__.py": "value = 2\n"})
    world.change_lock(lambda lock: lock["packages"][0].update(version="2.0"))
    done = world.call(f"print(E.ensure(options=options(installer={installer!r})))", installer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.generations() == ["2"]
    assert world.imports("gamma")


def test_offline_names_every_missing_wheel_before_it_begins(world: FakeWorld, installer: str) -> None:
    folder = world.root / "only some wheels"
    shutil.copytree(world.wheels, folder)
    for name in ("alpha-1.0-py3-none-any.whl", "source-1.0.tar.gz", "torch-1.0+cpu-py3-none-any.whl"):
        (folder / name).unlink()
    refused = world.setup(installer, f"offline=Path({str(folder)!r})")
    assert refused.returncode == 1
    wanted = "torch==1.0+cpu" if sys.platform == "linux" else "torch==1.0"
    assert f"alpha==1.0, source==1.0, {wanted}" in refused.stdout
    assert world.generations() == []
    complete = world.root / "all the wheels"
    shutil.copytree(world.wheels, complete)
    shutil.rmtree(world.wheels)
    done = world.setup(installer, f"offline=Path({str(complete)!r})")
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.imports("source")


def test_offline_takes_nothing_from_anywhere_else(world: FakeWorld, installer: str) -> None:
    """A wheel that the folder seems to have, but broken: the configured find-links must not step in."""
    folder = world.root / "offline"
    shutil.copytree(world.wheels, folder)
    (folder / "alpha-1.0-py3-none-any.whl").write_bytes(b"not a wheel")
    refused = world.setup(installer, f"offline=Path({str(folder)!r})")
    assert refused.returncode == 1
    assert world.generations() == []


def test_too_little_space_is_said_before_anything_begins(world: FakeWorld) -> None:
    world.change_lock(lambda lock: lock["groups"]["core"].update(installed_mb=10**9))
    refused = world.setup("pip")
    assert refused.returncode == 1
    assert "free" in refused.stdout
    assert world.generations() == []


@posix
def test_torch_comes_from_the_extra_index_only_when_the_sources_lack_it(world: FakeWorld, installer: str) -> None:
    """The fallback index is a folder-like index on disk; the configured find-links has no +cpu wheel."""
    if sys.platform != "linux":
        pytest.skip("only Linux has a +cpu build")
    index = world.root / "index"
    folder = index / "cpu" / "torch"
    folder.mkdir(parents=True)
    wheel = world.wheels / "torch-1.0+cpu-py3-none-any.whl"
    shutil.move(wheel, folder / wheel.name)
    link = f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>\n'
    (folder / "index.html").write_text(link, encoding="utf-8")
    (world.wheels / "torch-1.0-py3-none-any.whl").unlink()
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args) -> None:
            super().__init__(*args, directory=str(index))

        def log_message(self, *args) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{{build}}"
        world.change_lock(lambda lock: lock["torch"].update(index=address))
        done = world.setup(installer, PIP_NO_INDEX="0", PIP_INDEX_URL=f"http://127.0.0.1:{server.server_port}/none")
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "asking http://127.0.0.1" in done.stderr
    assert world.imports("torch")
