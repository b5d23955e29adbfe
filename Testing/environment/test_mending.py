"""The life of an environment after Set up: repaired, in use, moved to another folder, removed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from Testing.environment.fakes import REPOSITORY, FakeWorld, posix, write_wheel


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
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
         "from pathlib import Path\nfrom KneePipelineLib.system.locks import hold\n"
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
