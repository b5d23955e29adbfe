"""What the module remembers between sessions, in Slicer's settings under ``KneePipeline/``."""

from __future__ import annotations

from typing import Any

GROUP = "KneePipeline/"
DEFAULTS: dict[str, bool | int | float | str] = {
    "results_folder": "",
    "python": "",
    "base_python": "",
    "torch": "auto",
    "keep_log_open": False,
    "ask_before_scene_close": True,
}
"""Every key with its default, which also says its type. `results_folder` empty: below the package's own home.
`python`: an existing interpreter that has everything and is used as it is; empty: the private environment."""


def value(key: str) -> Any:
    """The value of `key` in the type of its default; the default when nothing or nonsense is stored.

    Raises
    ------
    KeyError
        For a key that `DEFAULTS` does not have.
    """
    default = DEFAULTS[key]
    stored = _settings().value(GROUP + key)
    if stored is None:
        return default
    if isinstance(default, bool):  # before int: a bool is one
        return stored if isinstance(stored, bool) else str(stored).strip().lower() in ("1", "true", "yes", "on")
    try:
        return type(default)(stored)
    except (TypeError, ValueError):
        return default


def set_value(key: str, new: Any) -> None:
    """Remember `new` for `key`; the default itself is forgotten rather than stored."""
    default = DEFAULTS[key]
    if not isinstance(new, type(default)) and not (isinstance(default, float) and isinstance(new, int)):
        raise TypeError(f"{key} is {type(default).__name__}, not {type(new).__name__}")
    if new == default:
        _settings().remove(GROUP + key)
    else:
        _settings().setValue(GROUP + key, new)


def forget_all() -> None:
    """Remove every setting of the module, those of earlier versions too."""
    _settings().remove(GROUP.rstrip("/"))


def _settings() -> Any:
    import slicer

    return slicer.app.userSettings()
