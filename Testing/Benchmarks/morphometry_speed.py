"""How fast subregions, surfaces, thickness and their files are, beside pyMSKT's same steps on the same label map.

    python Testing/Benchmarks/morphometry_speed.py [--labels FILE] [--repeat N] [--without-pymskt]

Both run in this session, one after the other, each in a process of its own whose peak memory is read from the system.
The label map is the real knee of the reference data beside the checkout (KNEEPIPELINE_SHARED overrides), otherwise the
digital knee on the same grid. pyMSKT is driven with the field's settings (20,000 / 20,000 / 10,000 vertices, variances
0.5 and 0.3125 mm2, crop 0.8) and with the knee itself as the reference for its registration, so nothing is downloaded.
Imports are not counted on either side. Exits with 1 when a bound is missed, 2 when pyMSKT cannot be run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

SECONDS, GIBIBYTES, TIMES_FASTER = 4.0, 3.0, 15.0
BONES = (("femur", 1, [4], 20_000, 0.8), ("tibia", 2, [5, 6], 20_000, 0.8), ("patella", 3, [7], 10_000, None))


def label_map(given: str | None, folder: Path) -> tuple[Path, str]:
    """A canonical label map on disk, and what it is."""
    if given:
        return Path(given), "the given label map"
    shared = Path(os.environ.get("KNEEPIPELINE_SHARED", REPOSITORY.parent / "shared"))
    real = shared / "data" / "knee_dess_right_labels.nrrd"
    if real.is_file():
        return real, "the real knee of the reference data"
    from KneePipelineLib.imaging import write_volume
    from KneePipelineLib.phantom import DigitalKnee

    path = folder / "digital.nrrd"
    labels = DigitalKnee(0, "right").labels()
    write_volume(labels.with_array(labels.array * (labels.array < 10)), path)
    return path, "the digital knee"


def ours(labels_file: Path, folder: Path, repeat: int) -> dict:
    """Seconds of each of our steps, best of several."""
    for module in ("point_cloud_utils", "scipy.ndimage", "scipy.sparse.csgraph", "scipy.spatial", "scipy.special",
                   "vtk.util.numpy_support"):
        import_module(module)
    from KneePipelineLib.imaging import read_labels
    from KneePipelineLib.morphometry import canonical_labels, measure_prepared, prepare_knee
    from KneePipelineLib.results import write_label_files, write_mesh_files, write_thickness_files

    raw = read_labels(labels_file)
    runs = []
    for _ in range(repeat):
        clock = Clock()
        labels = canonical_labels(raw)
        clock("label scheme")
        prepared = prepare_knee(labels)
        clock("subregions and surfaces")
        knee = measure_prepared(prepared)
        clock("thickness, areas, depth, menisci")
        write_label_files(folder, "knee", labels=knee.labels, subregions=knee.subregions, depth=knee.depth)
        write_mesh_files(folder, knee.surfaces, raw_femur=knee.raw_femur, cartilage_surfaces=knee.cartilage_surfaces)
        write_thickness_files(folder, "knee", knee.regions)
        clock("files")
        runs.append(clock.laps)
    means = {region: measures["mm_mean"] for region, measures in knee.regions.items()}
    return {"laps": min(runs, key=lambda laps: sum(laps.values())), "first": runs[0], "means": means}


def pymskt(labels_file: Path, folder: Path, repeat: int) -> dict:
    """Seconds of pyMSKT's steps: sides and subregions, surfaces, thickness with regions, files."""
    import contextlib
    import warnings

    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        import SimpleITK as sitk
        from pymskt.image.cartilage_processing import (
            get_aligned_cartilage_subregions,
            verify_and_correct_med_lat_tib_cart,
        )
        from pymskt.mesh import BoneMesh

        image = sitk.ReadImage(str(labels_file))
        clock = Clock()
        corrected = sitk.GetImageFromArray(verify_and_correct_med_lat_tib_cart(
            sitk.GetArrayFromImage(image), tib_label=2, med_tib_cart_label=5, lat_tib_cart_label=6))
        corrected.CopyInformation(image)
        subregions = get_aligned_cartilage_subregions(
            corrected, femurLabel=4, femurBoneLabel=1, medTibiaLabel=5, latTibiaLabel=6, reference_image_input=image,
            ref_image_fem_bone_label=1)
        sitk.WriteImage(subregions, str(folder / "subregions.nrrd"))
        clock("subregions")
        for name, label, cartilages, vertices, crop in BONES:
            bone = BoneMesh(seg_image=corrected, label_idx=label, list_cartilage_labels=cartilages, crop_percent=crop,
                            bone=name)
            bone.create_mesh(smooth_image_var=0.5)
            bone.resample_surface(clusters=vertices)
            bone.calc_cartilage_thickness(image_smooth_var_cart=0.3125)
            bone.seg_image = subregions
            bone.assign_cartilage_regions()
            bone.save_mesh(str(folder / f"{name}.vtk"))
            for number, mesh in enumerate(bone.list_cartilage_meshes):
                mesh.save_mesh(str(folder / f"{name}_{number}.vtk"))
            clock(name)
    return {"laps": clock.laps}


class Clock:
    """Laps of wall time."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now


WORKERS: dict[str, Callable[[Path, Path, int], dict]] = {"ours": ours, "pymskt": pymskt}


def in_process(worker: str, labels_file: Path, repeat: int) -> dict | str:
    """What a worker measured in a process of its own, with its peak memory; a sentence if it failed."""
    command = [sys.executable, __file__, "--worker", worker, "--labels", str(labels_file), "--repeat", str(repeat)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return f"{worker} could not be run: {reason}"
    return json.loads(lines[-1])


def peak_gibibytes() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def table(title: str, result: dict) -> float:
    """Print a worker's laps; their sum in seconds."""
    total = sum(result["laps"].values())
    print(f"\n{title}")
    for name, seconds in result["laps"].items():
        print(f"  {name:<36}{seconds:8.2f} s")
    print(f"  {'total':<36}{total:8.2f} s   peak memory {result['peak']:.2f} GiB")
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--without-pymskt", action="store_true")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.worker:
            result = WORKERS[options.worker](Path(options.labels), folder, options.repeat)
            print(json.dumps(result | {"peak": peak_gibibytes()}))
            return 0
        labels_file, what = label_map(options.labels, folder)
        print(f"Label map: {what}. Processors: {os.cpu_count()}, load before the start: "
              f"{os.getloadavg()[0] if hasattr(os, 'getloadavg') else float('nan'):.1f}")
        mine = in_process("ours", labels_file, options.repeat)
        theirs = None if options.without_pymskt else in_process("pymskt", labels_file, 1)
    if isinstance(mine, str):
        print(mine)
        return 1
    total = table(f"KneePipeline, best of {options.repeat}", mine)
    print(f"  the first of them: {sum(mine['first'].values()):.2f} s")
    met = report("seconds in all", total, SECONDS) & report("GiB at the peak", mine["peak"], GIBIBYTES)
    if isinstance(theirs, dict):
        ratio = table("pyMSKT", theirs) / total
        print(f"\npyMSKT's time over ours: {ratio:.1f} (wanted: at least {TIMES_FASTER:.0f})")
        met &= ratio >= TIMES_FASTER
    elif theirs is not None:
        print(f"\n{theirs}")
        return 2 if met else 1
    return 0 if met else 1


def report(what: str, value: float, bound: float) -> bool:
    """Print a value beside its bound; whether it keeps it."""
    met = value <= bound
    print(f"  {what}: {value:.2f} (bound {bound:g}) {'met' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    sys.exit(main())
