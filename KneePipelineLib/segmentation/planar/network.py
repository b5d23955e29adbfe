"""A Keras functional model as a list of steps on PyTorch tensors.

The model's layers and inbound nodes are unrolled into steps, each with the tensors it reads and writes; a tensor is
forgotten after its last use. Batch normalisations that follow a linear convolution are folded into its weights.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidFormatError, WeightsCorruptError
from .keras_file import MEND, KerasFile, read_keras_file
from .layer import Layer, Weights
from .layers import build_layer
from .rehearsal import MAX_SIDE, rehearse

if TYPE_CHECKING:
    import torch

MODEL_CLASSES = ("Functional", "Model", "Sequential")
MAX_CALLS = 10_000
"""Of layers, nested models unrolled: a few of these that call each other twice would make billions."""


@dataclass
class Step:
    """One call of one layer: reads the tensors ``inputs``, writes ``output``; keys are (scope, layer, call, 0)."""

    layer: Layer
    inputs: list[tuple]
    output: tuple
    forget: list[tuple] = field(default_factory=list)


@dataclass
class PlanarNetwork:
    """A planar network ready to run.

    Attributes
    ----------
    input_shape : tuple
        Keras' input shape without the batch: (channels, height, width) or (height, width, channels); None is free.
    channels_first : bool
        Which of the two it is.
    reduction : (int, int)
        By how much the network shrinks height and width at its deepest: sizes must be multiples of it.
    parameters : int
    """

    steps: list[Step]
    input_key: tuple
    output_key: tuple
    input_shape: tuple[int | None, ...]
    channels_first: bool
    reduction: tuple[int, int]
    parameters: int
    live_bytes: int = 0
    """Most bytes of tensors that lived side by side for one image in the last call."""

    @property
    def channels(self) -> int:
        """Channels of its input; one where the file leaves that free."""
        return self.input_shape[0 if self.channels_first else 2] or 1

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) when the network takes only this one."""
        size = self.input_shape[1:] if self.channels_first else self.input_shape[:2]
        return None if None in size else (int(size[0]), int(size[1]))

    def to(self, device: torch.device) -> PlanarNetwork:
        """Move the weights; returns itself."""
        for step in self.steps:
            step.layer.move(device)
        return self

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Class probabilities (N, classes, H, W) of images (N, 1, H, W) as the network was trained to see them."""
        import torch

        with torch.inference_mode():
            x = images if self.channels_first else images.permute(0, 2, 3, 1)
            if self.channels_first:
                x = x.contiguous(memory_format=torch.channels_last)  # the faster order in memory, same shape
            tensors = {self.input_key: x}
            self.live_bytes = 0
            for step in self.steps:
                tensors[step.output] = step.layer(*[tensors[k] for k in step.inputs])
                live = sum(t.numel() * t.element_size() for t in tensors.values())
                self.live_bytes = max(self.live_bytes, live // len(x))
                for key in step.forget:
                    del tensors[key]
            y = tensors[self.output_key]
            return y if self.channels_first else y.permute(0, 3, 1, 2)


def load_network(path: Path) -> PlanarNetwork:
    """Read a Keras HDF5 file and build its network on the CPU.

    Raises
    ------
    InvalidFormatError
        If it holds Lambda or unknown layers, or is no network from one image to one image of classes.
    WeightsCorruptError
        If the file is damaged, or its layers do not fit each other.
    """
    return build_network(read_keras_file(path))


def build_network(file: KerasFile) -> PlanarNetwork:
    """The network of an already read file; raises as `load_network`."""
    if file.config.get("class_name") not in MODEL_CLASSES:
        raise InvalidFormatError(f"A Keras model of the kind '{str(file.config.get('class_name'))[:60]}' is not "
                                 "supported.", "Functional and sequential models are.")
    try:
        network = _assembled(file)
        rehearse(network)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, StopIteration,
            AssertionError) as error:  # whatever an architecture that somebody spoilt makes the builders stumble over
        raise WeightsCorruptError("The planar network's layers do not fit each other, or are described wrongly.", MEND,
                                  cause=type(error).__name__) from error
    return network


def _assembled(file: KerasFile) -> PlanarNetwork:
    steps: list[Step] = []
    root = _Model(file.config, file.weights, (), steps)
    if len(root.inputs) != 1 or len(root.outputs) != 1:
        raise InvalidFormatError("The planar network does not take one image and give one.",
                                 "A segmentation network of one input and one output is needed.")
    (input_key, shape), output_key = root.inputs[0], root.outputs[0]
    if len(shape) != 4:
        raise InvalidFormatError(f"The planar network's input has {len(shape)} dimensions instead of 4.",
                                 "A network of 2-D images is needed.")
    if not all(n is None or (type(n) is int and 1 <= n <= MAX_SIDE) for n in shape[1:]):
        raise ValueError("an impossible input")
    first = _is_channels_first(file.config, shape)
    _fold_normalizations(steps)
    _plan_forgetting(steps, output_key)
    parameters = sum(int(a.size) for arrays in file.weights.values() for _, a in arrays)
    return PlanarNetwork(steps, input_key, output_key, tuple(shape[1:]), first, _reduction(file.config), parameters)


class _Model:
    """Unrolls one (possibly nested) model into steps."""

    def __init__(self, config: dict, weights: dict, scope: tuple, steps: list[Step],
                 given: list[tuple] | None = None, flat: list | None = None,
                 budget: Iterator[int] | None = None) -> None:
        self.scope, self.steps, self.weights, self.flat = scope, steps, weights, flat
        self.budget = iter(range(MAX_CALLS)) if budget is None else budget
        body = config["config"]
        layers = body if isinstance(body, list) else body["layers"]
        self.inputs: list[tuple] = []
        self.alias: dict[tuple, tuple] = {}
        if config["class_name"] == "Sequential":
            self.outputs = [self._chain(layers, body, given)]
            return
        for position, (name, _, _) in enumerate(_references(body["input_layers"])):
            key = (scope, name, 0, 0)
            if given is not None:
                self.alias[key] = given[position]
            else:
                layer = next(entry for entry in layers if _name(entry) == name)
                self.inputs.append((key, _input_shape(layer)))
        self._unroll(layers)
        self.outputs = [self.alias.get((scope, *r), (scope, *r)) for r in _references(body["output_layers"])]

    def _unroll(self, layers: list[dict]) -> None:
        """Lay the calls down in an order in which every tensor is there before it is read."""
        waiting = [(layer, index, node) for layer in layers if layer["class_name"] != "InputLayer"
                   for index, node in enumerate(layer.get("inbound_nodes", []))]
        built: dict[str, Layer] = {}
        done = {key for key, _ in self.inputs} | set(self.alias)
        while waiting:
            later = []
            for layer, index, node in waiting:
                keys = [(self.scope, *r) for r in _node_inputs(node, _name(layer))]
                if not all(k in done for k in keys):
                    later.append((layer, index, node))
                    continue
                output = (self.scope, _name(layer), index, 0)
                self._call(layer, index, [self.alias.get(k, k) for k in keys], output, built)
                done.add(output)
            if len(later) == len(waiting):
                raise InvalidFormatError("The planar network's layers are not connected.", "The file is damaged.")
            waiting = later

    def _call(self, layer: dict, index: int, inputs: list[tuple], output: tuple, built: dict) -> None:
        name = _name(layer)
        if next(self.budget, None) is None:
            raise ValueError("models that call each other without end")
        if layer["class_name"] in MODEL_CLASSES:
            flat = self.flat if self.flat is not None else self.weights.get(name, [])
            inner = _Model(layer, self.weights, (*self.scope, name, index), self.steps, inputs, flat, self.budget)
            self.alias[output] = inner.outputs[0]
            return
        if name not in built:
            built[name] = build_layer(layer["class_name"], {**layer["config"], "name": name},
                                           self._layer_weights(name))
        self.steps.append(Step(built[name], inputs, output))

    def _chain(self, layers: list[dict], body: dict, given: list[tuple] | None) -> tuple:
        key = given[0] if given else (self.scope, "input", 0, 0)
        if given is None:
            self.inputs.append((key, _input_shape(layers[0])))
        built: dict[str, Layer] = {}
        for layer in layers:
            if layer["class_name"] == "InputLayer":
                continue
            output = (self.scope, _name(layer), 0, 0)
            self._call(layer, 0, [key], output, built)
            key = self.alias.get(output, output)
        return key

    def _layer_weights(self, name: str) -> Weights:
        """This layer's arrays by plain name; in a nested model they are found by the scope before the name."""
        if self.flat is None:
            arrays = self.weights.get(name, [])
        else:
            arrays = [(n, a) for n, a in self.flat if name in n.split("/")[:-1]]
        return {re.sub(r"(_\d+)?(:\d+)?$", "", n.split("/")[-1]): a for n, a in arrays}


