"""The lists of files in the CMakeLists.txt files, compared with the files on disk and renewed from them.

CMake installs what is listed and says nothing about what is not: a forgotten file is missing in every installed
extension. Run ``python -m Testing.cmake.listings`` to see what differs and ``... --write`` to mend it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Listing:
    """One ``set(VARIABLE file file ...)`` and the files that belong into it.

    Attributes
    ----------
    folder : str
        Folder of the CMakeLists.txt, from the repository's root; the listed names are relative to it.
    belongs : callable
        Whether a file, by that name, is one of the list.
    """

    folder: str
    variable: str
    belongs: Callable[[str], bool]


LISTINGS = (
    Listing("KneePipelineLib", "LIB_PYTHON_SCRIPTS", lambda name: name.endswith(".py")),
    Listing("KneePipelineLib", "LIB_PYTHON_RESOURCES",
            lambda name: not name.endswith(".py") and name != "CMakeLists.txt"),
    Listing("KneePipeline", "MODULE_PYTHON_SCRIPTS", lambda name: name.endswith(".py") and "/" not in name),
    # The pictures of README are not needed in an installation.
    Listing("KneePipeline", "MODULE_PYTHON_RESOURCES",
            lambda name: name.startswith("Resources/") and not name.startswith("Resources/Screenshots/")),
    Listing("Testing/slicer", "SLICER_UNITTESTS", lambda name: re.fullmatch(r"test_\w+\.py", name) is not None),
)


def files_below(folder: Path) -> list[str]:
    """Names of all files that belong to the repository, relative to `folder`, sorted.

    Files git ignores are left out; without git (an archive of the sources) everything but caches counts.
    """
    answer = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."],
        cwd=folder, capture_output=True, text=True, check=False,
    ) if (REPOSITORY / ".git").exists() else None
    if answer is not None and answer.returncode == 0:
        names: Iterable[str] = (name for name in answer.stdout.split("\0") if name)
    else:
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*")
                 if "__pycache__" not in path.parts and path.suffix != ".pyc")
    return sorted({name for name in names if (folder / name).is_file()})


def wanted(listing: Listing) -> list[str]:
    """The files a list ought to name."""
    return [name for name in files_below(REPOSITORY / listing.folder) if listing.belongs(name)]


def listed(listing: Listing) -> list[str]:
    """The files it does name."""
    return _pattern(listing).search(_text(listing))[2].split()


def write(listing: Listing) -> None:
    """Renew one list in its file."""
    lines = "".join(f"  {name}\n" for name in wanted(listing))
    text = _pattern(listing).sub(lambda match: f"{match[1]}\n{lines}{match[3]}", _text(listing))
    (REPOSITORY / listing.folder / "CMakeLists.txt").write_text(text, encoding="utf-8", newline="\n")


def _text(listing: Listing) -> str:
    return (REPOSITORY / listing.folder / "CMakeLists.txt").read_text(encoding="utf-8")


def _pattern(listing: Listing) -> re.Pattern[str]:
    return re.compile(rf"(set\({listing.variable})\n([^()]*?)( *\))")


def main(argv: list[str] | None = None) -> int:
    """Tell the differences; 1 if there are any and they are not written."""
    parser = argparse.ArgumentParser(prog="python -m Testing.cmake.listings", description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the lists")
    write_them = parser.parse_args(argv).write
    differs = False
    for listing in LISTINGS:
        there, named = set(wanted(listing)), set(listed(listing))
        for sign, names in (("+", there - named), ("-", named - there)):
            for name in sorted(names):
                differs = True
                print(f"{sign} {listing.folder}/{name}")
        if write_them:
            write(listing)
    return int(differs and not write_them)


if __name__ == "__main__":
    sys.exit(main())
