"""The quality rules as a table: what each one looks for, how much it weighs, and what to do when it fires.

The limits are wide on purpose: they are meant to catch a scan, a segmentation or a fit that failed, never a knee that
is ill. `quality` applies them.

Sources. Thickness: published regional means of healthy and osteoarthritic knees lie between about 1 and 4 mm (Eckstein
et al., Osteoarthritis Cartilage 2006;14:974-983, and the cohorts that followed it). Volumes: see
`segmentation.PLAUSIBLE_ML`. Extrusion: means of 2.7 mm medially and 1.8 mm laterally in people without osteoarthritis,
3 to 4 mm called extruded (Svensson et al., Eur Radiol 2019;29:2616-2623); torn roots reach about 8. T2: regional means
of cartilage at 1.5 and 3 T lie between about 25 and 55 ms (Mosher and Dardzinski, Semin Musculoskelet Radiol
2004;8:355-368). BScore: a score counts standard deviations of healthy knees,
and osteoarthritic ones reach about 6 (Bowes et al., Ann Rheum Dis 2021;80:502-508). The rest is our own judgement.
"""

from __future__ import annotations

from dataclasses import dataclass

EVERYTHING, THICKNESS, T2, MENISCUS, SHAPE = "everything", "thickness", "t2", "meniscus", "shape"
"""What a rule throws doubt on: all numbers of its subject, or one kind of them."""


@dataclass(frozen=True)
class Rule:
    """One quality rule.

    Attributes
    ----------
    code : str
        Stable between versions.
    flag : str
        Its severity: ``check`` (look at it), ``poor`` (do not use unseen) or ``missing``.
    about : str
        What it throws doubt on.
    meaning : str
        When it fires, in words.
    action : str
        What to do then.
    low, high : float or None
        Limits that are still fine; None: no limit on that side.
    unit : str
        Of the limits.
    """

    code: str
    flag: str
    about: str
    meaning: str
    action: str
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def allows(self, value: float) -> bool:
        """Whether a value lies within the limits."""
        return not ((self.low is not None and value < self.low) or (self.high is not None and value > self.high))

    def finding(self, message: str, subject: str | None = None, value: float | None = None) -> dict:
        """The rule's entry in results.json."""
        entry: dict = {"code": self.code, "flag": self.flag, "message": message, "action": self.action}
        if subject is not None:
            entry["subject"] = subject
        if value is not None:
            entry |= {"value": value, "unit": self.unit}
            if (self.low, self.high) != (None, None):
                entry["limits"] = [self.low, self.high]
        return entry


_LOOK = "Look at this structure in the slices below, correct the label map where it is wrong and run again."
_SIDE = "Find out which knee it is and name it with --side; medial and lateral are swapped if it is the other one."

