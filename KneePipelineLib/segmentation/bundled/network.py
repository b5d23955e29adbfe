"""The bundled U-Net, in plain torch, with the parameter names of nnU-Net's PlainConvUNet.

The trainer needs torch alone; the finished weights run through the same code as the published networks because every
name below is one that nnU-Net's own network has (3-D convolutions with bias, instance norm, leaky ReLU, strided
convolutions down, transposed convolutions up; Isensee et al., Nature Methods 2021).
"""

from __future__ import annotations

import itertools

import torch
from torch import nn


class ConvBlock(nn.Module):
    """Convolution, instance norm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=True)
        self.norm = nn.InstanceNorm3d(outputs, eps=1e-5, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, norm = self.conv(x), self.norm
        if len(x) == 1:  # one sample: batch norm computes the same numbers and keeps the memory format
            x = nn.functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
        else:
            x = norm(x)
        return nn.functional.leaky_relu(x, 0.01, inplace=True)


class Stage(nn.Module):
    """Consecutive blocks; only the first may stride."""

    def __init__(self, inputs: int, outputs: int, blocks: int, stride: int = 1) -> None:
        super().__init__()
        self.convs = nn.Sequential(*[
            ConvBlock(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1) for i in range(blocks)
        ])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convs(x)


class Encoder(nn.Module):
    """The way down; returns the features of every stage."""

    def __init__(self, channels: int, features: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        widths = (channels, *features)
        self.stages = nn.Sequential(*[
            nn.Sequential(Stage(widths[s], widths[s + 1], blocks[s], 1 if s == 0 else 2)) for s in range(len(features))
        ])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """The way up; logits at every resolution, coarsest first."""

    def __init__(self, features: tuple[int, ...], classes: int, blocks: int) -> None:
        super().__init__()
        below = features[::-1]
        pairs = list(itertools.pairwise(below))
        self.transpconvs = nn.ModuleList([nn.ConvTranspose3d(b, s, 2, 2, bias=True) for b, s in pairs])
        self.stages = nn.ModuleList([Stage(2 * s, s, blocks) for _, s in pairs])
        self.seg_layers = nn.ModuleList([nn.Conv3d(s, classes, 1, bias=True) for _, s in pairs])

    def forward(self, skips: list[torch.Tensor]) -> list[torch.Tensor]:
        x, logits = skips[-1], []
        for i, (up, stage, head) in enumerate(zip(self.transpconvs, self.stages, self.seg_layers, strict=True)):
            x = stage(torch.cat((up(x), skips[-(i + 2)]), 1))
            logits.append(head(x) if self.training or i == len(self.stages) - 1 else None)
        return logits


class KneeUNet(nn.Module):
    """U-Net for patches of shape (batch, channels, z, y, x) whose sides are multiples of 2^(stages - 1).

    Parameters
    ----------
    channels : int
        1 for the image alone; 1 + structures for the second stage, which also sees the first stage's labels.
    classes : int
        Background and structures.
    features : tuple of int
        Width of each stage from fine to coarse.
    encoder_blocks : tuple of int
        Convolutions of each stage on the way down, fine to coarse.
    decoder_blocks : int
        Convolutions of each stage on the way up.
    """

    def __init__(self, channels: int = 1, classes: int = 10, features: tuple[int, ...] = (16, 32, 64, 128, 128),
                 encoder_blocks: tuple[int, ...] = (1, 2, 2, 2, 2), decoder_blocks: int = 1) -> None:
        super().__init__()
        self.encoder = Encoder(channels, features, encoder_blocks)
        self.decoder = Decoder(features, classes, decoder_blocks)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Logits from fine to coarse while training (deep supervision), otherwise the finest only."""
        logits = self.decoder(self.encoder(x))[::-1]
        return logits if self.training else logits[:1]
