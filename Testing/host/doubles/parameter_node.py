"""``slicer.parameterNodeWrapper``: a module's parameters as typed attributes on a node of the scene."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from Testing.host.doubles.parameter_types import (
    Default,
    IsInstance,
    Kind,
    NotNone,
    Validator,
    WithinRange,
    kind_of,
    split_annotations,
)

__all__ = ["Default", "IsInstance", "NotNone", "SlicerParameterNamePropertyName", "Validator", "WithinRange",
           "parameterNodeWrapper"]

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a wrapper class."""

    basename: str
    unalteredType: Any
    kind: Kind
    default: Default


class _Wrapper:
    """What the decorator adds to a class; its names are reserved, as in Slicer."""

    allParameters: typing.ClassVar[dict[str, Parameter]] = {}

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._guis: dict[int, tuple[int, dict[str, Any]]] = {}
        self._next_tag = 0
        self._updating = False
        for name, parameter in self.allParameters.items():
            if not parameterNode.HasParameter(self._prefix + name):
                parameter.kind.write(parameterNode, self._prefix + name, parameter.default.value)

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"no parameter is called '{name}'; there are: {', '.join(self.allParameters)}")
        return self.allParameters[name]

    def getValue(self, name: str) -> Any:
        return self._parameter(name).kind.read(self.parameterNode, self._prefix + name)

    def setValue(self, name: str, value: Any) -> None:
        parameter = self._parameter(name)
        with slicer.util.NodeModify(self.parameterNode):
            parameter.kind.write(self.parameterNode, self._prefix + name, value)

    def default(self, name: str) -> Default:
        return self._parameter(name).default

    def connectGui(self, gui: Any) -> int:
        """Bind every widget of `gui` that has a SlicerParameterName; returns a tag for disconnectGui."""
        widgets = gui.findChildren("QWidget") if hasattr(gui, "isWidgetType") else gui.__dict__.values()
        named = {w.property(SlicerParameterNamePropertyName): w for w in widgets if hasattr(w, "property")}
        named.pop(None, None)
        named.pop("", None)
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        from Testing.host.doubles import parameter_binding

        bound = {}
        for name, widget in mapping.items():
            bound[name] = parameter_binding.bind(widget, self._parameter(name).unalteredType)
        for name, binding in bound.items():
            binding.write(self.getValue(name))
            binding.on_change(self._to_node(name, binding))
        observer = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_guis())
        tag = self._next_tag
        self._next_tag += 1
        self._guis[tag] = (observer, bound)
        return tag

    def disconnectGui(self, tag: int) -> None:
        observer, bound = self._guis.pop(tag, (0, {}))
        for binding in bound.values():
            binding.on_change(None)
        if observer:
            self.parameterNode.RemoveObserver(observer)

    def _to_node(self, name: str, binding: Any) -> Any:
        def changed(*_: Any) -> None:
            if not self._updating:
                self.setValue(name, binding.read())

        return changed

    def _to_guis(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for _, bound in list(self._guis.values()):
                for name, binding in bound.items():
                    binding.write(self.getValue(name))
        finally:
            self._updating = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modified: int) -> Any:
        return self.parameterNode.EndModify(was_modified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def _wrap(cls: type) -> type:
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {}
    for name, type_ in hints.items():
        base, annotations = split_annotations(type_)
        kind = kind_of(base, tuple(a for a in annotations if isinstance(a, Validator)))
        fallback = next((a for a in annotations if isinstance(a, Default)), Default(kind.default))
        default = Default(cls.__dict__[name]) if name in cls.__dict__ else fallback
        for check in kind.checks:
            check.validate(default.value)
        parameters[name] = Parameter(name, type_, kind, default)
        setattr(cls, name, _property(name))
    for name, value in vars(_Wrapper).items():
        if name in ("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__"):
            continue
        if name in cls.__dict__ and name != "__init__":
            raise ValueError(f"'{name}' is a reserved name of parameterNodeWrapper")
        setattr(cls, name, value)
    cls.allParameters = parameters
    return cls


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Class decorator; works with and without brackets."""
    return _wrap if classtype is None else _wrap(classtype)
