"""The three questions that a verdict answers, and their answers in words."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, final

from ..statistics.intervals import Verdict
from ..store.evidence_file import Record
from .estimates import worst

Question = Literal["propagation", "truth", "data"]

QUESTIONS: dict[Question, str] = {
    "propagation": "Is the propagation right?",
    "truth": "Is the truth covered?",
    "data": "Do the data agree with the stated resolution?",
}
"""The questions in words."""


class NotTested(StrEnum):
    """Why a question has no answer."""

    RECORDED = "not tested: recorded hits have no truth"
    EXACT = "can't be tested: as many parameters as hits"
    NO_FIT = "can't be tested: the model gives neither fitted hits nor χ²"
    NO_MUON = "can't be tested: no muon has enough hits for a fit"
    TOO_LARGE = "can't be tested: the squares of the residuals are too large"


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
    def each(self) -> dict[Question, Answer]:
        """The answers by their questions."""
        return {"propagation": self.propagation, "truth": self.truth, "data": self.data}

    @property
    def that_decide(self) -> dict[Question, Answer]:
        """The answers with the worst verdict."""
        return {question: each for question, each in self.each.items() if each.verdict == self.verdict}

    @property
    def verdict(self) -> Verdict:
        """The worst of the answers that there are."""
        return worst(each.verdict for each in self.each.values() if isinstance(each.verdict, Verdict))
