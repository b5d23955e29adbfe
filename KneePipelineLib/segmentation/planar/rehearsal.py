"""Whether a planar network's layers fit each other, found out before an image and its memory are spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import PlanarNetwork

MAX_SIDE = 8192
USUAL_SIDE = 256
MAX_LIVE_BYTES = 64 * 1024
"""Of tensors side by side for each pixel of a slice: thirty times those of the published networks."""


def rehearse(network: PlanarNetwork) -> None:
    """Send the shape of one image through the layers, on no device: no memory, no numbers, no time.

    Raises
    ------
    ValueError, RuntimeError, and what else the layers' operations say
        Where two layers do not fit, or the network would swell beyond every published one.
    """
    import torch

    if not all(1 <= r <= MAX_SIDE for r in network.reduction):
        raise ValueError("an impossible reduction")
    size = network.fixed_size or tuple(r * -(-USUAL_SIDE // r) for r in network.reduction)
    layers = {id(step.layer): step.layer for step in network.steps}.values()
    held = [dict(layer.tensors) for layer in layers]
    try:
        network.to(torch.device("meta"))
        network(torch.zeros((1, network.channels, *size), device="meta"))
    finally:
        for layer, tensors in zip(layers, held, strict=True):
            layer.tensors.update(tensors)
    if network.live_bytes > MAX_LIVE_BYTES * size[0] * size[1]:
        raise ValueError("a network that swells")
