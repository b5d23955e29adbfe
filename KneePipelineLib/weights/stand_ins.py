"""Stand-ins for the objects that a checkpoint's training logs may hold and that inference does not need.

A pickle says which constructor to call with what; PyTorch's ``weights_only`` reader calls only those it was allowed.
The names of harmless types are allowed here, but each leads to a few lines of our own instead of to the type: scalars
of NumPy become Python's, paths become text, and what is of no use (arrays, dates) becomes `Inert`. So not even NumPy's
own constructors, which were not written for somebody else's files, are fed from one.
"""

from __future__ import annotations

import pickle
import re

_SCALAR = re.compile(r"[<>=|]?([?bhilqBHILQefd]|[biuf][1248]|b1|U\d{1,6}|S\d{1,6})")
_OTHER = re.compile(r"[<>=|]?([gFDGmMV]|[cmMV]\d{1,6}|f(10|12|16))")


class Inert:
    """An object that was left out: takes any arguments and any state, and keeps nothing."""

    def __new__(cls, *_arguments: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_arguments: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


class DType:
    """NumPy's description of an element, as far as its code and byte order go; objects are refused.

    >>> DType("f8", False, True).code
    'f8'
    """

    def __init__(self, code: object = "", *_more: object) -> None:
        if isinstance(code, bytes):
            code = code.decode("ascii", "replace")
        if not isinstance(code, str) or not (_SCALAR.fullmatch(code) or _OTHER.fullmatch(code)):
            raise pickle.UnpicklingError("GLOBAL numpy.object_ in an array")
        self.code, self.order = code.lstrip("<>=|"), code[:1] if code[:1] in "<>" else ""

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]


def _scalar(dtype: object, raw: object = b"") -> object:
    """A NumPy scalar as Python's number or text."""
    if not isinstance(dtype, DType):
        raise pickle.UnpicklingError("a scalar without a type")
    import numpy as np

    if isinstance(raw, str):  # protocol 2 writes bytes as latin-1 text
        raw = raw.encode("latin-1")
    if not isinstance(raw, bytes) or not _SCALAR.fullmatch(dtype.code):
        return Inert()
    return np.frombuffer(raw, np.dtype(dtype.order + dtype.code), count=1)[0].item()


def _text(*parts: object) -> str:
    return "/".join(str(p) for p in parts if isinstance(p, str))


def _dictionary(*_factory: object) -> dict:
    return {}


def stand_ins() -> list[tuple[object, str]]:
    """Pairs of a stand-in and the name that it stands for, as `torch.serialization.safe_globals` takes them."""
    pairs: list[tuple[object, str]] = [(DType, "numpy.dtype"), (Inert, "numpy.ndarray"),
                                       (_dictionary, "collections.defaultdict")]
    pairs += [(_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    pairs += [(Inert, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    kinds = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    pairs += [(_text, f"{module}.{kind}") for module in ("pathlib", "pathlib._local") for kind in kinds]
    pairs += [(Inert, f"datetime.{kind}") for kind in ("datetime", "date", "time", "timedelta", "timezone")]
    pairs += [(Inert, f"builtins.{kind}") for kind in ("list", "dict", "int", "float", "str", "slice", "range")]
    pairs.append((Inert, "argparse.Namespace"))
    return pairs
