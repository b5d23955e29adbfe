"""Our lists of codes for Slicer's terminology: what the labels are coded with, and nothing else."""

from __future__ import annotations

import pytest

from Testing.index import terminology_lists


@pytest.mark.parametrize("name", list(terminology_lists.documents()))
def test_the_file_says_what_the_labels_say(name: str) -> None:
    expected = terminology_lists.text_of(terminology_lists.documents()[name])
    assert (terminology_lists.FOLDER / name).read_text(encoding="utf-8") == expected


def test_no_other_list_lies_there() -> None:
    assert {path.name for path in terminology_lists.FOLDER.iterdir()} == set(terminology_lists.documents())
