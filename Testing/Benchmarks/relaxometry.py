"""T2 in numbers: bias against the truth of the digital knee, agreement with and speed against other implementations.

    python Testing/Benchmarks/relaxometry.py [--series FOLDER] [--voxels N]

Every bound is printed beside what was measured; the exit code is 1 if one is missed, or if another implementation that
a bound compares with cannot be imported. FOLDER is a multi-echo spin-echo DICOM series (the reference data by default).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("NIPYPE_NO_ET", "1")
REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(Path(__file__).resolve().parent)]

import numpy as np  # noqa: E402

from KneePipelineLib.imaging import Volume, read_echoes, write_volume  # noqa: E402
from KneePipelineLib.imaging.labels import CARTILAGES  # noqa: E402
from KneePipelineLib.phantom import DigitalKnee, Grid, write_dicom  # noqa: E402
from KneePipelineLib.phantom.epg import dess_steady_state, spin_echo_train  # noqa: E402
from KneePipelineLib.phantom.tissues import QDESS, CartilageT2, MultiEchoSpinEcho  # noqa: E402
from KneePipelineLib.relaxometry import (  # noqa: E402
    FITS,
    Spoiler,
    Status,
    T2Options,
    closed_form,
    fit_decay,
    low_spoiling_bias,
    make_t2_map,
    qdess_t2_ms,
)

TRUE_T2_MS = (20.0, 25.0, 35.0, 45.0, 60.0, 75.0)
MEDIAL_MM = (20.7, 0.9, -1.5)
SPOILER = Spoiler(QDESS.gl_area, QDESS.tg_us)
CARTILAGE_LIKE_MS = (20.0, 80.0)


class Ledger:
    """What was measured against what is asked for."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def most(self, name: str, value: float, bound: float, unit: str = "") -> None:
        """A row whose value must not exceed the bound."""
        self._row(name, value, bound, unit, value <= bound, "<=")

    def least(self, name: str, value: float, bound: float, unit: str = "") -> None:
        """A row whose value must reach the bound."""
        self._row(name, value, bound, unit, value >= bound, ">=")

    def fail(self, name: str) -> None:
        """A bound that could not be looked at."""
        self.missed.append(name)
        print(f"  {name}: NOT MEASURED")

    def _row(self, name: str, value: float, bound: float, unit: str, good: bool, sign: str) -> None:
        good = bool(good) and np.isfinite(value)
        print(f"  {name:<66} {value:10.4g} {sign} {bound:<6g} {unit:<3} {'ok' if good else 'MISSED'}")
        if not good:
            self.missed.append(name)


def cartilage_piece() -> tuple[DigitalKnee, Grid, np.ndarray]:
    """A digital knee, the grid of its medial compartment, and the voxels deep inside cartilage."""
    from scipy.ndimage import binary_erosion

    knee, grid = DigitalKnee(seed=0, variation=0.0), Grid.sagittal((96, 64, 12), (0.4, 0.4, 0.8), centre_mm=MEDIAL_MM)
    labels = knee.labels(grid).array
    return knee, grid, np.any([binary_erosion(labels == value) for value in CARTILAGES], axis=0)


def through_dicom(echoes: list[Volume], **options: object) -> list[Volume]:
    """Written as a DICOM series and read again."""
    with tempfile.TemporaryDirectory() as folder:
        write_dicom(echoes, folder, **options)
        return read_echoes(folder)


