"""The process that does the heavy work: one step after another, asked for and answered in JSON lines.

It is a process of its own, in a session of its own, so that a native crash, the kernel's out-of-memory killer, a hang
or a cancel never takes the orchestrator along. Requests arrive on stdin; answers leave on what was stdout. Whatever
libraries print goes to stderr instead. It ends when its parent does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import random
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any

from ..job import JobOptions
from ..system.processes import die_with_parent
from . import faults
from .checkpoints import hash_folder, missing_files
from .context import StageContext
from .failures import from_exception

STAGES = "KneePipelineLib.pipeline.stages"


class Channel:
    """The way back to the orchestrator: whole lines, from any thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, event: dict) -> None:
        line = json.dumps(event, allow_nan=False, default=_plain).encode() + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


def _plain(value: Any) -> Any:
    """numpy scalars and paths in a result, without importing numpy here."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def main() -> int:
    """Serve requests until stdin closes."""
    die_with_parent(int(os.environ.get(faults.RUN_PID_VARIABLE, "0")))
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    channel = Channel(answers)
    requests: queue.Queue[dict | None] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError, OSError, MemoryError):  # a step that needs it will say so
            importlib.import_module(name)
    channel.send({"event": "ready"})
    while (request := requests.get()) is not None:
        channel.send(run_request(request, channel.send))
    return 0


def _read_requests(requests: queue.Queue) -> None:
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    # The orchestrator closed the pipe or died. A step in the middle of native code could not notice; leave at once.
    os._exit(0)


def run_request(request: dict, send: Any) -> dict:
    """Run one step and return its answer: a ``done`` or a ``failed`` event."""
    step = request["step"]
    context = StageContext(
        step=step, options=JobOptions.from_dict(request["options"]), out=Path(request["out"]),
        folders={name: Path(folder) for name, folder in request["folders"].items()}, results=request["results"],
        outcomes=request["outcomes"], edited=Path(request["edited"]) if request["edited"] else None,
        scale=request["scale"], force_cpu=request["force_cpu"], spare=request["spare"],
        provenance=request["provenance"], send=send,
    )
    reset_peak_memory()
    began, cpu_began = time.monotonic(), time.process_time()
    try:
        faults.watch_writes(step, context.out)
        faults.hit(f"step:{step}")
        result = plain_json(run_body(request["body"], context))
        missing = missing_files(context.out, request["writes"])
        if missing:
            raise RuntimeError(f"step {step} did not leave {missing}")
        outputs = hash_folder(context.out)
        faults.hit(f"done:{step}")
    except BaseException as error:
        failure = from_exception(error, request["failure_code"])
        return {"event": "failed", "error": plain_json(failure.error.to_dict(), nan=True), "kind": failure.kind,
                "traceback": traceback.format_exc(), "record": _record(began, cpu_began)}
    return {"event": "done", "result": result, "outputs": outputs, "record": _record(began, cpu_began)}


def plain_json(values: dict, nan: bool = False) -> dict:
    """The same values as JSON gives them back.

    Raises
    ------
    ValueError
        For NaN and infinity, unless ``nan`` allows them; they become None.
    """
    return json.loads(json.dumps(values, allow_nan=nan, default=_plain), parse_constant=lambda word: None)


def run_body(body: str, context: StageContext) -> dict:
    """Call ``module:function`` with everything random seeded; a module without a dot is one of `pipeline/stages`."""
    module, _, function = body.partition(":")
    module = module if "." in module else f"{STAGES}.{module}"
    random.seed(context.options.seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(context.options.seed)
    return dict(getattr(importlib.import_module(module), function)(context) or {})


def _record(began: float, cpu_began: float) -> dict:
    record = {"seconds": round(time.monotonic() - began, 4), "cpu_seconds": round(time.process_time() - cpu_began, 4),
              "peak_memory_mib": peak_memory_mib()}
    return {**record, **release_gpu()}


def reset_peak_memory() -> None:
    """Let the peak that `peak_memory_mib` reads begin anew; only Linux can."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process since the last reset, in MiB; None where the system does not say."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 1024), 1)


def release_gpu() -> dict:
    """Give cached GPU memory back and say how much was used; empty when this process never touched a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    peak, before = torch.cuda.max_memory_reserved(), torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    released = before - torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    return {"gpu_peak_mib": round(peak / 2**20, 1), "gpu_released_mib": round(released / 2**20, 1)}


if __name__ == "__main__":
    sys.exit(main())
