"""The Keras layers of a U-Net family on PyTorch, one builder for each layer class.

A builder takes the layer's configuration and its weights (the Keras names without scope and suffix: ``kernel``,
``bias``, ``gamma``, ...) and returns a function of tensors. Tensors keep the shape Keras gives them: a channels-last
layer is a view with the axes moved, never a copy. Semantics are those of Keras 2 on TensorFlow, in particular the
asymmetric ``same`` padding: out = ceil(in / stride), the odd sample goes to the end
(https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2).
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


def build_layer(class_name: str, config: dict, weights: Weights) -> Layer:
    """The operation of one layer at inference.

    Raises
    ------
    InvalidFormatError
        If the layer class or one of its settings is not supported. Lambda layers carry Python code and are refused.
    """
    name = config.get("name", class_name)
    if "Lambda" in class_name:
        raise InvalidFormatError(f"The network holds a {class_name} layer ('{name}'), which carries code of its own.",
                                 "Such files are not run; a network of plain layers is needed.")
    if class_name in _IDENTITY:
        return Layer(lambda x: x)
    builder = _BUILDERS.get(class_name)
    if builder is None:
        raise InvalidFormatError(f"The network holds a layer of the unknown kind '{class_name}' ('{name}').",
                                 "Only the layers of the U-Net family are supported.")
    try:
        built = builder(config, weights)
    except KeyError as error:
        raise InvalidFormatError(f"The layer '{name}' ({class_name}) lacks {error}.",
                                 "The file is incomplete: get it again.") from error
    return built if isinstance(built, Layer) else Layer(built)


def _channels_first(config: dict) -> bool:
    return config.get("data_format", "channels_last") == "channels_first"


def _spatial(operation: Operation, config: dict) -> Operation:
    """An operation on (N, C, H, W) made to take the layer's own layout."""
    if _channels_first(config):
        return operation
    return lambda x: operation(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _pair(value: object) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _tensor(array: np.ndarray) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def _same_padding(size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]) -> list[int]:
    """(left, right, top, bottom), as torch's pad wants them, for TensorFlow's ``same``; kernel already dilated."""
    pads: list[int] = []
    for n, k, s in zip(reversed(size), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads += [total // 2, total - total // 2]
    return pads


# --- convolutions ---------------------------------------------------------------------------------------------------

def _conv2d(config: dict, weights: Weights) -> Layer:
    import torch.nn.functional as F

    kernel = _tensor(weights["kernel"].transpose(3, 2, 0, 1))
    bias = _tensor(weights["bias"]) if config.get("use_bias", True) else None
    stride, dilation = _pair(config.get("strides", 1)), _pair(config.get("dilation_rate", 1))
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[2:], dilation, strict=True))
    same, groups = _same_or_valid(config), int(config.get("groups", 1))
    held = {"kernel": kernel, "bias": bias}

    def convolve(x):
        padding = (0, 0)
        if same:
            left, right, top, bottom = _same_padding(x.shape[2:], extent, stride)
            if left == right and top == bottom:
                padding = (top, left)
            else:
                x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, held["kernel"], held["bias"], stride, padding, dilation, groups)

    return _convolution(convolve, config, held, "convolution")


def _conv2d_transpose(config: dict, weights: Weights) -> Layer:
    import torch.nn.functional as F

    kernel = _tensor(weights["kernel"].transpose(3, 2, 0, 1))  # Keras (h, w, out, in) -> torch (in, out, h, w)
    bias = _tensor(weights["bias"]) if config.get("use_bias", True) else None
    stride, dilation = _pair(config.get("strides", 1)), _pair(config.get("dilation_rate", 1))
    if int(config.get("groups", 1)) != 1:
        raise InvalidFormatError("A transposed convolution in groups is not supported.", "")
    extra = config.get("output_padding")
    extra = None if extra is None else _pair(extra)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[2:], dilation, strict=True))
    same = _same_or_valid(config)
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
    activation = _activation(config.get("activation"), config)
    spatial = _spatial(operation, config)
    run = spatial if activation is None else lambda x: activation(spatial(x))
    return Layer(run, held, kind, 1 if _channels_first(config) else 3, linear=activation is None)


def _same_or_valid(config: dict) -> bool:
    padding = config.get("padding", "valid")
    if padding not in ("same", "valid"):
        raise InvalidFormatError(f"The padding '{padding}' is not supported.", "Only same and valid are.")
    return padding == "same"


