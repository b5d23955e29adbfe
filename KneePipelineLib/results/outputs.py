"""What a run leaves behind, file by file, so that a reader can load it without knowing how it was made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from ..imaging.labels import BY_NAME, Structure

TYPES = ("labels", "model", "table", "volume", "report", "record", "log", "archive", "dicom")


@dataclass(frozen=True)
class Output:
    """One file of a run, as results.json lists it.

    Attributes
    ----------
    role : str
        What the file is for, stable between versions: ``all_labels``, ``bone_surface``, ``thickness_table``, ...
    path : str
        Relative to results.json, with ``/``.
    type : str
        How to load it: one of `TYPES`.
    structure : str or None
        Short name of the structure (`imaging.labels`) a model shows.
    title : str
        What a person calls it.
    color : (red, green, blue) or None
        sRGB, 0 to 255.
    reference : str or None
        Path of the output whose grid or coordinates it shares.
    units : str or None
        Of the numbers it carries.
    scalars : str or None
        Name of a model's active point array.
    """

    role: str
    path: str
    type: str
    title: str
    structure: str | None = None
    color: tuple[int, int, int] | None = None
    reference: str | None = None
    units: str | None = None
    scalars: str | None = None

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ValueError(f"'{self.type}' is not a type of output; there are {', '.join(TYPES)}")
        parts = PurePosixPath(self.path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in self.path or ":" in self.path:
            raise ValueError("an output's path must be relative to the run's folder")

    def to_dict(self) -> dict:
        """JSON-serialisable form; what is not set is left out."""
        known = {key: value for key, value in asdict(self).items() if value is not None}
        if self.color is not None:
            known["color"] = [int(c) for c in self.color]
        return known


def checked_prefix(prefix: str) -> str:
    """``prefix`` if it can begin a file name on every system.

    Raises
    ------
    ConfigError
        If it is empty, too long, or holds anything but letters, digits, ``_``, ``-`` and ``.``.
    """
    from ..errors import ConfigError

    allowed = prefix.replace("_", "").replace("-", "").replace(".", "")
    if not (0 < len(prefix) <= 64 and allowed.isascii() and allowed.isalnum() and not prefix.startswith(".")):
        raise ConfigError(
            "The prefix can begin a file name only if it has 1 to 64 letters, digits, '_', '-' or '.' and no leading "
            "dot.",
            "Give --prefix a short name such as knee.",
        )
    return prefix


def structure_of(name: str) -> Structure:
    """The label table's entry of a short name."""
    return BY_NAME[name]


def existing(outputs: Iterable[Output], folder: Path | str) -> list[Output]:
    """Those outputs whose file is there."""
    return [output for output in outputs if (Path(folder) / output.path).is_file()]
