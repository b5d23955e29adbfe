"""Import what a group promises and say what was found. Runs as a file of its own in the private environment.

``python -I probe.py MODULE...`` ends with one line: a mark and a JSON object with ``imports`` (module -> error or
null) and, when torch is among them, ``torch`` (version, CUDA version, devices).
"""

from __future__ import annotations

import importlib
import json
import os
import sys

MARK = "KNEEPIPELINE-PROBE "


def main(modules: list[str]) -> None:
    """Import each module, however the earlier ones fared."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    # dosma 0.1.2 was written for NumPy 1 and asks for this name on import.
    try:
        import numpy

        if not hasattr(numpy, "round_"):
            numpy.round_ = numpy.round
    except ImportError:
        pass
    found: dict = {"imports": {}, "python": sys.version.split()[0]}
    for name in modules:
        try:
            importlib.import_module(name)
            found["imports"][name] = None
        except BaseException as problem:
            found["imports"][name] = f"{type(problem).__name__}: {problem}"[:500]
    if "torch" in modules and found["imports"]["torch"] is None:
        found["torch"] = look_at_torch()
    print("\n" + MARK + json.dumps(found), flush=True)
    os._exit(0)  # some libraries crash while a process ends; what was asked has been answered


def look_at_torch() -> dict:
    """Version and devices of torch, each tried with a small computation."""
    import torch

    seen = {"version": torch.__version__, "cuda": torch.version.cuda, "threads": torch.get_num_threads(), "devices": []}
    for kind, name in _devices(torch):
        try:
            works = float((torch.ones(8, device=kind) * 2).sum()) == 16.0
            seen["devices"].append({"device": kind, "name": name, "works": works})
        except Exception as problem:
            seen["devices"].append({"device": kind, "name": name, "works": False, "problem": str(problem)[:300]})
    return seen


def _devices(torch) -> list[tuple[str, str]]:
    devices = [("cpu", "CPU")]
    if torch.cuda.is_available():
        devices += [(f"cuda:{n}", torch.cuda.get_device_name(n)) for n in range(torch.cuda.device_count())]
    mps = getattr(torch.backends, "mps", None)
    if mps is not None and mps.is_available():
        devices.append(("mps", "Apple GPU"))
    return devices


if __name__ == "__main__":
    main(sys.argv[1:])
