"""report.html: one knee on one page, self-contained, for a scientist to read, print and keep.

No scripts, nothing fetched, no identifiers. The words come from the record (`record.build_results`), the pictures from
the label map and the surfaces; whatever is missing is left out and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template

import numpy as np

from ..imaging.volume import Volume
from ..system.atomic import write_text
from . import report_tables as tables
from . import report_text as words
from .figures.shape import ShapePicture
from .markup import section, text
from .outputs import Output
from .report_figures import slices_section, thickness_section
from .report_methods import definitions, methods
from .report_shape import shape_section
from .report_t2 import t2_section


def write_report(
    folder: Path | str,
    record: Mapping,
    *,
    labels: Volume | None = None,
    image: Volume | None = None,
    surfaces: Mapping[str, object] | None = None,
    axes: np.ndarray | None = None,
    t2_map: Volume | None = None,
    shapes: Sequence[ShapePicture] = (),
    detail: float = 1.0,
) -> Output:
    """Write ``report.html`` into the folder.

    Parameters
    ----------
    folder : path-like
        Where it goes.
    record : mapping
        From `build_results`.
    labels : Volume, optional
        Canonical labels for the slices; give the ones with femoral subregions where there are any.
    image : Volume, optional
        The MRI on the same grid, drawn behind the labels.
    surfaces : mapping of str to BoneSurface, optional
        For the thickness maps.
    axes : (3, 3) array, optional
        `AnatomicalFrame.axes`, so that a knee that lay turned in the scanner is still seen straight from the front.
    t2_map : Volume, optional
        T2 in ms, on the grid of the labels where there are any.
    shapes : sequence of ShapePicture, optional
        The reconstructed surfaces of the shape model's fits.
    detail : float
        Resolution of the pictures as a fraction of the usual one.
    """
    write_text(Path(folder) / "report.html", report_html(record, labels, image, surfaces, axes, t2_map, shapes, detail))
    return report_output()


def report_output() -> Output:
    """The listing of report.html."""
    return Output(role="report", path="report.html", type="report", title="Report")


def report_html(
    record: Mapping,
    labels: Volume | None = None,
    image: Volume | None = None,
    surfaces: Mapping[str, object] | None = None,
    axes: np.ndarray | None = None,
    t2_map: Volume | None = None,
    shapes: Sequence[ShapePicture] = (),
    detail: float = 1.0,
) -> str:
    """The report as one HTML text; parameters as `write_report`."""
    content = [
        words.heading(record),
        words.banners(record),
        section("Quality", words.quality(record)),
        words.at_a_glance(record),
        section("Segmentation", slices_section(labels, image, detail) if labels is not None else "",
                tables.confidence_table(record)),
        section("Cartilage thickness", thickness_section(record, surfaces or {}, axes, detail)),
        section("Regions", tables.region_chart(record), tables.region_table(record)),
        section("Subregions", tables.subregion_table(record)),
        section("The joint", tables.joint_table(record)),
        section("T2", t2_section(record, t2_map, labels, image, detail)),
        section("Shape of the femur", shape_section(record, shapes, axes)),
        section("Menisci", tables.meniscus_table(record)),
        section("Measured against the truth", tables.truth_table(record)),
        section("Methods", methods(record), definitions(record)),
        section("Provenance", words.provenance(record)),
        words.footer(record),
    ]
    template = Template(_resource("report.html"))
    return template.substitute(
        title=text(words.title(record)), css=_resource("report.css"), content="\n".join(c for c in content if c)
    )


@cache
def _resource(name: str) -> str:
    return Path(__file__).with_name("templates").joinpath(name).read_text(encoding="utf-8")
