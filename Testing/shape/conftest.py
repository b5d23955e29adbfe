"""A shape model of simple bodies: a thick bone with a cap on it, trained in seconds, with known surfaces."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

RADII_MM = np.array([34.0, 27.0, 30.0])
CENTRE_MM = np.array([12.0, -20.0, 45.0])
SPREAD = 0.12


@pytest.fixture(autouse=True)
def _one_thread():
    """The networks are small: more threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def body_surfaces(shape: tuple[float, float, float], spacing_mm: float = 1.2) -> tuple:
    """(bone, cartilage): an egg-like bone of these relative radii and a shell under its front, LPS mm."""
    from skimage.measure import marching_cubes

    half = np.array([48.0, 48.0, 48.0])
    axes = [np.arange(-h, h + spacing_mm, spacing_mm) for h in half]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radii = RADII_MM * (1 + SPREAD * np.asarray(shape))
    squeezed = 1 + 0.25 * x / radii[0]  # no mirror image is like it
    r = np.sqrt((x / radii[0]) ** 2 + (y * squeezed / radii[1]) ** 2 + (z / radii[2]) ** 2)
    bone = (r - 1) * radii.mean()
    shell = np.maximum(np.maximum(bone - 4.0, -bone), z + 0.2 * radii[2])
    meshes = []
    for field in (bone, shell):
        points, triangles, _, _ = marching_cubes(field, 0.0, spacing=(spacing_mm,) * 3)
        points = points - half + CENTRE_MM
        corners = points[triangles]
        volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
        meshes.append((points.astype(np.float32), (triangles if volume > 0 else triangles[:, ::-1]).astype(np.int32)))
    return tuple(meshes)


def mirrored(mesh: tuple) -> tuple:
    """A mesh on the other side of the body."""
    return mesh[0] * np.array([-1, 1, 1], np.float32), np.ascontiguousarray(mesh[1][:, ::-1])


def train_bodies(folder: Path, surfaces: int, *, steps: int = 400) -> Path:
    """A checkpoint of `body_surfaces`; one latent number at least for each of the three radii."""
    import torch
    from digital_femurs import train, training_points
    from published_network import configuration

    from KneePipelineLib.shape import prepare_femur

    mean = body_surfaces((0, 0, 0), 2.4)[0]
    points, distances = [], []
    rng = np.random.default_rng(5)
    for seed, shape in enumerate(rng.uniform(-1, 1, (12, 3))):
        bone, cartilage = body_surfaces(shape, 2.4)
        prepared = prepare_femur(bone, cartilage if surfaces == 2 else None, "right", mean, clip=False)
        found = training_points(prepared, seed, 4_000)
        points.append(found[0])
        distances.append(found[1])
    config = configuration(latent_size=8, conv_hidden_dims=[16] * 3, sdf_latent_size=12, sdf_hidden_dims=[32, 32],
                           objects_per_decoder=surfaces)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    network = train(np.stack(points), np.stack(distances), config, steps=steps, points_a_step=500, femurs_a_step=6)
    torch.set_num_threads(threads)
    return network.save(folder)


@pytest.fixture(scope="session")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of bone and cartilage."""
    return train_bodies(tmp_path_factory.mktemp("shape") / "bodies", 2)


@pytest.fixture(scope="session")
def bodies_bone_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of the bone alone."""
    return train_bodies(tmp_path_factory.mktemp("shape") / "bodies_bone_only", 1, steps=250)
