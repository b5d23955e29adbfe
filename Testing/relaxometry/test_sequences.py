"""Which acquisition a set of echoes is, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from KneePipelineLib.errors import DicomError, InvalidFormatError
from KneePipelineLib.imaging import Volume
from KneePipelineLib.relaxometry import Qdess, SpinEchoes, Spoiler, make_t2_map, sequence_of


def echoes(volume: Callable, times: tuple, **meta: object) -> list[Volume]:
    numbers = meta.pop("numbers", range(1, len(times) + 1))
    return [volume(np.ones((1, 2, 2)), echo_time_ms=t, echo_number=n, **meta)
            for t, n in zip(times, numbers, strict=True)]


QDESS = {"repetition_time_ms": 20.0, "flip_angle_deg": 20.0}


@pytest.mark.parametrize(("times", "meta", "expected"), [
    ((6.0, 6.0), QDESS, Qdess(20.0, 6.0, 20.0)),
    ((6.0, 34.0), QDESS, Qdess(20.0, 6.0, 20.0)),
    ((6.0, 6.0), {**QDESS, "gl_area": 3132.0, "tg_us": 1560.0}, Qdess(20.0, 6.0, 20.0, Spoiler(3132.0, 1560.0))),
    ((6.0, 34.0), {**QDESS, "flip_angle_deg": 90.0, "gl_area": 3132, "tg_us": "1560"},
     Qdess(20.0, 6.0, 90.0, Spoiler(3132.0, 1560.0))),
    ((6.0, 6.0), {**QDESS, "gl_area": 0, "tg_us": 0}, Qdess(20.0, 6.0, 20.0)),
    ((6.0, 14.0), QDESS, Qdess(20.0, 6.0, 20.0)),
    ((6.0, 6.0), {**QDESS, "numbers": (None, None), "acquisition": "dess"}, Qdess(20.0, 6.0, 20.0)),
    ((6.0, 6.0), {**QDESS, "numbers": (1, 1), "gl_area": 3132.0, "tg_us": 1560.0},
     Qdess(20.0, 6.0, 20.0, Spoiler(3132.0, 1560.0))),
    ((6.0, 9.5), {**QDESS, "acquisition": "dess"}, Qdess(20.0, 6.0, 20.0)),
    ((10.0, 20.0, 30.0), {"flip_angle_deg": 90.0}, SpinEchoes((10.0, 20.0, 30.0))),
    ((10.0, 20.0, 30.0, 41.0), {"flip_angle_deg": 180.0}, SpinEchoes((10.0, 20.0, 30.0, 41.0))),
    ((10.0, 20.0, 30.0), {}, SpinEchoes((10.0, 20.0, 30.0))),
])
def test_recognised(volume: Callable, times: tuple, meta: dict, expected: object) -> None:
    assert sequence_of(echoes(volume, times, **meta)) == expected


@pytest.mark.parametrize(("times", "meta", "kind", "word"), [
    ((6.0,), QDESS, InvalidFormatError, "at least two"),
    ((10.0, 80.0), {"repetition_time_ms": 3000.0, "flip_angle_deg": 90.0}, InvalidFormatError, "[Tt]wo spin echoes"),
    ((None, None), {}, DicomError, "echo times"),
    ((6.0, 6.0), {"flip_angle_deg": 20.0}, DicomError, "repetition time"),
    ((6.0, 6.0), {"repetition_time_ms": 20.0}, DicomError, "flip angle"),
    ((25.0, 25.0), QDESS, DicomError, "TR 20 ms, TE 25 ms"),
    ((None, None, None), {"flip_angle_deg": 90.0}, DicomError, "echo times"),
    ((10.0, 10.0, 20.0), {"flip_angle_deg": 90.0}, DicomError, "increasing"),
    ((5.0, 10.0, 15.0), {"flip_angle_deg": 15.0}, InvalidFormatError, r"T2\*"),
    ((5.0, 10.0, 15.0), {"flip_angle_deg": 90.0, "header": {"scanning_sequence": "GR"}}, InvalidFormatError, r"T2\*"),
    ((5.0, 10.0, 15.0), {"flip_angle_deg": 90.0, "acquisition": "gradient echo"}, InvalidFormatError, r"T2\*"),
    ((10.0, 20.0, 30.0), {"flip_angle_deg": 90.0, "acquisition": "spin lock"}, InvalidFormatError, "T1rho"),
    ((30.0, 30.0), {"repetition_time_ms": 3000.0, "flip_angle_deg": 80.0, "acquisition": "spin echo"},
     InvalidFormatError, "[Tt]wo spin echoes"),
    ((6.0, 6.0), {**QDESS, "numbers": (1, 1)}, InvalidFormatError, "double-echo steady state"),
    ((6.0, 6.0), {**QDESS, "numbers": (None, None)}, InvalidFormatError, "double-echo steady state"),
    ((6.0, 6.0), {**QDESS, "repetition_time_ms": 700.0}, InvalidFormatError, "double-echo steady state"),
    ((4.9, 7.4), {**QDESS, "repetition_time_ms": 400.0}, InvalidFormatError, "double-echo steady state"),
    ((6.0, 9.5), QDESS, InvalidFormatError, "double-echo steady state"),
])
def test_refused_in_one_sentence(volume: Callable, times: tuple, meta: dict, kind: type, word: str) -> None:
    with pytest.raises(kind, match=word) as caught:
        sequence_of(echoes(volume, times, **meta))
    assert caught.value.hint
    assert caught.value.message.count(". ") == 0


def test_echoes_on_different_grids_are_refused(volume: Callable) -> None:
    first, second = echoes(volume, (6.0, 6.0), **QDESS)
    moved = Volume(second.array, second.spacing, second.origin + 1, meta=second.meta)
    with pytest.raises(InvalidFormatError, match="grid"):
        sequence_of([first, moved])


@pytest.mark.parametrize(("second_ms", "doubtful"), [(6.0, False), (14.0, False), (34.0, False), (9.5, True)])
def test_a_pair_that_is_qdess_by_name_alone_is_flagged(volume: Callable, second_ms: float, doubtful: bool) -> None:
    pair = echoes(volume, (6.0, second_ms), **QDESS, acquisition="dess")
    assert ("T2_SEQUENCE_ASSUMED" in [code for code, _ in make_t2_map(pair).warnings]) is doubtful
