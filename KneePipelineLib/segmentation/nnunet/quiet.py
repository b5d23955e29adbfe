"""nnU-Net's own modules, imported and called without a word on stdout: there the event stream runs."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what nnU-Net prints (missing environment variables, plans formats) away from stdout.

    For imports and short calls only: meanwhile the whole process is silent, other threads too.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
