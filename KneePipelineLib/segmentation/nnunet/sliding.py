"""The sliding window: tiles through the network, Gaussian-weighted, summed up in half precision as nnU-Net does.

Tiles, weights and the order of summation are nnU-Net's, so that equal tile answers give equal logits. Memory that
runs out halves the tile batch and goes on with the same tile; sums already made are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from ...errors import SegmentationError
from ..device import free_bytes, is_memory_error, memory_error, release_memory
from ..types import Cancelled, Progress, check_cancelled

if TYPE_CHECKING:
    import torch

MAX_BATCH = 8


@dataclass
class Window:
    """What a sliding-window run needs besides network and data.

    Attributes
    ----------
    patch : tuple of int
        Tile size in voxels: three numbers, or two for a 2-D network.
    classes : int
        Output channels.
    one_hot : list of int
        Labels of the previous stage that become input channels, in this order; empty without a cascade.
    step : float
    mirror_axes : tuple of int
        Spatial axes to mirror along; empty for none.
    batch : int or None
        Tiles at once; None takes what memory allows on a GPU and 1 on a CPU.
    precision : str
        ``float32``, ``float16`` or ``bfloat16``: of the network's arithmetic, by autocast.
    """

    patch: tuple[int, ...]
    classes: int
    one_hot: list[int]
    step: float = 0.5
    mirror_axes: tuple[int, ...] = ()
    batch: int | None = None
    precision: str = "float32"


def tile_origins(shape: tuple[int, ...], patch: tuple[int, ...], step: float) -> list[tuple[int, ...]]:
    """First voxel of every tile, in nnU-Net's order; a 2-D tile has a slice number before it."""
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    steps = compute_steps_for_sliding_window(shape[-len(patch):], patch, step)
    if len(patch) == 2:
        steps = [list(range(shape[0])), *steps]
    return list(product(*steps))


