"""The orchestrator's parts one by one: failures, retries, progress, history, checkpoints, lock, publishing."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from KneePipelineLib import errors
from KneePipelineLib.errors import KneePipelineError
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.checkpoints import CheckpointStore, Manifest
from KneePipelineLib.pipeline.clock import Clock
from KneePipelineLib.pipeline.failures import (
    MEMORY,
    NETWORK,
    NEVER,
    TIMEOUT,
    Hints,
    error_from_dict,
    from_exception,
    from_exit,
    next_attempt,
    recognise,
)
from KneePipelineLib.pipeline.files import hash_folder, hash_tree, write_json, write_text
from KneePipelineLib.pipeline.foreign_progress import Progress as ForeignProgress
from KneePipelineLib.pipeline.foreign_progress import parse_progress
from KneePipelineLib.pipeline.history import KEPT, History
from KneePipelineLib.pipeline.keys import step_key
from KneePipelineLib.pipeline.locking import RunLock
from KneePipelineLib.pipeline.plan import STEPS, step_named, wanted_steps
from KneePipelineLib.pipeline.processes import TOKEN_VARIABLE, alive
from KneePipelineLib.pipeline.progress import Progress
from KneePipelineLib.pipeline.publish import Publisher, is_whole_nrrd
from KneePipelineLib.pipeline.states import State


@pytest.mark.parametrize(("text", "kind", "code"), [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", MEMORY, "GPU_OOM"),
    ("RuntimeError: MPS backend out of memory (MPS allocated: 9 GB)", MEMORY, "GPU_OOM"),
    ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", MEMORY, "E_HARD_002"),
    ("numpy._ArrayMemoryError: Unable to allocate 12.3 GiB for an array", MEMORY, "E_HARD_002"),
    ("OSError: [Errno 28] No space left on device", NEVER, "PIPELINE_ERROR"),
    ("OSError: [Errno 122] Disk quota exceeded", NEVER, "PIPELINE_ERROR"),
    ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", NEVER, "PIPELINE_ERROR"),
    ("ImportError: DLL load failed while importing _sitk", NEVER, "PIPELINE_ERROR"),
    ("ModuleNotFoundError: No module named 'vtk'", NEVER, "PIPELINE_ERROR"),
    ("urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>", NETWORK, "PIPELINE_ERROR"),
])
def test_foreign_output_is_recognised(text: str, kind: str, code: str) -> None:
    failure = recognise(text)
    assert failure is not None
    assert (failure.kind, failure.error.code) == (kind, code)
    assert failure.error.hint


def test_ordinary_output_is_not_taken_for_a_failure() -> None:
    assert recognise("Using 3 GiB of memory; wrote 12 files; 0 errors") is None


@pytest.mark.parametrize(("error", "kind", "code"), [
    (MemoryError(), MEMORY, "E_HARD_002"), (TimeoutError(), TIMEOUT, "TIMEOUT"),
    (OSError(errno.ENOSPC, "full"), NEVER, "PIPELINE_ERROR"), (FileNotFoundError("x"), NEVER, "FILE_NOT_FOUND"),
    (PermissionError("x"), NEVER, "PIPELINE_ERROR"), (ValueError("x"), NEVER, "NSM_FAILED"),
    (errors.GpuMemoryError("x"), MEMORY, "GPU_OOM"), (errors.DicomError("x"), NEVER, "DICOM_ERROR"),
    (errors.ShapeModelError("x", retry="model_load"), "model_load", "NSM_FAILED"),
    (KneePipelineError("x", retry="network"), NETWORK, "PIPELINE_ERROR"),
])
def test_exceptions_become_failures(error: Exception, kind: str, code: str) -> None:
    failure = from_exception(error, "NSM_FAILED")
    assert (failure.kind, failure.error.code) == (kind, code)


@pytest.mark.parametrize(("status", "kind", "word"), [
    (-9, MEMORY, "memory"), (-11, NEVER, "SIGSEGV"), (-6, NEVER, "SIGABRT"),
    (7, NEVER, "status 7"),
])
def test_exit_statuses_become_failures(status: int, kind: str, word: str) -> None:
    failure = from_exit(status, "")
    assert failure.kind == kind
    assert word in failure.error.message


@pytest.mark.parametrize(("cause", "kind"), [
    (OSError(5, "Input/output error"), "model_load"), (RuntimeError("PytorchStreamReader failed"), "model_load"),
    (OSError(12, "Cannot allocate memory"), MEMORY), (KeyError("network_weights"), NEVER), (None, NEVER),
])
def test_weights_that_could_not_be_read_are_loaded_again(cause: Exception | None, kind: str) -> None:
    error = errors.WeightsCorruptError("Damaged.")
    error.__cause__ = cause
    assert from_exception(error, "PIPELINE_ERROR").kind == kind


@pytest.mark.parametrize(("words", "code"), [
    ("Connection refused by the licence server", "E_HARD_002"), ("CUDA out of memory", "GPU_OOM"),
])
def test_a_killed_worker_died_of_memory_whatever_else_it_said(words: str, code: str) -> None:
    failure = from_exit(-9, words)
    assert (failure.kind, failure.error.code) == (MEMORY, code)


def test_errors_survive_the_way_from_the_worker() -> None:
    sent = errors.WeightsCorruptError("Damaged.", "Download again.", file="x.pth")
    received = error_from_dict(json.loads(json.dumps(sent.to_dict())))
    assert type(received) is errors.WeightsCorruptError
    assert received.to_dict() == sent.to_dict()


def test_retry_table() -> None:
    assert [next_attempt(TIMEOUT, n, Hints(), False) is not None for n in range(4)] == [True, True, True, False]
    assert [next_attempt(TIMEOUT, n, Hints(), False).delay_s for n in range(3)] == [1.0, 2.0, 4.0]
    assert [next_attempt(NETWORK, n, Hints(), False).delay_s for n in range(3)] == [5.0, 5.0, 5.0]
    assert next_attempt(NETWORK, 3, Hints(), False) is None
    assert next_attempt(NEVER, 0, Hints(), False) is None
    assert next_attempt(MEMORY, 0, Hints(), True).hints == Hints(0.5, False)
    assert next_attempt(MEMORY, 1, Hints(0.5), True).hints == Hints(0.5, True)
    assert next_attempt(MEMORY, 1, Hints(0.5), False).hints == Hints(0.25, False)
    assert next_attempt(MEMORY, 2, Hints(), True) is None


@pytest.mark.parametrize(("text", "expected"), [
    ("[PROGRESS] 3/10: Creating meshes", ForeignProgress(0.3, "Creating meshes")),
    ("[progress] 10/10", ForeignProgress(1.0)),
    ("[PROGRESS] 1/0: x", None),
    ("45%", ForeignProgress(0.45)),
    ("done: 12.5 %", ForeignProgress(0.125)),
    (" 45%|####5     | 9/20 [00:04<00:05,  2.15it/s]", ForeignProgress(0.45)),
    ("Predicting:  50%|#####     | 4/8 [00:04<00:05]", ForeignProgress(0.5, "Predicting")),
    (" 10%|#| 1/10 [..]\r 20%|##| 2/10 [..]", ForeignProgress(0.2)),
    ("", None), ("\r\n", None), ("Dice 0.9 after 12 epochs", None), ("150%", None), ("100%natural", None),
])
def test_foreign_progress(text: str, expected: ForeignProgress | None) -> None:
    assert parse_progress(text) == expected


class Manual(Clock):
    """A clock that stands still until it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_fraction_never_goes_backwards_and_the_time_left_comes_from_history(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    history.add({"input": 1.0, "image": 3.0})
    events: list[dict] = []
    clock = Manual()
    progress = Progress([step_named("input"), step_named("image")], History(tmp_path / "history.json"), clock,
                        events.append)
    progress.enter(State.VALIDATION, "a")
    assert events[-1]["eta_s"] == 4.0
    progress.advance("input", 1.0, "b")
    assert events[-1]["fraction"] == pytest.approx(0.25)
    progress.advance("image", 0.5, "c")
    assert events[-1]["eta_s"] == 1.5
    progress.advance("image", 0.1, "d")
    progress.drop("input")
    progress.say("e")
    fractions = [event["fraction"] for event in events]
    assert fractions == sorted(fractions)
    progress.enter(State.COMPLETE, "f")
    assert (events[-1]["fraction"], events[-1]["eta_s"]) == (1.0, 0.0)


def test_no_time_left_is_claimed_without_history() -> None:
    events: list[dict] = []
    Progress([step_named("image")], History(None), Manual(), events.append).say("a")
    assert events[-1]["eta_s"] is None


def test_history_keeps_the_latest_and_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    for seconds in range(30):
        History(path).add({"image": float(seconds)})
    History(path, "practice").add({"image": 0.1})
    kept = json.loads(path.read_text())
    assert len(kept["cpu"]["image"]) == KEPT
    assert History(path).expected_s("image") == pytest.approx(23.5)
    assert History(path, "practice").expected_s("image") == 0.1
    path.write_text('{"cpu": {"image": ["x", 2')
    assert History(path).expected_s("image") is None
    path.write_text('{"cpu": {"image": ["x", 2]}}')
    assert History(path).expected_s("image") == 2


def finished(store: CheckpointStore, name: str, content: str = "a") -> Manifest:
    folder = store.working_folder(name)
    (folder / "x.txt").write_text(content)
    manifest = Manifest(name, {"k": 1}, hash_folder(folder), {"side": "right"})
    store.commit(name, manifest)
    return manifest


def test_checkpoints_come_back_and_damage_is_seen(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    manifest = finished(store, "A.x")
    loaded, damaged = store.load("A.x")
    assert (loaded, damaged) == (manifest, False)
    assert store.damaged_files("A.x", loaded) == []
    (tmp_path / "A.x" / "x.txt").write_text("b")
    assert store.damaged_files("A.x", loaded) == ["x.txt"]
    assert store.load("B.y") == (None, False)


@pytest.mark.parametrize("tamper", [
    lambda text: text.replace("right", "left"), lambda text: text[: len(text) // 2], lambda text: "",
    lambda text: "[]", lambda text: text.replace('"v": 1', '"v": 2'),
])
def test_a_tampered_manifest_is_not_believed(tmp_path: Path, tamper: object) -> None:
    store = CheckpointStore(tmp_path)
    finished(store, "A.x")
    path = tmp_path / "A.x" / "manifest.json"
    path.write_text(tamper(path.read_text()))
    assert store.load("A.x") == (None, True)


def test_no_pickle_anywhere_in_the_pipeline(repository: Path) -> None:
    import ast

    for path in (repository / "KneePipelineLib" / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            assert not {"pickle", "shelve", "marshal", "dill"} & set(names), path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path


def test_keys_change_with_what_matters_and_hold_no_path(tmp_path: Path) -> None:
    step = step_named("segmentation")
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"1")
    scheme = tmp_path / "scheme.json"
    scheme.write_text("{}")
    options = JobOptions(default_seg_model="goyal_axial", models={"goyal_axial": str(weights)},
                         label_scheme=str(scheme))
    before = {"input": Manifest("input", {}, {}, {"kind": "image"})}

    def key(options: JobOptions = options, before: dict = before, sha: str = "a") -> dict:
        return json.loads(json.dumps(step_key(step, options, {"segmentation": sha, "echoes": "z"}, before, {}, None)))

    first = key()
    assert str(tmp_path) not in json.dumps(first)
    assert key() == first
    assert key(sha="b") != first
    assert key(before={"input": Manifest("input", {}, {}, {"kind": "labels"})}) != first
    assert key(options.with_changes(batch_size=4)) != first
    assert key(options.with_changes(prefix="other", timeout=3)) == first
    scheme.write_text("{ }")
    assert key() != first
    scheme.write_text("{}")
    weights.write_bytes(b"2")
    assert key() != first


def test_hash_of_a_folder_forgets_the_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Jane").write_text("1")
    before = hash_tree(tmp_path)
    (tmp_path / "a" / "Jane").rename(tmp_path / "a" / "anonymous")
    assert hash_tree(tmp_path) == before
    (tmp_path / "a" / "anonymous").write_text("2")
    assert hash_tree(tmp_path) != before


def test_wanted_steps_bring_what_they_need() -> None:
    assert wanted_steps(()) == {step.name for step in STEPS}
    wanted = wanted_steps(("thickness",))
    assert {"review", "surfaces", "thickness", "files", "input"} <= wanted
    assert not {"t2", "shape", "table"} & wanted
    assert "segmentation" in wanted_steps(("DETECTION",))


def test_a_second_lock_is_refused_and_a_stale_one_is_not(tmp_path: Path) -> None:
    with RunLock(tmp_path, "one"), pytest.raises(KneePipelineError, match=f"process {os.getpid()}"), \
            RunLock(tmp_path, "two"):
        pass
    with RunLock(tmp_path, "three") as lock:
        assert not lock.was_stale


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_leftovers_of_a_killed_run_are_ended(tmp_path: Path) -> None:
    orphan = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True,
                              env={**os.environ, TOKEN_VARIABLE: "dead.1"})
    innocent = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"],
                                env={**os.environ, TOKEN_VARIABLE: "deadly"})
    try:
        time.sleep(0.3)
        (tmp_path / ".lock").write_text(json.dumps({"pid": 1, "token": "dead"}))
        with RunLock(tmp_path, "new") as lock:
            assert lock.was_stale
            assert lock.leftovers_ended == 1
        assert orphan.wait(5) == -signal.SIGKILL
        assert alive(innocent.pid)
    finally:
        for process in (orphan, innocent):
            process.kill()
            process.wait()


def published(tmp_path: Path, files: dict[str, str]) -> Publisher:
    store = CheckpointStore(tmp_path / "checkpoints")
    publisher = Publisher(tmp_path, store, "FORMATTING.files")
    folder = store.working_folder("FORMATTING.files")
    for name, content in files.items():
        (folder / name).write_text(content)
    publisher.publish(Manifest("files", {"reads": {"segmentation": "s1"}}, hash_folder(folder), {}))
    return publisher


def test_publishing_replaces_removes_and_spares(tmp_path: Path) -> None:
    published(tmp_path, {"results.json": "1", "old.txt": "1", "edited.txt": "1"})
    (tmp_path / "edited.txt").write_text("by hand")
    published(tmp_path, {"results.json": "2"})
    assert (tmp_path / "results.json").read_text() == "2"
    assert not (tmp_path / "old.txt").exists()
    assert (tmp_path / "edited.txt").read_text() == "by hand"
    assert not (tmp_path / "checkpoints" / "staged-FORMATTING.files").exists()


def test_an_interrupted_publication_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from KneePipelineLib.pipeline import publish

    published(tmp_path, {"a.txt": "1", "b.txt": "1", "results.json": "1"})

    def stop(point: str) -> None:
        if point == "publish:2":
            raise InterruptedError

    monkeypatch.setattr(publish.faults, "hit", stop)
    with pytest.raises(InterruptedError):
        published(tmp_path, {"a.txt": "2", "b.txt": "2", "results.json": "2"})
    monkeypatch.undo()
    assert [(tmp_path / n).read_text() for n in ("a.txt", "b.txt", "results.json")] == ["2", "1", "1"]
    publisher = Publisher(tmp_path, CheckpointStore(tmp_path / "checkpoints"), "FORMATTING.files")
    assert publisher.recover()
    assert [(tmp_path / n).read_text() for n in ("a.txt", "b.txt", "results.json")] == ["2", "2", "2"]
    assert not publisher.recover()


def test_an_edit_is_found_kept_and_set_aside(tmp_path: Path) -> None:
    publisher = published(tmp_path, {"results.json": "1", "knee_all-labels.nrrd": "labels"})
    assert publisher.find_edits() == []
    path = tmp_path / "knee_all-labels.nrrd"
    path.write_text("edited")
    assert publisher.find_edits() == [path]
    publisher.adopt_edit(path)
    assert publisher.edit_of("s1").read_text() == "edited"
    assert publisher.edit_of("s2") is None
    assert (tmp_path / publisher.set_edit_aside()).read_text() == "edited"
    assert publisher.edit is None


def labels_in_text(text: str) -> str:
    """A label map as far as its header goes, with raw data of its own."""
    return f"NRRD0004\nsizes: 1\nencoding: raw\n\n{text}"


BOTH = {"results.json": "1", "knee_all-labels.nrrd": labels_in_text("labels"),
        "knee_all-labels.nii.gz": "labels, zipped"}


def test_the_form_for_people_is_an_edit_too_and_the_latest_wins(tmp_path: Path) -> None:
    publisher = published(tmp_path, BOTH)
    nrrd_path, nifti_path = tmp_path / "knee_all-labels.nrrd", tmp_path / "knee_all-labels.nii.gz"
    nifti_path.write_text("edited")
    assert publisher.find_edits() == [nifti_path]
    publisher.adopt_edit(nifti_path)
    assert publisher.edit.name == "labels.nii.gz"
    nrrd_path.write_text("edited as well")
    os.utime(nrrd_path, (1, 1))
    assert publisher.find_edits() == [nifti_path, nrrd_path]
    os.utime(nifti_path, (0, 0))
    assert publisher.find_edits() == [nrrd_path, nifti_path]
    publisher.adopt_edit(nrrd_path)
    assert publisher.edit.read_text() == "edited as well"


def test_a_label_map_nobody_knows_is_never_written_over(tmp_path: Path) -> None:
    published(tmp_path, BOTH)
    path = tmp_path / "knee_all-labels.nrrd"
    during = labels_in_text("saved while the run was at work")
    path.write_text(during)
    again = {name: content + "2" for name, content in BOTH.items()}
    published(tmp_path, again)
    assert path.read_text() == labels_in_text("labels2")
    assert (tmp_path / "set_aside_labels_1.nrrd").read_text() == during
    # Without checkpoints nobody can tell any more whether it is an edit.
    orphaned = labels_in_text("edited, then checkpoints removed")
    path.write_text(orphaned)
    shutil.rmtree(tmp_path / "checkpoints")
    published(tmp_path, again)
    assert (tmp_path / "set_aside_labels_2.nrrd").read_text() == orphaned


def test_known_label_maps_are_not_set_aside(tmp_path: Path) -> None:
    publisher = published(tmp_path, BOTH)
    published(tmp_path, {**BOTH, "knee_all-labels.nrrd": labels_in_text("of a second run")})
    path = tmp_path / "knee_all-labels.nrrd"
    path.write_text(labels_in_text("edited"))
    publisher.adopt_edit(path)
    published(tmp_path, BOTH)
    # The last complete run's list in pipeline.json is still there when the checkpoints are gone.
    files = {name: entry["sha256"] for name, entry in hash_folder(tmp_path).items() if "/" not in name}
    write_json(tmp_path / "pipeline.json", {"results": {"files": files}})
    shutil.rmtree(tmp_path / "checkpoints")
    published(tmp_path, {**BOTH, "knee_all-labels.nrrd": "labels 3", "knee_all-labels.nii.gz": "labels 3"})
    assert not list(tmp_path.glob("set_aside*"))


def nrrd(data: bytes, encoding: str = "gzip") -> bytes:
    return f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: {encoding}\n\n".encode() + data


def test_whole_and_damaged_nrrd(tmp_path: Path) -> None:
    path = tmp_path / "x.nrrd"
    good = nrrd(gzip.compress(bytes(range(8))))
    for content, whole in ((good, True), (good[:-3], False), (nrrd(bytes(8), "raw"), True), (b"NRRD", False),
                           (nrrd(bytes(7), "raw"), False), (b"", False)):
        path.write_bytes(content)
        assert is_whole_nrrd(path) is whole
    for position in range(good.index(b"\n\n") + 14, len(good)):
        flipped = bytearray(good)
        flipped[position] ^= 1
        path.write_bytes(bytes(flipped))
        assert not is_whole_nrrd(path), position


def test_written_files_are_whole_or_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="full"):
        write_text(path, "new")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
