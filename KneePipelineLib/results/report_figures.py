"""The report's pictures, with captions and with words for those who do not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..imaging.labels import BY_NAME, BY_VALUE
from ..imaging.volume import Volume
from .markup import paragraph, swatch, text
from .threads import in_threads


def slices_section(labels: Volume, image: Volume | None = None, detail: float = 1.0) -> str:
    """Slices in the three planes with their legend."""
    from .figures.slices import SIZE, slice_pictures
    from .figures.svg import slice_svg

    pictures = slice_pictures(labels, image, pixels=round(SIZE * detail))
    if not pictures:
        return paragraph("The label map is empty.")
    figures = []
    for picture in pictures:
        shown = ", ".join(BY_VALUE[v].title.lower() for v in picture.values)
        drawing = slice_svg(picture, f"{picture.title} slice showing {shown or 'no label'}")
        figures.append(f"<figure>{drawing}<figcaption>{text(picture.title)}</figcaption></figure>")
    values = sorted({v for p in pictures for v in p.values}, key=_legend_order)
    return (f'<div class="slices">{"".join(figures)}</div>{_legend(values)}'
            + paragraph("Slices through the middle of the cartilage, seen as a radiologist sees them: the patient's "
                        "right on the left of coronal and axial pictures, anterior on the left of sagittal ones.",
                        kind="small"))


def thickness_section(
    record: Mapping, surfaces: Mapping[str, object], axes: np.ndarray | None = None, detail: float = 1.0
) -> str:
    """Every bone that was measured, from its sides, on one colour scale; empty where thickness was measured on none,
    because every bone would look bare."""
    if not any(np.isfinite(surface.thickness_mm).any() for surface in surfaces.values()):
        return ""
    from .figures.colours import thickness_range_mm
    from .figures.surfaces import SIZE, VIEWS, extent_mm, fitting_scale, render_bone
    from .figures.svg import colour_bar_svg, rendering_svg

    upper = thickness_range_mm(surfaces)
    size = (round(SIZE[0] * detail), round(SIZE[1] * detail))
    views = [v for v in VIEWS if v.bone in surfaces]
    scales = {}
    for group in (("femur", "tibia"), ("patella",)):
        extents = [extent_mm(surfaces[v.bone], v, axes) for v in views if v.bone in group]
        scales.update(dict.fromkeys(group, fitting_scale(extents, size) if extents else None))
    renderings = in_threads(
        [lambda v=v: render_bone(surfaces[v.bone], v, upper_mm=upper, axes=axes, size=size,
                               mm_per_pixel=scales[v.bone]) for v in views], workers=2)
    side = record["side"]["value"]
    figures = []
    for rendering in renderings:
        view = rendering.view
        caption = f"{BY_NAME[view.bone].title}, {view.name}"
        drawing = rendering_svg(rendering, side, f"Cartilage thickness on the {view.bone} seen {view.name}"
                                                 f"{_in_numbers(record, view.bone)}")
        width = "wide" if view.bone == "femur" else "narrow"
        figures.append(f'<figure class="{width}">{drawing}<figcaption>{text(caption)}</figcaption></figure>')
    return (f'<div class="maps">{"".join(figures)}</div>{colour_bar_svg(upper)}'
            + paragraph(f"One scale for all bones, 0 to {upper:g} mm, thicker cartilage in the colour of its upper "
                        "end; the colours are perceptually even. Bone without cartilage is ivory; a red line encloses "
                        "denuded bone. Femur and tibia are drawn to one scale, the patella larger.", kind="small"))


def _in_numbers(record: Mapping, bone: str) -> str:
    """The regional means of a bone, for the description of its picture."""
    from .wording import REGION_BONES

    means = [f"{entry['title'].lower()} {entry['measures']['mm_mean']:.2f} mm"
             for name, entry in record["regions"].items()
             if REGION_BONES[name] == bone and entry["measures"].get("mm_mean") is not None]
    return f"; means: {', '.join(means)}" if means else ""


def _legend(values: Sequence[int]) -> str:
    items = "".join(f"<li>{swatch(BY_VALUE[v].color)}{text(BY_VALUE[v].title)}</li>" for v in values)
    return f'<ul class="legend" aria-label="Colours of the labels">{items}</ul>'


def _legend_order(value: int) -> float:
    """Bones, femoral cartilage and its subregions, the other cartilages, menisci, fibula."""
    return 4 + value / 100 if value > 10 else value
