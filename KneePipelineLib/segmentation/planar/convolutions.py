"""Convolutions and dense layers."""

from __future__ import annotations

from ...errors import InvalidFormatError
from .activations import activation_named
from .layer import Layer, Operation, Weights, as_pair, as_tensor, is_channels_first, is_same, same_padding, spatial


def conv2d(config: dict, weights: Weights) -> Layer:
    import torch.nn.functional as F

    kernel = as_tensor(weights["kernel"].transpose(3, 2, 0, 1))
    bias = as_tensor(weights["bias"]) if config.get("use_bias", True) else None
    stride, dilation = as_pair(config.get("strides", 1)), as_pair(config.get("dilation_rate", 1))
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[2:], dilation, strict=True))
    same, groups = is_same(config), int(config.get("groups", 1))
    held = {"kernel": kernel, "bias": bias}

    def convolve(x):
        padding = (0, 0)
        if same:
            left, right, top, bottom = same_padding(x.shape[2:], extent, stride)
            if left == right and top == bottom:
                padding = (top, left)
            else:
                x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, held["kernel"], held["bias"], stride, padding, dilation, groups)

    return _convolution(convolve, config, held, "convolution")


def conv2d_transpose(config: dict, weights: Weights) -> Layer:
    import torch.nn.functional as F

    kernel = as_tensor(weights["kernel"].transpose(3, 2, 0, 1))  # Keras (h, w, out, in) -> torch (in, out, h, w)
    bias = as_tensor(weights["bias"]) if config.get("use_bias", True) else None
    stride, dilation = as_pair(config.get("strides", 1)), as_pair(config.get("dilation_rate", 1))
    if int(config.get("groups", 1)) != 1:
        raise InvalidFormatError("A transposed convolution in groups is not supported.",
                                 "A network of plain layers is needed.")
    extra = config.get("output_padding")
    extra = None if extra is None else as_pair(extra, least=0)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[2:], dilation, strict=True))
    same = is_same(config)
    held = {"kernel": kernel, "bias": bias}

    def convolve(x):
        first, wanted, missing = [], [], []
        for n, k, s, e in zip(x.shape[2:], extent, stride, extra or (None, None), strict=True):
            full = (n - 1) * s + k
            if e is not None:  # Keras' deconv_output_length with an explicit output padding
                out = full + e - (2 * (k // 2) if same else 0)
            else:
                out = n * s if same else n * s + max(k - s, 0)
            # TensorFlow computes the gradient of a convolution from `out` to `n` samples: crop what that one padded.
            first.append(max((n - 1) * s + k - out, 0) // 2 if same else 0)
            wanted.append(out)
            missing.append(max(first[-1] + out - full, 0))
        y = F.conv_transpose2d(x, held["kernel"], held["bias"], stride, 0, tuple(missing), 1, dilation)
        return y[:, :, first[0]:first[0] + wanted[0], first[1]:first[1] + wanted[1]]

    return _convolution(convolve, config, held, "transposed")


def _convolution(operation: Operation, config: dict, held: dict, kind: str) -> Layer:
    activation = activation_named(config.get("activation"), config)
    plain = spatial(operation, config)
    run = plain if activation is None else lambda x: activation(plain(x))
    return Layer(run, held, kind, 1 if is_channels_first(config) else 3, linear=activation is None)


def dense(config: dict, weights: Weights) -> Layer:
    import torch.nn.functional as F

    held = {"kernel": as_tensor(weights["kernel"].T),
            "bias": as_tensor(weights["bias"]) if config.get("use_bias", True) else None}
    activation = activation_named(config.get("activation"), config) or (lambda x: x)
    return Layer(lambda x: activation(F.linear(x, held["kernel"], held["bias"])), held)