def _dense(config: dict, weights: Weights) -> Layer:
    import torch.nn.functional as F

    held = {"kernel": _tensor(weights["kernel"].T),
            "bias": _tensor(weights["bias"]) if config.get("use_bias", True) else None}
    activation = _activation(config.get("activation"), config) or (lambda x: x)
    return Layer(lambda x: activation(F.linear(x, held["kernel"], held["bias"])), held)


# --- normalisation and activations ----------------------------------------------------------------------------------

def _batch_normalization(config: dict, weights: Weights) -> Layer:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    factor = 1.0 / np.sqrt(weights["moving_variance"] + config.get("epsilon", 1e-3))
    if config.get("scale", True):
        factor = factor * weights["gamma"]
    shift = -weights["moving_mean"] * factor
    if config.get("center", True):
        shift = shift + weights["beta"]
    held = {"factor": _tensor(factor.astype(np.float32)), "shift": _tensor(shift.astype(np.float32))}

    def normalize(x):
        shape = [1] * x.ndim
        shape[axis] = -1
        return x * held["factor"].reshape(shape) + held["shift"].reshape(shape)

    return Layer(normalize, held, "normalization", axis)


def _prelu(config: dict, weights: Weights) -> Layer:
    import torch

    alpha = weights["alpha"]
    if alpha.ndim == 3 and alpha.size == alpha.shape[0]:  # one slope a channel, channels first: torch's own layer
        held = {"alpha": _tensor(alpha.ravel())}
        return Layer(lambda x: torch.nn.functional.prelu(x, held["alpha"]), held)
    held = {"alpha": _tensor(alpha)}

    def prelu(x):
        return torch.where(x > 0, x, x * held["alpha"])

    return Layer(prelu, held)


def _relu(config: dict, weights: Weights) -> Operation:
    slope = float(config.get("negative_slope", config.get("alpha")) or 0.0)
    ceiling, threshold = config.get("max_value"), float(config.get("threshold") or 0.0)

    def relu(x):
        import torch

        y = torch.where(x >= threshold, x, slope * (x - threshold)) if slope or threshold else x.clamp(min=0)
        return y if ceiling is None else y.clamp(max=float(ceiling))

    return relu


def _leaky_relu(config: dict, weights: Weights) -> Operation:
    import torch.nn.functional as F

    slope = float(config.get("negative_slope", config.get("alpha", 0.3)))
    return lambda x: F.leaky_relu(x, slope)


def _elu(config: dict, weights: Weights) -> Operation:
    import torch.nn.functional as F

    return lambda x: F.elu(x, float(config.get("alpha", 1.0)))


def _softmax(config: dict, weights: Weights) -> Operation:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    return lambda x: x.softmax(axis)


