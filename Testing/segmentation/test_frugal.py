"""A U-Net in less memory answers as before: whatever is cut into slabs, whatever is overwritten."""

from __future__ import annotations

import copy

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch.nn import functional

from KneePipelineLib.segmentation.nnunet import frugal
from KneePipelineLib.segmentation.nnunet.network import speed_up_for_cpu

LAYOUT = torch.channels_last_3d


@pytest.fixture(params=[1, 4000], ids=["thinnest slabs", "slabs of several planes"])
def small_slabs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tensors are cut as only large ones are otherwise."""
    monkeypatch.setattr(frugal, "SLAB_BYTES", request.param)


def tensor(channels: int, seed: int, batch: int = 1) -> torch.Tensor:
    """Random numbers, channels last in memory."""
    made = torch.randn(batch, channels, 9, 6, 7, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=LAYOUT)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 3, 3), (5, 1, 3)])
@pytest.mark.parametrize("channels", [[4], [4, 3], [3, 4, 2]], ids=str)
@pytest.mark.usefixtures("small_slabs")
def test_slabs_are_the_whole(kernel: tuple[int, int, int], channels: list[int], batch: int) -> None:
    """Halos, borders, several inputs, and an answer over the first of them: the convolution of all at once."""
    torch.manual_seed(1)
    conv = torch.nn.Conv3d(sum(channels), 4, kernel, padding=tuple(k // 2 for k in kernel))
    parts = [tensor(c, i, batch) for i, c in enumerate(channels)]
    with torch.inference_mode():
        truth = conv(torch.cat(parts, 1))
        answer = frugal.convolve(conv, parts)
    assert torch.allclose(answer, truth, atol=1e-5)
    assert (answer is parts[0]) == (channels[0] == 4)


@pytest.mark.usefixtures("small_slabs")
def test_an_input_of_another_layout_is_left_alone() -> None:
    """A view that is no channels-last tensor is read, never written."""
    conv = torch.nn.Conv3d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 9, 6, 7)
    before = x.clone()
    with torch.inference_mode():
        answer = frugal.convolve(conv, [x])
    assert torch.equal(x, before)
    assert torch.allclose(answer, conv(before), atol=1e-5)


@pytest.mark.parametrize("change", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 2}, {"kernel_size": 2},
                                    {"padding_mode": "replicate"}], ids=lambda c: next(iter(c)))
def test_what_cannot_be_cut(change: dict) -> None:
    """Only convolutions that keep the shape, with zeros around, are known."""
    known = {"kernel_size": 3, "padding": 1}
    assert frugal.can_be_cut(torch.nn.Conv3d(4, 4, **known))
    assert not frugal.can_be_cut(torch.nn.Conv3d(4, 4, **{**known, **change}))


def network(kind: str) -> torch.nn.Module:
    """A small U-Net of the network library, anisotropic at first as the published ones are."""
    torch.manual_seed(2)
    stages = {"n_stages": 3, "features_per_stage": [5, 6, 8], "conv_op": torch.nn.Conv3d,
              "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
              "num_classes": 3, "n_conv_per_stage_decoder": [2, 1], "conv_bias": True,
              "norm_op": torch.nn.InstanceNorm3d, "norm_op_kwargs": {"affine": True},
              "nonlin": torch.nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}}
    if kind == "residual":
        return ResidualEncoderUNet(1, n_blocks_per_stage=[1, 2, 2], **stages).eval()
    if kind == "bottleneck":
        from dynamic_network_architectures.building_blocks.residual import BottleneckD

        return ResidualEncoderUNet(1, n_blocks_per_stage=[1, 2, 2], block=BottleneckD,
                                   bottleneck_channels=[2, 3, 4], **stages).eval()
    return PlainConvUNet(1, n_conv_per_stage=[2, 2, 2], **stages).eval()


@pytest.mark.parametrize("kind", ["plain", "residual", "bottleneck"])
@pytest.mark.usefixtures("small_slabs")
def test_whole_networks_answer_as_before(kind: str) -> None:
    """Twice in a row, because an overwritten input must never be a weight or the caller's image."""
    stock = network(kind)
    frugal_one = speed_up_for_cpu(copy.deepcopy(stock))
    image = torch.randn(2, 1, 8, 12, 16, generator=torch.Generator().manual_seed(3)).contiguous(memory_format=LAYOUT)
    before = image.clone()
    with torch.inference_mode():
        truth = stock(image)
        for _ in range(2):
            assert torch.allclose(frugal_one(image), truth, atol=1e-4)
    assert torch.equal(image, before)
    assert set(frugal_one.state_dict()) == set(stock.state_dict())


def test_less_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No convolution of the decoder sees skip and upsampled tensor joined as a whole."""
    monkeypatch.setattr(frugal, "SLAB_BYTES", 1)
    made, whole, conv3d = speed_up_for_cpu(network("residual")), [], functional.conv3d

    def watched(x: torch.Tensor, *args: object) -> torch.Tensor:
        whole.append((x.shape[1], x.shape[2]))
        return conv3d(x, *args)

    monkeypatch.setattr(functional, "conv3d", watched)
    with torch.inference_mode():
        made(torch.randn(1, 1, 8, 12, 16))
    joined = [depth for channels, depth in whole if channels == 2 * 5]
    assert joined
    assert max(joined) == 1