RULES = {rule.code: rule for rule in (
    Rule("REGION_MISSING", "missing", THICKNESS, "a region that a complete knee has was not measured",
         "Expected where the scan leaves this part out; otherwise correct the segmentation and run again."),
    Rule("THICKNESS_RANGE", "poor", THICKNESS, "mean thickness outside the plausible range", _LOOK, 0.8, 5.0, "mm"),
    Rule("DENUDED_BONE", "check", THICKNESS, "much bare bone within a region",
         "See on the thickness map whether it is a defect, or cartilage that the segmentation missed.", None, 10.0,
         "%"),
    Rule("NO_COVERED_BONE", "poor", THICKNESS, "a mean thickness without any cartilage that lies on the bone",
         "The rays met cartilage that is not this region's: use only the denuded area here, and look at the bone's "
         "label for missing parts."),
    Rule("SLICE_DIRECTION", "poor", THICKNESS,
         "much of a region faces along thick slices, so that its thickness is read across few of them",
         "Use regions whose bone faces across the slices, or a series with thinner slices or of another plane.",
         None, 35.0, "%"),
    Rule("FOOTPRINT_NOT_FITTED", "poor", THICKNESS, "the healthy footprint could not be carried to a bone",
         "Do not use dAB, tAB and ThC_tAB of this bone; look whether its label is whole and of this bone."),
    Rule("FEW_POINTS", "check", THICKNESS, "so few surface points that the means say little",
         "Leave this region out of comparisons, or segment again.", 50),
    Rule("VOLUME_RANGE", "check", EVERYTHING, "a structure's volume is not one that a knee has", _LOOK),
    Rule("SEVERAL_PIECES", "check", EVERYTHING, "a good part of a structure lies apart from the rest of it",
         "Remove stray pieces from the label map and run again; cartilage that a defect divides is fine.", None, 5.0,
         "%"),
    Rule("CARTILAGE_AT_BORDER", "check", EVERYTHING, "a cartilage or meniscus touches the edge of the image",
         "Part of it may be cut off: do not compare its volume and area; scan with a larger field of view."),
    Rule("LOW_CONFIDENCE", "poor", EVERYTHING, "the network's segmentation as a whole is not to be trusted",
         "Compare the labels with the image before anything else; try another model, or correct by hand."),
    Rule("STRUCTURE_DOUBTFUL", "check", EVERYTHING, "the network's segmentation of one structure is doubtful", _LOOK),
    Rule("SIDE_DISAGREES", "poor", EVERYTHING, "another source names the other side", _SIDE),
    Rule("MENISCUS_COVERAGE", "check", MENISCUS, "the meniscus covers implausibly little or much of the tibia", _LOOK,
         10.0, 95.0, "%"),
    Rule("MENISCUS_EXTRUSION", "check", MENISCUS, "the meniscus reaches implausibly far out or in", _LOOK, -6.0, 10.0,
         "mm"),
    Rule("T2_SEQUENCE_ASSUMED", "poor", T2, "the echoes are perhaps not of the sequence that T2 was computed for",
         "Use T2 only if this really is a qDESS pair."),
    Rule("T2_EXCLUDED", "check", T2, "many voxels of a region have no usable T2",
         "The rest may not stand for the region: see the T2 map for artefacts and the echoes' field of view.", None,
         20.0, "%"),
    Rule("T2_POOR_FIT", "check", T2, "the decay of many voxels is not the one that was fitted",
         "Look at the echoes for motion and noise; try --t2-skip-first-echo.", None, 10.0, "%"),
    Rule("T2_FEW_VOXELS", "check", T2, "so few voxels that mean T2 says little",
         "Leave this region out of comparisons.", 100),
    Rule("T2_RANGE", "check", T2, "mean T2 outside the plausible range of cartilage",
         "Check echo times, flip angle and the overlap of labels and echoes.", 20.0, 65.0, "ms"),
    Rule("SHAPE_FIT_ERROR", "check", SHAPE, "the shape model describes this femur only roughly",
         "See in the picture of the fit where it is off; an error in the segmentation is the usual reason.", None, 0.6,
         "mm"),
    Rule("SHAPE_FIT_FAILED", "poor", SHAPE, "the shape model does not describe this femur",
         "Use neither latent nor score; check the segmentation of the femur and that the shaft is in view.", None, 1.0,
         "mm"),
    Rule("BSCORE_RANGE", "check", SHAPE, "a BScore outside what knees have shown",
         "Check the segmentation of the femur and that shape model and BScore belong together.", -4.0, 8.0),
)}

ACTIONS = {
    "T2_LOW_SPOILING": "Compare only with T2 that was computed in the same way.",
    "T2_FIELD_OF_VIEW": "Use regional T2 only for what the echoes show.",
    "T2_ECHOES_SWAPPED": "Check the order of the echoes.",
    "BSCORE_PAIR_UNKNOWN": "Use the score only if you know that both were made together.",
    "SIDE_GUESSED": _SIDE,
    "SIDE_CONTRADICTED": _SIDE,
    "SIDE_DOUBTFUL": _SIDE,
    "MENISCI_EXCHANGED": _SIDE,
    "HOLLOW_BONE_FILLED": "Check in the slices that the filled bone is the one meant.",
    "OVERLAPPING_SEGMENTS": "Check in the slices where these structures meet.",
    "GRIDS_DIFFER": "Check in the slices that labels and image lie on each other.",
    "PIECES_DROPPED": "Look at these structures in the slices below.",
    "EDIT_REFUSED": "Save the corrected label map on the grid of the original and run again.",
    "CARTILAGE_MISSING": "Correct the label map and run again, unless the scan leaves this part out.",
    "NSM_NOT_FITTED": "The other results are not affected.",
    "NOT_SCORED": "The shape itself is not affected.",
    "UNREADABLE_FILES": "Copy the series again and run again; measures of what is missing are too small.",
    "IMAGES_MISSING": "Copy the series again and run again; measures of what is missing are too small.",
    "REPEATS_UNKNOWN": "Find out what the images are and choose one with --echo.",
    "SFORM_QFORM_DIFFER": "Check the voxel size; --spacing states another.",
    "UNIT_SPACING": "Check the voxel size; --spacing states another.",
    "LOOKS_INVERTED": "Look at the image; where it is a negative, give the scanner's DICOM or invert it back.",
    "UNUSUAL_PROPORTIONS": "Find out the true voxel size, from the scanner's files for example, and state it with "
    "--spacing; where it is right, look at the bones.",
    "ECHO_ORDER_ASSUMED": "Check that the echoes are in their order of time.",
}
"""What to do about warnings that other rooms raise, by code."""

SAID_BY_A_RULE = {"FOOTPRINT_NOT_FITTED": ("FOOTPRINT_NOT_FITTED",), "PLATE_BARE": ("DENUDED_BONE",),
                  "LOW_CONFIDENCE": ("LOW_CONFIDENCE",), "NSM_FAR_FROM_FEMUR": ("SHAPE_FIT_FAILED",),
                  "T2_SEQUENCE_ASSUMED": ("T2_SEQUENCE_ASSUMED",)}
"""Warnings that need no second line where one of these rules has fired."""
