"""The Keras layers of a U-Net family on PyTorch, one builder for each layer class.

A builder takes the layer's configuration and its weights (the Keras names without scope and suffix: ``kernel``,
``bias``, ``gamma``, ...) and returns a function of tensors.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import InvalidFormatError
from . import activations as A
from .convolutions import conv2d, conv2d_transpose, dense
from .layer import Layer, Operation, Weights, as_pair, is_channels_first, is_same, same_padding, spatial


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


def _pooling(kind: str) -> Callable[[dict, Weights], Operation]:
    def build(config: dict, weights: Weights) -> Operation:
        import torch.nn.functional as F

        size = as_pair(config.get("pool_size", 2))
        stride = as_pair(config.get("strides") or size)
        same = is_same(config)

        def pool(x):
            pads = same_padding(x.shape[2:], size, stride) if same else [0, 0, 0, 0]
            if kind == "max":
                return F.max_pool2d(F.pad(x, pads, value=float("-inf")) if any(pads) else x, size, stride)
            if not any(pads):
                return F.avg_pool2d(x, size, stride)
            inside = F.pad(x.new_ones(1, 1, *x.shape[2:]), pads)  # TensorFlow averages what lies inside the image
            return F.avg_pool2d(F.pad(x, pads), size, stride) / F.avg_pool2d(inside, size, stride)

        return spatial(pool, config)

    return build


def _global_pooling(kind: str) -> Callable[[dict, Weights], Operation]:
    def build(config: dict, weights: Weights) -> Operation:
        axes, keep = ((2, 3) if is_channels_first(config) else (1, 2)), bool(config.get("keepdims", False))
        return lambda x: x.amax(axes, keepdim=keep) if kind == "max" else x.mean(axes, keepdim=keep)

    return build


def _up_sampling(config: dict, weights: Weights) -> Operation:
    import torch.nn.functional as F

    size, mode = as_pair(config.get("size", 2)), config.get("interpolation", "nearest")
    if mode not in ("nearest", "bilinear"):
        raise InvalidFormatError(f"Up-sampling by '{mode}' is not supported.", "Only nearest and bilinear are.")

    def enlarge(x):
        shape = (x.shape[2] * size[0], x.shape[3] * size[1])
        if mode == "nearest":
            return F.interpolate(x, shape, mode="nearest")
        return F.interpolate(x, shape, mode="bilinear", align_corners=False)

    return spatial(enlarge, config)


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
    return spatial(lambda x: F.pad(x, edges), config)


def _cropping(config: dict, weights: Weights) -> Operation:
    left, right, top, bottom = _edges(config.get("cropping", 0))
    return spatial(lambda x: x[:, :, top:x.shape[2] - bottom, left:x.shape[3] - right], config)


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
    "Conv2D": conv2d, "Convolution2D": conv2d, "Conv2DTranspose": conv2d_transpose, "Dense": dense,
    "BatchNormalization": A.batch_normalization, "BatchNormalizationV1": A.batch_normalization,
    "Activation": A.activation_layer, "PReLU": A.prelu_layer, **A.WITHOUT_WEIGHTS,
    "MaxPooling2D": _pooling("max"), "AveragePooling2D": _pooling("mean"),
    "GlobalAveragePooling2D": _global_pooling("mean"), "GlobalMaxPooling2D": _global_pooling("max"),
    "UpSampling2D": _up_sampling, "ZeroPadding2D": _zero_padding, "Cropping2D": _cropping,
    "Reshape": _reshape, "Permute": _permute,
    "Flatten": lambda config, weights: lambda x: x.reshape(x.shape[0], -1),
    "Concatenate": _concatenate, "Add": _merge(lambda a, b: a + b), "Subtract": _merge(lambda a, b: a - b),
    "Multiply": _merge(lambda a, b: a * b), "Average": _merge(lambda a, b: a + b, mean=True),
    "Maximum": _merge(lambda a, b: a.maximum(b)), "Minimum": _merge(lambda a, b: a.minimum(b)),
}
