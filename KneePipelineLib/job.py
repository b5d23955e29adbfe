"""What one run is asked to do: every option typed, checked all at once, and the same after a trip through config.json.

The keys are those of this field's existing configuration files plus the options of the ``run`` command. Nothing here
looks at images, so options can be checked before the private environment exists.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .job_names import MODEL_NAMES, from_aliases, title_of_model

SIDES = ("auto", "left", "right")
LABEL_SCHEMES = ("auto", "canonical", "native", "archive", "oai-zib", "oai-zib-cm", "ski10", "skm-tea",
                 "oai-imorphics")
NNUNET_TYPES = ("fullres", "cascade")
DICOM_SEG = ("auto", "on", "off")
T2_FITS = ("weighted", "linear", "nonlinear")
KNOWN_MODELS = ("bundled", "nnunet_knee", "acl_qdess_bone_july_2024", "goyal_sagittal", "goyal_coronal", "goyal_axial",
                "staple")
"""Values of ``default_seg_model``; `job_names` maps the names a person meets to these."""

PRACTICE_VARIABLES = ("KNEEPIPELINE_DUMMY", "USE_DUMMY_PIPELINE")
TRUE_WORDS = ("1", "true", "yes", "on")


def _option(default: Any, kind: str, text: str, **limits: Any) -> Any:
    """A field with what `_check` needs to know about it."""
    return field(default=default, metadata={"kind": kind, "text": text, **limits})


def _paths(text: str) -> dict[str, str]:
    """The metadata of an option that maps names to files or folders."""
    return {"kind": "paths", "text": text}


@dataclass(frozen=True)
class JobOptions:
    """The options of one run.

    Build it with `from_sources` or `from_dict`; both accept the alternative spellings of existing configurations and
    raise one ConfigError that lists every problem. `unknown` keeps keys nobody here understands.
    """

    input: str | None = _option(None, "path", "image to measure: DICOM folder or zip, NIfTI, NRRD, MHA, or a label map")
    output: str | None = _option(None, "path", "folder for the results")
    segmentation: str | None = _option(None, "path", "label map to use instead of segmenting")
    echoes: str | None = _option(None, "path", "DICOM folder with the echoes for T2")
    truth: str | None = _option(None, "path", "JSON file of known values to compare with: region -> measure -> value")
    input_kind: str = _option("auto", "choice", "what INPUT is, where its values leave it open",
                              choices=("auto", "image", "labels"))
    label_scheme: str = _option("auto", "scheme", "what the label map's numbers mean")
    series: str | None = _option(None, "word", "which series of the input")
    echo: str | None = _option(None, "word", "which echo of the input to segment")
    prefix: str = _option("knee", "prefix", "beginning of file names")
    side: str = _option("auto", "choice", "which knee", choices=SIDES)
    spacing: tuple[float, ...] | None = _option(None, "spacing", "voxel size in mm along INPUT's own axes (columns, "
                                                "rows, slices), in place of a missing or wrong one")
    anyway: bool = _option(False, "bool", "measure even what is no picture of a knee by its header or its content")
    device: str = _option("auto", "device", "auto, cpu, cuda, cuda:N or mps")
    steps: tuple[str, ...] = _option((), "names", "only these steps and what they need; empty means all")
    restart: bool = _option(False, "bool", "ignore what an earlier run has finished")
    timeout: float | None = _option(None, "number", "deadline of the whole run in seconds", above=0.0)
    zip: bool = _option(False, "bool", "also write a zip of the results")
    dicom_seg: str = _option("auto", "choice", "DICOM segmentation, which names the patient as INPUT does: auto "
                             "writes it for DICOM input but not into the zip, on into both, off not at all",
                             choices=DICOM_SEG)
    seed: int = _option(42, "int", "seed of everything random", low=0, high=2**32 - 1)
    practice: bool = _option(False, "bool", "practice mode: the digital knee's truth instead of the science")
    default_seg_model: str = _option("bundled", "model", "network that segments")
    nnunet: dict = field(default_factory=lambda: {"type": "fullres"},
                         metadata={"kind": "nnunet", "text": "settings of nnU-Net: type fullres or cascade"})
    ignore_structures: tuple[str, ...] = _option((), "names", "structures of an nnU-Net model that are left out, by "
                                                 "name; all: every one that is not measured here")
    batch_size: int = _option(32, "int", "slices or tiles computed at once", low=1, high=256)
    image_smooth_var_cart: float = _option(0.3125, "number", "variance of the cartilage smoothing, mm^2", low=0, high=2)
    t2_fit: str = _option("weighted", "choice", "how spin echoes are fitted", choices=T2_FITS)
    t2_skip_first_echo: bool = _option(False, "bool", "leave the first spin echo out of the fit")
    clip_femur_top: bool = _option(True, "bool", "clip the femoral shaft before the shape fit")
    perform_bone_only_nsm: bool = _option(False, "bool", "fit the bone-only shape model")
    perform_bone_and_cart_nsm: bool = _option(True, "bool", "fit the bone and cartilage shape model")
    models: dict = field(default_factory=dict, metadata=_paths("file of each network, by name"))
    nsm: dict = field(default_factory=dict, metadata=_paths("files of the bone and cartilage shape model"))
    nsm_bone_only: dict = field(default_factory=dict, metadata=_paths("files of the bone-only shape model"))
    bscore: dict = field(default_factory=dict, metadata=_paths("folder of the bone and cartilage BScore"))
    bscore_bone_only: dict = field(default_factory=dict, metadata=_paths("folder of the bone-only BScore"))
    unknown: dict = field(default_factory=dict, metadata={"kind": "unknown", "text": "keys kept but not understood"})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> JobOptions:
        """Options from one mapping, for example a parsed config.json.

        Raises
        ------
        ConfigError
            Once, with every problem in its message and as a list in ``details["problems"]``.
        """
        return cls._from_layers([values])

    @classmethod
    def from_sources(cls, cli: Mapping[str, Any] | None = None, config_file: str | os.PathLike | None = None,
                     env: Mapping[str, str] | None = None) -> JobOptions:
        """Options from the command line over the configuration file over the defaults.

        Parameters
        ----------
        cli : mapping
            What was given explicitly; None values count as not given.
        config_file : path, optional
            A JSON file; without it the one that the variable KNEEPIPELINE_CONFIG names, if any.
        env : mapping, optional
            The environment; ``os.environ`` by default. KNEEPIPELINE_DUMMY or USE_DUMMY_PIPELINE switch to practice
            mode.

        Raises
        ------
        ConfigError
            If the file is missing or is not a JSON object, or for any problem with a value (all in one).
        """
        env = os.environ if env is None else env
        path = config_file or env.get("KNEEPIPELINE_CONFIG") or None
        layers: list[Mapping[str, Any]] = [_from_folder_of(path, read_config(path))] if path else []
        layers.append({key: value for key, value in (cli or {}).items() if value is not None})
        if any(env.get(name, "").strip().lower() in TRUE_WORDS for name in PRACTICE_VARIABLES):
            layers.append({"practice": True})
        return cls._from_layers(layers, check_steps=True)

    @classmethod
    def _from_layers(cls, layers: list[Mapping[str, Any]], check_steps: bool = False) -> JobOptions:
        problems: list[str] = []
        merged: dict[str, Any] = {}
        for layer in layers:
            for key, value in from_aliases(layer, merged, problems).items():
                both_dicts = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
                merged[key] = {**merged[key], **value} if both_dicts else value
        known = {f.name: f for f in fields(cls) if f.name != "unknown"}
        checked = {name: _check(known[name], value, problems) for name, value in merged.items() if name in known}
        options = cls(**checked, unknown={key: value for key, value in merged.items() if key not in known})
        own = {name: path for name, path in options.models.items() if path} if isinstance(options.models, dict) else {}
        model = options.default_seg_model
        if isinstance(model, str) and model not in (*KNOWN_MODELS, *own):
            problems.append(f"segmentation_model '{model}' is not a known network{_nearest(model, own)}")
        if check_steps and options.steps and isinstance(options.steps, tuple):
            problems += _unknown_steps(options.steps)
        if problems:
            raise ConfigError(_sentence(problems), "Correct the option(s) named and start again.", problems=problems)
        return options

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form; ``from_dict(options.to_dict()) == options`` holds, unknown keys included."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "unknown"}
        values |= {f.name: list(values[f.name]) for f in fields(self) if f.metadata["kind"] == "names"}
        return json.loads(json.dumps({**values, **self.unknown}))

    def with_changes(self, **changes: Any) -> JobOptions:
        """A checked copy with some options changed."""
        return type(self).from_dict({**self.to_dict(), **changes})

    def without_paths(self) -> dict[str, Any]:
        """The options as every record but config.json may show them: paths reduced to whether they were given."""
        values = self.to_dict()
        for f in fields(self):
            kind = f.metadata["kind"]
            if kind == "path":
                values[f.name] = "given" if getattr(self, f.name) else None
            elif kind == "paths":
                values[f.name] = sorted(getattr(self, f.name))
        if self.label_scheme not in LABEL_SCHEMES:
            values["label_scheme"] = "file"
        values["series"] = "given" if self.series else None
        for key in self.unknown:
            values.pop(key, None)
        values["unknown"] = sorted(self.unknown)
        values["nnunet"] = {"type": self.nnunet.get("type")}
        return values

    def resolved(self) -> JobOptions:
        """A copy whose paths are absolute, so that it means the same from any folder."""
        return replace(self, **_absolute({f.name: getattr(self, f.name) for f in fields(self)}, os.getcwd()))

    @property
    def model(self) -> str:
        """The network's name as a person meets it (design, section 9), such as ``nnunet_fullres``."""
        return title_of_model(self.default_seg_model, self.nnunet.get("type"))


