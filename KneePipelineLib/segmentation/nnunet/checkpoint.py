"""Loading nnU-Net checkpoints without running what a pickle may ask for.

PyTorch's ``weights_only`` reader builds nothing but tensors and plain containers. nnU-Net's checkpoints also carry
training logs with NumPy scalars; these few types are allowed, through a constructor of our own that refuses objects.
Anything else in the file is refused with a sentence.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import MissingFileError, WeightsCorruptError

if TYPE_CHECKING:
    import torch

MEND = "Get the model again with `models download`, or import an intact copy with `models import`."


@dataclass(frozen=True)
class Checkpoint:
    """What inference needs of a checkpoint.

    Attributes
    ----------
    weights : dict
        State dict of the network.
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
    """Read a checkpoint on the CPU; large tensors are mapped, not copied, unless they are stored in half precision.

    Raises
    ------
    MissingFileError
        If the file is not there.
    WeightsCorruptError
        If it is damaged, no nnU-Net checkpoint, or holds objects that could run code; none of it has run then.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"The checkpoint {path.parent.name}/{path.name} is not there.", MEND)
    label = f"{path.parent.name}/{path.name}"
    try:
        content = _load(path)
    except pickle.UnpicklingError as error:
        raise WeightsCorruptError(f"The checkpoint {label} holds more than numbers: it was not loaded.",
                                  MEND) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise WeightsCorruptError(f"The checkpoint {label} is damaged.", MEND) from error
    weights = content.get("network_weights") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise WeightsCorruptError(f"The file {label} is no nnU-Net checkpoint.", MEND)
    weights = _single_precision({_plain_key(k): v for k, v in weights.items()})
    arguments = content.get("init_args") or {}
    return Checkpoint(weights, arguments.get("configuration"), str(content.get("trainer_name", "")),
                      tuple(int(a) for a in content.get("inference_allowed_mirroring_axes") or ()))


def _load(path: Path) -> object:
    import torch

    with torch.serialization.safe_globals(_safe_types()):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):  # the format before torch 1.6 cannot be mapped
                raise
            return torch.load(path, map_location="cpu", weights_only=True)


def _single_precision(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights stored in half precision as float32, which is computed with; names of one tensor go on sharing it."""
    import torch

    wide: dict[tuple, torch.Tensor] = {}
    for name, tensor in weights.items():
        if isinstance(tensor, torch.Tensor) and tensor.dtype in (torch.float16, torch.bfloat16):
            key = (tensor.data_ptr(), tensor.shape)
            wide[key] = wide[key] if key in wide else tensor.float()
            weights[name] = wide[key]
    return weights


def _plain_key(name: str) -> str:
    """State-dict names without what compiled or distributed training puts before them."""
    for prefix in ("_orig_mod.", "module."):
        name = name.removeprefix(prefix)
    return name


def _numpy_scalar(dtype: np.dtype, raw: bytes) -> object:
    """A NumPy scalar from its bytes; objects are refused."""
    if dtype.hasobject:
        raise pickle.UnpicklingError("a NumPy object")
    return np.frombuffer(raw, dtype=dtype, count=1)[0]


def _numpy_array(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    """The empty array that a pickled array is then filled from."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("not a plain array")
    return np.ndarray(shape, dtype=np.dtype(code))


def _safe_types() -> list:
    numbers = (np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_)
    types = {type(np.dtype(n)) for n in numbers}
    return [
        (_numpy_scalar, "numpy.core.multiarray.scalar"), (_numpy_scalar, "numpy._core.multiarray.scalar"),
        (_numpy_array, "numpy.core.multiarray._reconstruct"), (_numpy_array, "numpy._core.multiarray._reconstruct"),
        (np.dtype, "numpy.dtype"), (np.ndarray, "numpy.ndarray"), *types,
    ]
