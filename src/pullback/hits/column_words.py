"""The words by which columns of hits, events and layers are called."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

WORD = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""The words of a name: of `hitX_dut0` hit, X, dut and 0."""

POSITION = re.compile(r"(?:h|hit|pos|loc)?([xyz])(?:hit|pos)?")
"""A word for a position along an axis."""

ERROR = re.compile(r"(?:e|s|err|sig|sigma|unc)([xy])|([xy])(?:e|err|error|sig|sigma|unc)")
"""A word for the uncertainty of a position."""

ERROR_WORDS = {"err", "error", "sigma", "sig", "unc", "uncertainty", "std"}
"""Words beside a position that make it an uncertainty."""

OTHER_WORDS = {
    "true",
    "truth",
    "gen",
    "mc",
    "sim",
    "fit",
    "pred",
    "slope",
    "res",
    "resid",
    "residual",
    "dir",
    "p",
    "mom",
}
OTHER_WORDS |= {"momentum", "cov", "var", "chi", "charge", "vertex", "vtx", "time", "t", "pull"}
"""Words beside a position that make it no hit of a detector."""

LOCAL = {"x": ("loc0", "local0", "u", "strip"), "y": ("loc1", "local1", "v")}
"""Positions in the plane of a sensor, in a table with events and layers; loc0 and loc1 are those of ACTS."""

VARIANCES = {
    "x,x": ("varx", "varloc0", "varlocal0", "var0", "covxx", "varu", "covuu"),
    "y,y": ("vary", "varloc1", "varlocal1", "var1", "covyy", "varv", "covvv"),
    "x,y": ("covxy", "covloc0loc1", "cov01", "covuv"),
}
"""Variances and the covariance of hits in a long table: the words of their names together."""

EVENT_WORDS = (
    "event",
    "evt",
    "ev",
    "evn",
    "evno",
    "evnr",
    "evnum",
    "evid",
    "eventid",
    "eventnumber",
    "evtid",
    "muon",
    "muonid",
    "particle",
    "trigger",
    "track",
    "trackid",
)
"""Words for what belongs together, the best first."""

RUN_WORDS = ("run", "runid", "runnumber", "spill")
"""Words for what numbers events again, from the first one."""

LAYER_WORDS = (
    *("layer", "plane", "layerid", "planeid", "dut", "panel", "station", "chamber"),
    *("sensor", "detector", "det", "geometry", "module"),
)
"""Words for a layer, the best first."""

NUMBERING = {"id", "number", "nr", "no", "num", "index", "idx", "name", "i"}
"""Words that may stand beside those."""

OF_HITS = {"hit", "hits"}
"""Words that may stand beside those for a layer."""

UPPER_WORDS = {"upper", "up", "top", "above", "in", "incoming", "entry", "upstream", "before"}
LOWER_WORDS = {"lower", "low", "bottom", "bot", "down", "below", "out", "outgoing", "exit", "downstream", "after"}
"""Words for the tracker that a muon crosses first, and for the one that it crosses last."""


def name_words(name: str) -> list[str]:
    """The words of a name in lower case, without a unit at its end.

    >>> name_words("hitX_dut0"), name_words("x0 [mm]"), name_words("xErr1")
    (['hit', 'x', 'dut', '0'], ['x', '0'], ['x', 'err', '1'])
    """
    plain = re.sub(r"\s*(\[\s*[^\W\d]+\s*\]|\(\s*[^\W\d]+\s*\)|_(mm|cm|um))$", "", name)
    return [word.lower() for word in WORD.findall(plain)]


def is_called(name: str, meanings: Sequence[str], beside: Set[str] = NUMBERING) -> bool:
    """Whether a column is called by one of the words, perhaps with words beside it.

    >>> is_called("runNumber", RUN_WORDS), is_called("run_quality", RUN_WORDS)
    (True, False)
    """
    parts = name_words(name.rpartition(".")[2])
    return any(meaning in parts and not {*parts} - {meaning} - beside for meaning in meanings)
