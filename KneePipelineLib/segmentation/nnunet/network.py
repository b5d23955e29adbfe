"""The network of a plans file, and the same network made faster on a CPU.

Its class and layers are those that `objects` knows; what else a plans file names is never looked for.

On a CPU three layers are replaced by ones that compute the same numbers (to rounding) in less time, all tensors with
channels last in memory: instance normalisation in place and slab by slab within the cache; 1x1x1 convolutions and
transposed convolutions without overlap as one matrix product. Less memory: see `frugal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import WeightsCorruptError
from .frugal import can_be_cut, convolve, save_decoder_memory, sole_readers
from .objects import layer_class, network_class
from .quiet import quiet

if TYPE_CHECKING:
    import torch

CHUNK_BYTES = 2 * 1024**2
"""How much of a tensor is worked on at once: about what a core's cache holds."""


def build_network(plans_manager: object, configuration: object, dataset: dict) -> torch.nn.Module:
    """The network of a configuration in evaluation mode, without weights yet (see `load_weights`).

    Raises
    ------
    WeightsCorruptError
        If the plans name anything but a known network, or parts of it that do not fit together.
    """
    import torch
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

    kind = network_class(configuration.network_arch_class_name)
    imported = configuration.network_arch_init_kwargs_req_import
    arguments = {key: layer_class(value) if key in imported and value is not None else value
                 for key, value in configuration.network_arch_init_kwargs.items()}
    with quiet():
        channels = determine_num_input_channels(plans_manager, configuration, dataset)
        heads = plans_manager.get_label_manager(dataset).num_segmentation_heads
    arguments.update(input_channels=channels, num_classes=heads, deep_supervision=False)
    shape = tuple(configuration.patch_size)
    try:
        # On no device: no memory and no random numbers (the checkpoint's tensors are put in), and a patch's shape can
        # be sent through, which shows what the constructors let pass.
        with quiet(), torch.device("meta"), torch.inference_mode():
            network = kind(**arguments).eval()
            fits = network(torch.zeros((1, channels, *shape))).shape == (1, heads, *shape)
    except (TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError, ArithmeticError) as error:
        raise _unbuildable(type(error).__name__) from error
    if not fits:
        raise _unbuildable("shape")
    return network


def _unbuildable(cause: str) -> WeightsCorruptError:
    return WeightsCorruptError("The model's plans.json describes a network that cannot be built.",
                               "Get the model again; the plans.json that nnU-Net wrote is needed.", cause=cause)


def load_weights(network: torch.nn.Module, weights: dict[str, torch.Tensor], fold: str) -> None:
    """Make a checkpoint's tensors the network's weights, without copying them.

    Raises
    ------
    WeightsCorruptError
        If names or shapes do not fit, as with a trainer that builds a network of its own.
    """
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise WeightsCorruptError(f"The weights of fold {fold} do not fit the network of the model's plans.",
                                  "Weights and plans.json come from different models: get the model again.") from error


