"""Which build of torch fits this computer: asked of the driver, or named by the person."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .lockfile import Lock, Target

# In a process of its own: a broken driver may hang or crash whoever asks it.
_ASK_DRIVER = r"""
import ctypes, json, sys
names = ["nvcuda.dll"] if sys.platform == "win32" else ["libcuda.so.1", "libcuda.so"]
for name in names:
    try:
        cuda = ctypes.CDLL(name)
        break
    except OSError:
        pass
else:
    sys.exit("no driver")
version, count, devices = ctypes.c_int(), ctypes.c_int(), []
cuda.cuDriverGetVersion(ctypes.byref(version))
if cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0:
    for number in range(count.value):
        device, major, minor, name = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(128)
        cuda.cuDeviceGet(ctypes.byref(device), number)
        cuda.cuDeviceGetName(name, 128, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
        devices.append({"name": name.value.decode(errors="replace"), "capability": [major.value, minor.value]})
print(json.dumps({"cuda": [version.value // 1000, version.value % 1000 // 10], "devices": devices}))
"""


@dataclass(frozen=True)
class Driver:
    """What the NVIDIA driver says: the newest CUDA it runs, and its GPUs as (name, compute capability)."""

    cuda: tuple[int, int]
    devices: tuple[tuple[str, tuple[int, int]], ...]


def ask_driver(python: Path | str | None = None) -> Driver | None:
    """Ask the NVIDIA driver; None without driver or GPU."""
    try:
        answer = subprocess.run(
            [str(python or sys.executable), "-I", "-c", _ASK_DRIVER],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        told = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    devices = tuple((device["name"], tuple(device["capability"])) for device in told["devices"])
    return Driver(tuple(told["cuda"]), devices) if devices else None


@dataclass(frozen=True)
class TorchChoice:
    """A torch build: its requirement, the index it may need, and a sentence for the person (may be empty).

    `index` is asked only when the configured sources do not have the requirement.
    """

    build: str
    requirement: str
    index: str = ""
    remark: str = ""


def choose(
    wanted: str, lock: Lock, target: Target, driver: Callable[[], Driver | None] = ask_driver
) -> TorchChoice:
    """The torch build for ``--torch wanted`` (``auto``, ``cpu`` or ``cuXXX``).

    Raises
    ------
    ConfigError
        For a build that the lock does not know or that does not exist for this system.
    """
    builds = lock.torch["builds"]
    remark = ""
    if wanted == "auto":
        wanted, remark = _by_driver(builds, target, driver)
    if wanted not in builds:
        raise ConfigError(f"--torch {wanted} is unknown.", f"Possible are auto, {', '.join(sorted(builds))}.")
    if target.system not in builds[wanted]["systems"]:
        raise ConfigError(f"--torch {wanted} does not exist for {target.system}.", "Use --torch auto.")
    version = lock.torch["version"]
    # The plain wheel is the CUDA build on Linux and the CPU (and Apple GPU) build elsewhere.
    if target.system in builds[wanted]["plain"]:
        return TorchChoice(wanted, f"torch=={version}", remark=remark)
    index = lock.torch["index"].format(build=wanted)
    return TorchChoice(wanted, f"torch=={version}+{wanted}", index, remark)


def _by_driver(builds: dict, target: Target, driver: Callable[[], Driver | None]) -> tuple[str, str]:
    """The newest CUDA build that driver and GPU can run, else cpu, and why not a better one."""
    fitting = [name for name, build in builds.items() if name != "cpu" and target.system in build["systems"]]
    if not fitting:
        return "cpu", ""
    found = driver()
    if found is None:
        return "cpu", ""
    gpu, capability = max(found.devices, key=lambda device: device[1])
    for name in sorted(fitting, reverse=True):
        needs_cuda, needs_capability = (
            tuple(int(part) for part in builds[name][key].split(".")) for key in ("driver_cuda", "capability")
        )
        if capability < needs_capability:
            remark = f"{gpu} is too old for this torch (compute capability {builds[name]['capability']} is needed)"
        elif found.cuda < needs_cuda:
            remark = (f"the driver of {gpu} supports CUDA {found.cuda[0]}.{found.cuda[1]}, and "
                      f"{builds[name]['driver_cuda']} is needed: update the driver, then setup --torch {name}")
        else:
            return name, ""
    return "cpu", f"{remark}; the CPU build is used."