def exact_qdess(t2_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both signals of the exact steady state with the digital protocol."""
    return dess_steady_state(1200.0, t2_ms, tr_ms=QDESS.tr_ms, te_ms=QDESS.te_ms, flip_deg=QDESS.flip_deg,
                             gl_area=QDESS.gl_area, tg_us=QDESS.tg_us, diffusivity_m2_s=1.25e-9)


def by_the_book_ms(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sveinsson et al. 2017, equations 6 and 7, in seconds and word by word, apart from the code under test."""
    tr, te, tg, t1 = QDESS.tr_ms / 1e3, QDESS.te_ms / 1e3, QDESS.tg_us / 1e6, 1.2
    dk2d = (4258 * 2 * np.pi * (QDESS.gl_area / QDESS.tg_us * 100) * tg) ** 2 * 1.25e-9
    a, e = np.radians(QDESS.flip_deg), np.exp(-tr / t1 - tr * dk2d)
    k = np.sin(a / 2) ** 2 * (1 + e) / (1 - np.cos(a) * e)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1000 * -2 * (tr - te) / (np.log(np.abs(second / first) / k) + (tr - tg / 3) * dk2d)


def qdess_against_truth(ledger: Ledger) -> None:
    """Closed form on the arrays, its bias against the truth, and that of leaving out the spoiler."""
    print("\nDigital qDESS DICOM (TR 20 ms, TE 6 ms, 20 degrees, exact steady state, whole numbers, no noise)")
    print("  true ms   read ms   bias %   exact bias %   low spoiling ms   low-spoiling bias %   from the spoiler %")
    knee, grid, inner = cartilage_piece()
    worst_map, worst_bias, worst_low = 0.0, 0.0, 0.0
    for true in TRUE_T2_MS:
        pair = list(knee.qdess(grid, snr=None, texture=0.0, t2=CartilageT2(true, true)))
        echoes = through_dicom(pair)
        found, low = make_t2_map(echoes), make_t2_map(through_dicom(pair, private_tags=False))
        if (found.method, low.method) != ("spoiled", "low_spoiling"):
            ledger.fail(f"method recorded at {true:g} ms")
        first, second = (e.array.astype(np.float64) for e in echoes)
        book = by_the_book_ms(first, second)
        common = (book > 0) & (book < 100)
        worst_map = max(worst_map, float(np.abs(found.t2_ms.array - book)[common].max()))
        read, read_low = (float(np.mean(m.t2_ms.array[inner], dtype=np.float64)) for m in (found, low))
        s1, s2 = exact_qdess(np.array([true]))
        exact = float(by_the_book_ms(s1, s2)[0])
        by_spoiler = float(low_spoiling_bias(np.array([read]), QDESS.tr_ms, QDESS.te_ms, QDESS.flip_deg, SPOILER)[0])
        print(f"  {true:7g} {read:9.2f} {100 * (read / true - 1):8.2f} {100 * (exact / true - 1):14.2f} "
              f"{read_low:17.2f} {100 * (read_low / read - 1):21.2f} {100 * by_spoiler:20.2f}")
        worst_bias = max(worst_bias, abs(read - exact) / true)
        worst_low = max(worst_low, abs(read_low / read - 1 - by_spoiler))
    ledger.most("map against the closed form on the same arrays, largest", worst_map, 0.05, "ms")
    ledger.most("bias against the exact computation, largest", 100 * worst_bias, 0.3, "%")
    ledger.most("low-spoiling bias against that of the series' spoiler, largest", 100 * worst_low, 0.1, "%")


def spin_echo_against_truth(ledger: Ledger) -> None:
    """Ideal trains, noise, and stimulated echoes."""
    print("\nDigital multi-echo spin echo DICOM (8 echoes, TE 6.3 to 50.5 ms, T2 from 27 at the bone to 52 ms)")
    knee, grid, inner = cartilage_piece()
    true = knee.true_t2(grid).array
    clean = through_dicom(knee.mese(grid, snr=None, texture=0.0))
    noisy = through_dicom(knee.mese(grid, snr=40.0, texture=0.0))
    for fit in FITS:
        for echoes, name, bound in ((clean, "no noise", 1.0), (noisy, "SNR 40", 3.0)):
            found = make_t2_map(echoes, T2Options(fit=fit))
            counted = inner & (found.status.array == Status.MEASURED)
            ratio = found.t2_ms.array[counted].mean(dtype=np.float64) / true[counted].mean(dtype=np.float64)
            ledger.most(f"{fit}, {name}: mean T2 against the truth", 100 * abs(ratio - 1), bound, "%")
            ledger.least(f"{fit}, {name}: share of voxels that count", 100 * counted.sum() / inner.sum(), 95, "%")
    print("\nBias with 150 degree refocusing (extended phase graph, T1 1200 ms; digital knee DICOM at 40 ms)")
    print("  fit         first echo " + "".join(f"{t:9g} ms" for t in TRUE_T2_MS) + "   digital knee")
    sequence = MultiEchoSpinEcho(refocusing_deg=150.0)
    times, t2 = np.array(sequence.echo_times_ms), np.array(TRUE_T2_MS)
    train = spin_echo_train(1200.0, t2, echoes=8, spacing_ms=sequence.spacing_ms, refocusing_deg=150.0).T
    at_40 = spin_echo_train(1200.0, np.array([40.0]), echoes=8, spacing_ms=sequence.spacing_ms, refocusing_deg=150.0).T
    echoes = through_dicom(knee.mese(grid, sequence=sequence, snr=None, texture=0.0, t2=CartilageT2(40.0, 40.0)))
    for fit in FITS:
        for skip in (0, 1):
            bias = 100 * (fit_decay(train[skip:], times[skip:], fit=fit).t2_ms / t2 - 1)
            exact = float(fit_decay(at_40[skip:], times[skip:], fit=fit).t2_ms[0])
            found = make_t2_map(echoes, T2Options(fit=fit, skip_first_echo=bool(skip))).t2_ms.array[inner]
            print(f"  {fit:<11} {'skipped' if skip else 'kept':<10} " + "".join(f"{b:10.2f} %" for b in bias)
                  + f"{100 * (found.mean(dtype=np.float64) / 40 - 1):13.2f} %")
            if abs(found.mean(dtype=np.float64) / exact - 1) > 0.003:
                ledger.fail(f"{fit}: the digital knee's bias is not the computed one")


def against_dosma(ledger: Ledger) -> None:
    """The spoiled form of an independent package on the same arrays."""
    print("\nAgainst dosma (spoiled form, same arrays)")
    if not hasattr(np, "round_"):
        np.round_ = np.round
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from dosma.core.med_volume import MedicalVolume
            from dosma.scan_sequences import QDess
    except ImportError as error:
        return ledger.fail(f"dosma cannot be imported ({error.name})")
    knee, grid, _ = cartilage_piece()
    first, second = (e.array.astype(np.float64) for e in through_dicom(list(knee.qdess(grid, snr=30.0))))
    volumes = [MedicalVolume(np.where(a > 0, a, 1e-3), np.eye(4)) for a in (first, second)]
    theirs = QDess(volumes).generate_t2_map(
        gl_area=QDESS.gl_area, tg=QDESS.tg_us, tr=QDESS.tr_ms, te=QDESS.te_ms, alpha=QDESS.flip_deg, t1=1200.0,
        nan_to_num=None).volumetric_map.volume
    ours = qdess_t2_ms(first, second, closed_form(QDESS.tr_ms, QDESS.te_ms, QDESS.flip_deg, SPOILER))
    common = (theirs > 0) & np.isfinite(ours)
    ledger.least("voxels compared", int(common.sum()), 10_000)
    return ledger.most("difference, largest", float(np.abs(ours - theirs)[common].max()), 0.1, "ms")


def best_of(times: int, call: Callable[[], object]) -> tuple[float, object]:
    """Shortest wall time in seconds, and the last result."""
    took, result = [], None
    for _ in range(times):
        start = time.perf_counter()
        result = call()
        took.append(time.perf_counter() - start)
    return min(took), result


def real_series(ledger: Ledger, folder: Path, voxels: int) -> None:
    """DICOM to map on disk, and pymskt's fits side by side."""
    print("\nReal multi-echo spin-echo series")

    def to_disk() -> object:
        with tempfile.TemporaryDirectory() as out:
            t2 = make_t2_map(read_echoes(folder))
            write_volume(t2.t2_ms, Path(out) / "t2map.nrrd")
        return t2

    seconds, found = best_of(3, to_disk)
    measured = found.status.array == Status.MEASURED
    print(f"  {found.t2_ms.size} voxels, {found.sequence.echo_count} echoes; counted {100 * measured.mean():.1f} %, "
          f"median {np.median(found.t2_ms.array[measured]):.1f} ms")
    ledger.most("DICOM to map on disk", seconds, 3.0, "s")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from pymskt.image import t2 as pymskt
    except ImportError as error:
        return ledger.fail(f"pymskt cannot be imported ({error.name})")
    echoes = read_echoes(folder)
    times, arrays = np.array([e.meta["echo_time_ms"] for e in echoes]), [e.array for e in echoes]
    stacked = np.stack(arrays, axis=-1).astype(np.float32)
    theirs_s, theirs = best_of(3, lambda: pymskt.calculate_t2_linear_fit(stacked, times))
    ours_s, ours = best_of(3, lambda: fit_decay(arrays, times, fit="linear"))
    alike = (theirs["t2"] > CARTILAGE_LIKE_MS[0]) & (theirs["t2"] < CARTILAGE_LIKE_MS[1])
    print(f"  linear: ours {ours_s:.3f} s, pymskt {theirs_s:.3f} s, all voxels; {alike.sum()} with cartilage-like T2")
    ledger.most("linear, median absolute difference", float(np.median(np.abs(ours.t2_ms - theirs["t2"])[alike])), 0.5,
                "ms")
    ledger.least("linear, pymskt's time over ours", theirs_s / ours_s, 1.0, "x")
    mask = np.zeros(alike.shape, bool)
    some = np.random.default_rng(0).choice(np.flatnonzero(alike), min(voxels, int(alike.sum())), replace=False)
    mask.reshape(-1)[some] = True
    theirs_s, refined = best_of(1, lambda: pymskt.calculate_t2_nonlinear_fit(stacked, times, p0_maps=theirs, mask=mask))
    ours_s, ours = best_of(3, lambda: fit_decay(arrays, times, fit="nonlinear", mask=mask))
    common = mask & (refined["t2"] > 0)
    print(f"  non-linear: ours {ours_s:.3f} s, pymskt {theirs_s:.3f} s, the same {mask.sum()} voxels")
    ledger.least("non-linear, pymskt's time over ours", theirs_s / ours_s, 20.0, "x")
    return ledger.most("non-linear, median absolute difference",
                       float(np.median(np.abs(ours.t2_ms - refined["t2"])[common])), 0.5, "ms")


def main() -> int:
    """Print everything; 1 if a bound was missed."""
    shared = Path(os.environ.get("KNEEPIPELINE_SHARED") or REPOSITORY.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=Path, default=shared / "data" / "mese_dicom", metavar="FOLDER")
    parser.add_argument("--voxels", type=int, default=20_000, help="voxels of the non-linear comparison")
    args = parser.parse_args()
    ledger = Ledger()
    qdess_against_truth(ledger)
    spin_echo_against_truth(ledger)
    against_dosma(ledger)
    if args.series.is_dir():
        real_series(ledger, args.series, args.voxels)
    else:
        ledger.fail("the real series is not here (--series FOLDER)")
    print(f"\n{len(ledger.missed)} bound(s) missed" + "".join(f"\n  {name}" for name in ledger.missed))
    return 1 if ledger.missed else 0


if __name__ == "__main__":
    sys.exit(main())
