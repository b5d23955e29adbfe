"""Folders, locks, the step into the environment, the doctor; and all of it on other Python versions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from KneePipelineLib.environment import child, places
from KneePipelineLib.errors import ConfigError
from KneePipelineLib.system import locks
from Testing.environment.fakes import REPOSITORY, FakeWorld, other_pythons

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


def test_home_follows_the_platform() -> None:
    assert places.home({"KNEEPIPELINE_HOME": "/a b/ü"}, "Linux") == Path("/a b/ü")
    assert places.home({"XDG_DATA_HOME": "/data"}, "Linux") == Path("/data/KneePipeline")
    assert places.home({}, "Linux").parts[-3:] == (".local", "share", "KneePipeline")
    assert places.home({}, "Darwin").parts[-2:] == ("Application Support", "KneePipeline")
    assert places.home({"LOCALAPPDATA": "C:/Users/x/AppData/Local"}, "Windows").name == "KneePipe"


def test_windows_paths_stay_short() -> None:
    longest_name = "C:\\Users\\" + "a" * 20 + "\\AppData\\Local"
    places.check_path_length(f"{longest_name}\\KneePipe\\env\\99", "Windows")
    with pytest.raises(ConfigError, match="fewer than 60"):
        places.check_path_length("C:\\" + "a" * 57, "Windows")
    places.check_path_length("/" + "a" * 100, "Linux")


def test_a_remembered_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path))
    assert places.environment_dir() == tmp_path / "env"
    places.remember_environment_dir(tmp_path / "other")
    assert places.environment_dir() == tmp_path / "other"
    (tmp_path / places.POINTER_NAME).write_text("{spoiled", encoding="utf-8")
    assert places.environment_dir() == tmp_path / "env"
    places.forget_environment_dir()
    assert list(tmp_path.iterdir()) == []


def test_variables_of_a_child() -> None:
    slicer = os.path.abspath("/apps/Slicer")
    mine = {
        "PYTHONPATH": "/slicer", "PYTHONHOME": "/slicer", "PythonStartup": "x", "VIRTUAL_ENV": "/v",
        "SLICER_HOME": slicer, "LD_LIBRARY_PATH": os.pathsep.join([f"{slicer}/lib", "/cuda/lib"]),
        "PATH": os.pathsep.join([f"{slicer}/bin", "/usr/bin"]), "QT_PLUGIN_PATH": f"{slicer}/lib/QtPlugins",
        "HTTPS_PROXY": "http://p:1", "SSL_CERT_FILE": "/c.pem", "OMP_NUM_THREADS": "3",
    }  # fmt: skip
    got = child.child_environment(mine)
    assert got["PYTHONPATH"] == str(REPOSITORY)
    assert {"PYTHONHOME", "PythonStartup", "VIRTUAL_ENV", "SLICER_HOME", "QT_PLUGIN_PATH"}.isdisjoint(got)
    assert got["LD_LIBRARY_PATH"] == "/cuda/lib"
    assert got["PATH"] == "/usr/bin"
    assert (got["PYTHONUTF8"], got["PYTHONNOUSERSITE"], got["KERAS_BACKEND"], got["NO_ET"]) == ("1", "1", "torch", "1")
    assert (got["HTTPS_PROXY"], got["SSL_CERT_FILE"], got["OMP_NUM_THREADS"]) == ("http://p:1", "/c.pem", "3")
    assert mine["PYTHONPATH"] == "/slicer"


def test_inside_looks_at_the_state_and_its_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KNEEPIPELINE_PYTHON", raising=False)
    assert not child.inside(prefix=str(tmp_path))
    (tmp_path / child.STATE_NAME).write_text(json.dumps({"groups": ["core"]}), encoding="utf-8")
    assert child.inside(prefix=str(tmp_path))
    assert not child.inside(("test",), prefix=str(tmp_path))
    monkeypatch.setenv("KNEEPIPELINE_PYTHON", sys.executable)
    assert child.inside(("test",))


@posix
def test_the_step_across_keeps_signals_exit_codes_and_protects_the_environment(world: FakeWorld, quickest: str) -> None:
    """``relaunch`` becomes the private Python; a small package stands in for KneePipelineLib there."""
    stage = world.root / "stage"
    (stage / "KneePipelineLib").mkdir(parents=True)
    (stage / "KneePipelineLib" / "__init__.py").touch()
    (stage / "KneePipelineLib" / "__main__.py").write_text(
        "import os, sys, time, torch\n"
        "print(sys.prefix, *sys.argv[1:], os.environ.get('PYTHONHASHSEED'), flush=True)\n"
        "if sys.argv[1] == 'wait': time.sleep(60)\n"
        "sys.exit(int(sys.argv[1]))\n", encoding="utf-8")  # fmt: skip
    assert world.setup(quickest).returncode == 0
    call = (f"from KneePipelineLib.environment import child, setting_up; child.PACKAGE_PARENT = Path({str(stage)!r}); "
            "setting_up.ensure.__defaults__ = ((), None, options()); sys.exit(E.relaunch(sys.argv[1:]))")  # fmt: skip
    command, environ = world.script(call), world.environ(quickest, PYTHONHASHSEED="7")
    # A torch.py in the current folder must not shadow the real one.
    (world.root / "torch.py").write_text("raise ImportError('shadowed')\n", encoding="utf-8")
    done = subprocess.run([*command, "3", "an argument"], env=environ, cwd=world.root, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stdout.split()[-4:] == ["3", "an", "argument", "None"]
    assert str(world.environment / "1") in done.stdout
    process = subprocess.Popen([*command, "wait"], env=environ, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    assert locks.is_held(world.environment / "1" / child.IN_USE_NAME)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == -signal.SIGTERM
    assert not locks.is_held(world.environment / "1" / child.IN_USE_NAME)


def test_a_named_python_is_used_as_it_is(world: FakeWorld) -> None:
    answer = world.call("print(E.ensure(('test',)), E.private_python())", KNEEPIPELINE_PYTHON=sys.executable)
    assert answer.stdout.split() == [sys.executable, sys.executable], answer.stdout + answer.stderr
    answer = world.call("E.ensure()", KNEEPIPELINE_PYTHON="/no/such/python")
    assert "does not start" in answer.stdout


@pytest.mark.parametrize("call", ["E.ensure(options=options())", "E.setup(options())", "E.remove(options())"])
def test_an_environment_of_another_user_is_told_as_that(world: FakeWorld, quickest: str, call: str) -> None:
    """A shared installation whose Python this user may not execute; before, a traceback about setup.lock."""
    assert world.setup(quickest).returncode == 0
    another = ("import os; from KneePipelineLib.environment import checks; from KneePipelineLib.system import locks; "
               "checks.starts = lambda python: None; os.access = lambda *_: False; "
               "locks.Lock.take = lambda lock: (_ for _ in ()).throw(PermissionError(13, 'Permission denied')); ")
    answer = world.call(another + call, quickest)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "this user" in answer.stdout or "another user" in answer.stdout
    assert "KNEEPIPELINE_HOME to a folder of yours" in answer.stdout
    assert world.imports("alpha")


def test_doctor_without_an_environment_names_the_command(world: FakeWorld) -> None:
    answer = world.call("import json; print(json.dumps(E.doctor(lock_file=always['lock_file']).to_dict()))")
    report = json.loads(answer.stdout)
    assert report["v"] == 1
    assert report["ok"] is False
    (finding,) = [f for f in report["findings"] if f["subject"] == "environment"]
    assert (finding["status"], finding["mend"]) == ("error", "python3 -m KneePipelineLib setup")
    assert set(finding) == {"subject", "status", "message", "mend"}


def test_doctor_of_a_healthy_environment(world: FakeWorld, quickest: str) -> None:
    assert world.setup(quickest).returncode == 0
    answer = world.call("print(E.doctor(lock_file=always['lock_file']).text())", quickest)
    assert "Everything needed works." in answer.stdout
    assert "torch: 1.0+cpu computes on cpu" in answer.stdout
    assert "whole and as locked" in answer.stdout
    assert "ERROR" not in answer.stdout


def test_doctor_finds_strangers_and_wrong_versions(world: FakeWorld, quickest: str) -> None:
    assert world.setup(quickest).returncode == 0
    site = next((world.environment / "1").glob("**/site-packages/alpha")).parent
    (site / "alpha-1.0.dist-info").rename(site / "alpha-9.0.dist-info")
    (site / "tensorflow-2.0.dist-info").mkdir()
    (site / "tensorflow-2.0.dist-info" / "RECORD").touch()
    answer = world.call("print(E.doctor(lock_file=always['lock_file']).text())", quickest)
    assert "alpha is 9.0 instead of 1.0." in answer.stdout
    assert "Not in the lock: tensorflow." in answer.stdout


def test_importing_the_room_imports_nothing_heavy() -> None:
    code = (f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\nimport KneePipelineLib.environment.commands\n"
            "import KneePipelineLib.environment\nprint([m for m in ('numpy', 'torch', 'vtk', 'urllib.request') "
            "if m in sys.modules])")  # fmt: skip
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_every_supported_python_runs_the_room(version: str, world: FakeWorld) -> None:
    """Imports every module and runs ``doctor --json`` under another interpreter, without site-packages."""
    python = other_pythons().get(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "import importlib, pkgutil, KneePipelineLib.environment as room\n"
        "[importlib.import_module(f'{room.__name__}.{m.name}') for m in pkgutil.iter_modules(room.__path__)\n"
        " if m.name != '__main__']\n"
        "import argparse\nfrom KneePipelineLib.environment import commands\n"
        "parser = argparse.ArgumentParser(); commands.add_doctor_arguments(parser)\n"
        "sys.exit(commands.run_doctor(parser.parse_args(['--json'])))\n"
    )
    answer = subprocess.run([python, "-I", "-S", "-W", "error", "-c", code], env=world.environ(), capture_output=True,
                            text=True, timeout=60, check=False)  # fmt: skip
    assert answer.returncode == 1, answer.stderr
    assert json.loads(answer.stdout)["facts"]["python"].startswith(version)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_set_up_runs_on_the_other_pythons(version: str, world: FakeWorld, quickest: str) -> None:
    """The environment itself made from, and by, another Python."""
    python = other_pythons().get(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    command = [str(python), *world.script(f"E.setup(options(installer={quickest!r}, base_python={str(python)!r}))")[1:]]
    done = subprocess.run(command, env=world.environ(quickest), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = subprocess.run([world.python(), "-V"], capture_output=True, text=True, check=True)
    assert answer.stdout.split()[1].startswith(version)


@pytest.mark.slow
def test_the_real_set_up_in_an_empty_home(tmp_path: Path) -> None:
    """The product's own lock, a compiler that always fails, a path with a space and an umlaut: all groups work."""
    environ = {k: v for k, v in os.environ.items() if k not in ("KNEEPIPELINE_PYTHON", "VIRTUAL_ENV")}
    environ.update(KNEEPIPELINE_HOME=str(tmp_path / "hö me"), CC="/bin/false", CXX="/bin/false")
    command = [sys.executable, "-m", "KneePipelineLib"]
    done = subprocess.run([*command, "setup", "--torch", "cpu", "--extras", "test"], env=environ, cwd=REPOSITORY,
                          capture_output=True, text=True, timeout=1500, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "torch 2.13.0" in done.stderr
    report = json.loads(subprocess.run([*command, "doctor", "--json"], env=environ, cwd=REPOSITORY, text=True,
                                       capture_output=True, timeout=600, check=False).stdout)  # fmt: skip
    assert report["ok"], report
    assert {"core", "dosma", "test"} <= set(report["facts"]["groups"])
    assert [f for f in report["findings"] if f["status"] == "error"] == []
