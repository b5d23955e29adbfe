"""What one layer of a planar network is, and the conventions all layers share.

Tensors keep the shape Keras gives them: a channels-last layer is a view with the axes moved, never a copy. Semantics
are those of Keras 2 on TensorFlow, in particular the asymmetric ``same`` padding: out = ceil(in / stride), the odd
sample goes to the end (https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidFormatError

if TYPE_CHECKING:
    import torch

Weights = dict[str, np.ndarray]
Operation = Callable[..., "torch.Tensor"]


@dataclass
class Layer:
    """One layer's operation and what one must know to optimise it.

    Attributes
    ----------
    run : Operation
    tensors : dict
        Weights by name, read by ``run`` at every call, so that they can be moved or scaled.
    kind : str
        ``convolution``, ``transposed`` or ``normalization`` where it matters.
    axis : int
        The channels' axis.
    linear : bool
        A convolution without activation.
    """

    run: Operation
    tensors: dict = field(default_factory=dict)
    kind: str = ""
    axis: int = 1
    linear: bool = False

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.run(*inputs)

    def move(self, device: torch.device) -> None:
        """Move the weights to a device."""
        for name, tensor in self.tensors.items():
            if tensor is not None:
                self.tensors[name] = tensor.to(device)


def is_channels_first(config: dict) -> bool:
    return config.get("data_format", "channels_last") == "channels_first"


def spatial(operation: Operation, config: dict) -> Operation:
    """An operation on (N, C, H, W) made to take the layer's own layout."""
    if is_channels_first(config):
        return operation
    return lambda x: operation(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def as_pair(value: object, least: int = 1) -> tuple[int, int]:
    """Sizes, strides or dilations along height and width; ValueError for what is no such thing."""
    pair = (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))
    if min(pair) < least:
        raise ValueError(f"{pair} where sizes are expected")
    return pair


def as_tensor(array: np.ndarray) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def same_padding(size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]) -> list[int]:
    """(left, right, top, bottom), as torch's pad wants them, for TensorFlow's ``same``; kernel already dilated."""
    pads: list[int] = []
    for n, k, s in zip(reversed(size), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads += [total // 2, total - total // 2]
    return pads


def is_same(config: dict) -> bool:
    padding = config.get("padding", "valid")
    if padding not in ("same", "valid"):
        raise InvalidFormatError(f"The padding '{padding}' is not supported.", "Only same and valid are.")
    return padding == "same"
