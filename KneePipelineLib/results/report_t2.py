"""The report's part on T2: how it was computed, pictures of the map, the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..imaging.volume import Volume
from .markup import MISSING, Column, flag, number, paragraph, swatch, table, text
from .quality import flag_of
from .wording import T2_METHODS

_DEPTHS = (("", "Full depth (ms)"), ("deep_", "Deep half (ms)"), ("superficial_", "Superficial half (ms)"))


def t2_section(record: Mapping, t2_map: Volume | None, labels: Volume | None, image: Volume | None,
               detail: float = 1.0) -> str:
    """Everything about T2; empty where there is none."""
    about = record.get("t2")
    if not about:
        return ""
    return _pictures(t2_map, labels, image, detail) + _chart(record) + _table(record)


def t2_method(about: Mapping, cited: Callable[[str], str] | None = None) -> str:
    """One sentence that says which acquisition and which formula, for a paper's methods; ``cited`` numbers works."""
    words = T2_METHODS.get((about["sequence"], about["t2_method"]))
    if words is None:
        return f"T2 method: {about['t2_method']}."
    if "{qdess}" in words:  # a work is numbered when it is cited
        words = words.replace("{qdess}", cited("qdess") if cited else "")
    extra = []
    if about.get("repetition_time_ms"):
        extra.append(f"TR {about['repetition_time_ms']:g} ms, TE {about['echo_times_ms'][0]:g} ms, flip angle "
                     f"{about['flip_angle_deg']:g}°, T1 taken as {about['t1_ms']:g} ms")
    elif about.get("echo_times_ms"):
        times = about["echo_times_ms"]
        extra.append(f"{len(times)} echoes, TE {times[0]:g} to {times[-1]:g} ms"
                     + (", the first left out" if about.get("skip_first_echo") else ""))
        extra.append(f"R² of at least {about['r2_minimum']:g}")
    return f"{words} ({'; '.join(extra)}). Voxels count if 0 < T2 < {about['valid_below_ms']:g} ms."


def _pictures(t2_map: Volume | None, labels: Volume | None, image: Volume | None, detail: float) -> str:
    from .figures.colours import thickness_map
    from .figures.svg import ramp_svg, slice_svg
    from .figures.t2 import LOWER_MS, SIZE, UPPER_MS, t2_pictures

    size = round(SIZE * detail)
    pictures = t2_pictures(t2_map, labels, image, pixels=size) if t2_map is not None else []
    if not pictures:
        return ""
    where = "in cartilage" if labels is not None else "everywhere"
    figures = "".join(f"<figure>{slice_svg(p, f'{p.title} slice with T2 {where}')}<figcaption>{text(p.title)}"
                      "</figcaption></figure>" for p in pictures)
    scale = ramp_svg("t2", "T2", thickness_map(), LOWER_MS, UPPER_MS, "ms")
    return (f'<div class="slices">{figures}</div>{scale}'
            + paragraph(f"T2 {where}, {LOWER_MS:g} to {UPPER_MS:g} ms on every report, shorter T2 in the "
                        f"colour of the lower end; {UPPER_MS:g} ms and more is left uncoloured.", kind="small"))


def _chart(record: Mapping) -> str:
    """Mean T2 by region as bars, with the means of the layers."""
    from .figures.svg import Bar, Scale, bar_chart_svg

    bars = []
    for entry in record["regions"].values():
        values = entry["measures"]
        if values.get("t2_ms_mean") is not None:
            bars.append(Bar(entry["title"], tuple(entry["color"]), values["t2_ms_mean"], values.get("t2_ms_std"),
                            values.get("t2_ms_median"), values.get("deep_t2_ms_mean"),
                            values.get("superficial_t2_ms_mean")))
    if not bars:
        return ""
    described = ", ".join(f"{b.title} {b.mean:.1f}" for b in bars)
    drawing = bar_chart_svg(bars, f"Bar chart of mean T2 in ms: {described}", Scale("ms", 10.0, 1))
    layers = " Triangles: mean of the deep (pointing down) and of the superficial half (pointing up)."
    return (f"<figure>{drawing}<figcaption>Mean T2; line: one standard deviation to either side; circle: median."
            f"{layers if any(b.deep is not None for b in bars) else ''}</figcaption></figure>")


def _table(record: Mapping) -> str:
    entries = {name: e for name, e in record["regions"].items() if e["measures"].get("t2_ms_mean") is not None
               or e.get("counts", {}).get("t2_excluded")}
    if not entries:
        return paragraph("T2 was not divided into regions: there are no labels.") if not record["regions"] else ""
    depths = [(d, group) for d, group in _DEPTHS if any(f"{d}t2_ms_mean" in e["measures"] for e in entries.values())]
    columns = [Column("Region")]
    for _, group in depths:
        columns += [Column("Mean", group), Column("SD", group), Column("Median", group)]
    columns += [Column("Counted", "Voxels"), Column("Excluded %", "Voxels"), Column("Flag", " ")]
    rows, emphasised = [], []
    for index, (region, entry) in enumerate(entries.items()):
        names = [f"{layer}t2_ms_{word}" for layer, _ in depths for word in ("mean", "std", "median")]
        cells = [number(entry["measures"].get(name), 1) for name in names]
        counts = entry.get("counts", {})
        n, excluded = counts.get("t2_voxels"), counts.get("t2_excluded")
        share = number(100 * excluded / max(n + excluded, 1), 1) if n is not None else MISSING
        rows.append([swatch(entry.get("color")) + text(entry["title"]), *cells, number(n, 0), share,
                     flag(flag_of(region, record["quality"]["checks"], "t2"))])
        if region == "fem_cart":
            emphasised.append(index)
    return table("T2 by region; the layers meet half-way between bone and articular surface.", columns, rows,
                 emphasised)
