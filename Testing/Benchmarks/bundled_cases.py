"""The cases of `bundled_network.py`: each function makes one case, has it segmented and returns what was found.

Every function is a job for a process of its own: it takes and returns plain values only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from KneePipelineLib.imaging import read_image, read_labels
from KneePipelineLib.imaging.labels import BONE_CARTILAGES, BONES, BY_VALUE, REGIONS
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.segmentation import SegmentationOptions, segment

REPOSITORY = Path(__file__).resolve().parents[2]
CONTRASTS = ("dess", "t1", "pd_fs")
GROUPS = {"bones": (1, 2, 3), "cartilage": (4, 5, 6, 7), "menisci": (8, 9)}
DIGITAL_GRID = ((256, 256, 140), (0.55, 0.55, 0.8))
MAP_SPACING_MM = 0.7
NEAR_MM = 5.0


def use_threads(count: int) -> None:
    """Torch's threads in this process."""
    import torch

    torch.set_num_threads(count)


def digital_knee(seed: int, contrasts: tuple[str, ...], weights: str, measure: bool, pictures: str | None) -> dict:
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
        image = knee.image(grid, contrast)
        found = segment(image, "bundled", weights=Path(weights), device="cpu")
        dice[contrast] = dice_of(found.labels.array, truth.array)
        if measure and contrast == contrasts[0]:
            thickness = thickness_of(found.labels, knee)
        if pictures is not None:
            from bundled_pictures import montage

            montage(image, found.labels, Path(pictures) / f"digital_{seed}_{contrast}.png",
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


def thickness_of(labels: Volume, knee: DigitalKnee) -> dict[str, list[float | None]]:
    """Region -> mean thickness measured from the labels (None where none was found) and true, mm."""
    from KneePipelineLib.errors import KneePipelineError
    from KneePipelineLib.morphometry import measure_knee

    try:
        regions = measure_knee(labels, side=knee.side).regions
    except KneePipelineError:
        regions = {}
    truth = knee.truth()
    found = {region: regions.get(region, {}).get("mm_mean") for region in REGIONS}
    return {region: [None if v is None or not np.isfinite(v) else float(v), float(truth[region]["mm_mean"])]
            for region, v in found.items()}


def real_map(path: str, contrast: str, seed: int, weights: str) -> dict:
    """A synthetic image of a real label map as it is (not deformed), by the trainer's painter and scanner."""
    import torch

    from KneePipelineLib.segmentation.bundled import acquisition, painting

    labels = _thinned(_canonical(path))
    generator = torch.Generator().manual_seed(900_000 + seed)
    known = torch.from_numpy(np.ascontiguousarray(labels.array).astype(np.uint8))
    tissue = painting.dress(known, torch.from_numpy(_depth_mm(labels)), generator)
    image = acquisition.acquire(painting.paint(tissue, contrast, generator), MAP_SPACING_MM, generator)
    found = segment(labels.with_array(image.numpy()), "bundled", weights=Path(weights), device="cpu")
    return {"map": Path(path).stem, "contrast": contrast, "dice": dice_of(found.labels.array, labels.array)}


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


def real_series(folder: str, weights: str, pictures: str | None) -> dict:
    """The multi-echo series, echoes combined: volumes, pieces and cartilage's distance to its bone, before any filter.

    Returns
    -------
    dict
        ``volume_ml`` and ``largest_piece`` (structure -> ml, share of its voxels), ``near_bone`` (cartilage -> share
        within NEAR_MM of its bone).
    """
    from scipy import ndimage

    image = read_image(folder, echo="rss")
    found = segment(image, "bundled", weights=Path(weights), device="cpu",
                    options=SegmentationOptions(postprocess=False))
    array, spacing = found.labels.array, found.labels.spacing[::-1]
    volume, largest, near = {}, {}, {}
    for value in range(1, 10):
        mask, name = array == value, BY_VALUE[value].name
        count = np.count_nonzero(mask)
        volume[name] = count * found.labels.voxel_volume_mm3 / 1000
        if count and value in BONES:
            pieces = ndimage.label(mask, np.ones((3, 3, 3)))[0]
            largest[name] = float(np.bincount(pieces.ravel())[1:].max() / count)
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

        montage(image, found.labels, Path(pictures) / "real_series.png", "Real multi-echo series, echoes combined")
    return {"volume_ml": volume, "largest_piece": largest, "near_bone": near}


def whole_knee(weights: str, threads: int) -> dict:
    """Seconds and GiB to segment 384 x 384 x 160 voxels in a process of its own."""
    done = subprocess.run([sys.executable, str(Path(__file__).resolve()), weights, str(threads)], check=True, text=True,
                          capture_output=True)
    return json.loads(done.stdout.splitlines()[-1])


def _time_one(weights: str, threads: int) -> None:
    import resource

    import torch

    torch.set_num_threads(threads)
    image = DigitalKnee(seed=1).image(Grid.sagittal())
    before_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start, cpu = time.perf_counter(), time.process_time()
    found = segment(image, "bundled", weights=Path(weights), device="cpu")
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu,
                      "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "gib_before": before_gib,
                      "threads": threads, "size": list(image.size), "model": found.model}))


if __name__ == "__main__":
    _time_one(sys.argv[1], int(sys.argv[2]))
