"""How each type of parameter is written into a parameter node, and the annotations that limit values.

Supported: int, float, bool, str, pathlib paths, enums, MRML nodes, Union/Optional of nodes, lists of these; of limits
WithinRange. Packs, ranges, dictionaries, tuples and other limits are left out on purpose; a module that uses them fails
here with a sentence, and runs on Slicer's own files (see `slicers_files`).
"""

from __future__ import annotations

import enum
import json
import pathlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer


class Validator:
    """Base class of the limits: ``validate(value)`` raises ValueError or TypeError."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class _Check(Validator):
    """A limit given by one or more operands and a test."""

    fails: Callable[..., bool]
    says = ""

    def __init__(self, *operands: Any) -> None:
        self._operands = operands

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._operands))})"

    def validate(self, value: Any) -> None:
        if type(self).fails(value, *self._operands):
            raise ValueError(f"{value!r} is not allowed: {self.says.format(*self._operands)}")


class NotNone(_Check):
    fails = staticmethod(lambda value: value is None)
    says = "a value is needed"


class WithinRange(_Check):
    fails = staticmethod(lambda value, low, high: not low <= value <= high)
    says = "it must lie between {} and {}"
    minimum = property(lambda self: self._operands[0])
    maximum = property(lambda self: self._operands[1])


class IsInstance(Validator):
    def __init__(self, classtype: type | tuple[type, ...]) -> None:
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} is a {type(value).__name__}, not a {self.classtype}")


@dataclass
class Default:
    """The value of a parameter that nobody has set."""

    value: Any


@dataclass(frozen=True)
class Kind:
    """How values of one type are kept: as text, with checks and a default."""

    type: Any
    default: Any
    checks: tuple[Validator, ...]
    to_text: Callable[[Any], str] = str
    from_text: Callable[[str], Any] = str
    is_node: bool = False

    def write(self, node: Any, name: str, value: Any) -> None:
        for check in self.checks:
            check.validate(value)
        if not self.is_node:
            node.SetParameter(name, self.to_text(value))
            return
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name) if self.is_node else self.from_text(node.GetParameter(name))


def node_classes(type_: Any) -> tuple[type, ...]:
    """The MRML classes a node type or a Union (Optional) of them names; empty for any other type."""
    members = typing.get_args(type_) if typing.get_origin(type_) in (typing.Union, types.UnionType) else (type_,)
    members = tuple(member for member in members if member is not type(None))
    is_node = all(isinstance(member, type) and issubclass(member, slicer.vtkMRMLNode) for member in members)
    return members if members and is_node else ()


def kind_of(type_: Any, checks: tuple[Validator, ...] = ()) -> Kind:
    """The kind for a type.

    Raises:
        TypeError: a type the double does not know.
    """
    if typing.get_origin(type_) is list or type_ is list:
        return _list_kind(type_, checks)
    nodes = node_classes(type_)
    if nodes:
        return Kind(type_, None, (IsInstance(nodes), *checks), is_node=True)
    if type_ is bool:
        return Kind(bool, False, (NotNone(), IsInstance(bool), *checks), from_text=lambda text: text == "True")
    if type_ in (int, float):
        accepted = int if type_ is int else (int, float)
        return Kind(type_, type_(0), (NotNone(), IsInstance(accepted), *checks), from_text=type_)
    if type_ is str:
        return Kind(str, "", (NotNone(), IsInstance(str), *checks))
    if isinstance(type_, type) and issubclass(type_, pathlib.PurePath):
        return Kind(type_, type_(), (NotNone(), IsInstance(type_), *checks), from_text=type_)
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return Kind(
            type_, next(iter(type_)), (NotNone(), IsInstance(type_), *checks),
            to_text=lambda value: value.name, from_text=lambda text: type_[text],
        )  # fmt: skip
    raise TypeError(f"the host's parameter node has no way to keep {type_}")


def _list_kind(type_: Any, checks: tuple[Validator, ...]) -> Kind:
    """Lists are kept as JSON texts of their elements, nodes by their IDs."""
    (element,) = typing.get_args(type_) or (str,)
    inner = kind_of(*split_annotations(element)[:1])

    def to_text(values: list[Any]) -> str:
        for value in values:
            for check in inner.checks:
                check.validate(value)
        return json.dumps([value.GetID() if inner.is_node else inner.to_text(value) for value in values])

    def from_text(text: str) -> list[Any]:
        kept = json.loads(text)
        return [slicer.mrmlScene.GetNodeByID(k) if inner.is_node else inner.from_text(k) for k in kept]

    return Kind(type_, [], (NotNone(), IsInstance((list, tuple)), *checks), to_text=to_text, from_text=from_text)


def split_annotations(type_: Any) -> tuple[Any, list[Any]]:
    """``Annotated[float, Minimum(0)]`` -> (float, [Minimum(0)])."""
    if typing.get_origin(type_) is typing.Annotated:
        base, *annotations = typing.get_args(type_)
        return base, annotations
    return type_, []
