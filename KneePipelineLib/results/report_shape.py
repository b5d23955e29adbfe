"""The report's part on the femur's shape: how well the model describes it, pictures of the fit, the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..imaging.labels import BY_NAME
from .figures.shape import ShapePicture
from .markup import MISSING, Column, flag, number, paragraph, table, text
from .quality import flag_of
from .threads import in_threads


def shape_section(record: Mapping, pictures: Sequence[ShapePicture] = (), axes: np.ndarray | None = None) -> str:
    """Everything about the shape; empty where no model was fitted."""
    fits = record.get("shape")
    if not fits:
        return ""
    return _score(fits) + _table(record) + _errors(record, pictures, axes)


def _score(fits: Mapping) -> str:
    scored = [(fit["title"], fit["bscore"]) for fit in fits.values() if fit["bscore"] is not None]
    if not scored:
        return paragraph("The shape was fitted but not scored; the reason stands under Quality.")
    from .figures.shape import UNLIKE_HEALTHY, score_svg

    said = ", ".join(f"{score:.1f} ({title})" for title, score in scored)
    drawing = score_svg(scored, f"BScore on a scale on which 0 is the average healthy knee: {said}")
    return (f"<figure>{drawing}<figcaption>BScore: how far the femur's shape lies from the average healthy knee (0) "
            "towards osteoarthritic knees, in standard deviations of healthy knees. "
            f"Healthy knees lie mostly between −2 and 2; above {UNLIKE_HEALTHY:g} is unlike healthy. A score "
            "describes a shape; it is not a diagnosis.</figcaption></figure>")


def _table(record: Mapping) -> str:
    columns = [Column("Fit and surface"), Column("ASSD mm"), Column("Hausdorff 95 mm"), Column("Latent length"),
               Column("Latent norm"), Column("BScore"), Column("Flag")]
    rows = []
    for kind, fit in record["shape"].items():
        for index, (structure, surface) in enumerate(fit["surfaces"].items()):
            first = index == 0
            rows.append([
                text(f"{fit['title'].capitalize()}: {BY_NAME[structure].title.lower()}"), number(surface["assd_mm"], 2),
                number(surface["hausdorff95_mm"], 2), number(fit["latent_size"], 0) if first else "",
                number(fit["latent_norm"], 2) if first else "",
                (number(fit["bscore"], 2) if fit["bscore"] is not None else MISSING) if first else "",
                flag(flag_of(structure, record["quality"]["checks"], "shape", fit=kind))])
    files = " and ".join(fit["record"] for fit in record["shape"].values())
    return table("Each fit: distances of the reconstructed surface from the original; the latent is in "
                 f"{files}.", columns, rows)


def _errors(record: Mapping, pictures: Sequence[ShapePicture], axes: np.ndarray | None) -> str:
    """Pictures of one fit: that of bone and cartilage where there is one."""
    kinds = {picture.kind for picture in pictures}
    kind = next((kind for kind in record["shape"] if kind in kinds), None)
    if kind is None:
        return ""
    from .figures.colours import error_map
    from .figures.shape import CUTS, FEMUR_VIEWS, UPPER_MM, cut_svg, render_errors
    from .figures.surfaces import SIZE, extent_mm, fitting_scale
    from .figures.svg import ramp_svg, rendering_svg

    chosen = [picture for picture in pictures if picture.kind == kind]
    bone, fit = chosen[0], record["shape"][kind]
    scale = fitting_scale([extent_mm(bone, view, axes) for view in FEMUR_VIEWS], SIZE)
    renderings = in_threads([lambda v=v: render_errors(bone, v, axes, scale) for v in FEMUR_VIEWS], workers=2)
    figures = []
    for rendering in renderings:
        description = f"Distance of the reconstructed femur from the original seen {rendering.view.name}"
        drawing = rendering_svg(rendering, record["side"]["value"], description)
        figures.append(f'<figure class="wide">{drawing}<figcaption>Femur, {text(rendering.view.name)}</figcaption>'
                       "</figure>")
    for cut in CUTS:
        drawing = cut_svg(cut, chosen, axes, f"{cut.title} through the femur: original and reconstructed outlines")
        figures.append(f'<figure class="wide">{drawing}<figcaption>{text(cut.title)}</figcaption></figure>')
    return (f'<div class="maps">{"".join(figures)}</div>'
            + ramp_svg("error", "distance from the original", error_map(), 0.0, UPPER_MM, "mm")
            + paragraph(f"The fit of {fit['title']}. Above: the reconstructed femur, coloured by its distance from the "
                        f"original, 0 to {UPPER_MM:g} mm on every report. Below: outlines in three planes, the "
                        "original in grey, the reconstruction in red.", kind="small"))
