"""The catalogue of models: which exist, where they come from, under which terms.

Read with the standard library alone, so that `models list` works before the private environment exists. The shipped
``catalogue.schema.json`` (JSON Schema 2020-12) is the full description; here only what the program relies on is
checked, because the file ships with the package and the tests hold it against the schema.
"""

from __future__ import annotations

import difflib
import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigError

CATALOGUE_FILE = Path(__file__).with_name("catalogue.json")
SCHEMA_FILE = Path(__file__).with_name("catalogue.schema.json")


@dataclass(frozen=True)
class KnownFile:
    """What is known beforehand of one installed file: path relative to the model's folder, bytes, SHA-256."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """Where a model comes from: ``hub`` (repo, patterns), ``package`` (path), ``import`` (origin) or ``virtual``."""

    type: str
    repo: str = ""
    patterns: tuple[str, ...] = ()
    path: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Model:
    """One catalogue entry; the fields are those of ``catalogue.schema.json``.

    ``size_bytes`` is the download's size, approximate when ``size_is_approximate``; ``non_commercial`` None means
    unknown (the page says); ``needs`` names models that must be installed too; ``pair`` the only BScore (or shape
    model) that fits.
    """

    name: str
    title: str
    purpose: str
    kind: str
    structures: tuple[str, ...]
    source: Source
    revision: str | None
    files: tuple[KnownFile, ...]
    size_bytes: int | None
    size_is_approximate: bool
    licence: str
    non_commercial: bool | None
    gated: bool
    page: str | None
    citation: str | None
    needs: tuple[str, ...]
    pair: str | None
    aliases: tuple[str, ...] = ()
    configurations: tuple[str, ...] = ()
    plane: str | None = None
    folder: str | None = None
    notes: str = ""
    card: str | None = None
    raw: dict = field(default_factory=dict, repr=False, compare=False)

    @property
    def needs_acceptance(self) -> bool:
        """Whether someone has to accept terms before it is downloaded: everything that others published."""
        return self.source.type == "hub"

    @property
    def restricted(self) -> bool:
        """Whether even an import needs explicit acceptance: gated or known to be non-commercial."""
        return self.gated or self.non_commercial is True

    def sha256_of(self, path: str) -> str | None:
        """The published SHA-256 of one installed file, None where the catalogue does not know it."""
        return next((known.sha256 for known in self.files if known.path == path), None)


@functools.lru_cache(maxsize=1)
def catalogue() -> dict[str, Model]:
    """Every model by name, in the catalogue's order.

    Raises
    ------
    ConfigError
        The catalogue file is damaged.
    """
    return read_catalogue(CATALOGUE_FILE)


def read_catalogue(path: Path) -> dict[str, Model]:
    """Read a catalogue file and check what the program relies on (names unique, references known)."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        models = [_model(raw) for raw in document["models"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError("The model catalogue of this installation cannot be read.",
                          "Install KneePipeline again.", cause=repr(error)) from error
    by_name = {model.name: model for model in models}
    known = [name for model in models for name in (model.name, *model.aliases)]
    references = {name for model in models for name in (*model.needs, model.pair) if name}
    if len(known) != len(set(known)) or not references <= set(by_name):
        raise ConfigError("The model catalogue of this installation contradicts itself.", "Install KneePipeline again.")
    return by_name


def entry(name: str) -> Model:
    """The model of that name or alias; ConfigError that names the nearest known name otherwise."""
    models = catalogue()
    if name in models:
        return models[name]
    for model in models.values():
        if name in model.aliases:
            return model
    near = difflib.get_close_matches(name, models, n=1)
    guess = f"Did you mean {near[0]}? " if near else ""
    raise ConfigError(f"There is no model named {name!r}.", f"{guess}The models are: {', '.join(models)}.")


def _model(raw: dict) -> Model:
    source = raw["source"]
    return Model(
        name=raw["name"], title=raw["title"], purpose=raw["purpose"], kind=raw["kind"],
        structures=tuple(raw["structures"]),
        source=Source(source["type"], source.get("repo", ""), tuple(source.get("patterns", ())),
                      source.get("path", ""), source.get("from", "")),
        revision=raw["revision"],
        files=tuple(KnownFile(file["path"], file["size_bytes"], file["sha256"]) for file in raw["files"]),
        size_bytes=raw["size_bytes"], size_is_approximate=raw["size_is_approximate"], licence=raw["licence"],
        non_commercial=raw["non_commercial"], gated=raw["gated"], page=raw["page"], citation=raw["citation"],
        needs=tuple(raw["needs"]), pair=raw["pair"], aliases=tuple(raw["aliases"]),
        configurations=tuple(raw.get("configurations", ())), plane=raw.get("plane"), folder=raw.get("folder"),
        notes=raw.get("notes", ""), card=raw.get("card"), raw=raw,
    )
