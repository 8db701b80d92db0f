"""The types of the evidence on whether the truth is covered."""

from __future__ import annotations

from typing import Literal, final

from ..statistics.intervals import Verdict
from ..store.evidence_file import Number, Record, Unbounded
from .estimates import Estimate, NotJudged

REPEATED = 0.5
"""Mean correlation of pulls between blocks above which the blocks share their noise."""

Interval = Literal["linear68", "linear95", "interval68", "interval95", "confidence68", "confidence95"]
"""Linear ±1 σ and ±1.96 σ, coverage intervals (JCGM 101) and confidence intervals."""

Judged = Literal["confidence68", "confidence95", "bias", "pull_sd"]
"""The numbers of a bin that are judged."""


@final
class Coverage(Record):
    """Share of the toys around true hits whose interval holds the truth, for each kind of interval."""

    linear68: Estimate | None = None
    """±1 σ by linear propagation."""
    linear95: Estimate | None = None
    """±1.96 σ by linear propagation."""
    interval68: Estimate | None = None
    """68.27 % coverage interval (JCGM 101), which near a fold is no confidence interval."""
    interval95: Estimate | None = None
    """95 % coverage interval (JCGM 101)."""
    confidence68: Estimate | None = None
    """68.27 % confidence interval; judged."""
    confidence95: Estimate | None = None
    """95 % confidence interval; judged."""

    def of(self, interval: Interval) -> Estimate | None:
        """That of one kind of interval."""
        return getattr(self, interval)


@final
class TruthBin(Record):
    """Toys around true hits in a bin of the distance of the truth from a fold."""

    low: float
    """Lower edge, in σ of the quantities that fold."""
    high: Unbounded
    """Upper edge; null if the bin has none."""
    muons: int
    """Muons of the point in the bin."""
    share: Number | None = None
    """Their share of all muons of the point."""
    truths: int
    """True hits with toys."""
    toys: int
    """Toys of all of them, with a value."""
    without: int
    """Toys without a confidence interval."""
    predicted_bias: Number | None = None
    """Predicted bias at the truth, over the predicted standard deviation, averaged over truths."""
    bias: Estimate | None = None
    """Mean of recorded minus true, less the predicted bias, over the predicted standard deviation; should be 0."""
    pull_mean: Number | None = None
    """Mean of (recorded − true)/linear σ."""
    pull_sd: Estimate | None = None
    """Its standard deviation; judged, and should be 1, without a fold."""
    coverage: Coverage
    """How often each kind of interval holds the truth."""
    verdict: Verdict | NotJudged
    """The worst verdict on a number of the bin, or why it has none."""
    factor: Unbounded | None = None
    """If inconclusive: the factor by which the number of toys must grow for a decision."""
    decides: bool = True
    """Whether the verdict rests on it: not if it has none, or holds few muons and can't be settled."""

    def of(self, name: Judged) -> Estimate | None:
        """One of the judged numbers by name."""
        return getattr(self if name in ("bias", "pull_sd") else self.coverage, name)

    @property
    def judged(self) -> list[tuple[Judged, Estimate]]:
        """The estimates that have a verdict, with their names."""
        named = ((name, self.of(name)) for name in JUDGED)
        return [(name, each) for name, each in named if each is not None and each.verdict is not None]


JUDGED: tuple[Judged, ...] = ("confidence68", "confidence95", "bias", "pull_sd")


@final
class LayerShare(Record):
    """Share of a layer in the variance of an observable."""

    source: str
    """The layer."""
    toys: Estimate
    """Its share by regression of toys on the deviations of hits, less the quoted share; should be 0."""
    quoted: Number
    """The quoted share of the same muons."""


@final
class TruthJudgement(Record):
    """Whether the intervals of one observable at one scan point hold the truth as often as they say."""

    verdict: Verdict
    """The worst verdict on its bins and budget."""
    reasons: list[str]
    """Why it is not a pass."""
    at_least: bool
    """Whether coverage above nominal is right too: no exact interval is claimed."""
    bins: list[TruthBin]
    """In order of the distance from the fold."""
    budget: list[LayerShare]
    """The budget by layers; empty with a single source."""


@final
class PullBin(Record):
    """Pulls of the muons in a bin of a true quantity."""

    low: Unbounded
    """Lower edge, in σ, with its sign; null if the bin has none."""
    high: Unbounded
    """Upper edge."""
    muons: int
    """Number of pulls."""
    mean: Estimate
    """Should be 0."""


@final
class QuantityPulls(Record):
    """Pulls of all muons of a point in a quantity that does not fold."""

    quantity: str
    """An observable, or a signed quantity that folds into one."""
    muons: int
    """Number of pulls."""
    mean: Estimate
    """Should be 0."""
    sd: Estimate
    """Standard deviation; should be 1."""
    inside68: Estimate
    """Share of the pulls within ±1; should be 68.27 %."""
    inside95: Estimate
    """Share of the pulls within ±1.96; should be 95 %."""
    bins: list[PullBin]
    """By the true quantity."""
    blocks: Estimate | None = None
    """Scatter of the means of blocks over that of independent muons; should be 1; absent for one block."""
    repeated: Number | None = None
    """Mean correlation of the pulls at the same place in consecutive blocks; should be 0."""
    verdict: Verdict
    """Fail if any of these numbers fails; those that the muons can't settle decide nothing."""

    @property
    def repeats(self) -> bool:
        """Whether blocks share their noise."""
        return self.repeated is not None and abs(self.repeated) > REPEATED

    @property
    def contradicted(self) -> bool:
        """Whether any number fails."""
        numbers = [self.mean, self.sd, self.inside68, self.inside95, *(each.mean for each in self.bins)]
        numbers += [self.blocks] if self.blocks else []
        return self.repeats or any(each.verdict == Verdict.FAIL for each in numbers)


@final
class LayerHits(Record):
    """Share of the muons that have a hit in a layer, or in all of them."""

    layer: str
    """The layer, a view of it if the efficiency has views, or all layers."""
    found: Estimate
    """The share."""
    expected: Number
    """The efficiency, the product of both views' for a layer that alignment rotates, or the product of all."""


@final
class HeldTruth(Record):
    """How often the quoted confidence intervals of all muons of a point hold the truth."""

    observable: str
    """Name of the observable."""
    muons: int
    """Muons with confidence intervals."""
    confidence68: Estimate
    """Share of the 68.27 % intervals."""
    confidence95: Estimate
    """Share of the 95 % intervals."""


@final
class SmearedEntry(Record):
    """The smeared muons of a scan point against their truth."""

    point: str
    """Label of the scan point."""
    verdict: Verdict
    """The worst verdict on pulls and hits."""
    reasons: list[str]
    """Why it is not a pass."""
    pulls: list[QuantityPulls]
    """By quantity."""
    held: list[HeldTruth]
    """By observable."""
    hits: list[LayerHits]
    """By layer; empty for a detector that loses no hit and has lost none."""
