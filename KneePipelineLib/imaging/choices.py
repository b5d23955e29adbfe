"""Choosing among what an input holds: one echo of several, or their combination."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError, InvalidFormatError
from .volume import Volume


class EchoChoiceError(InvalidFormatError):
    """The input holds several images of the same place and nobody said which one is meant."""


def check_echo(echo: int | str | None, count: int) -> int | str | None:
    """The echo choice, validated: None, 1..count, or ``"rss"``.

    Raises
    ------
    EchoChoiceError
        Several echoes and no choice.
    ConfigError
        A choice that is neither ``"rss"`` nor one of the echoes.
    """
    if echo is None:
        if count > 1:
            raise EchoChoiceError(
                f"The image is 4-D: it holds {count} echoes (or repetitions) of the same volume.",
                f"Choose one with echo=1 to {count}, or combine them with echo='rss'.", echoes=count)
        return None
    if isinstance(echo, str) and echo.strip().lower() == "rss":
        return "rss"
    try:
        number = int(echo)
    except (TypeError, ValueError):
        raise ConfigError("The echo must be a number counted from 1, or 'rss'.", "For example echo=1.") from None
    if count == 1 and number != 1:
        raise ConfigError(f"The image holds one echo only, so there is no echo {number}.",
                          "Leave the choice of an echo out, or give the multi-echo series.", echoes=1)
    if not 1 <= number <= count:
        raise ConfigError(f"The image holds {count} echoes, so there is no echo {number}.",
                          f"Choose 1 to {count}, or 'rss'.", echoes=count)
    return number


def root_sum_of_squares(echoes: list[Volume]) -> Volume:
    """sqrt(S1^2 + S2^2 + ...) as float32 on the grid of the first echo: how qDESS pairs are shown and segmented."""
    total = np.zeros(echoes[0].array.shape, dtype=np.float32)
    for echo in echoes:
        values = echo.array.astype(np.float32)
        total += values * values
    np.sqrt(total, out=total)
    return echoes[0].with_array(total, echo="rss", echo_time_ms=None, echo_number=None)
