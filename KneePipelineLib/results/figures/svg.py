"""Pictures, scales and charts as inline SVG: raster inside, letters and lines as text and strokes.

Nothing here refers to anything outside the document; every text is escaped; every figure has a name for screen readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from .colours import BONE_RGB, DENUDED_RGB, hex_colour, thickness_map
from .png import data_uri
from .slices import EDGES, SlicePicture
from .slices import SIZE as SLICE_SIZE
from .surfaces import SIZE as VIEW_SIZE
from .surfaces import Rendering, edge_words


def slice_svg(picture: SlicePicture, description: str) -> str:
    """A slice with its orientation letters and a 10 mm scale bar; as large on the page whatever its resolution."""
    rows = columns = SLICE_SIZE
    mm_per_unit = picture.mm_per_pixel * picture.pixels.shape[1] / columns
    left, right, top, bottom = EDGES[picture.plane]
    x, y = columns / 2, rows / 2
    letters = [(14, y, left), (columns - 14, y, right), (x, 22, top), (x, rows - 12, bottom)]
    text = "".join(f'<text class="letter" x="{x:.0f}" y="{y:.0f}">{letter}</text>' for x, y, letter in letters)
    bar = _scale_bar(columns - 16, rows - 16, 10.0, mm_per_unit, "bar on-dark")
    return figure(columns, rows, description, _raster(picture.pixels, columns, rows) + text + bar, "slice")


def rendering_svg(rendering: Rendering, side: str, description: str) -> str:
    """A view of a bone with words at its edges and a scale bar; as large on the page whatever its resolution."""
    columns, rows = VIEW_SIZE
    mm_per_unit = rendering.mm_per_pixel * rendering.pixels.shape[1] / columns
    places = {"left": f"translate(16 {rows / 2:.0f}) rotate(-90)", "top": f"translate({columns / 2:.0f} 15)",
              "right": f"translate({columns - 16} {rows / 2:.0f}) rotate(90)",
              "bottom": f"translate({columns / 2:.0f} {rows - 6})"}
    text = "".join(f'<text class="edge" text-anchor="middle" transform="{places[edge]}">{escape(word)}</text>'
                   for edge, word in edge_words(rendering.view, side).items())
    bar = _scale_bar(columns - 12, rows - 12, 10.0, mm_per_unit, "bar")
    return figure(columns, rows, description, _raster(rendering.pixels, columns, rows) + text + bar, "view")


def colour_bar_svg(upper_mm: float) -> str:
    """The thickness scale from 0 to ``upper_mm``, with bone and denuded bone beside it."""
    width, height, left = 640, 52, 10
    span = 400
    stops = "".join(f'<stop offset="{i / 16:.4f}" stop-color="{hex_colour(thickness_map()[round(i * 255 / 16)])}"/>'
                    for i in range(17))
    step = 0.5 if upper_mm <= 3 else 1.0
    ticks = [*np.arange(0, upper_mm - 0.3 * step, step), upper_mm]
    marks = "".join(
        f'<path class="axis" d="M{left + span * t / upper_mm:.1f} 22v5"/><text class="tick" text-anchor="middle" '
        f'x="{left + span * t / upper_mm:.1f}" y="42">{t:g}{" mm" if t == ticks[-1] else ""}</text>' for t in ticks)
    ramp = (f'<defs><linearGradient id="thickness-ramp">{stops}</linearGradient></defs>'
            f'<rect x="{left}" y="6" width="{span}" height="16" rx="2" fill="url(#thickness-ramp)"/>')
    keys = (f'<rect class="swatch" x="452" y="6" width="16" height="16" rx="2" fill="{hex_colour(BONE_RGB)}"/>'
            '<text class="tick" x="476" y="19">bone</text>'
            f'<rect x="530" y="6" width="16" height="16" rx="2" fill="{hex_colour(BONE_RGB)}" '
            f'stroke="{hex_colour(DENUDED_RGB)}" stroke-width="2.5"/><text class="tick" x="554" y="19">denuded</text>')
    description = f"Colour scale of cartilage thickness from 0 to {upper_mm:g} mm; bare bone is ivory"
    return figure(width, height, description, ramp + marks + keys, "scale")


def ramp_svg(name: str, what: str, colours: np.ndarray, lower: float, upper: float, unit: str) -> str:
    """A colour scale with five ticks; ``name`` is the gradient's in this document, ``what`` the quantity."""
    width, left, span = 640, 10, 400
    stops = "".join(f'<stop offset="{i / 16:.4f}" stop-color="{hex_colour(colours[round(i * 255 / 16)])}"/>'
                    for i in range(17))
    places = [(t, left + span * (t - lower) / (upper - lower)) for t in np.linspace(lower, upper, 5)]
    marks = "".join(
        f'<path class="axis" d="M{x:.1f} 22v5"/><text class="tick" text-anchor="middle" x="{x:.1f}" y="42">{t:g}'
        f'{f" {unit}" if t == upper else ""}</text>' for t, x in places)
    ramp = (f'<defs><linearGradient id="{name}-ramp">{stops}</linearGradient></defs>'
            f'<rect x="{left}" y="6" width="{span}" height="16" rx="2" fill="url(#{name}-ramp)"/>')
    return figure(width, 52, f"Colour scale of {what} from {lower:g} to {upper:g} {unit}", ramp + marks, "scale")


