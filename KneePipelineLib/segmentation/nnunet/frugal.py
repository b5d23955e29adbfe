"""U-Nets in less memory: the same layers and numbers, with fewer full-size tensors at a time.

At full resolution a handful of tensors fill more memory than everything else of a run together. Two habits save them: a
convolution whose input nobody else reads writes its answer over it, slab by slab; and the decoder never joins skip and
upsampled tensor as a whole, and gives back what was read before it goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SLAB_BYTES = 16 * 1024**2
"""How much of a convolution's input is copied at once; smaller inputs are convolved as a whole."""


def sole_readers(network: torch.nn.Module) -> set[int]:
    """The ``id`` of every convolution of a known block that is the only reader of its input, an earlier layer's output.

    The first convolution of a block is not among them: its input may be a skip or a residual.
    """
    from dynamic_network_architectures.building_blocks.residual import BasicBlockD, BottleneckD
    from dynamic_network_architectures.building_blocks.simple_conv_blocks import StackedConvBlocks

    found = set()
    for module in network.modules():
        if type(module) is StackedConvBlocks:
            found |= {id(block.conv) for block in module.convs[1:] if hasattr(block, "conv")}
        elif type(module) in (BasicBlockD, BottleneckD):
            found |= {id(getattr(module, name).conv) for name in ("conv2", "conv3") if hasattr(module, name)}
    return found


def can_be_cut(conv: torch.nn.Module) -> bool:
    """Whether `convolve` knows a layer: a 3-D convolution that keeps its input's shape."""
    import torch

    return (type(conv) is torch.nn.Conv3d and conv.stride == (1, 1, 1) and conv.dilation == (1, 1, 1)
            and conv.groups == 1 and conv.padding_mode == "zeros" and all(k % 2 for k in conv.kernel_size)
            and conv.padding == tuple(k // 2 for k in conv.kernel_size))


def save_decoder_memory(network: torch.nn.Module) -> None:
    """Replace the forward pass of a network library's U-Net decoder in place; its layers and their names stay.

    Other networks are left as they are.
    """
    from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder

    decoder, encoder = getattr(network, "decoder", None), getattr(network, "encoder", None)
    if type(decoder) is not UNetDecoder or decoder.deep_supervision or not getattr(encoder, "return_skips", False):
        return
    if all(can_be_cut(stage.convs[0].all_modules[0]) for stage in decoder.stages):
        decoder.forward = lambda skips: _decode(decoder, skips)


def _decode(decoder: torch.nn.Module, skips: list[torch.Tensor]) -> torch.Tensor:
    """What the library's decoder answers; ``skips`` is empty afterwards."""
    x = skips.pop()
    for upsample, stage in zip(decoder.transpconvs, decoder.stages, strict=True):
        parts = [upsample(x), skips.pop()]
        del x
        convolution, *others = stage.convs[0].all_modules
        x = convolve(convolution, parts)
        del parts
        for layer in (*others, *stage.convs[1:]):
            x = layer(x)
    return decoder.seg_layers[-1](x)


def convolve(conv: torch.nn.Module, parts: list[torch.Tensor]) -> torch.Tensor:
    """``conv(torch.cat(parts, 1))``, slab by slab along the first spatial axis when it is large.

    Parameters
    ----------
    conv : torch.nn.Module
        ``weight``, ``bias``, ``padding`` of a convolution that `can_be_cut`.
    parts : list of (N, C, D, H, W) torch.Tensor
        Equal but for their channels. The first one is overwritten and returned where it has the answer's shape, so
        nobody may read it afterwards.

    Returns
    -------
    (N, out channels, D, H, W) torch.Tensor
    """
    import torch
    from torch.nn import functional

    def joined(tensors: list[torch.Tensor], axis: int = 1) -> torch.Tensor:
        return torch.cat(tensors, axis) if len(tensors) > 1 else tensors[0]

    first, channels, halo = parts[0], conv.weight.shape[0], conv.padding[0]
    depth, layout = first.shape[2], torch.channels_last_3d
    plane = sum(p[:, :, 0].numel() for p in parts) * first.dtype.itemsize
    thickness = max(1, halo, SLAB_BYTES // plane)
    if thickness >= depth:
        return functional.conv3d(joined(parts), conv.weight, conv.bias, 1, conv.padding)
    in_place = first.shape[1] == channels and first.is_contiguous(memory_format=layout)
    out = first if in_place else torch.empty((first.shape[0], channels, *first.shape[2:]), dtype=first.dtype,
                                             device=first.device, memory_format=layout)
    before = [p[:, :, :0] for p in parts]  # the planes before the slab, as they were
    for begin in range(0, depth, thickness):
        end = min(depth, begin + thickness)
        last = min(depth, end + halo)
        slab = joined([joined([b, p[:, :, begin:last]], 2) if b.shape[2] else p[:, :, begin:last]
                       for b, p in zip(before, parts, strict=True)])
        edges = (halo - before[0].shape[2], halo - (last - end))
        if any(edges):
            slab = functional.pad(slab, (0, 0, 0, 0, *edges))
        before = [p[:, :, end - halo:end].clone() if p is out else p[:, :, end - halo:end] for p in parts]
        out[:, :, begin:end] = functional.conv3d(slab.contiguous(memory_format=layout), conv.weight, conv.bias, 1,
                                                 (0, *conv.padding[1:]))
        del slab
    return out
