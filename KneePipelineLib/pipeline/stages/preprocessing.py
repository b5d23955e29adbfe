"""PREPROCESSING: the image, the echoes and the header, each brought into the form that the later steps read."""

from __future__ import annotations

from ...imaging import dicom_facts, read_echoes
from ..context import StageContext
from ..files import write_json
from . import handover
from .validation import read_input


def prepare_image(context: StageContext) -> dict:
    """INPUT as one NRRD in its own orientation."""
    context.progress(0.1, "Reading the image")
    volume = read_input(context)
    context.progress(0.6, "Keeping the image")
    handover.save_image(volume, context.out / "image.nrrd")
    return {"orientation": volume.orientation}


def prepare_echoes(context: StageContext) -> dict:
    """The echoes, first one first, as ``echo_1.nrrd`` and so on."""
    options = context.options
    # --series chooses in INPUT; a folder of its own for the echoes holds no other choice.
    echoes = read_echoes(options.echoes or options.input, series=None if options.echoes else options.series,
                         side=options.side, spacing=None if options.echoes else options.spacing)
    for code, message in echoes[0].meta.get("warnings", []):
        context.warn(code, message)
    for number, echo in enumerate(echoes, start=1):
        context.progress(number / len(echoes), f"Keeping echo {number} of {len(echoes)}")
        handover.save_image(echo, context.out / f"echo_{number}.nrrd")
    return {"echo_times_ms": [echo.meta.get("echo_time_ms") for echo in echoes]}


def prepare_metadata(context: StageContext) -> dict:
    """What the DICOM header says about the acquisition, without names, dates or UIDs."""
    options = context.options
    facts = dicom_facts(options.input, series=options.series, side=options.side, spacing=options.spacing)
    write_json(context.out / "metadata.json", facts)
    return {"laterality": facts.get("laterality")}
