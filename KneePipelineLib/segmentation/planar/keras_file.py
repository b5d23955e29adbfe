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
MAX_GROWTH = 20
"""How many times the file's size its numbers may take: an empty dataset of any shape takes no room in a file."""


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
            if config is None or file.get("model_weights", getlink=True) is None:
                raise InvalidFormatError("The weights' HDF5 file is not a whole Keras model.",
                                         "A file with architecture and weights is needed (model.save).")
            config = json.loads(config)
            if not isinstance(config, dict):
                raise ValueError("no architecture")
            group = _held(file, "model_weights")
            names = [_text(n) for n in group.attrs.get("layer_names", list(group))]
            room = MAX_GROWTH * path.stat().st_size
            weights = {}
            for name in names:
                if group.get(name, getlink=True) is not None:
                    weights[name] = _layer_weights(_held(group, name), room)
                    room -= sum(array.nbytes for _, array in weights[name])
    except (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        raise WeightsCorruptError("The planar network's weights file is damaged.", MEND) from error
    return KerasFile(config, weights)


def _layer_weights(group: object, room: int) -> list[tuple[str, np.ndarray]]:
    arrays = []
    names = group.attrs.get("weight_names", ())
    for name in (_text(n) for n in names):
        dataset = _held(group, name)
        if dataset.is_virtual or dataset.external:  # such a dataset reads other files of this computer
            raise ValueError("weights outside the file")
        if dataset.dtype.kind not in "fiu" or 4 * dataset.size > room:
            raise ValueError("no weights, or more than the file can hold")
        arrays.append((name, np.asarray(dataset, dtype=np.float32)))
        room -= arrays[-1][1].nbytes
    return arrays


def _held(group: object, name: str) -> object:
    """A member that lies in the group itself; a link may lead into another file, on whatever computer."""
    import h5py

    for part in name.strip("/").split("/"):
        if type(group.get(part, getlink=True)) is not h5py.HardLink:
            raise ValueError("a link instead of weights")
        group = group[part]
    return group


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
