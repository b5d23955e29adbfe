"""The private environment: exact packages in a folder of their own, made by one visible step, mended and removed.

Standard library only, Python 3.10 to 3.13: this is what runs before anything is installed. See the design's section 2
(the two worlds and the one wall) and section 4 (commands).
"""

from __future__ import annotations

from .child import child_environment, command, inside
from .entering import hold_in_use, relaunch
from .places import environment_dir, home
from .problems import SetupError
from .setting_up import SetupOptions, ensure, private_python, remove, setup

__all__ = [
    "SetupError",
    "SetupOptions",
    "child_environment",
    "command",
    "doctor",
    "ensure",
    "environment_dir",
    "hold_in_use",
    "home",
    "inside",
    "private_python",
    "relaunch",
    "remove",
    "setup",
]


def doctor(*args, **kwargs):
    """See :func:`KneePipelineLib.environment.examination.doctor`."""
    from .examination import doctor as examine

    return examine(*args, **kwargs)
