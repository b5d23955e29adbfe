"""A small world of fake packages for every test here, and both ways of installing them."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.environment.fakes import FakeWorld, find_uv, make_world


@pytest.fixture
def world(tmp_path: Path) -> FakeWorld:
    """The fake packages, with a home whose path has spaces and letters beyond ASCII."""
    return make_world(tmp_path / "files", tmp_path / "Müller's höme dir")


@pytest.fixture
def quickest() -> str:
    """uv where it is, else pip."""
    return "uv" if find_uv() else "pip"


@pytest.fixture(params=["fast", pytest.param("pip", marks=pytest.mark.slow)])
def installer(request: pytest.FixtureRequest, quickest: str) -> str:
    """Both ways of installing: uv where it is, which takes a second; venv and pip, which take ten."""
    return "pip" if request.param == "pip" else quickest
