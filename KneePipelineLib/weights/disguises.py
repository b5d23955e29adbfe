"""What lies under a weights file's name when it is not the weights: told from its first bytes, nothing is opened by it.

Downloads end in such files: Git without its large-file extension leaves a pointer, a login wall or a mirror a web page.
"""

from __future__ import annotations

from pathlib import Path

_FIRST_BYTES = 512
_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body", b"<!--")


def disguise(path: Path) -> tuple[str, str] | None:
    """What the file is instead of weights and what to do about it, both as ends of a sentence; None if it may be them.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as handle:
        start = handle.read(_FIRST_BYTES)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "is empty", "Copy or download it again."
    if text.startswith(_POINTER):
        return ("is a Git LFS pointer, not the weights themselves",
                "Fetch the weights with `git lfs pull`, or download the file from its page.")
    if text.startswith(_PAGES):
        return ("is a web page, not weights",
                "Open its address in a browser: it may ask for a login or lead somewhere else.")
    if text.startswith((b"{", b"[")):
        return "is a text in JSON, not weights", "Download the file itself, not the answer of its server."
    return None
