"""The three questions that a verdict answers, and their answers in words."""

from __future__ import annotations

from enum import StrEnum
from typing import final

from ..statistics.intervals import Verdict
from ..store.evidence_file import Record
from .estimates import worst


class NotTested(StrEnum):
    """Why a question has no answer."""

    RECORDED = "not tested"
    DATA = "can't be tested"


@final
class Answer(Record):
    """The answer to one question."""

    verdict: Verdict | NotTested
    """Pass, fail or inconclusive; or why there is no answer."""
    sentence: str
    """The answer in words."""


@final
class Answers(Record):
    """The three questions, each answered by itself."""

    propagation: Answer
    """Is the propagation right? By toys around the recorded hits."""
    truth: Answer
    """Is the truth covered? By toys around true hits, and by the pulls of all muons."""
    data: Answer
    """Do the data agree with the stated resolution? By χ² and residuals of the fits."""

    @property
    def each(self) -> dict[str, Answer]:
        """The answers by the names of their questions."""
        return {"propagation": self.propagation, "truth": self.truth, "data": self.data}

    @property
    def verdict(self) -> Verdict:
        """The worst of the answers that there are."""
        return worst(each.verdict for each in self.each.values() if isinstance(each.verdict, Verdict))
