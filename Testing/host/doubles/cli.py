"""``slicer.cli``: runs command-line modules."""

from __future__ import annotations

from typing import Any

__all__ = ["cancel", "createNode", "run", "runSync", "setNodeParameters"]


def createNode(cliModule: Any, parameters: dict[str, Any] | None = None) -> Any:
    """A command-line-module node in the scene, with parameters set."""
    node = cliModule.logic().CreateNodeInScene()
    setNodeParameters(node, parameters)
    return node


def setNodeParameters(node: Any, parameters: dict[str, Any] | None) -> None:
    """Texts, booleans, numbers, nodes, and lists of numbers (as "1, 2, 3")."""
    import slicer

    setters = (
        (str, node.SetParameterAsString),
        (bool, node.SetParameterAsBool),
        (int, node.SetParameterAsInt),
        (float, node.SetParameterAsDouble),
        (slicer.vtkMRMLNode, node.SetParameterAsNode),
        ((list, tuple), lambda key, value: node.SetParameterAsString(key, ", ".join(map(str, value)))),
    )
    for key, value in (parameters or {}).items():
        setter = next((setter for kind, setter in setters if isinstance(value, kind)), None)
        if setter is None:
            raise TypeError(f"parameter '{key}' has a value of type {type(value).__name__}")
        setter(key, value)


def run(
    module: Any,
    node: Any = None,
    parameters: dict[str, Any] | None = None,
    wait_for_completion: bool = False,
    delete_temporary_files: bool = True,
    update_display: bool = True,
) -> Any:
    """Start a command-line module; returns its node at once, or when it is done with `wait_for_completion`."""
    if node is None:
        node = createNode(module, parameters)
    else:
        setNodeParameters(node, parameters)
    logic = module.logic()
    logic.SetDeleteTemporaryFiles(1 if delete_temporary_files else 0)
    (logic.ApplyAndWait if wait_for_completion else logic.Apply)(node, update_display)
    return node


def runSync(
    module: Any,
    node: Any = None,
    parameters: dict[str, Any] | None = None,
    delete_temporary_files: bool = True,
    update_display: bool = True,
) -> Any:
    return run(module, node, parameters, True, delete_temporary_files, update_display)


def cancel(node: Any) -> None:
    """Slicer's own function does nothing but say so; use ``node.Cancel()``."""
    print("Not yet implemented")
