"""What a latent is fitted to: the vertices of the surfaces and their signed distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from .decoder import Decoder, Sampling

Mesh = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """Points with the distance each surface should have there, in the model's coordinates.

    Attributes
    ----------
    points : (n, 3) float32
    distances : (n, surfaces) float32
        0 on a vertex's own surface, signed distance (negative inside) to the other.
    starts : tuple of int
        Where each surface's vertices begin in the list; one more at the end.
    """

    points: np.ndarray
    distances: np.ndarray
    starts: tuple[int, ...]


def surface_samples(surfaces: tuple[Mesh, ...]) -> SurfaceSamples:
    """Every vertex of every surface as a sample."""
    distances = []
    for own, (points, _) in enumerate(surfaces):
        columns = [np.zeros(len(points)) if other == own else signed_distance(points, mesh)
                   for other, mesh in enumerate(surfaces)]
        distances.append(np.stack(columns, 1))
    counts = [len(points) for points, _ in surfaces]
    return SurfaceSamples(np.concatenate([points for points, _ in surfaces]).astype(np.float32),
                          np.concatenate(distances).astype(np.float32),
                          tuple(int(n) for n in np.concatenate([[0], np.cumsum(counts)])))


def signed_distance(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Distance of points (n, 3) to a closed surface, negative inside (generalised winding number)."""
    import point_cloud_utils as pcu

    vertices, triangles = np.ascontiguousarray(mesh[0], np.float64), np.ascontiguousarray(mesh[1], np.int64)
    distance, _, _ = pcu.signed_distance_to_mesh(np.ascontiguousarray(points, np.float64), vertices, triangles)
    return np.asarray(distance, np.float64)


class Objective:
    """The fit's loss on one decoder: samples on its device, with everything that does not depend on the latent.

    The loss of a set of samples is the sum over the surfaces of the mean |clamped predicted - clamped given distance|;
    the vertices of each surface weigh as much as those of the other, however many there are.
    """

    def __init__(self, decoder: Decoder, samples: SurfaceSamples, clamp: float) -> None:
        import torch

        self.decoder, self.clamp = decoder, float(clamp)
        self.starts = samples.starts
        device, dtype = decoder.device, decoder.dtype
        self.sampling: Sampling = decoder.sampling(torch.as_tensor(samples.points).to(device, dtype))
        self.given = torch.as_tensor(samples.distances).to(device, dtype).clamp(-clamp, clamp)

    def drawn(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Indices of about ``count`` samples, as many from each surface, without repetition while there are enough."""
        import torch

        parts = []
        share = -(-count // (len(self.starts) - 1))
        for first, end in zip(self.starts, self.starts[1:], strict=False):
            size = end - first
            if share <= size:
                chosen = torch.randperm(size, generator=generator)[:share]
            else:
                chosen = torch.randint(size, (share,), generator=generator)
            parts.append(chosen + first)
        return torch.cat(parts).to(self.decoder.device)

    def subset(self, chosen: torch.Tensor) -> tuple[Sampling, torch.Tensor]:
        """Sampling and given distances of some samples."""
        return self.sampling[chosen], self.given[chosen]

    def fixed(self, chosen: torch.Tensor) -> tuple[Sampling, torch.Tensor]:
        """As `subset`, prepared for many evaluations."""
        return self.decoder.with_reverse(self.sampling[chosen]), self.given[chosen]

    def residuals(self, latent: torch.Tensor, sampling: Sampling, given: torch.Tensor) -> torch.Tensor:
        """Clamped predicted minus given distance, (n, surfaces); differentiable."""
        predicted = self.decoder.distances(self.decoder.table(latent), sampling)
        return predicted.clamp(-self.clamp, self.clamp) - given

    def full_loss(self, latent: torch.Tensor) -> float:
        """The loss on all samples."""
        import torch

        with torch.no_grad():
            table = self.decoder.table(latent)
            total = 0.0
            for first, end in zip(self.starts, self.starts[1:], strict=False):
                summed = 0.0
                for start in range(first, end, 32_768):
                    part = slice(start, min(start + 32_768, end))
                    predicted = self.decoder.distances(table, self.sampling[part]).clamp(-self.clamp, self.clamp)
                    summed += float((predicted - self.given[part]).abs().sum(dtype=torch.float64
                                    if table.device.type != "mps" else None))
                total += summed / (end - first)
        return total / (len(self.starts) - 1)
