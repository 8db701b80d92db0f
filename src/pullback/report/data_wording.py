"""Whether the data agree with the stated resolution, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from ..statistics.intervals import Verdict
from ..validation.fit_evidence import FitEntry, Untested

REASONS_OF_DATA = 3
"""Reasons that stand in the sentence; the list of reasons has all of them."""


def data_sentence(fits: Sequence[FitEntry], *, propagation_passes: bool) -> str:
    """The answer for all points of a study."""
    tested = [each for each in fits if isinstance(each.verdict, Verdict)]
    if not tested:
        return f"Whether the data agree with the stated resolution {Untested.UNTESTED}: {fits[0].reasons[0]}."
    worst = max((each.verdict for each in tested if isinstance(each.verdict, Verdict)), key=lambda each: each.severity)
    which = [each for each in tested if each.verdict == worst]
    if worst == Verdict.PASS:
        widths = [each.width.value for each in tested if each.width]
        span = " to ".join(dict.fromkeys(f"{each:.3f}" for each in (min(widths), max(widths))))
        at = f" at all {len(tested)} points" if len(tested) > 1 else ""
        return f"The data agree with the stated resolution{at}: residuals are {span} times as wide as stated."
    at = f" at {len(which)} of {len(fits)} points, the first {which[0].point}" if len(fits) > 1 else ""
    reasons = "; ".join(which[0].reasons[:REASONS_OF_DATA])
    if worst == Verdict.INCONCLUSIVE:
        return f"The data do not decide whether the stated resolution is right{at}: {reasons}."
    but = "Propagation is right, but the data" if propagation_passes else "The data"
    return f"{but} disagree with what is stated of the detector{at}: {reasons}."
