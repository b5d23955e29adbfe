"""How long and how much memory the room `segmentation` takes by itself: ours against stock nnU-Net, planar networks.

Not a run: tiles and precision can be set here, and nothing before reading the image or after writing the labels is
counted. How good labels are is measured elsewhere, through `run` (`bundled_network.py`).

    python Testing/Benchmarks/segmentation_speed.py nnunet                  # 384 x 384 x 160, about 102 M parameters
    python Testing/Benchmarks/segmentation_speed.py nnunet --step 1         # in a third of the time, fewer tiles
    python Testing/Benchmarks/segmentation_speed.py nnunet --size 192 192 80  # sooner; extrapolated tile by tile
    python Testing/Benchmarks/segmentation_speed.py memory                  # 512 x 512 x 200 in how many GiB
    python Testing/Benchmarks/segmentation_speed.py planar                  # 160 slices of 384 x 384, 27 M parameters

Weights are random: time and memory do not depend on them. Both sides of ``nnunet`` get the same image file, checkpoint,
fold, step size and threads, and run in a process of their own; memory is the peak of the proportional set size (PSS)
summed over the process and its children. "Start-up" is imports and loading the model; "work" is everything else from
reading the image to the written labels, "network" the tiles, "around" the work without them.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import product

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "segmentation")]

PUBLISHED_SIZE = (384, 384, 160)
PATCH = (80, 192, 160)
SPACING_MM = (0.36, 0.36, 0.7)
CONFIGURATION = "3d_fullres"
PLANS_NAME = "nnUNetResEncUNetMPlans"
PLANAR_WIDTHS = (39, 78, 156, 312, 624, 1248)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("nnunet", "memory", "planar", "_stock", "_ours"))
    parser.add_argument("--size", type=int, nargs=3, help="columns, rows, slices of a sagittal volume")
    parser.add_argument("--patch", type=int, nargs=3, default=PATCH)
    parser.add_argument("--spacing", type=float, nargs=3, default=SPACING_MM, help="of the image; the plans' is fixed")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--step", type=float, default=0.5, help="of the tiles, on both sides; 1 has the fewest tiles")
    parser.add_argument("--slices", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tiles", type=int, default=2, help="memory: tiles really computed")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    {"nnunet": compare, "memory": measure_memory, "planar": time_planar, "_stock": run_stock, "_ours": run_ours}[
        options.what](options)


# --- the model and the image ----------------------------------------------------------------------------------------

def prepare(root: Path, size: tuple[int, ...], spacing: tuple[float, ...], patch: tuple[int, ...]) -> None:
    """A results folder of the published size with random weights, and an image file."""
    import numpy as np
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from tiny_nnunet import dataset_json, plans_json

    from KneePipelineLib.imaging import write_volume
    from KneePipelineLib.imaging.volume import Volume

    plans = plans_json("resenc", spacing=SPACING_MM[::-1], patch=patch)
    plans["plans_name"] = PLANS_NAME
    network = plans["configurations"][CONFIGURATION]["architecture"]
    network["arch_kwargs"].update(
        n_stages=6, features_per_stage=[32, 64, 128, 256, 320, 320], n_blocks_per_stage=[1, 3, 4, 6, 6, 6],
        n_conv_per_stage_decoder=[1] * 5, kernel_sizes=[[1, 3, 3]] + [[3, 3, 3]] * 5,
        strides=[[1, 1, 1], [1, 2, 2]] + [[2, 2, 2]] * 4)
    torch.manual_seed(0)
    model = get_network_from_plans(network["network_class_name"], network["arch_kwargs"],
                                   network["_kw_requires_import"], 1, 10, True, False)
    folder = root / "results" / plans["dataset_name"] / f"nnUNetTrainer__{PLANS_NAME}__{CONFIGURATION}"
    (folder / "fold_0").mkdir(parents=True)
    momentum = {"state": {n: {"momentum_buffer": p.detach().clone()} for n, p in enumerate(model.parameters())}}
    torch.save({"network_weights": model.state_dict(), "optimizer_state": momentum, "grad_scaler_state": None,
                "logging": {}, "_best_ema": 0.9, "current_epoch": 1000, "trainer_name": "nnUNetTrainer",
                "init_args": {"configuration": CONFIGURATION}, "inference_allowed_mirroring_axes": (0, 1, 2)},
               folder / "fold_0" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json()))
    print(f"network: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, tile {tuple(patch)}")
    (root / "in").mkdir()
    noise = np.random.default_rng(0).normal(300, 60, size[::-1]).astype(np.float32)
    direction = [[0, 0, -1], [1, 0, 0], [0, -1, 0]]
    write_volume(Volume(noise, spacing, direction=direction), root / "in" / "knee_0000.nii.gz")


# --- the two sides, each in its own process -------------------------------------------------------------------------

def run_stock(options: argparse.Namespace) -> None:
    """``nnUNetv2_predict`` itself, with a clock around what it calls after loading its model."""
    root = options.root
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ[name] = str(root / "results")
    from nnunetv2.inference import predict_from_raw_data as stock

    spent = {}

    def timed(name: str) -> None:
        inner = getattr(stock.nnUNetPredictor, name)

        @functools.wraps(inner)
        def outer(*args, **kwargs):
            start = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                spent[name] = time.perf_counter() - start

        setattr(stock.nnUNetPredictor, name, outer)

    timed("predict_from_files")
    timed("predict_logits_from_preprocessed_data")
    sys.argv = ["nnUNetv2_predict", "-i", str(root / "in"), "-o", str(root / "stock"), "-d", "500", "-p", PLANS_NAME,
                "-c", CONFIGURATION, "-f", "0", "--disable_tta", "-step_size", str(options.step),
                "-device", options.device, "--disable_progress_bar"]
    stock.predict_entry_point()
    (root / "stock.json").write_text(json.dumps({
        "work": spent["predict_from_files"], "network": spent["predict_logits_from_preprocessed_data"]}))


def run_ours(options: argparse.Namespace) -> None:
    """Reading, `predict_fullres` and writing."""
    import importlib

    import torch

    from KneePipelineLib.imaging import read_image, write_volume
    from KneePipelineLib.segmentation.device import choose_device
    from KneePipelineLib.segmentation.nnunet import predict_fullres
    from KneePipelineLib.segmentation.types import SegmentationOptions

    for module in ("inference.sliding_window_prediction", "utilities.plans_handling.plans_handler"):
        importlib.import_module(f"nnunetv2.{module}")  # imports are start-up, on both sides
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    image = read_image(options.root / "in" / "knee_0000.nii.gz")
    answer = predict_fullres(image, options.root / "results", device=choose_device(options.device)[0],
                             options=SegmentationOptions(precision=options.precision, tile_step=options.step))
    write_volume(answer.labels, options.root / "ours.nii.gz")
    facts = answer.facts
    (options.root / "ours.json").write_text(json.dumps({
        "work": time.perf_counter() - start - facts["seconds_loading"], "network": facts["seconds_network"],
        "tiles": facts["tiles"],
        "facts": facts}))


def compare(options: argparse.Namespace) -> None:
    """Print times, ratios, memories and the agreement of both sides."""
    size = tuple(options.size or PUBLISHED_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(root, size, tuple(options.spacing), tuple(options.patch))
        print(f"image {size}, spacing {tuple(options.spacing)} mm, {options.threads} threads, {options.device}, "
              f"tile step {options.step}, load average {os.getloadavg()[0]:.1f}")
        best = {}
        for _ in range(options.repeats):
            for side in ("ours", "stock"):
                result = _run_side(side, root, options)
                if side not in best or result["work"] < best[side]["work"]:
                    best[side] = result
        ours, stock = best["ours"], best["stock"]
        tiles = ours["tiles"]
        print(f"{tiles} tiles")
        print(f"{'':10s}{'total s':>10s}{'work s':>10s}{'network s':>11s}{'around s':>10s}{'peak GiB':>10s}")
        for name, side in (("stock", stock), ("ours", ours)):
            around = side["work"] - side["network"]
            print(f"{name:10s}{side['total']:10.1f}{side['work']:10.1f}{side['network']:11.1f}{around:10.1f}"
                  f"{side['peak'] / 2**30:10.2f}")
        print(f"times faster: {stock['work'] / ours['work']:.2f} (start-up excluded), "
              f"{stock['total'] / ours['total']:.2f} (included), network {stock['network'] / ours['network']:.2f}")
        print(f"peak memory: {100 * ours['peak'] / stock['peak']:.0f} % of stock")
        print(f"smallest Dice of any label: {_least_dice(root):.5f} (precision {ours['facts']['precision']})")
        if size != PUBLISHED_SIZE:
            _extrapolate(size, tiles, tuple(options.patch), options.step, stock, ours)


def _run_side(side: str, root: Path, options: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, f"_{side}", "--root", str(root), "--threads", str(options.threads),
               "--device", options.device, "--precision", options.precision, "--step", str(options.step)]
    start = time.perf_counter()
    with open(root / f"{side}.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        watch = product.MemoryWatch(process.pid)
        code = process.wait()
    total = time.perf_counter() - start
    peak = watch.stop()
    if code:
        raise SystemExit(f"the {side} side failed:\n" + (root / f"{side}.log").read_text()[-3000:])
    return {**json.loads((root / f"{side}.json").read_text()), "total": total, "peak": peak}


def _least_dice(root: Path) -> float:
    import numpy as np

    from KneePipelineLib.imaging import read_labels
    from KneePipelineLib.imaging.labels import NATIVE_TO_CANONICAL, remap_labels

    ours = read_labels(root / "ours.nii.gz").array
    stock = remap_labels(read_labels(root / "stock" / "knee.nii.gz").array, NATIVE_TO_CANONICAL)
    values = (set(np.unique(ours)) | set(np.unique(stock))) - {0}
    return min(2 * np.sum((ours == v) & (stock == v)) / (np.sum(ours == v) + np.sum(stock == v)) for v in values)


def _extrapolate(size: tuple, tiles: int, patch: tuple, step: float, stock: dict, ours: dict) -> None:
    from KneePipelineLib.segmentation.nnunet.sliding import tile_origins

    full = len(tile_origins(PUBLISHED_SIZE[::-1], patch, step))
    voxels = (PUBLISHED_SIZE[0] * PUBLISHED_SIZE[1] * PUBLISHED_SIZE[2]) / (size[0] * size[1] * size[2])
    guess = {name: side["network"] * full / tiles + (side["work"] - side["network"]) * voxels
             for name, side in (("stock", stock), ("ours", ours))}
    print(f"EXTRAPOLATED to {PUBLISHED_SIZE}, {full} tiles (network by tiles, the rest by voxels): "
          f"stock {guess['stock']:.0f} s, ours {guess['ours']:.0f} s, "
          f"{guess['stock'] / guess['ours']:.2f} times faster")


# --- memory of a large scan -----------------------------------------------------------------------------------------

def measure_memory(options: argparse.Namespace) -> None:
    """Our side on 512 x 512 x 200 with the large network; after ``--tiles`` tiles the last answer is used again."""
    import resource

    import torch

    from KneePipelineLib.imaging import read_image
    from KneePipelineLib.segmentation import segment
    from KneePipelineLib.segmentation.nnunet.sliding import SlidingWindow

    size = tuple(options.size or (512, 512, 200))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        making = (f"import sys; sys.path.insert(0, {str(HERE)!r}); import segmentation_speed as s\n"
                  f"s.prepare(s.Path({folder!r}), {size}, {tuple(options.spacing)}, {tuple(options.patch)})")
        subprocess.run([sys.executable, "-c", making], check=True)  # elsewhere, so that its memory is not counted
        original, computed, last = SlidingWindow._predict, [], {}

        def few(self, tiles):
            if len(computed) < options.tiles:
                computed.append(tiles.shape)
                last["answer"] = None  # the real loop does not keep one answer while it makes the next
                last["answer"] = original(self, tiles)
            return last["answer"].clone()

        SlidingWindow._predict = few
        torch.set_num_threads(options.threads)
        start = time.perf_counter()
        image = read_image(root / "in" / "knee_0000.nii.gz")
        answer = segment(image, "nnunet_fullres", weights=root / "results", device=options.device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"image {size}, spacing {tuple(options.spacing)} mm: peak resident {peak / 2**30:.2f} GiB "
              f"({answer.model['tiles']} tiles, {options.tiles} of them computed), "
              f"{time.perf_counter() - start:.0f} s; "
              f"preparation {answer.model['seconds_preparation']} s, labels {answer.model['seconds_labels']} s")


# --- planar networks ------------------------------------------------------------------------------------------------

def time_planar(options: argparse.Namespace) -> None:
    """Seconds a slice on every device there is."""
    import numpy as np
    import torch
    from tiny_keras import write_unet

    from KneePipelineLib.imaging.volume import Volume
    from KneePipelineLib.segmentation.planar import load_network, predict_planar

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        network = load_network(write_unet(Path(folder) / "planar.h5", widths=PLANAR_WIDTHS))
    noise = np.random.default_rng(0).normal(300, 60, (options.slices, 384, 384)).astype(np.float32)
    volume = Volume(noise, SPACING_MM, direction=[[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), *(["mps"] if torch.backends.mps.is_available()
                                                                         else [])]
    for name in devices:
        answer = predict_planar(volume, network, "sagittal", device=torch.device(name))
        print(f"{name}: {answer.facts['seconds'] / options.slices:.3f} s a slice of 384 x 384, "
              f"{options.slices} slices, {network.parameters / 1e6:.1f} M parameters, {options.threads} threads, "
              f"batch {answer.facts['batch']}, "
              f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
