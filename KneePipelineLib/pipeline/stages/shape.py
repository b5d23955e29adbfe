"""ANALYSIS of the femur's shape: the fits that were asked for.

One fit may fail, or its model may be missing, and the other is still made; what was not made is said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from ...errors import CancelledError, GpuMemoryError, KneePipelineError, MemoryCriticalError, MissingFileError
from ...morphometry import read_prepared
from ...results.rules import RULES
from ...shape import FitOptions, ShapeFit, fit_femur, load_model, model_files, wanted_kinds, why_not
from ..context import StageContext
from ..cores import cores
from ..files import write_json

NAMES = ("femur", "fem_cart")
"""Structures of a model's surfaces, in their order."""


def fit(context: StageContext) -> dict:
    """Leave every fit's numbers (``shape.json``) and meshes (``shapes.npz``).

    Returns
    -------
    dict
        ``fits``: the kinds that were made.

    Raises
    ------
    KneePipelineError
        If none could be made.
    """
    prepared = read_prepared(context.folders["surfaces"])
    bone, cartilage = prepared.dense_bones["femur"], prepared.cartilage_surfaces.get(("femur", 0))
    kinds = wanted_kinds(context.options)
    fits: dict[str, dict] = {}
    meshes: dict[str, np.ndarray] = {}
    failures: list[KneePipelineError] = []
    for number, kind in enumerate(kinds):
        def progress(fraction: float, message: str, number: int = number) -> None:
            context.progress(0.97 * (number + fraction) / len(kinds), message)

        try:
            reason = why_not(kind, context.options, cartilage=cartilage is not None)
            if reason:
                raise MissingFileError(f"Not fitted: {reason}.")
            found, about = _fitted(context, kind, (bone, cartilage, prepared.side), progress)
        except (CancelledError, GpuMemoryError, MemoryCriticalError):
            raise  # not the model's fault; what to do about it is decided elsewhere
        except KneePipelineError as error:
            failures.append(error)
            if len(kinds) > 1:
                context.warn("NSM_NOT_FITTED", f"{error.message} {error.hint}".strip())
            continue
        vertices = {name: len(recon[0]) + len(original[0]) for name, recon, original in
                    zip(NAMES, found.reconstruction, found.femur.original, strict=False)}
        fits[kind.name] = {**found.to_dict(), **about, "vertices": vertices}
        _keep(meshes, kind.name, found)
        if not RULES["SHAPE_FIT_FAILED"].allows(found.distances[0].assd):
            context.warn("NSM_FAR_FROM_FEMUR", f"The reconstructed femur ({kind.title}) lies "
                         f"{found.distances[0].assd:.1f} mm from the original on average; its shape values and score "
                         "stand for little.")
    if not fits:
        raise failures[-1]
    write_json(context.out / "shape.json", {"fits": fits})
    with open(context.out / "shapes.npz", "wb") as file:
        np.savez(file, **meshes)
    return {"fits": list(fits)}


def _fitted(context: StageContext, kind: object, femur: tuple, progress: object) -> tuple[ShapeFit, dict]:
    from ...segmentation.device import choose_device

    options = context.options
    files = model_files(kind, options)
    model = load_model(files.config, files.state)
    device = choose_device("cpu" if context.force_cpu else options.device)[0]
    context.use_device(str(device))
    tuning = FitOptions.from_config(model.config, seed=options.seed)
    bone, cartilage, side = femur
    with _half_the_cores():
        found = fit_femur(model, bone, cartilage, side, options=tuning, clip=options.clip_femur_top, device=device,
                          progress=progress)
    return found, {"model": files.name or "own"}


@contextlib.contextmanager
def _half_the_cores() -> Iterator[None]:
    """Other branches run meanwhile. Always the same number: a sum shall be rounded alike, alone or beside them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, cores() // 2)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep(meshes: dict[str, np.ndarray], kind: str, found: ShapeFit) -> None:
    for which, surfaces in (("original", found.femur.original), ("recon", found.reconstruction)):
        for name, (points, triangles) in zip(NAMES, surfaces, strict=False):
            meshes[f"{kind}/{which}/{name}/points"] = points
            meshes[f"{kind}/{which}/{name}/triangles"] = triangles
    for name, distances in zip(NAMES, found.distances, strict=False):
        meshes[f"{kind}/recon/{name}/distance_mm"] = distances.at_vertices.astype(np.float32)
