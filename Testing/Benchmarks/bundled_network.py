"""How good the bundled network is, on knees it was not trained on.

    python Testing/Benchmarks/bundled_network.py                        # everything
    python Testing/Benchmarks/bundled_network.py --only digital --knees 3
    python Testing/Benchmarks/bundled_network.py --weights DIR          # another export of it
    python Testing/Benchmarks/bundled_network.py --card                 # and write the figures into the model card

Every case goes through the command `run`, as a user's knee does, and is judged by the files that it leaves. Prints one
table, writes figures.json and pictures to look at into ``--out``, and exits with 1 when a bound is missed:

- digital: digital knees with seeds below 1000 (training takes those from 1000) as DESS, T1 and fat-suppressed PD images
  of 256 x 256 x 140 voxels; mean Dice at least 0.97 for bones, 0.85 for cartilage, 0.75 for menisci.
- thickness: the regional mean that the runs on the DESS images report against the knee's true one: the mean absolute
  error of every region at most 0.35 mm.
- map: synthetic images of a real label map; mean Dice at least 0.93 for bones and 0.75 for cartilage. The map
  was kept out of training, as the model card says.
- real: the real multi-echo series: at least 98 % of each bone as the network drew it in one piece, plausible volumes,
  at least 90 % of each cartilage within 5 mm of its bone. Look at the picture.
- time: the segmentation of 384 x 384 x 160 voxels, both stages, in at most 20 s and 3 GiB on two cores.

``map`` and ``real`` need the reference data beside the checkout (``--shared``) and are left out without it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bundled_cases as cases  # it also makes the package importable

PARTS = ("digital", "thickness", "map", "real", "time")
DIGITAL_BOUNDS = {"bones": 0.97, "cartilage": 0.85, "menisci": 0.75}
MAP_BOUNDS = {"bones": 0.93, "cartilage": 0.75}
THICKNESS_BOUND_MM, PIECE_BOUND, NEAR_BOUND = 0.35, 0.98, 0.9
VOLUME_BOUNDS_ML = {"femur": (60, 300), "tibia": (50, 250), "patella": (8, 35), "fem_cart": (5, 25),
                    "med_tib_cart": (0.7, 6), "lat_tib_cart": (0.7, 6), "pat_cart": (0.7, 6)}
SECONDS_BOUND, GIB_BOUND = 20.0, 3.0
MAP_FILE, SERIES_FOLDER = "knee_isotropic_labels_source.nrrd", "mese_dicom"
CARD_MARKS = ("<!-- figures -->", "<!-- end of figures -->")


@dataclass(frozen=True)
class Row:
    """One line of the table; ``met`` is None where there is no bound."""

    part: str
    what: str
    found: str
    bound: str = ""
    met: bool | None = None

    def __post_init__(self) -> None:
        if self.met is not None:  # a comparison of numpy numbers is no bool to JSON
            object.__setattr__(self, "met", bool(self.met))


def main() -> int:
    options = parse()
    pictures = None if options.no_pictures else str(options.out)
    results = collect(options, pictures)
    rows = table(results)
    for row in rows:
        print(f"{row.part:<10}{row.what:<44}{row.found:>24}   {row.bound:<22}"
              f"{'' if row.met is None else 'met' if row.met else 'MISSED'}")
    missed = [row for row in rows if row.met is False]
    bounds = sum(row.met is not None for row in rows)
    print(f"{len(missed)} of {bounds} bounds MISSED." if missed else f"All {bounds} bounds met.")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "figures.json").write_text(
        json.dumps({"rows": [asdict(row) for row in rows], "results": results}, indent=1), encoding="utf-8")
    if options.card:
        from KneePipelineLib.segmentation.bundled.export import MODEL_FOLDER

        write_card((options.weights or MODEL_FOLDER) / "MODEL_CARD.md", rows)
    return 1 if missed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--knees", type=int, default=20, help="digital knees (default 20)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one; below 1000")
    parser.add_argument("--measured", type=int, default=5, help="how many of them have their thickness measured")
    parser.add_argument("--contrasts", nargs="+", default=cases.CONTRASTS)
    parser.add_argument("--variants", type=int, default=2, help="synthetic images of the map for each contrast")
    parser.add_argument("--weights", type=Path, help="another export of it than the one that ships")
    parser.add_argument("--shared", type=Path, default=cases.REPOSITORY.parent / "shared")
    parser.add_argument("--map", type=Path, help=f"label map of the part map (default {MAP_FILE} of the shared data)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="cases at once (default: the cores)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the part time (default 2)")
    parser.add_argument("--out", type=Path, default=Path("out") / "bundled_network")
    parser.add_argument("--no-pictures", action="store_true")
    parser.add_argument("--card", action="store_true", help="write the table into the model card beside the weights")
    options = parser.parse_args()
    if options.first + options.knees > 1000:
        parser.error("seeds from 1000 on are for training")
    return options


# --- the cases ------------------------------------------------------------------------------------------------------

def collect(options: argparse.Namespace, pictures: str | None) -> dict:
    """Part -> what its cases found; the timed case runs alone."""
    weights, results = str(options.weights) if options.weights else None, {}
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        jobs = submit(options, pool, weights, pictures)
        for number, job in enumerate(as_completed(jobs), 1):
            part, answer = jobs[job], job.result()
            results.setdefault(part, []).append(answer)
            print(f"case {number} of {len(jobs)} done ({part})", file=sys.stderr, flush=True)
    if "time" in options.only:
        results["time"] = [cases.whole_knee(weights, options.threads)]
    if "thickness" in options.only and "digital" not in options.only:
        results["thickness"] = results.pop("digital", [])
    for part in ("digital", "thickness"):
        results.get(part, []).sort(key=lambda case: case["seed"])
    return results


def submit(options: argparse.Namespace, pool: ProcessPoolExecutor, weights: str | None,
           pictures: str | None) -> dict[Future, str]:
    """Every case as a job of the pool -> its part."""
    jobs, has = {}, options.only
    threads = max(1, (os.cpu_count() or 1) // options.workers)
    if "digital" in has or "thickness" in has:
        contrasts = tuple(options.contrasts) if "digital" in has else tuple(options.contrasts[:1])
        count = options.knees if "digital" in has else min(options.knees, options.measured)
        for seed in range(options.first, options.first + count):
            measure = "thickness" in has and seed < options.first + options.measured
            shown = pictures if seed == options.first else None
            jobs[pool.submit(cases.digital_knee, seed, contrasts, weights, measure, shown, threads)] = "digital"
    real_map, series = options.map or options.shared / "data" / MAP_FILE, options.shared / "data" / SERIES_FOLDER
    if "map" in has and real_map.is_file():
        for number in range(options.variants * len(options.contrasts)):
            contrast = options.contrasts[number % len(options.contrasts)]
            jobs[pool.submit(cases.real_map, str(real_map), contrast, number, weights, threads)] = "map"
    if "real" in has and series.is_dir():
        jobs[pool.submit(cases.real_series, str(series), weights, pictures, threads)] = "real"
    return jobs


# --- the table ------------------------------------------------------------------------------------------------------

def table(results: dict) -> list[Row]:
    """The rows of every part that was run, and of those whose data is missing."""
    rows = dice_rows("digital", results.get("digital", []), DIGITAL_BOUNDS) if "digital" in results else []
    rows += thickness_rows([*results.get("digital", []), *results.get("thickness", [])])
    rows += dice_rows("map", [{"seed": case["contrast"], "dice": {case["contrast"]: case["dice"]}}
                              for case in results.get("map", [])], MAP_BOUNDS)
    for case in results.get("real", []):
        rows += real_rows(case)
    for case in results.get("time", []):
        size = " x ".join(map(str, case["size"]))
        rows.append(Row("time", f"{size} on {case['threads']} cores", f"{case['seconds']:.1f} s",
                        f"<= {SECONDS_BOUND:g} s", case["seconds"] <= SECONDS_BOUND))
        rows.append(Row("time", "largest resident memory", f"{case['gib']:.2f} GiB", f"<= {GIB_BOUND:g} GiB",
                        case["gib"] <= GIB_BOUND))
        rows.append(Row("time", "processor time of it", f"{case['cpu_seconds']:.1f} s"))
        rows.append(Row("time", "the whole run: seconds, memory of all processes",
                        f"{case['run_seconds']:.0f} s, {case['run_gib']:.2f} GiB"))
    return rows


def dice_rows(part: str, found: list[dict], bounds: dict[str, float]) -> list[Row]:
    """Mean Dice of each group over all images, held to its bound; then by contrast and by structure."""
    images = [(contrast, case["seed"], dice) for case in found for contrast, dice in case["dice"].items()]
    rows = []
    for group, bound in bounds.items():
        names = [cases.BY_VALUE[v].name for v in cases.GROUPS[group]]
        means = {(contrast, seed, number): np.mean([dice[n] for n in names if n in dice])
                 for number, (contrast, seed, dice) in enumerate(images) if any(n in dice for n in names)}
        if not means:
            continue
        mean = float(np.mean(list(means.values())))
        rows.append(Row(part, f"{group}: Dice, mean of {len(means)} images", f"{mean:.3f}", f">= {bound:g}",
                        mean >= bound))
        worst = min(means, key=means.get)
        rows.append(Row(part, f"{group}: worst image ({worst[0]}, {worst[1]})", f"{means[worst]:.3f}"))
        for contrast in dict.fromkeys(key[0] for key in means):
            of_it = [value for key, value in means.items() if key[0] == contrast]
            rows.append(Row(part, f"{group}: {contrast}", f"{np.mean(of_it):.3f}"))
        for name in names:
            values = [dice[name] for _, _, dice in images if name in dice]
            if values:
                rows.append(Row(part, f"  {name}", f"{np.mean(values):.3f}"))
    return rows


def thickness_rows(found: list[dict]) -> list[Row]:
    measured, rows = [case for case in found if case["thickness"]], []
    if not measured:
        return rows
    for region in cases.REGIONS:
        pairs = [case["thickness"][region] for case in measured]
        errors = [mine - true for mine, true in pairs if mine is not None]
        lost = len(pairs) - len(errors)
        absolute = float(np.mean(np.abs(errors))) if errors else float("nan")
        worst = max(errors, key=abs, default=float("nan"))
        rows.append(Row("thickness", f"{region}: mean, mean absolute, worst error",
                        f"{np.mean(errors) if errors else float('nan'):+.2f} {absolute:.2f} {worst:+.2f} mm",
                        f"<= {THICKNESS_BOUND_MM:g} mm, {len(pairs)} knees",
                        not lost and absolute <= THICKNESS_BOUND_MM))
    return rows


def real_rows(case: dict) -> list[Row]:
    rows = []
    for name in ("femur", "tibia", "patella"):
        share = case["largest_piece"].get(name, 0.0)
        rows.append(Row("real", f"{name}: share in one piece", f"{100 * share:.1f} %", f">= {100 * PIECE_BOUND:g} %",
                        share >= PIECE_BOUND))
    for name, (low, high) in VOLUME_BOUNDS_ML.items():
        ml = case["volume_ml"][name]
        rows.append(Row("real", f"{name}: volume", f"{ml:.1f} ml", f"{low:g} to {high:g} ml", low <= ml <= high))
    for name in ("med_meniscus", "lat_meniscus"):
        rows.append(Row("real", f"{name}: volume", f"{case['volume_ml'][name]:.1f} ml"))
    for name in ("fem_cart", "med_tib_cart", "lat_tib_cart", "pat_cart"):
        share = case["near_bone"].get(name, 0.0)
        rows.append(Row("real", f"{name}: within {cases.NEAR_MM:g} mm of its bone", f"{100 * share:.1f} %",
                        f">= {100 * NEAR_BOUND:g} %", share >= NEAR_BOUND))
    return rows


def write_card(card: Path, rows: list[Row]) -> None:
    """Put the table between the marks of the model card."""
    lines = ["| test | what | found | bound | |", "|---|---|---|---|---|"]
    lines += [f"| {row.part} | {row.what.strip()} | {row.found} | {row.bound} | "
              f"{'' if row.met is None else 'met' if row.met else '**missed**'} |" for row in rows]
    text = card.read_text(encoding="utf-8")
    before, rest = text.split(CARD_MARKS[0], 1)
    after = rest.split(CARD_MARKS[1], 1)[1]
    card.write_text("\n".join([before + CARD_MARKS[0], *lines, CARD_MARKS[1] + after]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
