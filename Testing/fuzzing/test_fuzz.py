"""300 spoilt inputs through the product's readers, and that the watch over them sees what it is there to see."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from KneePipelineLib.errors import KneePipelineError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the watch asks /proc")
if sys.platform.startswith("linux"):
    h5py = pytest.importorskip("h5py")
    from Testing.Benchmarks import fuzz, fuzz_child
    from Testing.Benchmarks.fuzz_formats import Case

ROOT = Path(__file__).resolve().parents[2]


def test_300_spoilt_inputs() -> None:
    """In a process of its own, as the command runs: 30 of each format, each read or refused in a sentence."""
    done = subprocess.run([sys.executable, "-m", "Testing.Benchmarks.fuzz", "--count", "300", "--seed", "12"], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(\S.*?)\s+30\s+(\d+)\s+(\d+)\s+0\s", done.stdout, re.MULTILINE)
    assert [name for name, _, _ in rows] == ["NIfTI", "NRRD", "MetaImage", "DICOM", "zip", "plans.json", "dataset.json",
                                            ".pth", "HDF5 planar", "tables"]
    assert all(int(refused) > 5 for _, _, refused in rows)
    assert sum(int(read) for _, read, _ in rows) > 30


def _system(_: Path) -> None:
    os.system("true")


def _hidden_system(_: Path) -> None:
    with contextlib.suppress(Exception):
        os.system("true")


def _child(_: Path) -> None:
    subprocess.run(["true"], check=False)


def _connection(_: Path) -> None:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 9))


def _foreign_code(_: Path) -> None:
    exec(compile("x = 1", "/elsewhere/foreign.py", "exec"))


def _writes(folder: Path) -> None:
    (folder.parents[1] / "written").write_text("x")


def _writes_below_python(folder: Path) -> None:
    with h5py.File(folder.parents[1] / "outside" / "made.h5", "w"):
        pass


def _reads_secret(folder: Path) -> None:
    (folder.parents[1] / "outside" / "secret.raw").read_bytes()


def _removes(folder: Path) -> None:
    os.remove(folder.parents[1] / "nothing")


def _hangs(_: Path) -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.1)


def _crashes(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _takes_memory(_: Path) -> None:
    bytearray(3 << 30)


def _untyped(_: Path) -> None:
    raise KeyError("x")


def _prints(_: Path) -> None:
    print("x")


def _refuses(message: str, hint: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        raise KneePipelineError(message.replace("{folder}", str(folder)), hint)
    return read


READERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "reads": (lambda _: None, "read", "^$"), "refuses": (_refuses("It is cut.", "Copy it."), "refused", "It is cut"),
    "no hint": (_refuses("It is cut.", ""), "fault", "no hint"),
    "no sentence": (_refuses("no sentence", "z"), "fault", "badly"),
    "path": (_refuses("{folder} is cut.", "Copy it."), "fault", "tells a path"),
    "system": (_system, "fault", "executed"), "hidden system": (_hidden_system, "fault", "executed"),
    "child": (_child, "fault", "executed"), "connection": (_connection, "fault", "executed: socket"),
    "foreign code": (_foreign_code, "fault", "executed: code"), "writes": (_writes, "fault", "wrote outside"),
    "below Python": (_writes_below_python, "fault", "wrote outside"),
    "secret": (_reads_secret, "fault", "read outside"),
    "removes": (_removes, "fault", "changed outside"), "hangs": (_hangs, "fault", "hang"),
    "crashes": (_crashes, "fault", "crash: exit status -9"), "memory": (_takes_memory, "fault", "MemoryError"),
    "untyped": (_untyped, "fault", "KeyError"), "prints": (_prints, "fault", "printed"),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the bench says of each of these readers, once their input is spoilt."""
    def case(name: str, read: Callable[[Path], object]) -> Case:
        def only_if_spoilt(folder: Path) -> None:
            if (folder / "f").read_bytes() == b"bad":
                read(folder)
        return Case(name, name.replace(" ", "_"), lambda folder: (folder / "f").write_bytes(b"good"), "f",
                    lambda _rng, _data: b"bad", only_if_spoilt)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuzz, "cases", lambda: [case(name, read) for name, (read, _, _) in READERS.items()])
        patch.setattr(fuzz_child, "HANG_S", 1)
        bench = fuzz.Bench(tmp_path_factory.mktemp("fuzz"), 1)
        return {bench.case(index).format: verdict for index, verdict in bench._verdicts(iter(range(len(READERS))), 1)}


@pytest.mark.parametrize("name", READERS)
def test_the_watch_sees(name: str, verdicts: dict) -> None:
    _, kind, text = READERS[name]
    assert verdicts[name].kind == kind, verdicts[name]
    assert re.search(text, verdicts[name].text)