def _name(layer: dict) -> str:
    return layer.get("name") or layer["config"]["name"]


def _references(entries: list) -> list[tuple[str, int, int]]:
    """Keras writes one output as [name, node, tensor] or as a list of such."""
    if entries and isinstance(entries[0], str):
        entries = [entries]
    return [(str(e[0]), int(e[1]), int(e[2])) for e in entries]


def _node_inputs(node: object, name: str) -> list[tuple[str, int, int]]:
    """The tensors one call reads, from Keras 2's nested lists or Keras 3's args."""
    if isinstance(node, dict):
        found: list[tuple[str, int, int]] = []

        def walk(value: object) -> None:
            if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
                history = value["config"]["keras_history"]
                found.append((str(history[0]), int(history[1]), int(history[2])))
            elif isinstance(value, dict):
                for inner in value.values():
                    walk(inner)
            elif isinstance(value, list):
                for inner in value:
                    walk(inner)

        walk(node.get("args", []))
        return found
    if node and isinstance(node[0], str):
        node = [node]
    for entry in node:
        if len(entry) > 3 and any(isinstance(v, list | dict) for v in (entry[3] or {}).values()):
            raise InvalidFormatError(f"The layer '{name}' is called in a way that is not supported.",
                                     "A network of plain layers is needed.")
    return [(str(e[0]), int(e[1]), int(e[2])) for e in node]


