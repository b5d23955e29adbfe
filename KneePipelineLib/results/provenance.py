"""Facts about a run and its input that may be published: versions, options, geometry; never names, UIDs or paths."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from importlib import metadata

from .. import __version__
from ..imaging.volume import Volume
from .record import options_digest, plain
from .wording import BUNDLED_NOTICE

_LIBRARIES = (
    "numpy", "scipy", "SimpleITK", "vtk", "point-cloud-utils", "scikit-image", "pydicom",
    "torch", "nnunetv2",
)
_PRIVATE = {
    "input", "output", "segmentation", "echoes", "series", "prefix", "config", "restart", "timeout", "zip", "dicom_seg",
    "unknown",
    "models", "nsm", "nsm_bone_only", "bscore", "bscore_bone_only",
}
"""Options that name files or series, or that do not change any number."""

_ACQUISITION = {
    "modality": "modality", "repetition_time_ms": "repetition_time_ms", "flip_angle_deg": "flip_angle_deg",
    "magnetic_field_t": "field_strength_t",
}


def run_facts(
    options: Mapping[str, object],
    steps: Sequence[str],
    *,
    segmentation: str = "given",
    model: Mapping[str, object] | None = None,
    versions: Mapping[str, str] | None = None,
    practice: bool = False,
    corrected: bool = False,
    device: str | None = None,
    seed: int | None = None,
    timings_s: Mapping[str, float] | None = None,
) -> dict:
    """The ``run`` part of results.json.

    Parameters
    ----------
    options : mapping
        All options; those that name files are dropped (`public_options`), the rest is recorded and digested.
    steps : sequence of str
        What was done, in order, in a person's words.
    segmentation : str
        Where the labels came from: ``network``, ``given``, ``truth`` (the digital knee's own) or ``none``.
    model : mapping, optional
        ``name`` and, where known, ``title``, ``notice``, ``sha256``, ``licence``. The bundled network always carries
        its notice.
    versions : mapping, optional
        Software and versions; by default those installed here (`software_versions`).
    practice : bool
        The science was replaced by a stand-in.
    corrected : bool
        A person corrected the labels.
    device, seed, timings_s : optional
        Where it ran, the random seed, seconds by stage.
    """
    public = public_options(options)
    facts: dict = {
        "versions": dict(versions or software_versions()),
        "steps": list(steps),
        "options": public,
        "options_digest": options_digest(public),
        "model": dict(model) if model else None,
        "segmentation": segmentation,
        "practice": practice,
    }
    if facts["model"] and facts["model"]["name"] == "bundled":
        facts["model"].setdefault("notice", BUNDLED_NOTICE)
    if corrected:
        facts["corrected"] = True
    if device is not None:
        facts["device"] = device
    if seed is not None:
        facts["seed"] = int(seed)
    if timings_s:
        facts["timings_s"] = {stage: float(seconds) for stage, seconds in timings_s.items()}
    return facts


def input_facts(volume: Volume, *, kind: str, content: str = "image", **more: object) -> dict:
    """The ``input`` part of results.json: geometry, and those acquisition parameters of ``volume.meta`` that are safe.

    Parameters
    ----------
    volume : Volume
        What was read.
    kind : str
        How it was stored: ``DICOM series``, ``NIfTI``, ``NRRD``, ``MetaImage``, ``digital knee``.
    content : str
        ``image`` or ``labels``.
    more
        Further keys of the schema, for example ``sequence="3D DESS"`` or ``echoes=2``.
    """
    facts: dict = {
        "kind": kind,
        "content": content,
        "size": list(volume.size),
        "spacing_mm": [round(float(s), 6) for s in volume.spacing],
        "orientation": volume.orientation,
    }
    for key, source in _ACQUISITION.items():
        if volume.meta.get(source) is not None:
            facts[key] = plain(volume.meta[source])
    if volume.meta.get("echo_time_ms") is not None:
        facts["echo_times_ms"] = [plain(volume.meta["echo_time_ms"])]
    return {**facts, **more}


def public_options(options: Mapping[str, object]) -> dict:
    """The options that change the numbers, without anything that could name a file, a series or a person.

    Numbers, truth values and single words pass; texts with a slash, a blank or a file's ending do not, nor do the
    options of `_PRIVATE`.
    """
    kept = {}
    for key, value in sorted(options.items()):
        if key in _PRIVATE:
            continue
        if isinstance(value, Mapping):
            value = public_options(value)
        elif isinstance(value, (list, tuple)):
            value = [v for v in value if _harmless(v)]
        elif not _harmless(value):
            continue
        kept[str(key)] = plain(value)
    return kept


def software_versions() -> dict[str, str]:
    """KneePipeline, Python and those libraries that are installed here."""
    versions = {"KneePipeline": __version__, "Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _harmless(value: object) -> bool:
    if value is None or isinstance(value, (bool, int, float)):
        return True
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_+:-]{0,40}", value) is not None
