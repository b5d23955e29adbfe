"""One femur, one model: prepared, fitted, reconstructed, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeModelError
from .distances import SurfaceDistances, surface_distances
from .femur import Mesh, PreparedFemur, prepare_femur
from .fitting import FitOptions, LatentFit, Progress, fit_latent
from .reconstruction import FINE_CELLS, mean_surface, reconstruct
from .samples import Objective, surface_samples

if TYPE_CHECKING:
    import torch

    from .checkpoint import ShapeModel

SURFACES = ("bone", "cartilage")


@dataclass(frozen=True, eq=False)
class ShapeFit:
    """A femur as the shape model sees it.

    Attributes
    ----------
    femur : PreparedFemur
        What was fitted, and the way into the model's coordinates.
    fit : LatentFit
    reconstruction : tuple of Mesh
        The fitted shape in LPS mm: bone and, with such a model, cartilage.
    distances : tuple of SurfaceDistances
        Of each reconstructed surface from the original, mm.
    options : FitOptions
    """

    femur: PreparedFemur
    fit: LatentFit
    reconstruction: tuple[Mesh, ...]
    distances: tuple[SurfaceDistances, ...]
    options: FitOptions

    def to_dict(self) -> dict[str, Any]:
        """What ``NSM_recon_params.json`` holds, under the names that existing scripts read, and more.

        ``icp_transform``, ``center`` and ``scale`` lead from LPS mm (mirrored about x = ``mirror_x_mm`` if
        ``mirrored``) to the model's coordinates: (icp_transform p - center) / scale.
        """
        femur, fit = self.femur, self.fit
        record: dict[str, Any] = {
            "latent": np.asarray(fit.latent).tolist(), "icp_transform": femur.icp_transform.tolist(),
            "center": femur.center.tolist(), "scale": femur.scale,
        }
        for name, found in zip(SURFACES, self.distances, strict=False):
            record[f"assd_{name}_mm"] = round(found.assd, 4)
            record[f"hausdorff95_{name}_mm"] = round(found.hausdorff95, 4)
        return record | {
            "mirrored": femur.mirrored, "mirror_x_mm": femur.mirror_x_mm, "loss": fit.loss,
            "method": self.options.method, "seed": self.options.seed, "steps": fit.steps,
            "evaluations": fit.evaluations,
        }


def fit_femur(model: ShapeModel, bone: Mesh, cartilage: Mesh | None, side: str, *, options: FitOptions | None = None,
              clip: bool = True, device: torch.device | str = "cpu", cells: int = FINE_CELLS,
              progress: Progress | None = None) -> ShapeFit:
    """Fit a shape model to a femur.

    Parameters
    ----------
    model : ShapeModel
        With one surface (bone) or two (bone, cartilage).
    bone, cartilage : Mesh
        Dense femur and femoral cartilage, (points (n, 3), triangles (m, 3)), LPS mm; the cartilage is not looked at
        by a bone-only model.
    side : {"right", "left"}
    options : FitOptions, optional
        By default what the model's configuration asks for, with the fast method.
    clip : bool
        Whether the shaft is cut (`femur.clip_shaft`).
    device : torch.device or str
    cells : int
        Of the grid the reconstruction is made on.
    progress : callable, optional
        Told (fraction, sentence); whatever it raises ends the work.

    Raises
    ------
    ShapeModelError
        If the femur cannot be fitted.
    """
    def told(first: float, last: float) -> Progress:
        return lambda fraction, message: progress(first + (last - first) * fraction, message) if progress else None

    count = model.decoder.n_objects
    if count not in (1, 2) or (count == 2 and cartilage is None):
        raise ShapeModelError("This shape model needs femoral cartilage, and there is none."
                              if count == 2 else f"This shape model has {count} surfaces; bone and cartilage are two.",
                              "Use the bone-only model.")
    options = options or FitOptions.from_config(model.config)
    decoder = model.decoder.to(device)
    told(0.0, 1.0)(0.01, "Preparing the femur for the shape model")
    femur = prepare_femur(bone, cartilage if count == 2 else None, side, mean_surface(decoder), clip=clip)
    told(0.0, 1.0)(0.08, "Measuring distances for the shape model")
    objective = Objective(decoder, surface_samples(femur.surfaces), options.clamp)
    fit = fit_latent(objective, options, progress=told(0.12, 0.85))
    told(0.0, 1.0)(0.86, "Reconstructing the femur")
    shapes = tuple(femur.to_original(mesh) for mesh in reconstruct(decoder, fit.latent, cells))
    told(0.0, 1.0)(0.96, "Comparing reconstruction and femur")
    distances = tuple(surface_distances(*pair) for pair in zip(shapes, femur.original, strict=True))
    return ShapeFit(femur, fit, shapes, distances, options)
