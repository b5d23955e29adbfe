"""Path fields and the parameter node.

They are bound here and not by ``SlicerParameterName``: that binding keeps a `Path`, and the empty path comes back as
".", which then stands in the field and means Slicer's own folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class PathFields:
    """Keeps text parameters and ``ctkPathLineEdit`` widgets the same.

    Parameters
    ----------
    fields : dict
        Parameter's name -> widget.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._parameters: Any = None
        for name, widget in fields.items():
            widget.connect("currentPathChanged(QString)", self._taker(name))

    def set_parameters(self, parameters: Any) -> None:
        """Show and change this parameter node; None for none."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """The parameter node has changed."""
        if self._parameters is None:
            return
        for name, widget in self._fields.items():
            wanted = getattr(self._parameters, name)
            if str(widget.currentPath) != wanted:
                widget.currentPath = wanted

    def remember(self) -> None:
        """Put what is entered now into the fields' histories."""
        for widget in self._fields.values():
            if widget.currentPath:
                widget.addCurrentPathToHistory()

    def _taker(self, name: str) -> Callable[[str], None]:
        def take(path: str) -> None:
            if self._parameters is not None and getattr(self._parameters, name) != path.strip():
                setattr(self._parameters, name, path.strip())

        return take
