"""What the panel says in words: times, shares, and which button mends which error."""

from __future__ import annotations

import re
from dataclasses import dataclass

from slicer.i18n import tr as _

SET_UP, REPAIR, MODELS, USE_CPU, SHOW_LOG, LONGER, NOTHING = (
    "setup", "repair", "models", "cpu", "log", "advanced", "")
"""What a message's button may do; `WidgetMessage` shows the button under the name `button_text` gives it."""


_COMMAND = re.compile(r"python3? -m KneePipelineLib|(?<![\w-])--[a-z]|\bKNEEPIPELINE_[A-Z]|"
                      r"\b(models (list|download|import|verify|remove)|doctor)\b")
_CLAUSE = re.compile(r"(?<=[.;])\s+|,\s+(?=or\b)")


@dataclass(frozen=True)
class Mending:
    """An error as the panel shows it: what happened, what to do, and the button that does it."""

    text: str
    button: str = NOTHING


def button_text(button: str) -> str:
    """The name on the button."""
    return {SET_UP: _("Set up"), REPAIR: _("Repair"), MODELS: _("Open Models"), USE_CPU: _("Compute on the CPU"),
            SHOW_LOG: _("Show log"), LONGER: _("Open Advanced"), NOTHING: ""}[button]


def mending(code: str, message: str, hint: str) -> Mending:
    """The words and the button for an error of a run.

    Hints of the command line name commands; in Slicer the button that does the same is named instead.
    """
    button = _button_for(code, message, hint)
    cause = plain(message) or _("The run failed.")
    return Mending(f"{cause} {plain(hint, button)}".strip(), button)


def plain(text: str, button: str = "") -> str:
    """Words of the command line as the panel says them: a clause that names a command or an option of it goes, and the
    button that does the same is named instead.

    >>> plain("the model is not installed; run: python3 -m KneePipelineLib models download shape_647")
    'the model is not installed. Choose the model in the section Models and press Download or Import from folder.'
    >>> plain("Free some space, or choose another disk with setup --env DIR.")
    'Free some space.'
    """
    kept, commands = [], []
    for clause in _CLAUSE.split(text.strip()):
        (commands if _COMMAND.search(clause) else kept).append(clause.strip())
    if not commands:
        return text.strip()
    words = " ".join(f"{clause.rstrip(' ,;:.')}." for clause in kept if clause.rstrip(" ,;:."))
    return f"{words} {_advice(button) or _advice_for(' '.join(commands))}".strip()


def _button_for(code: str, message: str, hint: str) -> str:
    if "Press Repair" in hint or "setup --repair" in hint or "KneePipelineLib doctor" in hint:
        return REPAIR
    if code in ("SETUP_ERROR", "NO_ENVIRONMENT") or "KneePipelineLib setup" in hint:
        return SET_UP
    if code == "E_HARD_003" or re.search(r"\bmodels (list|download|import|verify)\b", hint):
        return MODELS
    if code == "GPU_OOM":
        return USE_CPU
    if code == "TIMEOUT":
        return LONGER
    if code in ("PIPELINE_ERROR", "SEGMENTATION_FAILED", "NSM_FAILED") or not hint:
        return SHOW_LOG
    return NOTHING


def _advice(button: str) -> str:
    return {
        SET_UP: _("Press Set up."),
        REPAIR: _("Press Repair: it checks the environment and rebuilds what is broken."),
        MODELS: _("Choose the model in the section Models and press Download or Import from folder."),
        USE_CPU: _("Press Compute on the CPU: slower, but it needs less memory."),
        LONGER: _("Raise the time limit in the section Advanced."),
    }.get(button, "")


def _advice_for(command: str) -> str:
    """What in the panel does what this command, or an option of it, does; empty where nothing does."""
    fields = {
        "--side": _("Choose the side under Inputs."),
        "--label-scheme": _("Load the labels as a segmentation and say in the table under Inputs what each part is."),
        "--device": _("Choose the processor in the section Advanced."),
        "--timeout": _advice(LONGER),
        "--echo": _("Choose the series or its folder under Inputs."),
        "--series": _("Choose the series or its folder under Inputs."),
        "--env": _("Choose another folder in the section Set up."),
        "--python": _("Press Use existing Python in the section Set up."),
        "--prefix": _("Choose the beginning of file names in the section Advanced."),
    }
    if "setup" not in command:
        found = next((advice for option, advice in fields.items() if option in command), "")
        if found:
            return found
    button = _button_for("", "", command)
    return _advice(button) if button != SHOW_LOG else ""


def time_left(eta_s: float | None) -> str:
    """The time left in round figures.

    >>> time_left(None), time_left(20), time_left(100), time_left(4000)
    ('', 'less than a minute left', 'about 2 min left', 'about 1 h 7 min left')
    """
    if eta_s is None or eta_s < 0:
        return ""
    if eta_s < 45:
        return _("less than a minute left")
    minutes = round(eta_s / 60) or 1
    if minutes < 60:
        return _("about {minutes} min left").format(minutes=minutes)
    return _("about {hours} h {minutes} min left").format(hours=minutes // 60, minutes=minutes % 60)


def stage_title(stage: str) -> str:
    """A state of the design's section 5 in plain words."""
    return {
        "INIT": _("Starting"), "RECEIPT": _("Starting"), "VALIDATION": _("Checking the input"),
        "PREPROCESSING": _("Preparing the image"), "DETECTION": _("Segmenting"), "ANALYSIS": _("Measuring"),
        "FUSION": _("Joining the results"), "SCORING": _("Scoring"), "FORMATTING": _("Writing files and report"),
        "COMPLETE": _("Done"), "EXPORTING": _("Copying the image"),
        "IMPORTING": _("Bringing the results into the scene"),
    }.get(stage.upper(), stage.capitalize())
