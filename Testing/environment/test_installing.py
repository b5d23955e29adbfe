"""Set up, for real, with small packages: from nothing, interrupted, two at once, failing, offline, repair, removal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from Testing.environment.fakes import BACKEND, PYPROJECT, FakeWorld, write_sdist, write_wheel

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


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


def _slow_alpha(world: FakeWorld) -> None:
    """The import probe of alpha waits, so that there is a moment in which everything is half done."""
    write_wheel(world.wheels, "alpha", "1.0", {"alpha/__init__.py": (
        "import os, pathlib, time\n"
        "flag = os.environ.get('TEST_WAIT')\n"
        "if flag:\n    pathlib.Path(flag).touch()\n    time.sleep(60)\n"
    )})  # fmt: skip


def _wait_for(path: Path, process: subprocess.Popen) -> None:
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"{path.name} did not appear")


@posix
def test_killed_in_mid_install_is_mended_by_the_next_call(world: FakeWorld, installer: str) -> None:
    _slow_alpha(world)
    flag = world.root / "half done"
    process = subprocess.Popen(
        world.script(f"E.setup(options(installer={installer!r}))"), env=world.environ(installer, TEST_WAIT=str(flag)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _wait_for(flag, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert world.generations() == ["1"]
    assert not (world.environment / "current.json").exists()
    assert world.call("print(E.private_python())", installer).stdout.strip() == "None"
    mended = world.call(f"print(E.ensure(options=options(installer={installer!r})))", installer)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert world.generations() == ["2"], "the leftover is gone, and its number is not used again"
    assert world.imports("alpha")


@posix
def test_a_killed_set_up_takes_its_installer_along(world: FakeWorld, quickest: str, tmp_path: Path) -> None:
    """The sdist's build waits; SIGKILL to Set up must end that build too, or it would write into a dead folder."""
    backend = f"import os, pathlib, time\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
    write_wheel(world.wheels, BACKEND, "1.0", {f"{BACKEND}.py": backend + "time.sleep(100)\n"})
    process = subprocess.Popen(
        world.script(f"E.setup(options(installer={quickest!r}))"), env=world.environ(quickest),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _wait_for(tmp_path / "pid", process)
    time.sleep(0.2)
    builder = int((tmp_path / "pid").read_text())
    process.kill()
    process.communicate()
    for _ in range(100):
        try:
            os.kill(builder, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{builder}/stat").exists() and ") Z " in Path(f"/proc/{builder}/stat").read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the build outlived the Set up that started it")


