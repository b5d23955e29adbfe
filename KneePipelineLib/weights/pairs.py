"""A BScore and the shape model it belongs to.

BScore = (latent . bscore_vector - mean_healthy) / std_healthy, where 0 is the average healthy knee. Any vector of the
right length gives a number, and a wrong pair a plausible wrong one; so the catalogue knows the pairs, and the lengths
must agree as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..errors import ConfigError, WeightsCorruptError
from . import layouts, store
from .entries import entry
from .failures import WeightsMissingError, WrongPairError


@dataclass(frozen=True)
class BScoreParameters:
    """Numbers of one BScore: the vector (as long as the latent), mean and standard deviation of healthy knees."""

    name: str
    vector: tuple[float, ...]
    mean_healthy: float
    std_healthy: float


def bscore_pair(shape_model: str, bscore: str | None = None, *, latent_length: int | None = None) -> BScoreParameters:
    """The verified BScore parameters that belong to a shape model.

    Parameters
    ----------
    shape_model : str
        Name or alias of the shape model whose latent will be scored.
    bscore : str, optional
        Name or alias of the BScore; by default the shape model's partner.
    latent_length : int, optional
        Length of the latent at hand; otherwise ``latent_size`` of the installed shape model, when it is installed.

    Raises
    ------
    WrongPairError
        Not partners, or vector and latent differ in length.
    WeightsMissingError, WeightsCorruptError
        As :func:`~KneePipelineLib.weights.location`.
    """
    shape = entry(shape_model)
    score = entry(bscore or shape.pair or shape_model)
    if shape.kind != "shape" or score.kind != "bscore":
        raise ConfigError(f"{shape.name} and {score.name} are not a shape model and a BScore.",
                          "Give them in this order.")
    if shape.pair != score.name:
        raise WrongPairError(f"{score.name} does not belong to {shape.name}: the score would be plausible and wrong.",
                             f"Use {shape.pair}.", shape_model=shape.name, bscore=score.name)
    folder = store.location(score.name)
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    try:
        vector, mean_healthy, std_healthy = layouts.bscore_parameters(content)
    except layouts.ImportRefusedError as error:
        raise WeightsCorruptError(f"The weights of {score.name} are damaged: {error.message}",
                                  f"Mend it with: {store.mending_command(score)}", model=score.name,
                                  file="model.json") from error
    expected = latent_length if latent_length is not None else _latent_size(shape.name)
    if expected is not None and expected != len(vector):
        raise WrongPairError(
            f"{score.name} has a vector of {len(vector)} numbers, the latent of {shape.name} has {expected}.",
            f"Import the folder {score.folder} again.", vector_length=len(vector), latent_length=expected)
    return BScoreParameters(score.name, vector, mean_healthy, std_healthy)


def _latent_size(shape_model: str) -> int | None:
    try:
        folder = store.location(shape_model)
    except WeightsMissingError:
        return None
    return layouts.latent_size(json.loads((folder / "model_params_config.json").read_text(encoding="utf-8")))