def _input_shape(layer: dict) -> tuple:
    config = layer["config"]
    shape = config.get("batch_input_shape") or config.get("batch_shape")
    if shape is None:
        raise InvalidFormatError("The planar network does not say what input it takes.", "The file is incomplete.")
    return tuple(shape)


def _is_channels_first(config: dict, shape: tuple) -> bool:
    """From the first layer that says its data format; without any, from where the single channel stands."""
    for layer in _all_layers(config):
        data_format = layer["config"].get("data_format")
        if data_format in ("channels_first", "channels_last"):
            return data_format == "channels_first"
    return shape[1] == 1


def _all_layers(config: dict) -> list[dict]:
    body = config["config"]
    found: list[dict] = []
    for layer in body if isinstance(body, list) else body["layers"]:
        if layer["class_name"] in MODEL_CLASSES:
            found += _all_layers(layer)
        else:
            found.append(layer)
    return found


def _reduction(config: dict) -> tuple[int, int]:
    """Product of all factors that enlarge: a U-Net climbs back by as much as it had shrunk at its deepest."""
    factor = np.ones(2, dtype=int)
    for layer in _all_layers(config):
        key = {"UpSampling2D": "size", "Conv2DTranspose": "strides"}.get(layer["class_name"])
        if key is not None:
            factor = factor * np.broadcast_to(layer["config"].get(key, 1), 2)
    return int(factor[0]), int(factor[1])


def _fold_normalizations(steps: list[Step]) -> None:
    """Fold y = conv(x) * factor + shift into the convolution's own weights where nothing else reads its output."""
    readers = Counter(k for step in steps for k in step.inputs)
    uses = Counter(id(step.layer) for step in steps)
    producer = {step.output: step for step in steps}
    for step in list(steps):
        norm, before = step.layer, producer.get(step.inputs[0])
        if norm.kind != "normalization" or before is None or not before.layer.linear:
            continue
        conv = before.layer
        if readers[before.output] != 1 or uses[id(conv)] != 1 or uses[id(norm)] != 1 or norm.axis % 4 != conv.axis:
            continue
        shape = [-1, 1, 1, 1] if conv.kind == "convolution" else [1, -1, 1, 1]
        factor, shift = norm.tensors["factor"], norm.tensors["shift"]
        bias = conv.tensors["bias"]
        conv.tensors["kernel"] = conv.tensors["kernel"] * factor.reshape(shape)
        conv.tensors["bias"] = shift if bias is None else bias * factor + shift
        before.output = step.output
        producer[step.output] = before
        steps.remove(step)


def _plan_forgetting(steps: list[Step], output_key: tuple) -> None:
    last: dict[tuple, int] = {}
    for number, step in enumerate(steps):
        for key in step.inputs:
            last[key] = number
    for key, number in last.items():
        if key != output_key:
            steps[number].forget.append(key)
