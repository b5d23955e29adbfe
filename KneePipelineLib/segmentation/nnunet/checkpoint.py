"""Loading nnU-Net checkpoints without running what a pickle may ask for.

How a file is opened: `torch_files`. Here its content becomes what inference needs of it, or a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import MissingFileError, WeightsCorruptError
from ...weights.torch_files import MEND, are_plain_tensors, read_torch_file

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Checkpoint:
    """What inference needs of a checkpoint.

    Attributes
    ----------
    weights : dict
        State dict of the network, floating-point tensors in single precision.
    configuration : str or None
        Name of the plans' configuration it was trained with.
    trainer : str
    mirror_axes : tuple of int
        Spatial axes along which the network was trained to be mirrored.
    """

    weights: dict[str, torch.Tensor]
    configuration: str | None
    trainer: str
    mirror_axes: tuple[int, ...]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint on the CPU; large tensors are mapped, not copied, unless they are not in single precision.

    Raises
    ------
    MissingFileError
        If the file is not there.
    WeightsCorruptError
        If it is damaged, no nnU-Net checkpoint, or holds objects that could run code; none of it has run then.
    """
    path = Path(path)
    label = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        raise MissingFileError(f"The checkpoint {label} is not there.", MEND)
    content = read_torch_file(path, f"The checkpoint {label}")
    weights = content.get("network_weights") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights or not are_plain_tensors(weights.items()):
        raise WeightsCorruptError(f"The file {label} is no nnU-Net checkpoint.", MEND)
    arguments = content.get("init_args")
    configuration = arguments.get("configuration") if isinstance(arguments, dict) else None
    axes = content.get("inference_allowed_mirroring_axes")
    axes = tuple(axes) if isinstance(axes, (tuple, list)) else ()
    if not (len(axes) <= 3 and all(type(a) is int and 0 <= a < 3 for a in axes) and len(set(axes)) == len(axes)):
        raise WeightsCorruptError(f"The checkpoint {label} names impossible axes to mirror along.", MEND)
    trainer = content.get("trainer_name")
    return Checkpoint(_single_precision({_plain_key(k): v for k, v in weights.items()}),
                      configuration if isinstance(configuration, str) else None,
                      trainer[:200] if isinstance(trainer, str) else "", axes)


def _single_precision(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights stored in another precision as float32, which is computed with; names of one tensor go on sharing it."""
    import torch

    wide: dict[tuple, torch.Tensor] = {}
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            key = (tensor.data_ptr(), tensor.shape)
            wide[key] = wide[key] if key in wide else tensor.float()
            weights[name] = wide[key]
    return weights


def _plain_key(name: str) -> str:
    """State-dict names without what compiled or distributed training puts before them."""
    while (plain := name.removeprefix("_orig_mod.").removeprefix("module.")) != name:
        name = plain
    return name
