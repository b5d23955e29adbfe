"""Child processes as a job sees them: started, listened to, ended with everything they started.

One protocol, two implementations: `QtProcess` lives in Slicer's event loop and never waits; `PlainProcess` runs on
`subprocess` for scripts and tests. Both keep the event stream (stdout) apart from what people read (stderr).
"""

from __future__ import annotations

import os
from pathlib import Path

from ...environment.child import CERTIFICATES, is_below
from .base import FAILED_TO_START, JobProcess, end_family
from .plain import PlainProcess
from .qt import QtProcess

_PASSED_ON = (*CERTIFICATES, "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy",
              "no_proxy", "all_proxy")
"""Variables taken from Slicer's present environment, because its start-up environment leaves some of them out."""


def child_environment(python: Path | str | None = None) -> dict[str, str]:
    """The variables for a child: those from before Slicer added its own, without anything of Slicer's Python.

    Parameters
    ----------
    python
        The interpreter the child runs on, when it is no private environment of Set up's: the child then takes it for
        one (see :func:`KneePipelineLib.environment.inside`).

    Notes
    -----
    ``os.environ`` is read, never written. Proxies and certificates are passed on although Slicer's start-up
    environment leaves some of them out, except for the bundle of certificates that Slicer's launcher has put in place
    of the system's; every ``PYTHON*`` variable is dropped.
    """
    from ... import environment

    variables, slicer_home = _startup_environment(), os.environ.get("SLICER_HOME", "")
    for name in _PASSED_ON:
        is_slicers = name in CERTIFICATES and slicer_home and is_below(os.environ.get(name, ""), slicer_home)
        if name in os.environ and not is_slicers:
            variables.setdefault(name, os.environ[name])
    variables.update({name: value for name, value in os.environ.items() if name.startswith("KNEEPIPELINE_")})
    cleaned = environment.child_environment(variables)
    if python is not None:
        cleaned["KNEEPIPELINE_PYTHON"] = str(python)
    return cleaned


def _startup_environment() -> dict[str, str]:
    try:
        import slicer

        return dict(slicer.util.startupEnvironment())
    except (ImportError, AttributeError):  # a script outside Slicer
        return dict(os.environ)


__all__ = ["FAILED_TO_START", "JobProcess", "PlainProcess", "QtProcess", "child_environment", "end_family"]
