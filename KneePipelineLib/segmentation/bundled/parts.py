"""Checkpoints as several files of at most 15 MiB, for machines from which only small files come back."""

from __future__ import annotations

import io
import os
from pathlib import Path

import torch

PART_BYTES = 15 * 2**20


def save(path: Path, content: dict) -> None:
    """Write ``path``.000, .001, ... under temporary names first; older surplus parts are removed."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getbuffer()
    names = []
    for number, start in enumerate(range(0, len(data), PART_BYTES)):
        temporary = path.with_name(f"{path.name}.{number:03d}.new")
        temporary.write_bytes(data[start:start + PART_BYTES])
        names.append(temporary)
    for old in path.parent.glob(f"{path.name}.[0-9][0-9][0-9]"):
        old.unlink()
    for temporary in names:
        os.replace(temporary, temporary.with_suffix(""))


def load(path: Path) -> dict | None:
    """Read what `save` wrote (tensors and plain values only); None when there is nothing."""
    found = sorted(path.parent.glob(f"{path.name}.[0-9][0-9][0-9]"))
    if not found:
        return None
    return torch.load(io.BytesIO(b"".join(p.read_bytes() for p in found)), map_location="cpu", weights_only=True)
