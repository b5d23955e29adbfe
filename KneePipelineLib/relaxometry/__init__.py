"""Echoes -> T2: double-echo steady state in closed form, multi-echo spin echo by fitting; regions and layers.

T2 here is a number about one acquisition: compare knees scanned and computed alike. Which way it was computed travels
with every result (`T2Map.method`, `T2Map.facts`).
"""

from __future__ import annotations

from ..imaging import root_sum_of_squares
from .decay import FITS, Decay, fit_decay
from .mapping import STATUS_WORDS, Status, T2Map, T2Options, make_t2_map
from .placing import place
from .qdess import LOW_SPOILING, SPOILED, ClosedForm, Spoiler, closed_form, low_spoiling_bias, qdess_t2_ms
from .regions import DEPTHS, STATISTICS, measure_name, region_values, regional_t2
from .sequences import Qdess, SpinEchoes, sequence_of

__all__ = [
    "DEPTHS",
    "FITS",
    "LOW_SPOILING",
    "SPOILED",
    "STATISTICS",
    "STATUS_WORDS",
    "ClosedForm",
    "Decay",
    "Qdess",
    "SpinEchoes",
    "Spoiler",
    "Status",
    "T2Map",
    "T2Options",
    "closed_form",
    "fit_decay",
    "low_spoiling_bias",
    "make_t2_map",
    "measure_name",
    "place",
    "qdess_t2_ms",
    "region_values",
    "regional_t2",
    "root_sum_of_squares",
    "sequence_of",
]
