"""Small models of every layout, as path -> content."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

PLANS = {"configurations": {
    "3d_fullres": {}, "3d_lowres": {"next_stage": "3d_cascade_fullres"},
    "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}}}
TRAINER = "nnUNetTrainer__nnUNetResEncUNetMPlans__"


def random_bytes(size_bytes: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


def hdf5_bytes(size_bytes: int = 200_000, seed: int = 0) -> bytes:
    return b"\x89HDF\r\n\x1a\n" + random_bytes(size_bytes - 8, seed)


def pickle_bytes(size_bytes: int, seed: int = 0) -> bytes:
    """What looks like a PyTorch file from outside."""
    return b"\x80\x02" + random_bytes(size_bytes - 2, seed)


def nnunet_files(*configurations: str, prefix: str = "models/Dataset500_KneeMRI/") -> dict[str, bytes]:
    """A results folder of nnU-Net as path -> content, one fold, with a program that must never be taken along."""
    files: dict[str, bytes] = {f"{prefix}evil.py": b"raise SystemExit", "README.md": b"# card"}
    for index, configuration in enumerate(configurations):
        folder = f"{prefix}{TRAINER}{configuration}/"
        files[f"{folder}dataset.json"] = json.dumps({"labels": {"background": 0, "femur": 7}}).encode()
        files[f"{folder}plans.json"] = json.dumps(PLANS).encode()
        files[f"{folder}fold_1/checkpoint_best.pth"] = pickle_bytes(300_000, seed=index)
        files[f"{folder}hook.py"] = b"raise SystemExit"
    return files


def shape_files(folder: str = "", latent_size: int = 8, epoch: int = 2000) -> dict[str, bytes]:
    prefix = f"{folder}/" if folder else ""
    return {f"{prefix}model_params_config.json": json.dumps({"latent_size": latent_size}).encode(),
            f"{prefix}model/{epoch}.pth": pickle_bytes(50_000, seed=3)}


def bscore_files(folder: str = "", length: int = 8) -> dict[str, bytes]:
    prefix = f"{folder}/" if folder else ""
    content = {"bscore_vector": [0.5] * length, "mean_healthy": 1.0, "std_healthy": 2.0}
    return {f"{prefix}model.json": json.dumps(content).encode(), f"{prefix}Bscore.py": b"raise SystemExit"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
