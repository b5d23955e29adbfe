"""Keras 2 whole-model HDF5 files written by hand, layer by layer, as TensorFlow-era Keras wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


class KerasModel:
    """Collects layers and weights and writes the file."""

    def __init__(self, input_shape: tuple[int | None, ...], seed: int = 0) -> None:
        self.layers: list[dict] = []
        self.weights: dict[str, list[tuple[str, np.ndarray]]] = {}
        self.rng = np.random.default_rng(seed)
        self.last = self._append("InputLayer", {"batch_input_shape": [None, *input_shape], "dtype": "float32",
                                                "sparse": False, "ragged": False, "name": "input_1"}, [])

    def _append(self, class_name: str, config: dict, inputs: list[str]) -> str:
        nodes = [[[name, 0, 0, {}] for name in inputs]] if inputs else []
        self.layers.append({"class_name": class_name, "config": config, "name": config["name"],
                            "inbound_nodes": nodes})
        return config["name"]

    def add(self, class_name: str, *, inputs: list[str] | None = None, weights: dict | None = None,
            **config: object) -> str:
        """Append a layer behind ``inputs`` (default: the last one); weights are shapes to be drawn or arrays."""
        name = str(config.pop("name", f"{class_name.lower()}_{len(self.layers)}"))
        config = {"name": name, "trainable": True, "dtype": "float32", **config}
        self.last = self._append(class_name, config, inputs or [self.last])
        arrays = []
        for key, value in (weights or {}).items():
            array = value if isinstance(value, np.ndarray) else self.rng.normal(0, 0.3, value)
            arrays.append((f"{name}/{key}:0", np.abs(array) + 0.5 if key == "moving_variance" else array))
        self.weights[name] = arrays
        return name

    def conv(self, filters: int, channels: int, kernel: int = 3, **config: object) -> str:
        """A Conv2D with random weights."""
        settings = {"filters": filters, "kernel_size": [kernel, kernel], "strides": [1, 1], "padding": "same",
                    "data_format": "channels_first", "dilation_rate": [1, 1], "groups": 1, "activation": "linear",
                    "use_bias": True, **config}
        return self.add("Conv2D", weights={"kernel": (kernel, kernel, channels, filters), "bias": (filters,)},
                        **settings)

    def norm(self, channels: int, axis: int = 1) -> str:
        """A BatchNormalization with random statistics."""
        return self.add("BatchNormalization", axis=[axis], momentum=0.99, epsilon=0.001, center=True, scale=True,
                        weights=dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (channels,)))

    def config(self) -> dict:
        """The ``model_config``."""
        return {"class_name": "Functional", "config": {"name": "model_1", "layers": self.layers,
                "input_layers": [["input_1", 0, 0]], "output_layers": [[self.last, 0, 0]]}}

    def write(self, path: Path) -> Path:
        """Write the HDF5 file."""
        import h5py

        with h5py.File(path, "w") as file:
            file.attrs["keras_version"] = "2.11.0"
            file.attrs["backend"] = "tensorflow"
            file.attrs["model_config"] = json.dumps(self.config())
            root = file.create_group("model_weights")
            names = [layer["name"] for layer in self.layers]
            root.attrs["layer_names"] = [n.encode() for n in names]
            for name in names:
                group = root.create_group(name)
                arrays = self.weights.get(name, [])
                group.attrs["weight_names"] = [n.encode() for n, _ in arrays]
                for key, array in arrays:
                    group.create_dataset(key, data=np.asarray(array, np.float32))
        return path


def write_unet(path: Path, size: tuple[int | None, int | None] = (None, None), *, widths: tuple[int, ...] = (4, 8),
               classes: int = 10, seed: int = 0) -> Path:
    """A U-Net with skips, transposed convolutions, PReLU and SpatialDropout2D, channels first."""
    model = KerasModel((1, *size), seed)
    channels, skips = 1, []
    for depth, width in enumerate(widths):
        model.conv(width, channels)
        model.norm(width)
        model.add("PReLU", shared_axes=[2, 3], weights={"alpha": (width, 1, 1)})
        skip = model.add("SpatialDropout2D", rate=0.1, noise_shape=None)
        channels = width
        if depth < len(widths) - 1:
            skips.append((skip, width))
            model.add("MaxPooling2D", pool_size=[2, 2], strides=[2, 2], padding="valid", data_format="channels_first")
    for skip, width in reversed(skips):
        up = model.add("Conv2DTranspose", filters=width, kernel_size=[3, 3], strides=[2, 2], padding="same",
                       data_format="channels_first", activation="linear", use_bias=True, output_padding=None,
                       dilation_rate=[1, 1], groups=1, weights={"kernel": (3, 3, width, channels), "bias": (width,)})
        model.add("Concatenate", inputs=[up, skip], axis=1)
        model.conv(width, 2 * width, activation="relu")
        channels = width
    model.conv(classes, channels, 1)
    model.add("Softmax", axis=1)
    return model.write(path)
