"""The few pieces of HTML that the report is made of. Every text that comes from outside goes through `text`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

MISSING = "–"


def text(value: object) -> str:
    """``value`` with every character that means something to HTML made harmless."""
    return escape(str(value), quote=True)


def number(value: float | None, decimals: int, signed: bool = False) -> str:
    """A number as a reader expects it; a dash where there is none; a minus sign that is one."""
    if value is None:
        return MISSING
    shown = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    if float(shown) == 0:  # no "-0.00"
        shown = f"{0:.{decimals}f}"
    return shown.replace("-", "−")


def section(heading: str, *content: str) -> str:
    """A section; nothing at all when it would be empty."""
    inside = "\n".join(c for c in content if c)
    return f"<section>\n<h2>{text(heading)}</h2>\n{inside}\n</section>" if inside else ""


def paragraph(*sentences: str, kind: str = "") -> str:
    """A paragraph of escaped sentences."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{text(' '.join(s for s in sentences if s))}</p>"


def banner(title: str, message: str, kind: str = "") -> str:
    """Something to know before reading on; ``kind`` is empty (caution), ``alarm`` or ``note``."""
    return f'<div class="banner {kind}" role="note"><p><strong>{text(title)}</strong> {text(message)}</p></div>'


def flag(word: str) -> str:
    """A small pill: ok, check, poor, missing, info, warning, serious."""
    return f'<span class="flag {text(word)}">{text(word)}</span>'


def swatch(color: Sequence[int] | None) -> str:
    """A small square of a colour, silent for screen readers."""
    if color is None:
        return ""
    red, green, blue = (int(c) for c in color)
    return f'<span class="swatch-box" aria-hidden="true" style="background:rgb({red},{green},{blue})"></span>'


@dataclass(frozen=True)
class Column:
    """A column's heading, and the group of columns (one heading above several) it belongs to."""

    heading: str
    group: str = ""


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], emphasised: Sequence[int] = ()
) -> str:
    """A table whose first column holds row headings; cells are HTML already, headings and caption are not."""
    groups = _groups(columns)
    head = ""
    if any(name.strip() for name, _ in groups):
        head = "<tr class=\"groups\">" + "".join(_group_cell(*group, columns) for group in _starts(groups)) + "</tr>"
    head += "<tr>" + "".join(
        f'<th scope="col"{_first(i, columns)}>{text(c.heading)}</th>' for i, c in enumerate(columns)) + "</tr>"
    body = ""
    for index, (heading, *cells) in enumerate(rows):
        kind = ' class="all"' if index in emphasised else ""
        body += f'<tr{kind}><th scope="row">{heading}</th>' + "".join(
            f"<td{_first(i, columns)}>{cell}</td>" for i, cell in enumerate(cells, start=1)) + "</tr>\n"
    return (f'<div class="scroll"><table><caption>{text(caption)}</caption><thead>{head}</thead>\n'
            f"<tbody>{body}</tbody></table></div>")


def facts(caption: str, values: Mapping[str, str]) -> str:
    """Two columns, name and value, both escaped here."""
    rows = "".join(f'<tr><th scope="row">{text(k)}</th><td>{text(v)}</td></tr>' for k, v in values.items())
    return f'<table class="facts"><caption>{text(caption)}</caption><tbody>{rows}</tbody></table>' if rows else ""


def _groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    groups: list[tuple[str, int]] = []
    for column in columns:
        if groups and groups[-1][0] == column.group:
            groups[-1] = (column.group, groups[-1][1] + 1)
        else:
            groups.append((column.group, 1))
    return groups


def _starts(groups: Sequence[tuple[str, int]]) -> Iterable[tuple[int, tuple[str, int]]]:
    start = 0
    for group in groups:
        yield start, group
        start += group[1]


def _group_cell(start: int, group: tuple[str, int], columns: Sequence[Column]) -> str:
    name, span = group
    if not name.strip():
        return f'<td{_first(start, columns)} colspan="{span}"></td>'
    return f'<th scope="colgroup"{_first(start, columns)} colspan="{span}">{text(name)}</th>'


def _first(index: int, columns: Sequence[Column]) -> str:
    """A line before the first column of a group."""
    return ' class="first"' if index and columns[index].group != columns[index - 1].group else ""