def speed_up_for_cpu(network: torch.nn.Module) -> torch.nn.Module:
    """Replace layers in place as described above; state dicts keep their names. May be called again for new weights."""
    import torch
    from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU

    # The library registers a layer twice (``conv`` and ``all_modules.0``): both names get the same replacement.
    replaced: dict[int, torch.nn.Module] = {}
    owners = {id(m.norm) for m in network.modules() if isinstance(m, ConvDropoutNormReLU) and hasattr(m, "norm")}
    owners |= sole_readers(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if id(child) not in replaced:
                replaced[id(child)] = _replacement(child, id(child) in owners)
            setattr(parent, name, replaced[id(child)])
    save_decoder_memory(network)
    return network.to(memory_format=torch.channels_last_3d)


def _replacement(layer: torch.nn.Module, owns_input: bool) -> torch.nn.Module:
    import torch

    if type(layer) is torch.nn.InstanceNorm3d and owns_input and not layer.track_running_stats:
        return _classes()["norm"](layer)
    if type(layer) is torch.nn.Conv3d and _is_pointwise(layer):
        return _classes()["pointwise"](layer)
    if type(layer) is torch.nn.ConvTranspose3d and _is_without_overlap(layer):
        return _classes()["transposed"](layer)
    if owns_input and can_be_cut(layer):
        return _classes()["overwriting"](layer)
    return layer


def _is_pointwise(conv: torch.nn.Conv3d) -> bool:
    return (conv.kernel_size == (1, 1, 1) and conv.stride == (1, 1, 1) and conv.padding in ((0, 0, 0), "same", "valid")
            and conv.groups == 1)


def _is_without_overlap(conv: torch.nn.ConvTranspose3d) -> bool:
    return (conv.kernel_size == conv.stride and conv.padding == (0, 0, 0) and conv.output_padding == (0, 0, 0)
            and conv.dilation == (1, 1, 1) and conv.groups == 1)


_CLASSES: dict[str, type] = {}


def _classes() -> dict[str, type]:
    """The replacement layers; made on first use, because their base class needs torch."""
    if _CLASSES:
        return _CLASSES
    import torch
    import torch.nn.functional as F

    def rows(x: torch.Tensor) -> torch.Tensor:
        """(N, C, D, H, W), channels last in memory, as (N, D * H * W, C) without a copy."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        return x.permute(0, 2, 3, 4, 1).reshape(x.shape[0], -1, x.shape[1])

    class InstanceNorm(torch.nn.Module):
        """Instance normalisation that overwrites its input: only ever after a convolution, which nobody else reads."""

        def __init__(self, norm: torch.nn.InstanceNorm3d) -> None:
            super().__init__()
            self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.contiguous(memory_format=torch.channels_last_3d)
            for sample in rows(x):
                self._normalize(sample)
            return x

        def _normalize(self, sample: torch.Tensor) -> None:
            mean = sample.mean(0, dtype=torch.float32)
            chunks = sample.split(max(1, CHUNK_BYTES // (4 * sample.shape[1])))
            square_sum = torch.zeros_like(mean)
            for chunk in chunks:
                centred = chunk - mean
                square_sum += centred.mul_(centred).sum(0)
            factor = torch.rsqrt(square_sum / len(sample) + self.eps)
            if self.weight is not None:
                factor = factor * self.weight
            shift = -mean * factor if self.bias is None else self.bias - mean * factor
            for chunk in chunks:
                if chunk.dtype == torch.float32:
                    chunk.mul_(factor).add_(shift)
                else:
                    chunk.copy_(chunk.float().mul_(factor).add_(shift))

    class PointwiseConv(torch.nn.Module):
        """A 1x1x1 convolution as one matrix product."""

        def __init__(self, conv: torch.nn.Conv3d) -> None:
            super().__init__()
            self.weight, self.bias = conv.weight, conv.bias

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = F.linear(rows(x), self.weight.flatten(1), self.bias)
            return y.reshape(x.shape[0], *x.shape[2:], -1).permute(0, 4, 1, 2, 3)

    class TransposedConv(torch.nn.Module):
        """A transposed convolution whose kernel is its stride: every input voxel makes its own block of outputs."""

        def __init__(self, conv: torch.nn.ConvTranspose3d) -> None:
            super().__init__()
            self.weight, self.bias, self.kernel = conv.weight, conv.bias, conv.kernel_size

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            n, _, d, h, w = x.shape
            (a, b, c), out = self.kernel, self.weight.shape[1]
            weight = self.weight.permute(0, 2, 3, 4, 1).reshape(x.shape[1], -1)
            y = x.new_empty((n, d, a, h, b, w, c, out))
            for plane in range(d):
                block = (rows(x[:, :, plane:plane + 1]) @ weight).reshape(n, h, w, a, b, c, out)
                y[:, plane] = block.permute(0, 3, 1, 4, 2, 5, 6)
            y = y.reshape(n, d * a, h * b, w * c, out)
            if self.bias is not None:
                y += self.bias
            return y.permute(0, 4, 1, 2, 3)

    class OverwritingConv(torch.nn.Module):
        """A convolution that may write its answer over its input, see `convolve`."""

        def __init__(self, conv: torch.nn.Conv3d) -> None:
            super().__init__()
            self.weight, self.bias, self.padding = conv.weight, conv.bias, conv.padding

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return convolve(self, [x])

    _CLASSES.update(norm=InstanceNorm, pointwise=PointwiseConv, transposed=TransposedConv, overwriting=OverwritingConv)
    return _CLASSES
