"""What the segmentation room takes and hands out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import CancelledError, ConfigError
from ..imaging.volume import Volume

Progress = Callable[[float, str], None]
"""Called with the fraction done (0 to 1, never backwards) and a sentence such as ``Segmenting tile 4 of 8``."""

Cancelled = Callable[[], bool]
"""Asked before every tile or batch; True stops the work with `CancelledError`."""

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class SegmentationOptions:
    """How to segment; the defaults are those of the published networks.

    Attributes
    ----------
    tile_step : float
        nnU-Net: distance of neighbouring tiles as a fraction of the tile; (0, 1].
    mirroring : bool
        nnU-Net: average over the mirrored inputs the network was trained with (8 times the work in 3-D).
    tile_batch : int or None
        Tiles (nnU-Net) that go through the network together; None takes what memory allows.
    slice_batch : int
        Planar networks: slices that go through the network together, at most.
    focus_mm : float or None
        nnU-Net's cascade: the second stage only sees the box around the first stage's labels, wider by this many mm
        (`nnunet.focus`). None shows it the whole image, as nnU-Net does.
    precision : str
        ``auto`` is half precision on CUDA, as nnU-Net itself does, and float32 elsewhere.
    folds : tuple of str or None
        nnU-Net: the folds to average, such as ``("0", "3")``; None takes all that are there.
    checkpoint : str
        nnU-Net: ``auto``, or the file's name; auto takes ``checkpoint_final.pth``, else ``checkpoint_best.pth``.
    ignored_structures : tuple of str
        nnU-Net: structures of the network that are left out of the answer; ``all``: every one that has no place in
        our label table (`names.canonical_mapping`).
    consensus : str
        ``staple`` or ``majority``, for the model ``staple``.
    postprocess : bool
        Clean the labels up (`postprocess.clean_labels`).
    """

    tile_step: float = 0.5
    mirroring: bool = False
    focus_mm: float | None = None
    tile_batch: int | None = None
    slice_batch: int = 32
    precision: str = "auto"
    folds: tuple[str, ...] | None = None
    checkpoint: str = "auto"
    ignored_structures: tuple[str, ...] = ()
    consensus: str = "staple"
    postprocess: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.tile_step <= 1:
            raise ConfigError(f"The tile step must lie in (0, 1], not {self.tile_step}.", "0.5 is nnU-Net's own.")
        if self.focus_mm is not None and not self.focus_mm >= 0:
            raise ConfigError(f"A margin of {self.focus_mm} mm around the knee is none.", "Give 0 mm or more.")
        if (self.tile_batch is not None and self.tile_batch < 1) or self.slice_batch < 1:
            raise ConfigError("A batch holds at least one tile or slice.", "Give 1 or more.")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"'{self.precision}' is no precision.", f"Choose one of {', '.join(PRECISIONS)}.")
        if self.consensus not in ("staple", "majority"):
            raise ConfigError(f"'{self.consensus}' is no consensus.", "Choose staple or majority.")


@dataclass
class RawSegmentation:
    """A network's own answer, before it is cleaned up.

    Attributes
    ----------
    labels : Volume
        Canonical labels (uint8) on the input's grid.
    margins : dict
        Canonical label -> mean over its voxels of the best minus the second best class probability.
    facts : dict
        Model, device, precision, tiles, seconds; JSON-serialisable.
    warnings : list of (code, sentence)
    """

    labels: Volume
    margins: dict[int, float]
    facts: dict
    warnings: list[tuple[str, str]] = field(default_factory=list)


def check_cancelled(cancelled: Cancelled | None) -> None:
    """Raise `CancelledError` when the run was asked to stop."""
    if cancelled is not None and cancelled():
        raise CancelledError("The segmentation was cancelled.", "Start the run again to resume it.")


def part_of(progress: Progress | None, start: float, end: float) -> Progress:
    """A progress callback whose 0 to 1 is ``start`` to ``end`` of another one; None is allowed."""

    def report(fraction: float, message: str) -> None:
        if progress is not None:
            progress(start + (end - start) * min(max(fraction, 0.0), 1.0), message)

    return report
