"""What the tests of readers share: how a refusal must read, and the codes of a volume's warnings."""

from __future__ import annotations

from pathlib import Path

import pytest

from KneePipelineLib.errors import KneePipelineError
from KneePipelineLib.imaging import Volume, read_image


def fails(error: type[KneePipelineError], path: Path, read: object = read_image,
          **options: object) -> KneePipelineError:
    """Reading must end in exactly this kind of error: one sentence, a hint, and no path nor identifier in either.

    ``KneePipelineError`` itself stands for any kind.
    """
    with pytest.raises(error) as caught:
        read(path, **options)
    found = caught.value
    assert type(found) is error or error is KneePipelineError
    assert found.message.endswith(".")
    assert found.message.count("\n") == 0
    assert found.hint
    text = found.message + found.hint + repr(found.details)
    for secret in ("ecret", "1.2.826", str(path), str(path.parent)):
        assert secret not in text
    return found


def codes(volume: Volume) -> list[str]:
    """Codes of the warnings, in their order."""
    return [code for code, _ in volume.meta["warnings"]]