def _activation(name: object, config: dict) -> Operation | None:
    """An activation given by its Keras name; None for linear."""
    import torch
    import torch.nn.functional as F

    if isinstance(name, dict):  # a serialized function or layer
        inner = name.get("config")
        if name.get("class_name") in _BUILDERS and isinstance(inner, dict):
            return build_layer(name["class_name"], inner, {})
        name = inner if isinstance(inner, str) else name.get("class_name")
    table = {
        None: None, "linear": None, "relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "elu": F.elu,
        "selu": F.selu, "softplus": F.softplus, "swish": F.silu, "silu": F.silu, "gelu": F.gelu,
        "exponential": torch.exp, "relu6": F.relu6, "softmax": lambda x: x.softmax(-1),
        "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    }
    if name not in table:
        raise InvalidFormatError(f"The activation '{name}' of layer '{config.get('name')}' is not supported.",
                                 "Only Keras' own activations are.")
    return table[name]


def _activation_layer(config: dict, weights: Weights) -> Operation:
    return _activation(config["activation"], config) or (lambda x: x)


# --- pooling, shapes, merging ---------------------------------------------------------------------------------------

def _pooling(kind: str) -> Callable[[dict, Weights], Operation]:
    def build(config: dict, weights: Weights) -> Operation:
        import torch.nn.functional as F

        size = _pair(config.get("pool_size", 2))
        stride = _pair(config.get("strides") or size)
        same = _same_or_valid(config)

        def pool(x):
            pads = _same_padding(x.shape[2:], size, stride) if same else [0, 0, 0, 0]
            if kind == "max":
                return F.max_pool2d(F.pad(x, pads, value=float("-inf")) if any(pads) else x, size, stride)
            if not any(pads):
                return F.avg_pool2d(x, size, stride)
            inside = F.pad(x.new_ones(1, 1, *x.shape[2:]), pads)  # TensorFlow averages what lies inside the image
            return F.avg_pool2d(F.pad(x, pads), size, stride) / F.avg_pool2d(inside, size, stride)

        return _spatial(pool, config)

    return build


def _global_pooling(kind: str) -> Callable[[dict, Weights], Operation]:
    def build(config: dict, weights: Weights) -> Operation:
        axes, keep = ((2, 3) if _channels_first(config) else (1, 2)), bool(config.get("keepdims", False))
        return lambda x: x.amax(axes, keepdim=keep) if kind == "max" else x.mean(axes, keepdim=keep)

    return build


def _up_sampling(config: dict, weights: Weights) -> Operation:
    import torch.nn.functional as F

    size, mode = _pair(config.get("size", 2)), config.get("interpolation", "nearest")
    if mode not in ("nearest", "bilinear"):
        raise InvalidFormatError(f"Up-sampling by '{mode}' is not supported.", "Only nearest and bilinear are.")

    def enlarge(x):
        shape = (x.shape[2] * size[0], x.shape[3] * size[1])
        if mode == "nearest":
            return F.interpolate(x, shape, mode="nearest")
        return F.interpolate(x, shape, mode="bilinear", align_corners=False)

    return _spatial(enlarge, config)


def _edges(value: object) -> list[int]:
    """Keras' padding or cropping (int, pair or pair of pairs) as (left, right, top, bottom)."""
    if isinstance(value, int):
        return [value] * 4
    rows, columns = value
    top, bottom = (rows, rows) if isinstance(rows, int) else rows
    left, right = (columns, columns) if isinstance(columns, int) else columns
    return [int(left), int(right), int(top), int(bottom)]


def _zero_padding(config: dict, weights: Weights) -> Operation:
    import torch.nn.functional as F

    edges = _edges(config.get("padding", 1))
    return _spatial(lambda x: F.pad(x, edges), config)


def _cropping(config: dict, weights: Weights) -> Operation:
    left, right, top, bottom = _edges(config.get("cropping", 0))
    return _spatial(lambda x: x[:, :, top:x.shape[2] - bottom, left:x.shape[3] - right], config)


def _reshape(config: dict, weights: Weights) -> Operation:
    shape = [int(n) for n in config["target_shape"]]
    return lambda x: x.reshape(x.shape[0], *shape)


def _permute(config: dict, weights: Weights) -> Operation:
    order = [0, *(int(n) for n in config["dims"])]
    return lambda x: x.permute(order)


def _concatenate(config: dict, weights: Weights) -> Operation:
    import torch

    axis = int(config.get("axis", -1))
    return lambda *tensors: torch.cat(tensors, axis)


def _merge(step: Callable[[object, object], object], mean: bool = False) -> Callable[[dict, Weights], Operation]:
    def build(config: dict, weights: Weights) -> Operation:
        def merge(*tensors):
            result = tensors[0]
            for tensor in tensors[1:]:
                result = step(result, tensor)
            return result / len(tensors) if mean else result

        return merge

    return build


_IDENTITY = {"Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise",
             "ActivityRegularization"}
"""Layers that do nothing at inference."""

_BUILDERS: dict[str, Callable[[dict, Weights], Layer | Operation]] = {
    "Conv2D": _conv2d, "Convolution2D": _conv2d, "Conv2DTranspose": _conv2d_transpose, "Dense": _dense,
    "BatchNormalization": _batch_normalization, "BatchNormalizationV1": _batch_normalization,
    "Activation": _activation_layer, "ReLU": _relu, "LeakyReLU": _leaky_relu, "PReLU": _prelu, "ELU": _elu,
    "Softmax": _softmax,
    "MaxPooling2D": _pooling("max"), "AveragePooling2D": _pooling("mean"),
    "GlobalAveragePooling2D": _global_pooling("mean"), "GlobalMaxPooling2D": _global_pooling("max"),
    "UpSampling2D": _up_sampling, "ZeroPadding2D": _zero_padding, "Cropping2D": _cropping,
    "Reshape": _reshape, "Permute": _permute,
    "Flatten": lambda config, weights: lambda x: x.reshape(x.shape[0], -1),
    "Concatenate": _concatenate, "Add": _merge(lambda a, b: a + b), "Subtract": _merge(lambda a, b: a - b),
    "Multiply": _merge(lambda a, b: a * b), "Average": _merge(lambda a, b: a + b, mean=True),
    "Maximum": _merge(lambda a, b: a.maximum(b)), "Minimum": _merge(lambda a, b: a.minimum(b)),
}
