"""The report's part on T2: how it was computed, pictures of the map, the table."""

from __future__ import annotations

from collections.abc import Mapping

from ..imaging.volume import Volume
from .markup import MISSING, Column, flag, number, paragraph, swatch, table, text
from .wording import T2_METHODS

_DEPTHS = (("", "Full depth (ms)"), ("deep_", "Deep half (ms)"), ("superficial_", "Superficial half (ms)"))


def t2_section(record: Mapping, t2_map: Volume | None, labels: Volume | None, image: Volume | None) -> str:
    """Everything about T2; empty where there is none."""
    about = record.get("t2")
    if not about:
        return ""
    return paragraph(t2_method(about)) + _pictures(t2_map, labels, image) + _table(record)


def t2_method(about: Mapping) -> str:
    """One sentence that says which acquisition and which formula, for the report and for a paper's methods."""
    words = T2_METHODS.get((about["sequence"], about["t2_method"]))
    if words is None:
        return f"T2 method: {about['t2_method']}."
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


def _pictures(t2_map: Volume | None, labels: Volume | None, image: Volume | None) -> str:
    from .figures.svg import slice_svg, t2_bar_svg
    from .figures.t2 import LOWER_MS, UPPER_MS, t2_pictures

    pictures = t2_pictures(t2_map, labels, image) if t2_map is not None else []
    if not pictures:
        return ""
    where = "in cartilage" if labels is not None else "everywhere"
    figures = "".join(f"<figure>{slice_svg(p, f'{p.title} slice with T2 {where}')}<figcaption>{text(p.title)}"
                      "</figcaption></figure>" for p in pictures)
    return (f'<div class="slices">{figures}</div>{t2_bar_svg(LOWER_MS, UPPER_MS)}'
            + paragraph(f"T2 {where}, {LOWER_MS:g} to {UPPER_MS:g} ms on every report, shorter T2 in the "
                        f"colour of the lower end; {UPPER_MS:g} ms and more is left uncoloured.", kind="small"))


def _table(record: Mapping) -> str:
    entries = {name: e for name, e in record["regions"].items() if "t2_ms_mean" in e["measures"]}
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
                     flag(entry["flag"])])
        if region == "fem_cart":
            emphasised.append(index)
    return table("T2 by region; the layers meet half-way between bone and articular surface.", columns, rows,
                 emphasised)
