"""Checkpoints as several files of at most 15 MiB, for machines from which only small files come back."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import torch

PART_BYTES = 15 * 2**20


def save(path: Path, content: dict) -> None:
    """Write ``path``.000, .001, ... complete in a folder of their own first, then move them in.

    A crash at any moment leaves either the old parts or the new ones for `load`.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getbuffer()
    ready, making = _ready(path), path.with_name(path.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for number, start in enumerate(range(0, len(data), PART_BYTES)):
        (making / f"{path.name}.{number:03d}").write_bytes(data[start:start + PART_BYTES])
    _move_in(path)  # what a crash left half moved
    os.replace(making, ready)  # from here on the new parts are the checkpoint
    _move_in(path)


def load(path: Path) -> dict | None:
    """Read what `save` wrote (tensors and plain values only); None when there is nothing."""
    _move_in(path)
    found = _parts(path)
    if not found:
        return None
    return torch.load(io.BytesIO(b"".join(p.read_bytes() for p in found)), map_location="cpu", weights_only=True)


def _ready(path: Path) -> Path:
    return path.with_name(path.name + ".ready")


def _parts(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.[0-9][0-9][0-9]"))


def _move_in(path: Path) -> None:
    """Parts from the complete folder to their place; may be interrupted and called again."""
    ready = _ready(path)
    if not ready.is_dir():
        return
    names = {p.name for p in ready.iterdir()}
    for part in sorted(ready.iterdir()):
        shutil.copyfile(part, path.with_name(part.name))
    for old in _parts(path):
        if old.name not in names:
            old.unlink()
    done = path.with_name(path.name + ".done")
    shutil.rmtree(done, ignore_errors=True)
    os.replace(ready, done)  # a folder half deleted must not look like a complete one
    shutil.rmtree(done)
