"""A Set up that is killed, cancelled or started twice leaves nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from Testing.environment.fakes import BACKEND, REPOSITORY, FakeWorld, posix, write_wheel


def _slow_alpha(world: FakeWorld) -> None:
    """The import probe of alpha waits, so that there is a moment in which everything is half done."""
    write_wheel(world.wheels, "alpha", "1.0", {"alpha/__init__.py": (
        "import os, pathlib, time\n"
        "flag = os.environ.get('TEST_WAIT')\n"
        "if flag:\n    pathlib.Path(flag).touch()\n    time.sleep(60)\n"
    )})  # fmt: skip


def _wait_for(path: Path, process: subprocess.Popen) -> None:
    """Until the file is there, which the process makes."""
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
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from pathlib import Path\n"
        "from KneePipelineLib.environment import lockfile\n"
        f"lockfile.LOCK_FILE = Path({str(world.lock_file)!r})\n"
        "from KneePipelineLib.__main__ import run\nsys.exit(run())"
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
