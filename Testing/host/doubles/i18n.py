"""``slicer.i18n``: texts for translation. The host speaks English; what was asked for is noted for tests."""

from __future__ import annotations

__all__ = ["asked_for", "getContext", "tr", "translate"]

asked_for: set[tuple[str, str]] = set()


def tr(text: str) -> str:
    """The text in the user's language."""
    return translate("", text)


def translate(context: str, text: str, disambiguation: str | None = None, n: int = -1) -> str:
    """The text in the user's language; `context` is usually the module's class."""
    if not isinstance(text, str):
        raise TypeError(f"only text can be translated, not {type(text).__name__}")
    asked_for.add((context, text))
    return text


def getContext(source: str | None) -> str:
    """The context of a module's file: its name without folder and suffix."""
    import os

    return os.path.splitext(os.path.basename(source))[0] if source else ""
