"""Signals connected by their signature, with PythonQt's rule for surplus arguments."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

_connect = QtCore.QObject.connect
_disconnect = QtCore.QObject.disconnect
_read_attribute = QtCore.QObject.__getattribute__

# What PySide6 calls an argument of type object; Slicer's C++ widgets have a pointer to a MRML class there
_PYTHON_OBJECT = "PyObject"


def _normalised(signature: str) -> str:
    return QtCore.QMetaObject.normalizedSignature(signature).data().decode()


def _as_host(signature: str) -> str:
    """The signature with MRML pointers written as the host's widgets declare them."""
    name, _, arguments = signature.partition("(")
    kinds = [_PYTHON_OBJECT if kind.startswith("vtk") else kind for kind in arguments.rstrip(")").split(",")]
    return f"{name}({','.join(kinds)})"


def signal_signatures(obj: QtCore.QObject) -> list[str]:
    """Every signal of the object as Qt writes it, cloned ones (default arguments) included."""
    meta = obj.metaObject()
    methods = [meta.method(i) for i in range(meta.methodCount())]
    return [
        m.methodSignature().data().decode() for m in methods if m.methodType() == QtCore.QMetaMethod.MethodType.Signal
    ]


def _find_signal(obj: QtCore.QObject, signature: str) -> tuple[Any, int]:
    """The PySide6 signal for a signature and how many arguments the signature has.

    Raises:
        ValueError: no such signal. PythonQt prints a line and returns False; a test must not miss it.
    """
    known = signal_signatures(obj)
    wanted = _normalised(signature)
    if wanted not in known:
        wanted = _as_host(wanted)
    if wanted not in known:
        raise ValueError(f"{type(obj).__name__} has no signal '{signature}'; it has: {', '.join(sorted(set(known)))}")
    name, _, arguments = wanted.rstrip(")").partition("(")
    bound = _read_attribute(obj, name)
    count = len(arguments.split(",")) if arguments else 0
    overloads = {s for s in known if s.startswith(f"{name}(")}
    if len(overloads) > 1 and arguments:
        bound = _pick_overload(bound, wanted, arguments)
    return bound, count


def _pick_overload(bound: Any, wanted: str, arguments: str) -> Any:
    for key in (wanted, arguments, *([object] if arguments == _PYTHON_OBJECT else [])):
        try:
            return bound[key]
        except (KeyError, IndexError, TypeError):
            continue
    return bound  # only default arguments differ: PySide6 offers the longest


def _accepted(function: Callable) -> int | None:
    """How many arguments PythonQt would cut to; None where it never cuts (partials, callable objects, builtins)."""
    plain = function.__func__ if isinstance(function, types.MethodType) else function
    if not isinstance(plain, types.FunctionType):
        return None
    kinds = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in kinds):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in kinds)


def _connections(obj: QtCore.QObject) -> list[tuple[str, Callable, Callable, Any]]:
    return obj.__dict__.setdefault("_host_connections", [])


def connect(self: Any, *arguments: Any) -> Any:
    """``obj.connect("clicked(bool)", f)``, ``obj.connect("clicked()", other, "slot()")`` or PySide6's own forms."""
    if not _is_signature(self, arguments):
        return _connect(*arguments) if isinstance(arguments[0], QtCore.QObject) else _connect(self, *arguments)
    signature, function = arguments[0], arguments[1]
    if len(arguments) == 3:
        function = _read_attribute(arguments[1], arguments[2].partition("(")[0])
    if not callable(function):
        raise TypeError(f"connect('{signature}', ...): {function!r} cannot be called")
    bound, count = _find_signal(self, signature)
    limit = _accepted(function)
    keep = count if limit is None else min(count, limit)

    def relay(*values: Any) -> None:
        function(*values[:keep])

    bound.connect(relay)
    _connections(self).append((_normalised(signature), function, relay, bound))
    return True


def disconnect(self: Any, *arguments: Any) -> Any:
    """``obj.disconnect("clicked(bool)", f)``; without f every function connected this way to the signal."""
    if not _is_signature(self, arguments):
        own = arguments and isinstance(arguments[0], QtCore.QObject)
        return _disconnect(*arguments) if own else _disconnect(self, *arguments)
    wanted = _normalised(arguments[0])
    function = arguments[1] if len(arguments) > 1 else None
    kept, removed = [], False
    for signature, target, relay, bound in _connections(self):
        if signature == wanted and (function is None or target == function):
            bound.disconnect(relay)
            removed = True
        else:
            kept.append((signature, target, relay, bound))
    _connections(self)[:] = kept
    return removed


def _is_signature(self: Any, arguments: tuple) -> bool:
    first = arguments[0] if arguments else None
    return isinstance(self, QtCore.QObject) and isinstance(first, str) and not first[:1].isdigit() and "(" in first
