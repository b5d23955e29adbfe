"""A measure's name never changes its meaning in silence."""

from __future__ import annotations

import json

import pytest

from KneePipelineLib.errors import ConfigError
from KneePipelineLib.measures_version import CHANGES, MEASURES_VERSION, changed_since, require_one_version, version_in


def test_the_version_of_a_folder(tmp_path):
    assert version_in(tmp_path) is None
    (tmp_path / "results.json").write_text("{ no json")
    assert version_in(tmp_path) is None
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": "1.2"}))
    assert version_in(tmp_path) == "1"
    (tmp_path / "results.json").write_text(json.dumps({"measures_version": MEASURES_VERSION}))
    assert version_in(tmp_path) == MEASURES_VERSION


def test_what_changed_is_told():
    assert changed_since(MEASURES_VERSION) == ""
    assert "tAB" in changed_since("1")
    assert "extrusion" in changed_since("1")
    assert "does not know" in changed_since("99")
    assert "does not know" in changed_since("x")
    assert max(CHANGES, key=int) == MEASURES_VERSION


def test_versions_are_not_mixed():
    assert require_one_version([]) == MEASURES_VERSION
    assert require_one_version(["2", "2"]) == "2"
    with pytest.raises(ConfigError, match=r"version 1 and 2 cannot be joined.*tAB"):
        require_one_version(["2", "1"])