@posix
def test_cancelled_with_sigterm_leaves_nothing(world: FakeWorld, quickest: str) -> None:
    _slow_alpha(world)
    flag = world.root / "half done"
    command = [sys.executable, "-c", (
        "import sys; sys.argv = ['x', 'setup', '--torch', 'cpu', '--python', sys.executable]\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from pathlib import Path\n"
        "from KneePipelineLib.environment import lockfile\n"
        f"lockfile.LOCK_FILE = Path({str(world.lock_file)!r})\n"
        "from KneePipelineLib.cli import main\nsys.exit(main())"
    )]  # fmt: skip
    process = subprocess.Popen(command, env=world.environ(quickest, TEST_WAIT=str(flag)),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    _wait_for(flag, process)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "cancelled" in said
    assert world.generations() == []


def test_two_at_once_wait_for_each_other(world: FakeWorld, installer: str) -> None:
    call = f"print(E.setup(options(installer={installer!r})))"
    processes = [
        subprocess.Popen(world.script(call), env=world.environ(installer), stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, encoding="utf-8")
        for _ in range(2)
    ]  # fmt: skip
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert world.generations() == ["1"], "built once, found by the other"
    assert {Path(out.strip()) for out, _ in answers} == {world.python()}
    assert any("Waiting for another Set up" in err for _, err in answers)


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


def test_repair_after_a_deleted_and_a_changed_file(world: FakeWorld, installer: str) -> None:
    assert world.setup(installer).returncode == 0
    site = next((world.environment / "1").glob("**/site-packages/alpha")).parent
    (site / "alpha" / "data.txt").unlink()
    doctor = "import json; print(json.dumps(E.doctor(lock_file=always['lock_file']).to_dict()))"
    report = json.loads(world.call(doctor, installer).stdout)
    assert not report["ok"]
    (finding,) = [f for f in report["findings"] if f["subject"] == "packages"]
    assert "1 files of alpha" in finding["message"]
    assert finding["mend"].endswith("setup --repair")
    mended = world.setup(installer, "repair=True")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert world.generations() == ["2"]
    assert json.loads(world.call(doctor, installer).stdout)["ok"]
    # A change in place must not have reached the installer's cache: what comes back is what was published.
    site = next((world.environment / "2").glob("**/site-packages/alpha")).parent
    (site / "alpha" / "__init__.py").write_text("raise ImportError('spoiled')\n", encoding="utf-8")
    assert world.setup(installer, "repair=True").returncode == 0
    assert world.imports("alpha")


def test_repair_of_a_healthy_environment_leaves_it(world: FakeWorld, installer: str) -> None:
    assert world.setup(installer).returncode == 0
    assert world.setup(installer, "repair=True").returncode == 0
    assert world.generations() == ["1"]


@posix
def test_a_vanished_interpreter_is_noticed_and_mended(world: FakeWorld, installer: str) -> None:
    """After an upgrade of the system the link in the environment leads nowhere."""
    assert world.setup(installer).returncode == 0
    python = world.python()
    python.unlink()
    python.symlink_to(world.root / "python that was removed")
    mended = world.call(f"print(E.ensure(options=options(installer={installer!r})))", installer)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "no longer starts" in mended.stderr
    assert world.python() == world.environment / "2" / "bin" / "python"


def test_remove_takes_the_environment_and_leaves_the_weights(world: FakeWorld, installer: str) -> None:
    assert world.setup(installer).returncode == 0
    weights = world.home / "models" / "weights.bin"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    assert world.call("E.remove(options())", installer).returncode == 0
    assert not world.environment.exists()
    assert weights.read_bytes() == b"weights"
    assert world.call("E.remove(options())", installer).returncode == 0, "removing nothing is no error"


@posix
def test_an_environment_in_use_is_neither_removed_nor_swept(world: FakeWorld, quickest: str) -> None:
    assert world.setup(quickest).returncode == 0
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
         "from pathlib import Path\nfrom KneePipelineLib.environment.exclusive import hold\n"
         f"hold(Path({str(world.environment / '1' / 'in-use')!r})); print('held', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout.readline().strip() == "held"
        refused = world.call("E.remove(options())", quickest)
        assert refused.returncode == 1
        assert "is using" in refused.stdout
        assert world.imports("alpha")
        write_wheel(world.wheels, "alpha", "2.0", {"alpha/__init__.py": ""})
        world.change_lock(lambda lock: lock["packages"][0].update(version="2.0"))
        assert world.setup(quickest).returncode == 0
        assert world.generations() == ["1", "2"], "the run keeps its environment"
    finally:
        holder.communicate("")
    assert world.setup(quickest).returncode == 0
    assert world.generations() == ["2"]


def test_env_chooses_and_remembers_a_folder_and_never_takes_a_foreign_one(world: FakeWorld, installer: str) -> None:
    chosen = world.root / "other place"
    assert world.setup(installer, f"environment_dir=Path({str(chosen)!r})").returncode == 0
    found = world.call("print(E.private_python())", installer).stdout.strip()
    assert Path(found).is_relative_to(chosen)
    assert world.call("E.remove(options())", installer).returncode == 0
    assert not chosen.exists()
    foreign = world.root / "my pictures"
    foreign.mkdir()
    (foreign / "knee.png").write_bytes(b"")
    refused = world.setup(installer, f"environment_dir=Path({str(foreign)!r})")
    assert refused.returncode == 1
    assert "holds other files" in refused.stdout
    refused = world.call(f"E.remove(options(environment_dir=Path({str(foreign)!r})))", installer)
    assert refused.returncode == 1
    assert [p.name for p in foreign.iterdir()] == ["knee.png"]


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
