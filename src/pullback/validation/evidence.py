"""The types of the evidence, which `validation.json` holds, and their JSON schema (`make docs`)."""

from __future__ import annotations

import json
from typing import Literal, final

from ..statistics.intervals import Verdict
from ..store.evidence_file import EvidenceFile, Number, Record, Unbounded
from .answers import Answers
from .coverage_evidence import SmearedEntry, TruthJudgement
from .estimates import Estimate, NotJudged, worst
from .fit_evidence import FitEntry
from .remedies import Remedy

Sigma = Literal["linear", "quoted"]
"""The two uncertainties of an observable that are judged."""

SIGMAS: tuple[Sigma, ...] = ("linear", "quoted")

Offset = Literal["bias", "low68", "high68", "low95", "high95"]


class Deviation(Record):
    """Toys minus the quoted number, over the muons that have toys; not known with too few toys."""

    mean: Estimate | None = None
    """Mean over muons."""
    rms: Estimate | None = None
    """Root mean square over muons without the statistical errors of the toys; of the quoted σ only."""


class Offsets(Record):
    """Deviations that should be 0: bias in units of σ, ends of both intervals in units of their half-width."""

    bias: Deviation
    """Mean of the toys minus recorded value and quoted bias, over σ."""
    low68: Deviation
    """Lower end of the 68.27 % coverage interval."""
    high68: Deviation
    """Upper end of the 68.27 % coverage interval."""
    low95: Deviation
    """Lower end of the 95 % coverage interval."""
    high95: Deviation
    """Upper end of the 95 % coverage interval."""

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
    """Should be 0."""
    sd: Estimate
    """Standard deviation about the mean; should be 1."""
    rms: Number
    """Root mean square about 0."""
    coverage68: Estimate
    """Share of muons whose 68.27 % coverage interval contains the truth."""
    coverage95: Estimate
    """Share of muons whose 95 % coverage interval contains the truth."""


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
    """Mean of the observable at the recorded hits, in its unit."""
    mean_sigma: Number | None = None
    """Mean of σ, in the unit of the observable."""
    toy_muons: int
    """Muons with toys."""
    toys: int
    """Toys of all these muons."""
    ratio: Estimate | None = None
    """Closure: standard deviation of toys over σ."""
    ratio_rms: Estimate | None = None
    """Root mean square of its deviation from 1 over muons; of the quoted σ only."""
    offsets: Offsets
    """Bias and ends of the intervals, compared with the toys."""
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
    """Lower edge."""
    high: Unbounded
    """Upper edge; null if the bin has none."""
    verdict: Verdict | NotJudged
    """The worst verdict on a number of the bin, or why it has none."""
    factor: Unbounded | None = None
    """If inconclusive: the factor by which the number of toys must grow for a decision."""
    decides: bool = True
    """Whether the verdict rests on it: not if it has none, or holds few muons and can't be settled."""


@final
class ClosureScatter(Record):
    """Scatter of closure between muons over that expected of independent toys."""

    all: Estimate
    """Over all muons; should be 1, and more where closure drifts with the value."""
    local: Estimate
    """Between neighbours in the value of the observable."""
    verdict: Verdict
    """Fail where it is clearly too small, since the toys then share noise."""


class DomainStatistics(Statistics):
    """The muons for which a σ is judged: far from the fold for the linear σ, all of them for the quoted one."""

    low: float
    """Distance from the fold, in σ, at which it begins."""
    high: Unbounded
    """Null: it has no upper end."""
    pull_sd_verdict: Verdict | None = None
    """Inconclusive also with fewer than two pulls."""
    scatter: ClosureScatter | None = None
    """Known for enough muons with toys."""


Failure = Literal["hit_not_finite", "value_not_finite", "sigma_zero_or_nan", "sigma_negative", "toys_without_spread"]
"""Why the uncertainty of a muon cannot be used or tested."""


class Counts(Record):
    """Counts of the muons of a point, in all bins together."""

    muons: int
    """All muons."""
    hit_not_finite: int
    """Muons with a hit that is NaN or infinite, or with too few hits."""
    value_not_finite: int
    """Muons with finite hits whose observable is NaN or infinite, at the recorded or the true hits."""
    no_true_value: int
    """Simulated muons without a true value, such as one that stops before it reaches all layers."""
    no_standard_deviation: int
    """Muons with such heavy tails that they have intervals only."""
    sigma_negative: int
    """Muons with a negative σ."""
    sigma_zero_or_nan: int
    """Muons with no σ or σ = 0, although their hits and values are finite."""
    interval_unusable: int
    """Muons with an interval that is not finite, or with a 68.27 % interval not inside the 95 % interval."""
    sigma_not_linear: int
    """Muons flagged as linear whose σ is not the linear one."""
    toys_contradict: int
    """Muons whose toys contradict their `linear_valid`."""
    without_sd_tested: int
    """Muons without a standard deviation with enough toys to show tails."""
    sd_withheld: int
    """Those among them whose toys show no tails: excess kurtosis below 0.2 by more than its standard error."""
    toys_can_tell: int
    """Muons whose toys are precise enough to decide whether linear propagation is valid."""
    toys_disagree: int
    """Those among them that disagree with `linear_valid`."""
    toys_without_spread: int
    """Toy muons without a σ, or whose toys have no finite standard deviation."""
    toys_unsettled: int
    """Muons whose toys reached the maximum number without becoming stable."""

    def of(self, failure: Failure) -> int:
        """The number of muons that failed for a reason."""
        return getattr(self, failure)


