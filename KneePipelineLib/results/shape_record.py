"""What results.json says about the femur's shape: each fit, how well it describes the femur, and its score."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from .tables import number

FITS = {
    "bone_and_cart": ("bone and cartilage", "NSM_recon_params.json"),
    "bone_only": ("bone only", "NSM_bone_only_recon_params.json"),
}
"""Kind of fit -> its title and the file with its latent and transform."""

SURFACES = {"bone": "femur", "cartilage": "fem_cart"}
DISTANCES = {"assd_mm": "assd", "hausdorff95_mm": "hausdorff95"}


def shape_facts(fits: Mapping[str, Mapping], scores: Mapping | None = None) -> dict[str, dict]:
    """The fits as results.json has them.

    Parameters
    ----------
    fits : mapping
        Kind -> what ``NSM_recon_params.json`` holds (`shape.ShapeFit.to_dict` and ``model``).
    scores : mapping, optional
        What ``bscore_results.json`` holds: kind -> BScore, and under ``models`` which BScore model was used.

    Returns
    -------
    dict
        Kind -> title, model, surfaces (structure -> ASSD and Hausdorff 95 from the original, mm), the latent's length
        and norm, BScore (None: not scored) and its model, and how the fit went.
    """
    scores = scores or {}
    found = {}
    for kind, fit in fits.items():
        title, record = FITS[kind]
        latent = fit.get("latent", [])
        entry = {
            "title": title, "model": fit.get("model", "own"), "record": record,
            "surfaces": {structure: {key: number(fit.get(f"{distance}_{surface}_mm"))
                                     for key, distance in DISTANCES.items()}
                         for surface, structure in SURFACES.items() if f"assd_{surface}_mm" in fit},
            "latent_size": len(latent), "latent_norm": round(math.sqrt(sum(v * v for v in latent)), 6),
            "bscore": number(scores.get(kind)), "bscore_model": scores.get("models", {}).get(kind, {}).get("bscore"),
        }
        for structure, count in fit.get("vertices", {}).items():
            entry["surfaces"].get(structure, {})["vertices"] = count
        entry |= {key: fit[key] for key in ("mirrored", "loss", "method", "seed", "steps") if key in fit}
        found[kind] = entry
    return found


def shape_rows(record: Mapping) -> Iterator[dict]:
    """The fits' rows of the tidy table, without the columns that all rows share."""
    from .quality import flag_of, worst

    checks = record["quality"]["checks"]
    for kind, fit in record.get("shape", {}).items():
        flags = {structure: flag_of(structure, checks, "shape", fit=kind) for structure in fit["surfaces"]}
        flag = worst(list(flags.values()))  # latent and score describe all surfaces at once
        common = {"structure": "femur", "depth": "all", "method": f"shape-{kind}-{fit['model']}"}
        for structure, surface in fit["surfaces"].items():
            for name in DISTANCES:
                yield {**common, "region": structure, "measure": f"shape_{name}", "value": surface[name], "unit": "mm",
                       "n": surface.get("vertices"), "quality_flag": flags[structure]}
        yield {**common, "region": "femur", "measure": "latent_norm", "value": fit["latent_norm"], "unit": "1",
               "n": fit["latent_size"], "quality_flag": flag}
        yield {**common, "region": "femur", "measure": "bscore", "value": fit["bscore"], "unit": "SD",
               "n": fit["latent_size"], "quality_flag": "missing" if fit["bscore"] is None else flag,
               "method": f"{common['method']}-{fit['bscore_model']}" if fit["bscore_model"] else common["method"]}
