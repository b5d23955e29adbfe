"""Normalisation and activations."""

from __future__ import annotations

import numpy as np

from ...errors import InvalidFormatError
from .layer import Layer, Operation, Weights, as_tensor


def batch_normalization(config: dict, weights: Weights) -> Layer:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    factor = 1.0 / np.sqrt(weights["moving_variance"] + config.get("epsilon", 1e-3))
    if config.get("scale", True):
        factor = factor * weights["gamma"]
    shift = -weights["moving_mean"] * factor
    if config.get("center", True):
        shift = shift + weights["beta"]
    held = {"factor": as_tensor(factor.astype(np.float32)), "shift": as_tensor(shift.astype(np.float32))}

    def normalize(x):
        shape = [1] * x.ndim
        shape[axis] = -1
        return x * held["factor"].reshape(shape) + held["shift"].reshape(shape)

    return Layer(normalize, held, "normalization", axis)


def prelu_layer(config: dict, weights: Weights) -> Layer:
    import torch

    alpha = weights["alpha"]
    if alpha.ndim == 3 and alpha.size == alpha.shape[0]:  # one slope a channel, channels first: torch's own layer
        held = {"alpha": as_tensor(alpha.ravel())}
        return Layer(lambda x: torch.nn.functional.prelu(x, held["alpha"]), held)
    held = {"alpha": as_tensor(alpha)}

    def prelu(x):
        return torch.where(x > 0, x, x * held["alpha"])

    return Layer(prelu, held)


def relu_layer(config: dict, weights: Weights) -> Operation:
    slope = float(config.get("negative_slope", config.get("alpha")) or 0.0)
    ceiling, threshold = config.get("max_value"), float(config.get("threshold") or 0.0)

    def relu(x):
        import torch

        y = torch.where(x >= threshold, x, slope * (x - threshold)) if slope or threshold else x.clamp(min=0)
        return y if ceiling is None else y.clamp(max=float(ceiling))

    return relu


def leaky_relu_layer(config: dict, weights: Weights) -> Operation:
    import torch.nn.functional as F

    slope = float(config.get("negative_slope", config.get("alpha", 0.3)))
    return lambda x: F.leaky_relu(x, slope)


def elu_layer(config: dict, weights: Weights) -> Operation:
    import torch.nn.functional as F

    return lambda x: F.elu(x, float(config.get("alpha", 1.0)))


def softmax_layer(config: dict, weights: Weights) -> Operation:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    return lambda x: x.softmax(axis)


def activation_named(name: object, config: dict) -> Operation | None:
    """An activation given by its Keras name; None for linear."""
    import torch
    import torch.nn.functional as F

    if isinstance(name, dict):  # a serialized function or layer
        inner = name.get("config")
        if name.get("class_name") in WITHOUT_WEIGHTS and isinstance(inner, dict):
            return WITHOUT_WEIGHTS[name["class_name"]](inner, {})
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


def activation_layer(config: dict, weights: Weights) -> Operation:
    return activation_named(config["activation"], config) or (lambda x: x)


WITHOUT_WEIGHTS = {"ReLU": relu_layer, "LeakyReLU": leaky_relu_layer, "ELU": elu_layer, "Softmax": softmax_layer}
"""Activation layers that a convolution may carry inside as its activation."""
