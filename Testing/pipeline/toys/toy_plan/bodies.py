"""Bodies of toy steps. What each is to do stands in the options' unknown key of its own name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from KneePipelineLib import errors
from KneePipelineLib.pipeline.context import StageContext


def work(context: StageContext) -> dict:
    """Follow the orders, then leave ``out.txt`` made of what was read."""
    orders = context.options.unknown.get(context.step, {})
    for order, value in orders.items():
        answer = _ORDERS[order](context, value)
        if answer is not None:
            return answer
    read = "".join(context.path(name, "out.txt").read_text() for name in sorted(context.folders))
    (context.out / "out.txt").write_text(f"({context.step}{read})")
    return {}


def publish(context: StageContext) -> dict:
    """The results: every outcome as text. Its orders are those for the pictures, which it can do without."""
    if not context.spare:
        for order, value in context.options.unknown.get(context.step, {}).items():
            _ORDERS[order](context, value)
    lines = [f"{name} {o['status']} {o.get('reason', '')} {(o.get('error') or {}).get('code', '')}".strip()
             for name, o in sorted(context.outcomes.items())]
    (context.out / "results.json").write_text("\n".join(lines))
    for name in context.folders:
        (context.out / f"{name}.txt").write_bytes(context.path(name, "out.txt").read_bytes())
    return {"incomplete": context.spare}


def _meet(context: StageContext, folder: str) -> None:
    """Go on only when the other branch has begun too."""
    Path(folder, context.step).touch()
    deadline = time.monotonic() + 30
    while len(os.listdir(folder)) < 2:
        if time.monotonic() > deadline:
            raise RuntimeError("the other branch never came")
        time.sleep(0.01)


def _fail(context: StageContext, name: str) -> None:
    raise getattr(errors, name)("It failed.", "Do something.", why="test")


def _fail_for_good(context: StageContext, sentence: str) -> None:
    raise errors.NothingUsableError(sentence, "Do something.", final=True)


def _fail_times(context: StageContext, value: list) -> None:
    """Fail with ``name`` until the file has ``times`` lines, noting scale and device each time."""
    path, kind, times = value
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        done = len(file.readlines())
        file.write(f"{context.scale:g} {'cpu' if context.force_cpu else 'any'} {context.batch_size}\n")
    if done < times:
        if kind == "load":
            raise errors.SegmentationError("The weights cannot be read.", retry="model_load")
        network = ConnectionResetError("Connection reset")
        raise {"memory": MemoryError, "timeout": TimeoutError, "network": network}[kind]


def _say(context: StageContext, text: str) -> None:
    print(text, flush=True)


def _span(context: StageContext, path: str) -> None:
    """Note when this was reached, by the clock that all processes share."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{time.monotonic()} ")


def _escape(context: StageContext, path: str) -> None:
    """Start a process that no net catches, which keeps the worker's stderr open; note its id."""
    stray = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True,
                             env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    Path(path).write_text(str(stray.pid))


def _fork(context: StageContext, path: str) -> None:
    """Crash, with a fork left behind that has every pipe of the worker."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    Path(path).write_text(str(child))
    os.kill(os.getpid(), 11)


def _import(context: StageContext, name: str) -> None:
    __import__(name)


def _bar(context: StageContext, value: list) -> None:
    """Write without a line end, then wait until it must have been heard."""
    text, seconds = value
    os.write(2, text.encode())
    time.sleep(seconds)


def _die_saying(context: StageContext, text: str) -> None:
    print(text, file=sys.stderr, flush=True)
    os._exit(1)


def _signal(context: StageContext, number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def _sleep(context: StageContext, seconds: float) -> None:
    time.sleep(seconds)


def _children(context: StageContext, folder: str) -> None:
    """Start a child and one in a session of its own, note their ids, and hang."""
    sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    pids = [subprocess.Popen(sleeper, start_new_session=own).pid for own in (False, True)]
    Path(folder, "pids").write_text(" ".join(map(str, [*pids, os.getpid()])))
    time.sleep(600)


def _progress(context: StageContext, fractions: list) -> None:
    for fraction in fractions:
        context.progress(fraction, f"at {fraction}")
        time.sleep(0.11)


def _result(context: StageContext, values: dict) -> dict:
    (context.out / "out.txt").write_text(f"({context.step})")
    return values


def _nan_result(context: StageContext, value: object) -> dict:
    (context.out / "out.txt").write_text(f"({context.step})")
    return {"number": float("nan")}


def _touch(context: StageContext, path: str) -> None:
    Path(path).touch()


def _warn(context: StageContext, text: str) -> None:
    context.warn("TOY", text)


def _device(context: StageContext, names: list) -> None:
    for name in names:
        context.use_device(name)


def _no_output(context: StageContext, value: object) -> dict:
    return {}


def _raise_text(context: StageContext, text: str) -> None:
    raise RuntimeError(text)


_ORDERS = {"meet": _meet, "fail": _fail, "fail_for_good": _fail_for_good,
           "fail_times": _fail_times, "say": _say, "bar": _bar,
           "span": _span, "escape": _escape, "fork": _fork, "import": _import,
           "die_saying": _die_saying,
           "signal": _signal, "sleep": _sleep, "children": _children, "progress": _progress, "result": _result,
           "nan_result": _nan_result,
           "touch": _touch, "warn": _warn, "device": _device, "no_output": _no_output, "raise_text": _raise_text}
