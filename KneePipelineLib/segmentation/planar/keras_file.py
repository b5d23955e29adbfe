"""Reading a Keras whole-model HDF5 file: the architecture as plain JSON and the weights as arrays. Nothing is run.

Layout (Keras 2, and Keras 3 when it writes ``.h5``): the root attribute ``model_config`` holds the architecture; group
``model_weights`` has one group a layer, whose attribute ``weight_names`` lists its arrays in Keras' order. A model
nested in another one is a single group that lists the arrays of all its layers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InvalidFormatError, MissingFileError, WeightsCorruptError

MEND = "Download the weights again with `models download`, or import an intact copy."


@dataclass(frozen=True)
class KerasFile:
    """A model file's content.

    Attributes
    ----------
    config : dict
        The decoded ``model_config``: class_name and config.
    weights : dict
        Layer name -> list of (weight name, array), in the file's order.
    """

    config: dict
    weights: dict[str, list[tuple[str, np.ndarray]]]


def read_keras_file(path: Path) -> KerasFile:
    """Read architecture and weights.

    Raises
    ------
    MissingFileError, WeightsCorruptError, InvalidFormatError
        No such file; not a readable HDF5 file; an HDF5 file that is not a whole Keras model.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise MissingFileError("The planar network's weights are not there.", "Get them with `models download`.")
    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            if config is None or "model_weights" not in file:
                raise InvalidFormatError("The weights' HDF5 file is not a whole Keras model.",
                                         "A file with architecture and weights is needed (model.save).")
            config = json.loads(config)
            group = file["model_weights"]
            names = [_text(n) for n in group.attrs.get("layer_names", list(group))]
            weights = {name: _layer_weights(group[name]) for name in names if name in group}
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsCorruptError("The planar network's weights file is damaged.", MEND) from error
    return KerasFile(config, weights)


def _layer_weights(group: object) -> list[tuple[str, np.ndarray]]:
    arrays = []
    names = group.attrs.get("weight_names", ())
    for name in (_text(n) for n in names):
        dataset = group[name]
        if dataset.is_virtual or dataset.external:  # such a dataset reads other files of this computer
            raise ValueError("weights outside the file")
        arrays.append((name, np.asarray(dataset, dtype=np.float32)))
    return arrays


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