def _from_folder_of(config_file: str | os.PathLike, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a configuration file, whose relative paths begin at the file's own folder."""
    return {**values, **_absolute(values, os.path.dirname(os.path.abspath(config_file)))}


def _absolute(values: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Those of the values that are paths, made absolute from a folder; what is none by its type is left to `_check`."""
    found: dict[str, Any] = {}
    for f in fields(JobOptions):
        kind, value = f.metadata["kind"], values.get(f.name)
        is_path = kind == "path" or (kind == "scheme" and value not in LABEL_SCHEMES)
        if is_path and isinstance(value, str) and value:
            found[f.name] = _joined(folder, value)
        elif kind == "paths" and isinstance(value, Mapping):
            found[f.name] = {name: _joined(folder, path) if isinstance(path, str) and path else path
                             for name, path in value.items()}
    return found


def _joined(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, path))


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The JSON object in a configuration file.

    Raises
    ------
    ConfigError
        If it cannot be read or is something else. The path is not in the message.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError("The configuration file cannot be read.", "Check the path given with --config or in "
                          "KNEEPIPELINE_CONFIG.", reason=error.strerror or type(error).__name__) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The configuration file is not valid JSON ({error}).",
                          "Correct the file, or make a new one from the config.json of an earlier run.") from None
    if not isinstance(values, dict):
        raise ConfigError("The configuration file holds no JSON object.", "It begins with '{' and lists key: value.")
    return values


def _check(option: Any, value: Any, problems: list[str]) -> Any:
    """The value in its proper type; a problem in words is appended when it has none."""
    limits = option.metadata
    kind, name = limits["kind"], option.name
    problem: str | None = None
    if kind == "bool":
        problem = None if isinstance(value, bool) else "must be true or false"
    elif kind in ("int", "number"):
        value, problem = _check_number(kind, value, limits, optional=option.default is None)
    elif kind == "choice":
        problem = None if value in limits["choices"] else "must be one of " + ", ".join(limits["choices"])
    elif kind == "spacing":
        value, problem = _check_spacing(value)
    elif kind in ("paths", "nnunet"):
        value, problem = _check_mapping(kind, value)
    elif kind == "names":
        value = tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
            value = tuple(value)
        else:
            problem = "must be a list of names"
    else:
        value, problem = _check_text(kind, value, optional=option.default is None)
    if problem:
        shown = "" if kind in ("path", "paths") else f", not {_shown(value)}"
        problems.append(f"{name} {problem}{shown[:80]}")
    return value


def _finite(value: float) -> bool:
    """Whether a number has a place among the floating-point ones: 10**400 has not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: Any) -> str:
    """A value in a message; whole numbers of thousands of digits refuse to be text."""
    try:
        return repr(value)
    except ValueError:
        return "a number beyond all bounds"


def _unknown_steps(steps: tuple[str, ...]) -> list[str]:
    from .pipeline.plan import step_names

    names = step_names()
    return [f"steps: there is no '{name}'; there are {', '.join(names)}" for name in steps if name.lower() not in names]


def _check_number(kind: str, value: Any, limits: Mapping[str, Any], optional: bool) -> tuple[Any, str | None]:
    if value is None and optional:
        return None, None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
        return value, "must be a number"
    if kind == "int":
        if value != int(value):
            return value, "must be a whole number"
        value = int(value)
    low, high, above = limits.get("low"), limits.get("high"), limits.get("above")
    if low is not None and not low <= value <= high:
        return value, f"must lie between {low} and {high}"
    if above is not None and not value > above:
        return value, f"must be greater than {above:g}"
    return value, None


def _check_spacing(value: Any) -> tuple[Any, str | None]:
    """Three lengths in mm, as a list or as text with commas; the same bounds as any image's."""
    if value is None:
        return None, None
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    try:
        sizes = tuple(float(part) for part in parts if not isinstance(part, bool))
    except (TypeError, ValueError, OverflowError):
        sizes = ()
    if len(sizes) != 3 or not all(_finite(size) and 0.01 <= size <= 20 for size in sizes):
        return value, "must be three lengths in mm along columns, rows and slices, such as 0.36,0.36,0.7"
    return sizes, None


def _check_mapping(kind: str, value: Any) -> tuple[Any, str | None]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return value, "must be an object of names and values"
    value = dict(value)
    if kind == "nnunet" and value.setdefault("type", "fullres") not in NNUNET_TYPES:
        return value, "needs a type that is one of " + ", ".join(NNUNET_TYPES)
    if kind == "paths" and not all(entry is None or isinstance(entry, str) for entry in value.values()):
        return value, "must hold paths as text"
    return value, None


def _check_text(kind: str, value: Any, optional: bool) -> tuple[Any, str | None]:
    if value is None and optional:
        return None, None
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if kind == "word" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return value, "must be text that is not empty"
    if kind == "prefix":
        bare = value.replace("_", "").replace("-", "").replace(".", "")
        if not (len(value) <= 64 and bare.isascii() and bare.isalnum() and not value.startswith(".")):
            return value, "must have 1 to 64 letters, digits, '_', '-' or '.' and no leading dot"
    if kind == "device" and not (value in ("auto", "cpu", "cuda", "mps")
                                 or (value.startswith("cuda:") and value[5:].isascii() and value[5:].isdigit())):
        return value, "must be auto, cpu, cuda, cuda:N or mps"
    if kind == "scheme" and value not in LABEL_SCHEMES and not value.lower().endswith(".json"):
        return value, f"must be one of {', '.join(LABEL_SCHEMES)} or the path of a JSON file"
    return value, None


def _nearest(word: str, own: Mapping[str, Any]) -> str:
    words = (*KNOWN_MODELS, *MODEL_NAMES, *own)
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(words)}"


def _sentence(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"One option is not usable: {problems[0]}."
    return f"{len(problems)} options are not usable: {'; '.join(problems)}."
