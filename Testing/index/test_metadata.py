"""CMakeLists.txt and the catalogue entry, read with the index's own patterns."""

from __future__ import annotations

import json
import re
import struct
from urllib.parse import urlsplit

import jsonschema
import pytest

from Testing.index import facts

RAW = re.compile(r"https://raw\.githubusercontent\.com/([^/]+/[^/]+)/main/(.+)")


def entry() -> dict:
    """KneePipeline.json as README's developer section gives it."""
    return json.loads(entry_text())


def entry_text() -> str:
    found = re.findall(r"`KneePipeline\.json`.*?```json\n(.*?)```", facts.readme(), re.DOTALL)
    assert len(found) == 1, "README must give the content of `KneePipeline.json` once, as a json block"
    return found[0]


def test_the_project_is_named_as_the_entry() -> None:
    projects = re.findall(r"project\s*\(\s*([^\s\)]+)(.*?)\)", facts.cmake_text(), re.IGNORECASE | re.DOTALL)
    assert projects[0][0] == "KneePipeline"
    assert "LANGUAGES" not in projects[0][1], "Slicer's macros want to know a compiler"
    assert not projects[0][0].lower().startswith("slicer")
    assert "cmake_minimum_required(VERSION 3.16.3...3.19.7 FATAL_ERROR)" in facts.cmake_text()


def test_every_variable_is_set_on_one_line() -> None:
    for name in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert facts.cmake_variable(name).strip() == facts.cmake_variable(name)


def test_the_description_is_a_few_clear_sentences() -> None:
    text = facts.cmake_variable("DESCRIPTION")
    assert 2 <= len(re.findall(r"\.(?: |$)", text)) <= 4
    assert 100 < len(text) < 500
    assert ";" not in text, "CMake would make a list of it"


def pictures() -> list[str]:
    """Addresses of the icon and the screenshots."""
    return [facts.cmake_variable("ICONURL"), *facts.cmake_variable("SCREENSHOTURLS").split(" ")]


def test_pictures_are_files_of_this_repository() -> None:
    assert len(pictures()) >= 2
    for url in pictures():
        repository, path = RAW.fullmatch(url).groups()
        assert repository == "/".join(urlsplit(entry()["scm_url"]).path.strip("/").split("/")).removesuffix(".git")
        assert url.isascii()
        content = (facts.REPOSITORY / path).read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n"), f"{path} is no PNG"
        width, height = struct.unpack(">II", content[16:24])
        assert min(width, height) >= 64
        assert len(content) <= facts.MOST_BYTES_FILE


def test_the_entry_obeys_the_schema() -> None:
    jsonschema.validate(entry(), facts.ENTRY_SCHEMA)
    for wrong in ({"category": "Orthopaedics"}, {"tier": 6}, {"owner": "me"}, {"scm_url": "git@github.com:a/b"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**entry(), **wrong}, facts.ENTRY_SCHEMA)


def test_the_entry_is_formatted_as_the_index_wants_it() -> None:
    assert entry_text() == json.dumps(entry(), indent=2) + "\n"


def test_entry_and_cmake_agree() -> None:
    assert (entry()["build_dependencies"] == []) == (facts.cmake_variable("DEPENDS") == "NA")
    assert entry()["category"] == facts.cmake_variable("CATEGORY")
    name = urlsplit(entry()["scm_url"]).path.split("/")[-1].removesuffix(".git")
    assert name.startswith("Slicer")
    assert facts.cmake_variable("HOMEPAGE").startswith(entry()["scm_url"].removesuffix(".git"))
    assert f"set(EXTENSION_TIER {entry()['tier']})" in facts.cmake_text()
