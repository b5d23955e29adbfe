"""PythonQt's manners on PySide6: what Slicer's Python code sees when it touches a Qt object.

In Slicer a Qt property is an attribute (``button.text``, ``button.enabled = False``), an attribute that does not exist
cannot be created on a C++ object, signals are connected by their signature (``button.connect("clicked(bool)", f)``) and
lists come as tuples. Bare PySide6 accepts ``button.enabled = False`` silently and does nothing, so code tested against
it would be wrong in Slicer without any sign. The rules are patched into the classes of the running PySide6 once.
"""

from __future__ import annotations

import enum
import pathlib
import types
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui

from Testing.host.shim import signals

_read_attribute = QtCore.QObject.__getattribute__
_write_attribute = QtCore.QObject.__mro__[-2].__setattr__  # of the class below all of PySide6
_properties_of: dict[type, dict[str, QtCore.QMetaProperty]] = {}
_overridden_in: dict[type, frozenset[str]] = {}
_python_written: dict[type, bool] = {}
_being_read: set[tuple[int, str]] = set()
_installed = False
loading_form = False  # PySide6's loader of forms writes the children as attributes of the root: not wanted

_SIGNAL_METHODS = {"connect": signals.connect, "disconnect": signals.disconnect}
_COMPARABLE = {bool: (bool, int), int: (int, bool), float: (float, int), str: (str,)}


def native(cls: type) -> type:
    """Mark a class of the host as standing for one of Slicer's C++ classes: strict for whoever uses it."""
    cls._stands_for_cpp = True
    return cls


def install(classes: list[type]) -> None:
    """Put the rules into force for QObject and every class of `classes` (done once a process)."""
    global _installed
    if _installed:
        return
    _installed = True
    QtCore.QObject.__getattribute__ = _get
    QtCore.QObject.__getattr__ = _get_missing
    for cls in {QtCore.QObject, *classes}:
        if issubclass(cls, QtCore.QObject):
            cls.__setattr__ = _set
        if "exec" in cls.__dict__:
            cls.exec_ = cls.exec  # PySide6's own exec_ warns of its end
    _add_methods()


def is_python_class(cls: type) -> bool:
    """True for a class written in Python (below a Qt class or not), False for one of PySide6's own."""
    known = _python_written.get(cls)
    if known is None:
        known = not cls.__module__.startswith(("PySide6", "shiboken6", "Shiboken", "builtins"))
        _python_written[cls] = known
    return known


def _overridden(cls: type) -> frozenset[str]:
    """Names that Python classes between `cls` and Qt define themselves; these win over Qt's properties."""
    names = _overridden_in.get(cls)
    if names is None:
        names = frozenset(name for base in cls.__mro__ if is_python_class(base) for name in base.__dict__)
        _overridden_in[cls] = names
    return names


def _properties(obj: QtCore.QObject) -> dict[str, QtCore.QMetaProperty]:
    cls = type(obj)
    found = _properties_of.get(cls)
    if found is None:
        meta = _read_attribute(obj, "metaObject")()
        found = {meta.property(i).name(): meta.property(i) for i in range(meta.propertyCount())}
        _properties_of[cls] = found
    return found


