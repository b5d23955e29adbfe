"""SCORING: the BScore of every fit, from the vector that belongs to its shape model."""

from __future__ import annotations

from ...errors import KneePipelineError
from ...shape import KINDS, bscore, chosen_bscore
from ..context import StageContext
from ..files import read_json, write_json

DIGITS = 6


def score(context: StageContext) -> dict:
    """Leave ``bscore.json``: kind of fit -> score, and under ``models`` which models it is of.

    Raises
    ------
    KneePipelineError
        If no fit could be scored.
    """
    fits = read_json(context.path("shape", "shape.json"))["fits"]
    scores: dict[str, object] = {}
    models: dict[str, dict] = {}
    failures: list[KneePipelineError] = []
    for name, parameters in fits.items():
        model = "" if parameters["model"] == "own" else parameters["model"]
        try:
            found = chosen_bscore(KINDS[name], context.options, model, len(parameters["latent"]))
            scores[name] = round(bscore(parameters["latent"], found), DIGITS)
        except KneePipelineError as error:
            failures.append(error)
            if len(fits) > 1:
                context.warn("NOT_SCORED", f"{error.message} {error.hint}".strip())
            continue
        models[name] = {"shape_model": parameters["model"], "bscore": found.name}
        if "own" in models[name].values():
            context.warn("BSCORE_PAIR_UNKNOWN", "Shape model and BScore are not of the catalogue; whether they belong "
                         "together is only known to who gave them.")
    if not scores:
        raise failures[-1]
    write_json(context.out / "bscore.json", {**scores, "models": models})
    return dict(scores)
