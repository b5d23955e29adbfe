"""The cases of `bundled_network.py`: each function makes one case, has `run` segment it and returns what was found.

Every function is a job for a process of its own: it takes and returns plain values only. Nothing is measured beside the
product: labels, thickness and pieces are those of the run's own files (`product`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import product  # it also makes the package importable

from KneePipelineLib.imaging import read_image, read_labels
from KneePipelineLib.imaging.labels import BONE_CARTILAGES, BONES, BY_VALUE, REGIONS
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.phantom import DigitalKnee, Grid

REPOSITORY = product.REPOSITORY
CONTRASTS = ("dess", "t1", "pd_fs")
GROUPS = {"bones": (1, 2, 3), "cartilage": (4, 5, 6, 7), "menisci": (8, 9)}
DIGITAL_GRID = ((256, 256, 140), (0.55, 0.55, 0.8))
MAP_SPACING_MM = 0.7
NEAR_MM = 5.0


def segmented(image: Volume | Path, weights: str | None, *, steps: tuple[str, ...] = product.SEGMENTATION,
              threads: int = 1, watch: bool = False):
    """`product.measured` with the bundled network; ``weights`` None takes those that ship."""
    return product.measured(image, model="bundled", weights=None if weights is None else Path(weights), steps=steps,
                            threads=threads, watch=watch)


def digital_knee(seed: int, contrasts: tuple[str, ...], weights: str | None, measure: bool, pictures: str | None,
                 threads: int = 1) -> dict:
    """One digital knee in several contrasts: Dice of every structure and, from the first contrast, thickness.

    Returns
    -------
    dict
        ``seed``, ``side``, ``dice`` (contrast -> structure -> Dice), ``thickness`` (region -> [measured, true] in mm).
    """
    side = ("right", "left")[seed % 2]
    knee = DigitalKnee(seed=seed, side=side)
    grid = Grid.sagittal(*DIGITAL_GRID)
    truth, dice, thickness = knee.labels(grid), {}, {}
    for contrast in contrasts:
        image, whole = knee.image(grid, contrast), measure and contrast == contrasts[0]
        with segmented(image, weights, steps=() if whole else product.SEGMENTATION, threads=threads) as run:
            found = run.labels
            dice[contrast] = dice_of(found.array, truth.array)
            if whole:
                thickness = thickness_of(run.results, knee)
        if pictures is not None:
            from bundled_pictures import montage

            montage(image, found, Path(pictures) / f"digital_{seed}_{contrast}.png",
                    f"Digital knee {seed}, {contrast}", truth)
    return {"seed": seed, "side": side, "dice": dice, "thickness": thickness}


def dice_of(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Structure -> Dice, of those that the truth has."""
    values = [v for group in GROUPS.values() for v in group]
    table = {}
    for value in values:
        a, b = found == value, true == value
        if b.any():
            table[BY_VALUE[value].name] = float(2 * np.count_nonzero(a & b)
                                                / (np.count_nonzero(a) + np.count_nonzero(b)))
    return table


def thickness_of(results: dict, knee: DigitalKnee) -> dict[str, list[float | None]]:
    """Region -> mean thickness in results.json (None where none was found) and true, mm."""
    regions, truth = results["regions"], knee.truth()
    return {region: [regions.get(region, {}).get("measures", {}).get("mm_mean"), float(truth[region]["mm_mean"])]
            for region in REGIONS}


def real_map(path: str, contrast: str, seed: int, weights: str | None, threads: int = 1) -> dict:
    """A synthetic image of a real label map as it is (not deformed), by the trainer's painter and scanner."""
    import torch

    from KneePipelineLib.segmentation.bundled import acquisition, painting

    labels = _thinned(_canonical(path))
    generator = torch.Generator().manual_seed(900_000 + seed)
    known = torch.from_numpy(np.ascontiguousarray(labels.array).astype(np.uint8))
    tissue = painting.dress(known, torch.from_numpy(_depth_mm(labels)), generator)
    image = acquisition.acquire(painting.paint(tissue, contrast, generator), MAP_SPACING_MM, generator)
    with segmented(labels.with_array(image.numpy()), weights, threads=threads) as run:
        return {"map": Path(path).stem, "contrast": contrast, "dice": dice_of(run.labels.array, labels.array)}


def _canonical(path: str) -> Volume:
    from KneePipelineLib.morphometry import canonical_labels

    return canonical_labels(read_labels(path)).reoriented("PIR")


def _thinned(labels: Volume) -> Volume:
    """Every n-th voxel, so that voxels are about MAP_SPACING_MM wide."""
    steps = [max(1, round(MAP_SPACING_MM / s)) for s in labels.spacing]
    array = labels.array[:: steps[2], :: steps[1], :: steps[0]]
    return Volume(np.ascontiguousarray(array), labels.spacing * steps, labels.origin, labels.direction)


def _depth_mm(labels: Volume) -> np.ndarray:
    from scipy import ndimage

    outside = (labels.array == 0) | (labels.array > 10)
    return ndimage.distance_transform_edt(outside, sampling=labels.spacing[::-1]).astype(np.float32)


def real_series(folder: str, weights: str | None, pictures: str | None, threads: int = 1) -> dict:
    """The multi-echo series, as a DICOM folder: volumes, pieces, and cartilage's distance to its bone.

    Returns
    -------
    dict
        ``volume_ml`` (structure -> ml), ``largest_piece`` (bone -> share of the network's voxels that the cleaning
        kept, as results.json says it), ``near_bone`` (cartilage -> share within NEAR_MM of its bone).
    """
    from scipy import ndimage

    with segmented(Path(folder), weights, threads=threads) as run:
        labels, structures = run.labels, run.results["confidence"]["structures"]
    array, spacing = labels.array, labels.spacing[::-1]
    volume = {BY_VALUE[value].name: float(np.count_nonzero(array == value) * np.prod(spacing) / 1000)
              for value in range(1, 10)}
    largest = {BY_VALUE[bone].name: structures[BY_VALUE[bone].name]["kept_share"] for bone in BONES
               if BY_VALUE[bone].name in structures}
    near = {}
    for bone, cartilages in BONE_CARTILAGES.items():
        if not (array == bone).any():
            continue
        distance = ndimage.distance_transform_edt(array != bone, sampling=spacing)
        for value in cartilages:
            mask = array == value
            if mask.any():
                near[BY_VALUE[value].name] = float(np.mean(distance[mask] <= NEAR_MM))
    if pictures is not None:
        from bundled_pictures import montage

        image = read_image(folder, echo="rss")
        montage(image, labels, Path(pictures) / "real_series.png", "Real multi-echo series, echoes combined")
    return {"volume_ml": volume, "largest_piece": largest, "near_bone": near}


def whole_knee(weights: str | None, threads: int) -> dict:
    """Seconds and GiB of the segmentation of 384 x 384 x 160 voxels within a whole run, and of the run itself."""
    image = DigitalKnee(seed=1).image(Grid.sagittal())
    with segmented(image, weights, steps=(), threads=threads, watch=True) as run:
        step = run.step("segmentation")
        return {"seconds": step["seconds"], "cpu_seconds": step["cpu_seconds"], "gib": step["peak_memory_mib"] / 1024,
                "run_seconds": run.seconds, "run_gib": run.peak_bytes / 2**30, "threads": threads,
                "size": list(image.size), "stages": [stage["configuration"] for stage
                                                     in run.results["run"]["model"]["stages"]]}