class SlidingWindow:
    """One pass over one volume: call `run`."""

    def __init__(self, network: torch.nn.Module, window: Window, device: torch.device,
                 report: Progress | None = None, cancelled: Cancelled | None = None) -> None:
        self.network, self.window, self.device = network, window, device
        self.report, self.cancelled = report, cancelled
        self.batch_used = window.batch or 1
        self.tiles = 0

    def run(self, data: np.ndarray, previous: np.ndarray | None = None) -> torch.Tensor:
        """Class logits (classes, z, y, x) on the CPU, half precision, of data (1, z, y, x) float32.

        Raises
        ------
        GpuMemoryError, MemoryCriticalError
            If not even one tile fits.
        SegmentationError
            If the network answers with numbers that are not finite.
        """
        import torch
        from acvl_utils.cropping_and_padding.padding import pad_nd_image

        patch = self.window.patch
        with torch.inference_mode():
            image, inside = pad_nd_image(torch.from_numpy(data), patch, "constant", {"value": 0}, True, None)
            labels = None
            if previous is not None:
                labels = pad_nd_image(torch.from_numpy(previous.astype(np.int16)), patch, "constant", {"value": 0})
            try:
                logits = self._sum_tiles(image, labels, torch.half)
                if not _all_finite(logits):  # beyond the range of half precision: once more, in single
                    logits = self._sum_tiles(image, labels, torch.float32)
            except (RuntimeError, MemoryError) as error:
                if is_memory_error(error):
                    release_memory(self.device)
                    raise memory_error(self.device, "one tile of the network") from error
                raise
            if not _all_finite(logits):
                raise SegmentationError("The network answered with numbers that are not finite.",
                                        "Check the weights with `models verify`, or run with --device cpu.")
            return logits[(slice(None), *inside[1:])]

    def _sum_tiles(self, image: torch.Tensor, labels: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
        import torch
        from nnunetv2.inference.sliding_window_prediction import compute_gaussian

        shape, window = tuple(image.shape[1:]), self.window
        origins = tile_origins(shape, window.patch, window.step)
        home = self._home_of_sums(shape, dtype)
        if home.type != "cpu":
            image = image.to(home)
        sums = torch.zeros((window.classes, *shape), dtype=dtype, device=home)
        weights = torch.zeros(shape, dtype=dtype, device=home)
        gaussian = compute_gaussian(tuple(window.patch), 1 / 8, 10, device=home).to(dtype)
        self.tiles = len(origins)
        done, batch = 0, self._first_batch()
        while done < len(origins):
            check_cancelled(self.cancelled)
            places = [self._place(o) for o in origins[done:done + batch]]
            try:
                answers = self._predict(torch.stack([self._input(image, labels, p) for p in places]))
            except (RuntimeError, MemoryError) as error:
                if not is_memory_error(error) or batch == 1:
                    raise
                batch = max(1, batch // 2)
                self.window.batch = batch
                release_memory(self.device)
                continue
            for place, answer in zip(places, answers, strict=True):
                answer = answer.to(home, torch.float32 if answer.dtype == torch.bfloat16 else answer.dtype)
                answer *= gaussian
                sums[(slice(None), *place)] += answer
                weights[place] += gaussian
            del answers
            done += len(places)
            self.batch_used = batch
            if done == 1 and self.window.batch is None:
                batch = self._batch_after_first()
            if self.report is not None:
                self.report(done / len(origins), f"Segmenting tile {done} of {len(origins)}")
        return torch.div(sums, weights, out=sums).cpu()

    def _place(self, origin: tuple[int, ...]) -> tuple:
        lead = origin[:len(origin) - len(self.window.patch)]
        spans = zip(origin[len(lead):], self.window.patch, strict=True)
        return (*lead, *(slice(o, o + n) for o, n in spans))

    def _input(self, image: torch.Tensor, labels: torch.Tensor | None, place: tuple) -> torch.Tensor:
        """A tile with the previous stage's labels as one-hot channels; made here, tile by tile, to save memory."""
        import torch

        tile = image[(slice(None), *place)].to(self.device)
        if labels is None:
            return tile
        part = labels[place].to(self.device)
        return torch.cat([tile, *[(part == v).to(tile.dtype)[None] for v in self.window.one_hot]])

    def _predict(self, tiles: torch.Tensor) -> torch.Tensor:
        """Logits of a batch of tiles, averaged over mirrorings."""
        import torch

        if self.device.type == "cpu" and tiles.ndim == 5:
            tiles = tiles.contiguous(memory_format=torch.channels_last_3d)
        half = self.window.precision != "float32"
        dtype = getattr(torch, self.window.precision) if half else None
        # Not even a switched-off autocast may be entered on MPS, hence the condition outside.
        if not half:
            return self._mirrored(tiles)
        with torch.autocast(self.device.type, dtype=dtype):
            return self._mirrored(tiles)

    def _mirrored(self, tiles: torch.Tensor) -> torch.Tensor:
        import torch

        answer = self.network(tiles)
        axes = [a + 2 for a in self.window.mirror_axes]
        groups = [g for n in range(1, len(axes) + 1) for g in combinations(axes, n)]
        for group in groups:
            answer += torch.flip(self.network(torch.flip(tiles, group)), group)
        if groups:
            answer /= len(groups) + 1
        return answer.contiguous()

    def _home_of_sums(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.device:
        """The GPU when image, sums and weights fill less than half of its free memory, else the host."""
        import torch

        if self.device.type != "cuda":
            return torch.device("cpu")
        needed = int(np.prod(shape)) * ((self.window.classes + 1) * dtype.itemsize + 4)
        return self.device if needed < free_bytes(self.device) / 2 else torch.device("cpu")

    def _first_batch(self) -> int:
        import torch

        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        return self.window.batch or 1

    def _batch_after_first(self) -> int:
        """The first tile has shown what one takes on a GPU; on a CPU one at a time is fastest."""
        import torch

        if self.device.type != "cuda":
            return 1
        one = max(torch.cuda.max_memory_allocated(self.device) - self._before, 1)
        return int(np.clip(0.7 * free_bytes(self.device) / one, 1, MAX_BATCH))


def _all_finite(logits: torch.Tensor) -> bool:
    """Class by class: the answer for all at once would take as much memory again as the logits."""
    import torch

    return all(bool(torch.isfinite(of_class).all()) for of_class in logits)