class EnumNumber(int):
    """The number of an enum value; equal to the enum's value too, which in PythonQt is a number itself."""

    def __eq__(self, other: object) -> bool:
        return int(self) == (other.value if isinstance(other, enum.Enum) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__


def _to_python(value: Any) -> Any:
    """A property's value as PythonQt hands it out: enums as int, lists as tuples."""
    if isinstance(value, enum.Enum):
        return EnumNumber(value.value)
    return tuple(value) if isinstance(value, list) else value


def _get(self: QtCore.QObject, name: str) -> Any:
    if name.startswith("_") or name == "metaObject":
        return _read_attribute(self, name)
    if name in _overridden(type(self)):
        value = _read_attribute(self, name)
        return tuple(value) if type(value) is list and name in _properties(self) else value
    if name in _properties(self):
        return _read_property(self, name)
    if name == "name":
        return _read_attribute(self, "objectName")()
    if name in _SIGNAL_METHODS:  # PySide6 looks these two up by its own way, past the class
        return types.MethodType(_SIGNAL_METHODS[name], self)
    return _read_attribute(self, name)


def _read_property(self: QtCore.QObject, name: str) -> Any:
    """A property's value.

    Some (sizeHint) are virtual functions, for which PySide6 looks for an override in Python while the property is being
    read: that second look gets the function.
    """
    key = (id(self), name)
    if key in _being_read:
        return _read_attribute(self, name)
    _being_read.add(key)
    try:
        return _to_python(_read_attribute(self, "property")(name))
    finally:
        _being_read.discard(key)


def _get_missing(self: QtCore.QObject, name: str) -> Any:
    """Dynamic properties and children by their object name are attributes too."""
    if not name.startswith("_") and shiboken6.isValid(self):
        if name.encode() in [bytes(n.data()) for n in _dynamic_names(self)]:
            return _read_attribute(self, "property")(name)
        for child in _children(self):
            if _read_attribute(child, "objectName")() == name:
                return child
    raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")


def _is_strict(cls: type) -> bool:
    return not is_python_class(cls) or "_stands_for_cpp" in cls.__dict__


def _set(self: QtCore.QObject, name: str, value: Any) -> None:
    cls = type(self)
    own = next((base.__dict__[name] for base in cls.__mro__ if is_python_class(base) and name in base.__dict__), None)
    if own is not None and not isinstance(own, QtCore.Property):
        _write_attribute(self, name, value)
    elif name in _properties(self):
        _write_property(self, name, value)
    elif name == "name":
        _read_attribute(self, "setObjectName")(value)
    elif not _is_strict(cls) or name.startswith("_"):
        _write_attribute(self, name, value)
    elif loading_form:
        return
    elif isinstance(value, QtCore.SignalInstance):
        self.__dict__[name] = value  # PySide6 itself keeps signals this way
    elif name.encode() in [bytes(n.data()) for n in _dynamic_names(self)]:
        _read_attribute(self, "setProperty")(name, value)
    else:
        raise AttributeError(
            f"'{name}' does not exist on {cls.__name__} and creating new attributes on C++ objects is not allowed"
        )


def _write_property(self: QtCore.QObject, name: str, value: Any) -> None:
    meta = _properties(self)[name]
    label = f"Property '{name}' of type '{meta.typeName()}' of {type(self).__name__}"
    if not meta.isWritable():
        raise AttributeError(f"{label} is not writable")
    current = _read_attribute(self, "property")(name)
    if isinstance(value, pathlib.PurePath) or (
        type(current) in _COMPARABLE and not isinstance(value, (*_COMPARABLE[type(current)], QtCore.QByteArray))
    ):
        raise AttributeError(f"{label} does not accept an object of type {type(value).__name__} ({value!r})")
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, QtGui.QColor):  # a subclass written in Python is one, too
        value = QtGui.QColor.fromRgba(value.rgba())
    if isinstance(current, enum.Enum) and isinstance(value, int) and not isinstance(value, enum.Enum):
        value = type(current)(value)
    if not _read_attribute(self, "setProperty")(name, value):
        raise AttributeError(f"{label} does not accept an object of type {type(value).__name__} ({value!r})")


# --- methods ---------------------------------------------------------------------------------------------------------

_children = QtCore.QObject.children
_find_children = QtCore.QObject.findChildren
_find_child = QtCore.QObject.findChild
_dynamic_names = QtCore.QObject.dynamicPropertyNames


def _inherits(child: QtCore.QObject, kind: type | str) -> bool:
    if isinstance(kind, type):
        return isinstance(child, kind)
    return child.inherits(kind) or any(base.__name__ == kind for base in type(child).__mro__)


def _descendants(parent: QtCore.QObject) -> list[QtCore.QObject]:
    return list(_find_children(parent, QtCore.QObject))


def _find_all(self: QtCore.QObject, kind: type | str = QtCore.QObject, name: str = "") -> tuple:
    return tuple(
        child
        for child in _descendants(self)
        if _inherits(child, kind) and (not name or _read_attribute(child, "objectName")() == name)
    )


def _find_one(self: QtCore.QObject, kind: type | str = QtCore.QObject, name: str = "") -> QtCore.QObject | None:
    return next(iter(_find_all(self, kind, name)), None)


def _add_methods() -> None:
    q_object = QtCore.QObject
    q_object.className = lambda self: self.metaObject().className()
    q_object.delete = lambda self: shiboken6.delete(self)
    q_object.children = lambda self: tuple(_children(self))
    q_object.findChildren = _find_all
    q_object.findChild = _find_one
    q_object.dynamicPropertyNames = lambda self: tuple(_dynamic_names(self))
    q_object.connect = signals.connect
    q_object.disconnect = signals.disconnect
