"""A small bundled network with the real exporter: untrained weights in the trainer's checkpoints."""

from __future__ import annotations

from pathlib import Path

from KneePipelineLib.segmentation.bundled import parts, train
from KneePipelineLib.segmentation.bundled.pairs import PairOptions

SMALL = {
    "lowres": train.StagePlan(PairOptions((32, 32, 32), 4.0), 1, (6, 8, 8), (1, 2, 1), 1),
    "fullres": train.StagePlan(PairOptions((32, 32, 32), 2.0, second_stage=True), 2, (4, 8), (1, 1), 1),
}


def use_small_stages(monkeypatch) -> None:
    """Make trainer and exporter plan small networks."""
    for stage, plan in SMALL.items():
        monkeypatch.setitem(train.STAGES, stage, plan)


def write_training(folder: Path, stages: tuple[str, ...] = ("lowres", "fullres"), seed: int = 0) -> Path:
    """What the trainer leaves after a first step, with random weights; `network` and `average` differ."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for number, stage in enumerate(stages):
        torch.manual_seed(seed + number)
        average = {name: value + 0.2 * torch.randn_like(value)
                   for name, value in train.make_network(stage).state_dict().items()}
        network = train.make_network(stage).state_dict()
        parts.save(folder / f"{stage}.pt", {"network": network, "optimiser": {}, "average": average,
                                            "state": {"step": 7 + number, "minutes": 0.5}})
    return folder
