"""Train the bundled network again: one command, a time budget, resumable, a log and a curve.

    python -m KneePipelineLib.segmentation.bundled.bank bank.npz --knees 60 --maps LABELS ...
    python -m KneePipelineLib.segmentation.bundled.train bank.npz out/ --stage lowres --minutes 60
    python -m KneePipelineLib.segmentation.bundled.train bank.npz out/ --stage fullres --minutes 90

Needs torch, numpy and scipy only. Run it again with more minutes and it goes on from its checkpoint, which is written
in parts of at most 15 MiB.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from . import bank, parts
from .network import KneeUNet
from .pairs import CLASSES, IGNORE, PairOptions, PairSource


@dataclass(frozen=True)
class StagePlan:
    """What one stage is: its patches and its network (see `KneeUNet`).

    Few convolutions where voxels are many, as in nnU-Net's residual encoders: half the time of two everywhere.
    """

    pairs: PairOptions
    seed: int
    features: tuple[int, ...] = (16, 32, 64, 128, 128)
    encoder_blocks: tuple[int, ...] = (1, 2, 2, 2, 2)
    decoder_blocks: int = 1


STAGES = {
    "lowres": StagePlan(PairOptions((64, 80, 80), 2.0), 11),
    "fullres": StagePlan(PairOptions((80, 80, 80), 0.8, second_stage=True), 12),
}


def make_network(stage: str) -> KneeUNet:
    """The untrained network of one stage."""
    plan = STAGES[stage]
    return KneeUNet(CLASSES if plan.pairs.second_stage else 1, CLASSES, plan.features, plan.encoder_blocks,
                    plan.decoder_blocks)


def loss_of(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy plus soft Dice over the structures present; voxels labelled 255 do not count.

    Returns the loss and the mean Dice (both scalars).
    """
    known = target != IGNORE
    entropy = functional.cross_entropy(logits, target, ignore_index=IGNORE)
    share = logits.softmax(1) * known[:, None]
    truth = torch.zeros_like(share).scatter_(1, (target * known)[:, None], 1.0) * known[:, None]
    both = (share * truth).sum((2, 3, 4))
    either = (share + truth).sum((2, 3, 4))
    present = truth.sum((2, 3, 4)) > 0
    present[:, 0] = False
    dice = (2 * both + 1) / (either + 1)
    mean = dice[present].mean() if present.any() else dice.new_ones(())
    return entropy + 1 - mean, mean.detach()


def train(bank_file: Path, out: Path, stage: str, minutes: float, total_minutes: float | None = None,
          batch: int = 1, device: str = "auto") -> float:
    """Train one stage for a while and save; returns the mean training Dice of the last 200 steps.

    Parameters
    ----------
    minutes : float
        Budget of this call.
    total_minutes : float, optional
        Length of the whole training that the learning rate and the curriculum are planned for.
    """
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    out.mkdir(parents=True, exist_ok=True)
    plan = STAGES[stage]
    network = make_network(stage).to(place, memory_format=torch.channels_last_3d)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)
    state = {"step": 0, "minutes": 0.0}
    average = {k: v.detach().clone() for k, v in network.state_dict().items()}
    saved = parts.load(out / f"{stage}.pt")
    if saved is not None:
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        average = {k: v.to(place) for k, v in saved["average"].items()}
        state = saved["state"]
    source = PairSource(bank.load(bank_file), plan.pairs, plan.seed + state["step"], place)
    total = total_minutes or state["minutes"] + minutes
    begun, recent, last_save = time.monotonic(), [], time.monotonic()
    before = state["minutes"]
    while (time.monotonic() - begun) / 60 < minutes:
        progress = min(1.0, state["minutes"] / total)
        for group in optimiser.param_groups:
            warm = min(1.0, (state["step"] + 1) / 50)
            group["lr"] = 1e-3 * warm * (1 - progress) ** 0.9 + 1e-5
        recent.append(_step(network, optimiser, source, batch, progress, place))
        decay = min(0.999, (1 + state["step"]) / (10 + state["step"]))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - decay)
        state["step"] += 1
        state["minutes"] = before + (time.monotonic() - begun) / 60
        if state["step"] % 50 == 0:
            _log(out / f"{stage}.log", state, recent[-50:])
        if time.monotonic() - last_save > 180:
            parts.save(out / f"{stage}.pt", _saved(network, optimiser, average, state))
            last_save = time.monotonic()
    parts.save(out / f"{stage}.pt", _saved(network, optimiser, average, state))
    return sum(recent[-200:]) / max(1, len(recent[-200:]))


def _step(network: KneeUNet, optimiser: torch.optim.Optimizer, source: PairSource, batch: int, progress: float,
          place: torch.device) -> float:
    drawn = [source.draw(progress) for _ in range(batch)]
    images = torch.stack([image for image, _ in drawn]).to(memory_format=torch.channels_last_3d)
    target = torch.stack([labels for _, labels in drawn])
    network.train()
    with torch.autocast(place.type, dtype=torch.bfloat16):
        outputs = network(images)
    loss, dice = loss_of(outputs[0].float(), target)
    for level, weight in ((1, 0.4), (2, 0.2)):
        coarse = target[:, :: 2**level, :: 2**level, :: 2**level]
        loss = loss + weight * loss_of(outputs[level].float(), coarse)[0]
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return dice.item()


def _saved(network: KneeUNet, optimiser: torch.optim.Optimizer, average: dict, state: dict) -> dict:
    return {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "average": average, "state": state}


def _log(path: Path, state: dict, dice: list[float]) -> None:
    line = {"step": state["step"], "minutes": round(state["minutes"], 2), "dice": round(sum(dice) / len(dice), 4)}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(f"step {line['step']:6d}  {line['minutes']:7.1f} min  training Dice {line['dice']:.3f}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command in this file's first lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bank", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stage", choices=tuple(STAGES), required=True)
    parser.add_argument("--minutes", type=float, required=True, help="budget of this call")
    parser.add_argument("--total-minutes", type=float, help="length of the whole training, when it comes in pieces")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="processor threads; both stages can be trained side by side")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    dice = train(args.bank, args.out, args.stage, args.minutes, args.total_minutes, args.batch, args.device)
    print(f"mean training Dice of the last steps: {dice:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