class Judgement(Record):
    """The verdict on one σ of one observable at one scan point."""

    sigma: Sigma
    """Which of the two σ."""
    verdict: Verdict
    """The worst verdict on its bins, its domain and its counts."""
    reasons: list[str]
    """Why it is not a pass."""
    remedies: list[Remedy]
    """What would decide it if inconclusive."""
    counts: Counts
    """Numbers of muons by what is wrong with them."""
    bins: list[Bin]
    """In order of the distance from the fold."""
    overall: Statistics
    """All muons."""
    domain: DomainStatistics
    """The muons for which this σ is judged."""


class DiagnosticResult(Record):
    """The number furthest from its expected value, and the worst verdict."""

    value: Number
    """The number."""
    verdict: Verdict
    """Its verdict; of several bins, the worst."""


@final
class Expected(Record):
    """A number, and its expected value."""

    value: Number
    """The number found."""
    expected: Number
    """Its prediction."""


@final
class UncertaintyOfMean(Record):
    """The standard uncertainty of the mean over all muons of the point, and its two parts."""

    total: Number
    """Root of the sum of the squares of both parts."""
    independent: Number
    """This part shrinks with the number of muons."""
    shared: Number
    """This part does not."""


@final
class Shared(Record):
    """The uncertainty that all muons share, and whether pseudo-experiments confirm it."""

    mean_uncertainty: UncertaintyOfMean | None = None
    """Absent without muons."""
    experiments: int
    """Number of pseudo-experiments."""
    experiment_muons: int
    """Number of muons in each."""
    verdict: Verdict
    """The worst verdict on `total` and `mean`."""
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
    """Label of the scan point."""
    observable: str
    """Name of the observable."""
    values: dict[str, float]
    """The scanned parameters."""
    verdict: Verdict
    """The worst of `propagation` and of the verdict of `truth`."""
    propagation: Verdict
    """The worst of the verdicts on both σ and on the shared uncertainty."""
    reasons: list[str]
    """Why it is not a pass."""
    remedies: list[Remedy]
    """What would decide it if inconclusive."""
    linear_valid: Number | None = None
    """Share of muons for which linear propagation is valid."""
    diagnostics: dict[str, DiagnosticResult]
    """Results by the name of the diagnostic; the report explains each."""
    linear: Judgement
    """The judgement of the linear σ."""
    quoted: Judgement
    """The judgement of the quoted σ."""
    budget: dict[str, Number]
    """Share of each source in the mean variance."""
    budget_variance: Number | None = None
    """The mean variance, of which `budget` holds the shares; absent with a single source."""
    design: dict[str, Number]
    """Derivative of the mean linear σ with respect to each parameter."""
    shared: Shared | None = None
    """Absent without systematics."""
    truth: TruthJudgement | None = None
    """Whether the truth is covered; absent for recorded hits."""

    def of(self, sigma: Sigma) -> Judgement:
        """The judgement of one of the two σ."""
        return self.linear if sigma == "linear" else self.quoted


class Evidence(EvidenceFile):
    """The verdict on a study and all numbers that it is based on."""

    study: str
    """Name of the study."""
    verdict: Verdict
    """The worst of the three answers."""
    config_digest: str
    """SHA-256 of all that determines the results: config, scan points, and digests of the files it names."""
    content_digest: str
    """SHA-256 of the content of `study.h5`."""
    imported: dict[str, int] | None = None
    """Rows, hits and events of the file of recorded hits by what became of them; absent if simulated."""
    separating: str = ""
    """The column that separates the events of that file with several hits in most layers; empty without one."""
    answers: Answers
    """The three questions, and the answer to each."""
    points: list[Entry]
    """One entry per scan point and observable."""
    smeared: list[SmearedEntry]
    """The smeared muons against their truth, one entry per scan point; empty for recorded hits."""
    fits: list[FitEntry]
    """One entry per scan point: whether the data agree with the stated resolution."""

    def verdict_on(self, entry: Entry) -> Verdict:
        """The worst verdict on an observable at its point, of all three questions."""
        found = [entry.verdict, *(each.verdict for each in self.smeared if each.point == entry.point)]
        data = [each.verdict for each in self.fits if each.point == entry.point]
        return worst([*found, *(each for each in data if isinstance(each, Verdict))])


def evidence_schema() -> str:
    """The JSON schema of `validation.json`."""
    return json.dumps(Evidence.model_json_schema(), indent=1, ensure_ascii=False) + "\n"