@dataclass(frozen=True)
class Bar:
    """One bar of a chart; numbers in the chart's unit, None where there is none; ``deep`` and ``superficial`` are
    the means of the layers."""

    title: str
    color: tuple[int, int, int]
    mean: float | None
    spread: float | None
    median: float | None
    deep: float | None = None
    superficial: float | None = None


@dataclass(frozen=True)
class Scale:
    """A chart's horizontal axis: unit, distance of its ticks, decimals of the numbers, where the bars begin (px)."""

    unit: str = "mm"
    step: float = 1.0
    decimals: int = 2
    label: int = 236
    span: int = 430


def bar_chart_svg(bars: Sequence[Bar], description: str, scale: Scale | None = None) -> str:
    """Horizontal bars: mean, one standard deviation to either side as a line, the median as a dot."""
    scale = scale or Scale()
    row, step = 28, scale.step
    values = [max((b.mean or 0) + (b.spread or 0), b.deep or 0, b.superficial or 0) for b in bars]
    upper = step * max(1.0, float(np.ceil(max(values, default=step) / step)))
    height = row * len(bars) + 42
    factor = scale.span / upper
    parts = []
    for tick in np.arange(0, upper + 1e-6, step):
        x = scale.label + tick * factor
        parts.append(f'<path class="grid" d="M{x:.1f} 4V{row * len(bars) + 8}"/>')
        parts.append(f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{row * len(bars) + 26}">'
                     f'{tick:g}{f" {scale.unit}" if tick == upper else ""}</text>')
    for number, bar in enumerate(bars):
        parts.append(_bar(bar, 8 + number * row, row, scale, factor))
    return figure(scale.label + scale.span + 70, height, description, "".join(parts), "chart")


def _bar(bar: Bar, y: float, row: int, scale: Scale, factor: float) -> str:
    middle, left = y + row / 2 - 2, scale.label
    text = f'<text class="name" text-anchor="end" x="{left - 12}" y="{middle + 5:.1f}">{escape(bar.title)}</text>'
    if bar.mean is None:
        return text + f'<text class="tick" x="{left + 8}" y="{middle + 5:.1f}">not measured</text>'
    text += (f'<rect class="swatch" x="{left}" y="{middle - 9:.1f}" width="{bar.mean * factor:.1f}" height="18" rx="2" '
             f'fill="{hex_colour(bar.color)}"/>')
    end = bar.mean
    if bar.spread is not None:
        low, end = max(bar.mean - bar.spread, 0.0), bar.mean + bar.spread
        line = f"M{left + low * factor:.1f} {middle:.1f}H{left + end * factor:.1f}"
        text += f'<path class="under" d="{line}"/><path class="whisker" d="{line}"/>'
    for value, direction in ((bar.deep, -1), (bar.superficial, 1)):
        if value is not None:  # a triangle that points down to the bone or up to the surface
            x, tip = left + value * factor, middle - 5 * direction
            text += f'<path class="layer" d="M{x - 5:.1f} {middle + 4 * direction:.1f}h10L{x:.1f} {tip:.1f}z"/>'
    if bar.median is not None:
        text += f'<circle class="median" cx="{left + bar.median * factor:.1f}" cy="{middle:.1f}" r="4"/>'
    return text + (f'<text class="number" x="{left + end * factor + 8:.1f}" y="{middle + 5:.1f}">'
                   f"{bar.mean:.{scale.decimals}f}</text>")


def figure(width: float, height: float, description: str, content: str, kind: str) -> str:
    """An inline SVG with a name for those who do not see it."""
    return (f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
            f'aria-label="{escape(description, quote=True)}">{content}</svg>')


def _raster(pixels: np.ndarray, columns: int, rows: int) -> str:
    return f'<image width="{columns}" height="{rows}" href="{data_uri(pixels)}"/>'


def _scale_bar(right: float, y: float, length_mm: float, mm_per_pixel: float, kind: str) -> str:
    length = length_mm / mm_per_pixel
    return (f'<path class="{kind}" d="M{right - length:.1f} {y - 4:.1f}v4H{right:.1f}v-4"/>'
            f'<text class="{kind} caption" text-anchor="middle" x="{right - length / 2:.1f}" y="{y - 8:.1f}">'
            f"{length_mm:g} mm</text>")
