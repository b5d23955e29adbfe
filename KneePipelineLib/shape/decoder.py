"""From a latent and points to signed distances: a plane network, three-plane sampling, and a small network on top.

The plane network turns the latent into feature planes; a point's features are read from three of them (xz, yz, xy) by
bilinear interpolation, and a few linear layers turn [features, x, y, z] into one signed distance a surface. In a fit
the points stay while the latent changes, so where and how a point reads the planes is computed once (`Sampling`).

Which channels belong to which plane follows the software that trains these models, not their description: plane number
n is the slice of ``sdf_latent_size`` channels that begins at n times that number. Where the planes' features are added,
there are three times as many channels and the slices are the three thirds. Where they are put side by side instead
(``sum_conv_output_features`` false), there are ``sdf_latent_size`` channels in all: the first plane's slice takes them
all, those of the other two are empty. Such a network in effect has a single plane (xz) with all the features, and was
trained so; reading thirds of it, as the description suggests, gives other distances than its authors'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PADDING = 0.1
"""Margin of the planes around [-1, 1]; a point is divided by 1 + PADDING + 1e-5 before it is looked up."""
PLANE_AXES = ((0, 2), (1, 2), (0, 1))
"""Coordinates (along the columns, along the rows) of the planes xz, yz, xy, in the order of the channels."""
POINTS_AT_ONCE = 65_536
SINE_FREQUENCY = 30.0


@dataclass(frozen=True)
class PlaneBlock:
    """One step of the plane network: transposed convolution, then perhaps a normalisation, then perhaps LeakyReLU."""

    weight: torch.Tensor
    bias: torch.Tensor
    norm: str = ""
    norm_tensors: dict = field(default_factory=dict)
    activated: bool = False


@dataclass(frozen=True)
class Reverse:
    """The same relation seen from the planes: which readings, with which weights, each row of the table goes into.

    ``readings`` and ``weights`` are sorted by row; ``starts`` (rows) says where each row's begin.
    """

    readings: torch.Tensor
    weights: torch.Tensor
    starts: torch.Tensor


@dataclass(frozen=True)
class Sampling:
    """How n points read the planes: cells and weights of four corners in each plane, of three planes or of one.

    Attributes
    ----------
    cells : (n, 12) or (n, 4) int64
        Row of the plane table, (plane, row, column) flattened.
    weights : (n, 12) or (n, 4) float
    points : (n, 3) float
        The points themselves, in the model's coordinates.
    reverse : Reverse or None
        See `Decoder.with_reverse`.
    """

    cells: torch.Tensor
    weights: torch.Tensor
    points: torch.Tensor
    reverse: Reverse | None = None

    def __getitem__(self, chosen: torch.Tensor) -> Sampling:
        return Sampling(self.cells[chosen], self.weights[chosen], self.points[chosen])

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Decoder:
    """The network of one checkpoint, frozen, on one device.

    Attributes
    ----------
    latent_size, n_objects : int
        Length of the latent; number of surfaces (bone first, cartilage second).
    start : (weight, bias) or None
        Linear layer from the latent to the first, smallest image; None: the latent is that image.
    start_shape : (channels, rows, columns)
        Of the first image.
    blocks : tuple of PlaneBlock
    planes_out : (weight, bias)
        The last convolution of the plane network, followed by tanh.
    linear : tuple of (weight, bias)
        Layers of the network that gives the distances; the last is followed by tanh.
    summed : bool
        Whether the features of three planes are added; else there is one plane with all of them, see above.
    activation : str
        ``relu`` or ``sin`` between the linear layers.
    """

    latent_size: int
    n_objects: int
    start: tuple | None
    start_shape: tuple[int, int, int]
    blocks: tuple[PlaneBlock, ...]
    planes_out: tuple
    linear: tuple
    summed: bool
    activation: str

    @property
    def device(self) -> torch.device:
        return self.linear[0][0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.linear[0][0].dtype

    @property
    def plane_axes(self) -> tuple[tuple[int, int], ...]:
        """Those of `PLANE_AXES` whose planes have features."""
        return PLANE_AXES if self.summed else PLANE_AXES[:1]

    @property
    def plane_size(self) -> int:
        """Rows (= columns) of a feature plane."""
        return self.start_shape[1] * 2 ** len(self.blocks)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Decoder:
        """The same network on another device or in another precision."""
        from dataclasses import replace

        def moved(value: object) -> object:
            if isinstance(value, (tuple, list)):
                return tuple(moved(v) for v in value)
            return None if value is None else value.to(device=device, dtype=dtype)

        blocks = tuple(replace(b, weight=moved(b.weight), bias=moved(b.bias),
                               norm_tensors={k: moved(v) for k, v in b.norm_tensors.items()}) for b in self.blocks)
        return replace(self, start=moved(self.start), blocks=blocks, planes_out=moved(self.planes_out),
                       linear=moved(self.linear))

    def planes(self, latent: torch.Tensor) -> torch.Tensor:
        """Feature planes (channels, rows, columns) of one latent (latent_size,); differentiable."""
        import torch
        import torch.nn.functional as f

        image = latent[None] if self.start is None else f.linear(latent[None], *self.start)
        image = image.reshape(1, *self.start_shape)
        for block in self.blocks:
            image = f.conv_transpose2d(image, block.weight, block.bias, stride=2, padding=1, output_padding=1)
            image = _normalised(image, block)
            if block.activated:
                image = f.leaky_relu(image)
        return torch.tanh(f.conv2d(image, *self.planes_out, padding=1))[0]

    def table(self, latent: torch.Tensor) -> torch.Tensor:
        """The planes as one table (planes x rows x columns, features of a plane), the form that sampling reads."""
        planes, count = self.planes(latent), len(self.plane_axes)
        features = planes.shape[0] // count
        return planes.reshape(count, features, -1).transpose(1, 2).reshape(-1, features)

    def sampling(self, points: torch.Tensor) -> Sampling:
        """Where points (n, 3), in the model's coordinates, read the planes."""
        import torch

        size = self.plane_size
        place = (points / (1 + PADDING + 10e-6)).clamp(-1, 1)
        place = ((place + 1) / 2 * (size - 1)).clamp(0, size - 1)
        low = place.floor().clamp(max=size - 2)
        part, low = place - low, low.long()
        cells, weights = [], []
        for plane, (across, down) in enumerate(self.plane_axes):
            for right in (0, 1):
                for below in (0, 1):
                    row, column = low[:, down] + below, low[:, across] + right
                    cells.append((plane * size + row) * size + column)
                    weights.append((part[:, across] if right else 1 - part[:, across])
                                   * (part[:, down] if below else 1 - part[:, down]))
        return Sampling(torch.stack(cells, 1), torch.stack(weights, 1).to(points.dtype), points)

    def with_reverse(self, sampling: Sampling) -> Sampling:
        """The sampling with its reverse, which repays its making when gradients are taken more than a few times.

        The gradient with respect to the planes then is a weighted sum a row, like the reading itself: several times
        faster than scattering into the planes, and in one order, hence the same every time on every device.
        """
        import torch

        if self.device.type == "mps":
            return sampling
        corners = sampling.cells.shape[1]
        cells, order = sampling.cells.flatten().sort(stable=True)
        rows = len(self.plane_axes) * self.plane_size**2
        starts = torch.searchsorted(cells, torch.arange(rows, device=cells.device))
        reverse = Reverse(order // corners, sampling.weights.flatten()[order], starts)
        return Sampling(sampling.cells, sampling.weights, sampling.points, reverse)

    def distances(self, table: torch.Tensor, sampling: Sampling) -> torch.Tensor:
        """Signed distances (n, n_objects) in the model's units, in (-1, 1); differentiable in the table."""
        import torch
        import torch.nn.functional as f

        values = torch.cat([_features(table, sampling), sampling.points], dim=1)
        for weight, bias in self.linear[:-1]:
            values = f.linear(values, weight, bias)
            values = torch.sin(SINE_FREQUENCY * values) if self.activation == "sin" else torch.relu(values)
        return torch.tanh(f.linear(values, *self.linear[-1]))

    def __call__(self, latent: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Signed distances (n, n_objects) at points (n, 3), without gradient, in portions."""
        import torch

        with torch.no_grad():
            table = self.table(latent)
            parts = [self.distances(table, self.sampling(part)) for part in points.split(POINTS_AT_ONCE)]
        return torch.cat(parts) if parts else points.new_zeros(0, self.n_objects)


def _normalised(image: torch.Tensor, block: PlaneBlock) -> torch.Tensor:
    import torch.nn.functional as f

    tensors = block.norm_tensors
    if block.norm == "layer":
        return f.layer_norm(image, tensors["weight"].shape, tensors["weight"], tensors["bias"])
    if block.norm == "batch":
        return f.batch_norm(image, tensors["running_mean"], tensors["running_var"], tensors["weight"], tensors["bias"])
    return image


def _features(table: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Features of the points, (n, features): weighted sums over all corners."""
    if table.device.type == "mps":  # embedding_bag is not everywhere complete there
        count, corners = sampling.cells.shape
        read = table.index_select(0, sampling.cells.flatten()).view(count, corners, table.shape[1])
        return (read * sampling.weights[..., None]).sum(1)
    if sampling.reverse is None or not table.requires_grad:
        return _read(table, sampling.cells, sampling.weights)
    return _reading().apply(table, sampling.cells, sampling.weights, sampling.reverse)


def _read(table: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sums of rows of a table: (readings, corners) -> (readings, features)."""
    import torch.nn.functional as f

    return f.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)


@cache
def _reading() -> type:
    """Reading the planes with a gradient that is a reading too (a class made late: torch is not imported early)."""
    import torch
    import torch.nn.functional as f

    class Reading(torch.autograd.Function):
        @staticmethod
        def forward(context: object, table: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor,
                    reverse: Reverse) -> torch.Tensor:
            context.reverse = reverse
            return _read(table, rows, weights)

        @staticmethod
        def backward(context: object, gradient: torch.Tensor) -> tuple:
            reverse = context.reverse
            back = f.embedding_bag(reverse.readings, gradient.contiguous(), reverse.starts, mode="sum",
                                   per_sample_weights=reverse.weights)
            return back, None, None, None

    return Reading
