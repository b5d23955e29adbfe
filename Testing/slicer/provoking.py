"""A mark for tests that make Slicer's engine complain on purpose; the host's other tests fail when it does."""

from __future__ import annotations

from typing import Any


def provokes_the_engine(test: Any) -> Any:
    """Decorate a test whose subject is a failure that the engine itself tells of."""
    test.provokes_the_engine = True
    return test
