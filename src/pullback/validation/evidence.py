"""The types of the evidence, which `validation.json` holds, and their JSON schema (`make docs`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, final

from ..statistics.intervals import Verdict
from ..store.evidence_file import EvidenceFile, Number, Record, Unbounded

Sigma = Literal["linear", "quoted"]
"""The two uncertainties of an observable that are judged."""

SIGMAS: tuple[Sigma, ...] = ("linear", "quoted")

Level = Literal["68", "95"]
"""The two intervals, of 68.27 % and 95 %."""

Offset = Literal["bias", "low68", "high68", "low95", "high95"]


class NotJudged(StrEnum):
    """Why a bin has no verdict."""

    OUTSIDE = "outside the linear domain"
    EMPTY = "empty"


def worst(verdicts: Iterable[Verdict | NotJudged | None]) -> Verdict:
    """The worst of the verdicts; inconclusive if there is none."""
    known = [each for each in verdicts if isinstance(each, Verdict)]
    return max(known, key=lambda verdict: verdict.severity, default=Verdict.INCONCLUSIVE)


@final
class Estimate(Record):
    """A number with standard error and confidence interval; if it is judged, with its verdict."""

    value: Number
    low: Number
    """Lower end of its interval, at the confidence of `validation.confidence`."""
    high: Number
    se: Number | None = None
    """Standard error; of a root mean square, the standard error of its square."""
    verdict: Verdict | None = None
    factor: Unbounded | None = None
    """If inconclusive: the factor by which the sample must grow for a decision."""


class Deviation(Record):
    """Toys minus the quoted number, over the muons that have toys; not known with too few toys."""

    mean: Estimate | None = None
    """Mean over muons."""
    rms: Estimate | None = None
    """Root mean square over muons without the statistical errors of the toys; of the quoted σ only."""


class Offsets(Record):
    """Deviations that should be 0: bias in units of σ, ends of both intervals in units of their half-width."""

    bias: Deviation
    low68: Deviation
    high68: Deviation
    low95: Deviation
    high95: Deviation

    def of(self, name: Offset) -> Deviation:
        """One of them by name."""
        return getattr(self, name)

    @property
    def ends(self) -> tuple[Deviation, Deviation, Deviation, Deviation]:
        """Those of the ends."""
        return self.low68, self.high68, self.low95, self.high95


ENDS: tuple[Offset, ...] = ("low68", "high68", "low95", "high95")
OFFSETS: tuple[Offset, ...] = ("bias", *ENDS)


@final
class Pulls(Record):
    """Pulls, (recorded − true)/σ; known for at least two muons."""

    mean: Estimate
    sd: Estimate
    rms: Number
    coverage68: Estimate
    """Share of muons whose 68.27 % interval contains the truth."""
    coverage95: Estimate

    def coverage(self, level: Level) -> Estimate:
        """The coverage of one of the intervals."""
        return self.coverage68 if level == "68" else self.coverage95


class Statistics(Record):
    """Statistics of muons: all of them, those in a bin, or those in the domain of a σ."""

    muons: int
    """Muons with an uncertainty, in bins of the true hits."""
    recorded: int
    """The same in bins of the recorded hits."""
    share: Number | None = None
    """Share of all muons of the point."""
    linear_valid: Number | None = None
    """Share of the muons for which linear propagation is valid."""
    mean_value: Number | None = None
    mean_sigma: Number | None = None
    toy_muons: int
    """Muons with toys."""
    toys: int
    ratio: Estimate | None = None
    """Closure: standard deviation of toys over σ."""
    ratio_rms: Estimate | None = None
    """Root mean square of its deviation from 1 over muons; of the quoted σ only."""
    offsets: Offsets
    pulls: Pulls | None = None
    """Of simulated muons."""

    @property
    def judged(self) -> list[Estimate]:
        """The estimates that have a verdict."""
        estimates = [self.ratio, self.ratio_rms]
        for deviation in (self.offsets.bias, *self.offsets.ends):
            estimates += [deviation.mean, deviation.rms]
        return [each for each in estimates if each is not None and each.verdict is not None]


class Bin(Statistics):
    """A bin of the distance from the fold in units of the linear σ."""

    low: float
    high: Unbounded
    """Null if the bin has no upper end."""
    verdict: Verdict | NotJudged
    factor: Unbounded | None = None
    """If inconclusive: the factor by which the number of toys must grow for a decision."""


@final
class ClosureScatter(Record):
    """Scatter of closure between muons over that expected of independent toys."""

    all: Estimate
    local: Estimate
    """Between neighbours in the value of the observable."""
    verdict: Verdict


class DomainStatistics(Statistics):
    """The muons for which a σ is judged: far from the fold for the linear σ, all of them for the quoted one."""

    low: float
    high: Unbounded
    pull_sd_verdict: Verdict | None = None
    """Inconclusive also with fewer than two pulls."""
    scatter: ClosureScatter | None = None
    """Known for enough muons with toys."""


Failure = Literal["hit_not_finite", "value_not_finite", "sigma_zero_or_nan", "sigma_negative", "toys_without_spread"]
"""Why the uncertainty of a muon cannot be used or tested."""


class Counts(Record):
    """Counts of the muons of a point, in all bins together."""

    muons: int
    hit_not_finite: int
    value_not_finite: int
    no_standard_deviation: int
    """Muons with such heavy tails that they have intervals only."""
    sigma_negative: int
    sigma_zero_or_nan: int
    interval_unusable: int
    sigma_not_linear: int
    toys_contradict: int
    """Muons whose toys contradict their `linear_valid`."""
    sd_withheld: int
    """Muons without a standard deviation although their toys have no tails."""
    toys_can_tell: int
    """Muons whose toys are precise enough to decide whether linear propagation is valid."""
    toys_disagree: int
    """Those among them that disagree with `linear_valid`."""
    toys_without_spread: int
    toys_unsettled: int
    """Muons whose toys reached the maximum number without becoming stable."""

    def of(self, failure: Failure) -> int:
        """The number of muons that failed for a reason."""
        return getattr(self, failure)


class Judgement(Record):
    """The verdict on one σ of one observable at one scan point."""

    sigma: Sigma
    verdict: Verdict
    reasons: list[str]
    """Why it is not a pass."""
    more: list[str]
    """What would decide it."""
    counts: Counts
    bins: list[Bin]
    overall: Statistics
    domain: DomainStatistics


class DiagnosticResult(Record):
    """The number furthest from its expected value, and the worst verdict."""

    value: Number
    verdict: Verdict


@final
class Expected(Record):
    """A number, and its expected value."""

    value: Number
    expected: Number


@final
class UncertaintyOfMean(Record):
    """The standard uncertainty of the mean over all muons of the point, and its two parts."""

    total: Number
    independent: Number
    """This part shrinks with the number of muons."""
    shared: Number
    """This part does not."""


@final
class Shared(Record):
    """The uncertainty that all muons share, and whether pseudo-experiments confirm it."""

    mean_uncertainty: UncertaintyOfMean | None = None
    experiments: int
    experiment_muons: int
    verdict: Verdict
    total: Estimate | None = None
    """Scatter of a muon over pseudo-experiments, divided by the total σ."""
    mean: Estimate | None = None
    """Scatter of the mean pull over pseudo-experiments, divided by the expected one."""
    pull_width: Expected | None = None
    """Width of the pulls within a pseudo-experiment."""
    pull_shift: Expected | None = None
    """Standard deviation of the mean pull between pseudo-experiments."""


class Entry(Record):
    """The evidence on one observable at one scan point."""

    point: str
    observable: str
    values: dict[str, float]
    """The scanned parameters."""
    verdict: Verdict
    reasons: list[str]
    more: list[str]
    linear_valid: Number | None = None
    """Share of muons for which linear propagation is valid."""
    diagnostics: dict[str, DiagnosticResult]
    linear: Judgement
    quoted: Judgement
    chi2_per_ndf: Number | None = None
    budget: dict[str, Number]
    """Share of each source in the mean variance."""
    budget_variance: Number | None = None
    design: dict[str, Number]
    """Derivative of the mean linear σ with respect to each parameter."""
    shared: Shared | None = None

    def of(self, sigma: Sigma) -> Judgement:
        """The judgement of one of the two σ."""
        return self.linear if sigma == "linear" else self.quoted


class Evidence(EvidenceFile):
    """The verdict on a study and all numbers that it is based on."""

    study: str
    verdict: Verdict
    config_digest: str
    content_digest: str
    """SHA-256 of the content of `study.h5`."""
    points: list[Entry]
    """One entry per scan point and observable."""


def evidence_schema() -> str:
    """The JSON schema of `validation.json`."""
    return json.dumps(Evidence.model_json_schema(), indent=1, ensure_ascii=False) + "\n"
