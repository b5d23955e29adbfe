"""Locks: of the operating system, and on file systems that have none."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from KneePipelineLib.system import locks
from KneePipelineLib.system.locks import Lock, exclusive
from KneePipelineLib.system.processes import start_of

REPOSITORY = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="flock is POSIX")


def _refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)


@pytest.fixture(params=["system", pytest.param("none", marks=posix)])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every promise holds with and without locks in the file system."""
    if request.param == "none":
        _refuse_locks(monkeypatch, errno.ENOLCK)
    return request.param


def _dead_pid() -> int:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    return gone.pid


def _signed(**changed: object) -> str:
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "start": start_of(os.getpid()),
                       "since": "2026-03-01T12:00:00", **changed})


def test_one_at_a_time(kind: str, tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock", token="a"), Lock(tmp_path / "lock")
    assert first.take()
    assert first.system == (kind == "system")
    assert not second.take()
    assert (second.owner().pid, second.owner().notes) == (os.getpid(), {"token": "a"})
    first.give_back()
    assert second.take()
    assert second.previous is None, "it was given back, not left behind"
    second.give_back()
    assert [p.name for p in tmp_path.iterdir() if "owner" not in p.name] == ["lock"]
    assert len(list(tmp_path.iterdir())) == (1 if kind == "system" else 2)


def test_what_a_killed_owner_leaves(kind: str, tmp_path: Path) -> None:
    program = ("import sys\nsys.path.insert(0, sys.argv[1])\nfrom KneePipelineLib.system import locks\n"
               "import errno\n"
               "def none(*_): raise OSError(errno.ENOLCK, '')\n"
               "if sys.argv[3] == 'none': locks.fcntl.flock = none\n"
               "assert locks.Lock(sys.argv[2], token='t').take()\nprint(flush=True)\nsys.stdin.read()\n")
    process = subprocess.Popen([sys.executable, "-c", program, str(REPOSITORY), str(tmp_path / "lock"), kind],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline()
    lock = Lock(tmp_path / "lock")
    assert not lock.take()
    assert str(lock.owner()) == f"process {process.pid}"
    assert lock.advice() == ""
    process.kill()
    process.communicate()
    assert lock.take()
    assert lock.previous is not None
    assert lock.previous.notes == {"token": "t"}
    lock.give_back()


def test_an_owner_that_ends_while_it_is_asked_for_was_not_killed(kind: str, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """Read before the lock is taken, a run that ends in between would be taken for a killed one."""
    first, second = Lock(tmp_path / "lock", token="a"), Lock(tmp_path / "lock")
    assert first.take()
    real = locks._try_lock

    def just_then(descriptor: int) -> bool | None:
        first.give_back()
        return real(descriptor)

    monkeypatch.setattr(locks, "_try_lock", just_then)
    assert second.take()
    assert second.previous is None
    second.give_back()


def test_waiting_is_told_once(kind: str, tmp_path: Path) -> None:
    owner = Lock(tmp_path / "lock")
    assert owner.take()
    told: list[str] = []

    def release(lock: Lock) -> None:
        told.append(str(lock.owner()))
        threading.Timer(0.5, owner.give_back).start()

    with exclusive(tmp_path / "lock", waiting=release):
        assert told == [f"process {os.getpid()}"]


@posix
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_no_locks_is_not_held_by_somebody(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_locks(monkeypatch, number)
    lock = Lock(tmp_path / "lock")
    assert lock.take()
    assert not lock.system
    lock.give_back()


@posix
def test_another_trouble_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_locks(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        Lock(tmp_path / "lock").take()


@posix
@pytest.mark.parametrize(("said", "taken"), [
    ({"pid": None}, True), ({"start": "another boot:1"}, True), ({"host": "node7"}, False), ({}, False)],
    ids=["dead", "its number was given to another", "elsewhere", "alive"])  # fmt: skip
def test_without_locks_only_a_dead_owner_of_this_computer_is_followed(said: dict, taken: bool, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_locks(monkeypatch, errno.ENOLCK)
    if "pid" in said:
        said = {"pid": _dead_pid(), "start": ""}
    if "start" in said and not start_of(os.getpid()):
        pytest.skip("the start of a process cannot be seen here")
    (tmp_path / "lock.owner.3").write_text(_signed(**said))
    lock = Lock(tmp_path / "lock")
    assert lock.take() == taken
    left = [p.name for p in tmp_path.glob("lock.owner.*")]
    assert left == ["lock.owner.4" if taken else "lock.owner.3"]
    lock.give_back()


@posix
def test_the_owner_on_another_computer_is_spoken_of_honestly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_locks(monkeypatch, errno.ENOLCK)
    (tmp_path / "lock.owner.3").write_text(_signed(host="node7", pid=42))
    lock = Lock(tmp_path / "lock")
    assert not lock.take()
    assert str(lock.owner()) == "process 42 on node7 since 2026-03-01 12:00"
    assert "lock.owner.*" in lock.advice()
    (tmp_path / "lock.owner.3").unlink()
    assert lock.take()
    lock.give_back()


@posix
def test_of_many_who_find_a_dead_owner_one_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_locks(monkeypatch, errno.ENOLCK)
    dead = _signed(pid=_dead_pid(), start="")
    for _ in range(20):
        (tmp_path / "lock.owner.3").write_text(dead)
        rivals = [Lock(tmp_path / "lock") for _ in range(6)]
        took: list[bool] = []
        start = threading.Barrier(len(rivals))

        def try_it(lock: Lock, took: list[bool] = took, start: threading.Barrier = start) -> None:
            start.wait()
            took.append(lock.take())

        threads = [threading.Thread(target=try_it, args=(lock,)) for lock in rivals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(took) == 1
        for lock in rivals:
            lock.give_back()
        for path in tmp_path.glob("lock.owner.*"):
            path.unlink()


@posix
def test_a_lock_file_that_its_owner_removed_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`setup --remove` takes the whole folder away; who waited at the old file must not own nothing."""
    first, second, third = (Lock(tmp_path / "lock") for _ in range(3))
    assert first.take()
    real = locks._try_lock

    def removed_meanwhile(descriptor: int) -> bool | None:
        monkeypatch.setattr(locks, "_try_lock", real)
        (tmp_path / "lock").unlink()
        first.give_back()
        return real(descriptor)

    monkeypatch.setattr(locks, "_try_lock", removed_meanwhile)
    assert second.take()
    assert not third.take()
    second.give_back()


@posix
def test_what_is_in_use_is_held(tmp_path: Path) -> None:
    assert not locks.is_held(tmp_path / "in-use")
    one, two = locks.hold(tmp_path / "in-use"), locks.hold(tmp_path / "in-use")
    assert one is not None
    assert two is not None
    os.close(one)
    assert locks.is_held(tmp_path / "in-use")
    os.close(two)
    assert not locks.is_held(tmp_path / "in-use")
