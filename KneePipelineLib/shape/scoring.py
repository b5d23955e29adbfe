"""BScore: how far a femur's latent lies along the direction from healthy to osteoarthritic knees.

BScore = (latent . bscore_vector - mean_healthy) / std_healthy; 0 is the average healthy knee, above 2 is unlike healthy
(Bowes et al., Annals of the Rheumatic Diseases 2021;80:502-508, for the idea). Only numbers are read from a
downloaded folder; nothing in it is run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MissingFileError, ShapeModelError, WeightsCorruptError
from ..weights import BScoreParameters, bscore_pair
from ..weights.failures import ImportRefusedError, WrongPairError
from ..weights.layouts import bscore_parameters
from .models import Kind, catalogue_name, given_folder, no_score_for

if TYPE_CHECKING:
    from ..job import JobOptions

_MODEL_FILE = "model.json"
_MOST_BYTES = 16 << 20


def bscore(latent: Sequence[float] | np.ndarray, parameters: BScoreParameters) -> float:
    """The score of a latent.

    Raises
    ------
    WrongPairError
        If latent and vector differ in length.
    ShapeModelError
        If the latent is not finite.
    WeightsCorruptError
        If the score is not.
    """
    latent, vector = np.asarray(latent, np.float64).ravel(), np.asarray(parameters.vector, np.float64)
    if latent.shape != vector.shape:
        raise WrongPairError(f"The BScore has a vector of {vector.size} numbers, the latent has {latent.size}.",
                             "Give the BScore that belongs to the shape model.", vector_length=int(vector.size),
                             latent_length=int(latent.size))
    if not np.isfinite(latent).all():
        raise ShapeModelError("The latent holds numbers that are not finite.", "Fit the shape model again.")
    with np.errstate(all="ignore"):  # what is not finite is refused
        score = float((latent @ vector - parameters.mean_healthy) / parameters.std_healthy)
    if not np.isfinite(score):
        raise WeightsCorruptError("The numbers of the BScore lead to no finite score.",
                                  "Give the BScore that belongs to the shape model.")
    return score


def chosen_bscore(kind: Kind, options: JobOptions, model: str, latent_length: int) -> BScoreParameters:
    """The BScore for a fit: the one the options name, else the partner of the shape model in the catalogue.

    Parameters
    ----------
    kind : Kind
    options : JobOptions
    model : str
        The catalogue's name of the shape model, "" for one of the user's own. A published shape model takes its
        published partner only; a model of one's own takes only a BScore of one's own.
    latent_length : int

    Raises
    ------
    WrongPairError
        If they do not belong together.
    MissingFileError, WeightsCorruptError
        If the BScore is not there, or is damaged.
    """
    folder = given_folder(getattr(options, kind.score_option))
    if folder is None:
        reason = no_score_for(model, kind)
        if reason:
            raise MissingFileError(f"No BScore: {reason}.", "The shape model's fit itself is complete.")
        return bscore_pair(model, latent_length=latent_length)
    name = catalogue_name(folder, "bscore")
    _refuse_strangers(model, name)
    parameters = _read(folder, name)
    if len(parameters.vector) != latent_length:
        raise WrongPairError(f"The BScore given with {kind.score_option} has a vector of {len(parameters.vector)} "
                             f"numbers, the latent has {latent_length}.",
                             "Give the BScore that belongs to the shape model.",
                             vector_length=len(parameters.vector), latent_length=latent_length)
    return parameters


def _refuse_strangers(model: str, score: str) -> None:
    from ..weights import entry

    if not model and not score:
        return
    if not model or not score or entry(model).pair != score:
        ours, theirs = model or "the shape model given", score or "the BScore given"
        raise WrongPairError(f"{theirs} is not known to belong to {ours}: the score would be plausible and wrong.",
                             f"Use {entry(model).pair}." if model else "Give the BScore made for this shape model.")


def _read(folder: Path, name: str) -> BScoreParameters:
    file = folder if folder.suffix == ".json" else folder / _MODEL_FILE
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError("too large")
        content = json.loads(file.read_text(encoding="utf-8"))
        vector, mean_healthy, std_healthy = bscore_parameters(content)
    except FileNotFoundError:
        raise MissingFileError("The folder given for the BScore holds no model.json.",
                               "Correct the folder in the configuration, or leave it out.") from None
    except (OSError, ValueError, AttributeError, RecursionError, ImportRefusedError) as error:
        raise WeightsCorruptError("The model.json given for the BScore is not usable.",
                                  "It holds bscore_vector, mean_healthy and std_healthy as numbers.") from error
    return BScoreParameters(name or "own", vector, mean_healthy, std_healthy)
