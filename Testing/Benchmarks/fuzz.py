"""Fuzzing: spoilt images, headers, model folders and tables through the product's own readers, in watched children.

    python -m Testing.Benchmarks.fuzz [--seed S] [--count N] [--workers W] [--only FORMAT] [--index I] [FOLDER]

Every input is a good one of its format with a few bytes, lines, nodes, pickled calls or archive members spoilt, many
of them on purpose so that something would be run, read or written elsewhere if anybody believed them. It has to be
read, or refused by a typed error of one sentence with a hint. Anything else is a fault: another exception, a crash, a
hang, a command, foreign code, a connection, a file touched outside the sandbox, more than 2 GiB. Prints a table by
format and every kind of fault with the command that repeats it; ends with 1 if there was one. Linux only (it asks
/proc).
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from Testing.Benchmarks import fuzz_child  # noqa: E402
from Testing.Benchmarks.fuzz_child import HANG_S, LIMIT_BYTES, Verdict  # noqa: E402
from Testing.Benchmarks.fuzz_formats import Case, cases, spoil_input  # noqa: E402

INPUTS_A_CHILD = 400
"""After so many inputs a child is replaced, so that nothing one of them left behind grows."""


@dataclass
class Row:
    """What became of the inputs of one format."""

    kinds: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak_bytes: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)

    def add(self, index: int, verdict: Verdict) -> None:
        """Count one input."""
        self.kinds[verdict.kind] += 1
        self.seconds += verdict.seconds
        self.slowest_s = max(self.slowest_s, verdict.seconds)
        self.peak_bytes = max(self.peak_bytes, verdict.peak_bytes)
        if verdict.kind == "fault":
            self.faults.append((index, verdict.text))


class Bench:
    """Good inputs in a folder, and children that read spoilt copies of them.

    Parameters
    ----------
    root : Path
        An empty folder for everything: good inputs, a sandbox for each child, and the folders beside these.
    seed : int
        Together with an input's number it gives the input.
    only : str
        A format, or part of its name; empty: all.
    """

    def __init__(self, root: Path, seed: int, only: str = "") -> None:
        self.root, self.seed = root.resolve(), seed
        self.by_format: dict[str, list[Case]] = defaultdict(list)
        for case in cases():
            if only.lower() in case.format.lower():
                self.by_format[case.format].append(case)
        _one_thread()
        for case in (c for group in self.by_format.values() for c in group):
            folder = self.root / "good" / case.name
            folder.mkdir(parents=True)
            case.make(folder)
            fuzz_child.warm_up(case.read, self._copy(case, self.root))  # what is imported late is imported now

    def case(self, index: int) -> Case:
        """Which good input a number spoils: formats take turns, and so do the inputs of each."""
        formats = list(self.by_format)
        group = self.by_format[formats[index % len(formats)]]
        return group[index // len(formats) % len(group)]

    def run(self, count: int, workers: int = 1, progress: object = None) -> dict[str, Row]:
        """Read so many spoilt inputs; what became of them, by format."""
        rows = {name: Row() for name in self.by_format}
        for done, (index, verdict) in enumerate(self._verdicts(iter(range(count)), workers), start=1):
            rows[self.case(index).format].add(index, verdict)
            if progress is not None:
                progress(done, rows)
        return rows

    def _verdicts(self, indices: Iterator[int], workers: int) -> Iterator[tuple[int, Verdict]]:
        children = [_Child(self, number) for number in range(workers)]
        busy = [c for c in children if c.take(indices)]
        try:
            while busy:
                ready = wait([c.pipe for c in busy], timeout=1)
                for child in list(busy):
                    if child.pipe in ready or time.monotonic() > child.since + 2 * HANG_S:
                        yield child.index, child.answer()
                        if not child.take(indices):
                            busy.remove(child)
        finally:
            for child in children:
                child.end()

    def work(self, pipe: Connection, number: int) -> None:
        """What a child does: inputs by their numbers, until it is told to end."""
        home = self.root / f"child_{number}"
        box, outside = home / "box", home / "outside"
        shutil.rmtree(home, ignore_errors=True)
        (box / "tmp").mkdir(parents=True)
        os.chdir(box)
        os.environ.update(TMPDIR=str(box / "tmp"), HOME=str(box), KNEEPIPELINE_HOME=str(box / "home"))
        tempfile.tempdir = str(box / "tmp")
        sys.stdin = open(os.devnull)  # noqa: SIM115 (as long as the process)
        gc.freeze()  # of what the readers clean up, only their own
        fuzz_child.limit_memory()
        watch, before = fuzz_child.Watch(box, outside), _fresh(outside)
        pipe.send("ready")
        while (index := pipe.recv()) is not None:
            case = self.case(index)
            folder = self._copy(case, box)
            spoil_input(case, folder, random.Random(f"{self.seed}:{index}"), outside)
            pipe.send(fuzz_child.examine(case.read, folder, watch, before))
            if fuzz_child.listing(outside) != before:
                before = _fresh(outside)

    def _copy(self, case: Case, box: Path) -> Path:
        folder = box / "input"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root / "good" / case.name, folder, symlinks=True)
        return folder


def _fresh(outside: Path) -> object:
    """Make the folder beside the sandbox anew; what it then holds."""
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir(parents=True)
    (outside / "secret.raw").write_bytes(bytes(4096))
    return fuzz_child.listing(outside)


class _Child:
    """A forked process that reads inputs, and its replacement when it has died or grown old."""

    def __init__(self, bench: Bench, number: int) -> None:
        self.bench, self.number, self.index, self.since, self.done = bench, number, -1, 0.0, 0
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(self.bench, other, self.number), daemon=True)
        self.process.start()
        other.close()
        if not self.pipe.poll(120) or self.pipe.recv() != "ready":
            raise RuntimeError("a child did not start")
        self.done = 0

    def take(self, indices: Iterator[int]) -> bool:
        """Begin the next input; False if there is none."""
        index = next(indices, None)
        if index is None:
            return False
        if self.done >= INPUTS_A_CHILD or not self.process.is_alive():
            self.end()
            self._start()
        self.index, self.since = index, time.monotonic()
        self.done += 1
        try:
            self.pipe.send(index)
        except OSError:  # it ended itself a moment ago
            self.end()
            self._start()
            self.pipe.send(index)
        return True

    def answer(self) -> Verdict:
        """The verdict on the input begun; a crash or a hang is one too."""
        try:
            if self.pipe.poll(0):
                return self.pipe.recv()
            problem = f"hang: longer than {2 * HANG_S} s, below Python"
        except (EOFError, OSError):
            self.process.join(10)
            problem = f"crash: exit status {self.process.exitcode}"
        self.end()
        return Verdict("fault", problem, time.monotonic() - self.since)

    def end(self) -> None:
        """End the process, by force if need be."""
        try:
            self.pipe.send(None)
            self.process.join(1)
        except OSError:
            pass
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(bench: Bench, pipe: Connection, number: int) -> None:
    try:
        bench.work(pipe, number)
    except (EOFError, KeyboardInterrupt):
        pass
    except BaseException:
        traceback.print_exc()
        os._exit(2)
    os._exit(0)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def table(rows: dict[str, Row]) -> str:
    """The outcome by format."""
    lines = [f"{'format':<14}{'inputs':>8}{'read':>8}{'refused':>9}{'faults':>8}{'mean ms':>9}{'slowest s':>11}"
             f"{'peak MiB':>10}"]
    for name, row in rows.items():
        total = sum(row.kinds.values())
        lines.append(f"{name:<14}{total:>8}{row.kinds['read']:>8}{row.kinds['refused']:>9}{row.kinds['fault']:>8}"
                     f"{1000 * row.seconds / max(total, 1):>9.0f}{row.slowest_s:>11.1f}{row.peak_bytes / 2**20:>10.0f}")
    return "\n".join(lines)


def kinds_of_faults(rows: dict[str, Row]) -> list[str]:
    """Faults of one kind as one line: how many, which, and the first input that shows it."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name, row in rows.items():
        for index, text in row.faults:
            found[name, re.sub(r"\d{3,}|'[^']*'|\"[^\"]*\"|child_\d+", "~", text)].append(index)
    return [f"{len(indices):>5} x {name}: {text}   (--index {indices[0]})"
            for (name, text), indices in sorted(found.items(), key=lambda item: -len(item[1]))]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="where the sandbox is made; default: a temporary folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", help="one format")
    parser.add_argument("--index", type=int, help="this one input alone, with everything said about it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=arguments.folder, ignore_cleanup_errors=True) as folder:
        bench, start = Bench(Path(folder), arguments.seed, arguments.only), time.perf_counter()
        if arguments.index is not None:
            for index, verdict in bench._verdicts(iter([arguments.index]), 1):
                print(bench.case(index).format, bench.case(index).name, verdict)
            return 0

        def progress(done: int, rows: dict[str, Row]) -> None:
            if done % 500 == 0:
                faults = sum(len(row.faults) for row in rows.values())
                seconds = time.perf_counter() - start
                print(f"{done} inputs, {faults} faults, {seconds:.0f} s", *kinds_of_faults(rows), sep="\n  ",
                      file=sys.stderr, flush=True)

        rows = bench.run(arguments.count, arguments.workers, progress)
    seconds = time.perf_counter() - start
    print(table(rows))
    print("\n".join(kinds_of_faults(rows)))
    faults = sum(row.kinds["fault"] for row in rows.values())
    peak = max(row.peak_bytes for row in rows.values())
    cpu = sum(getattr(os.times(), name) for name in ("user", "system", "children_user", "children_system"))
    print(f"{arguments.count} inputs in {seconds / 60:.1f} minutes ({cpu / 60:.1f} of a core), seed "
          f"{arguments.seed}: {faults} faults; memory at most {peak / 2**20:.0f} MiB (bound {LIMIT_BYTES / 2**20:.0f})")
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
