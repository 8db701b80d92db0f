"""The types of the evidence on whether the data agree with the stated resolution."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from ..statistics.intervals import Verdict
from ..store.evidence_file import Number, Record
from .estimates import Estimate
from .remedies import Remedy


class Untested(StrEnum):
    """The verdict where there is nothing to test."""

    UNTESTED = "can't be tested"


class CoordinateFit(Record):
    """The unbiased residuals of one coordinate: hit minus prediction of the fit without this hit."""

    name: str
    """Name of the coordinate."""
    fitted_with: list[str]
    """Coordinates of the same line, with this one."""
    hits: int
    """Hits with a residual."""
    mean: Estimate
    """Mean residual, in the unit of the coordinate."""
    sd: Estimate
    """Standard deviation of the residuals, in the unit of the coordinate."""
    pull_mean: Estimate
    """Mean of residual over its σ; should be 0."""
    pull_sd: Estimate
    """Standard deviation of residual over its σ; should be 1."""
    against_number: Estimate
    """Change of the mean pull by one standard deviation of the muon number; should be 0."""
    against_position: Estimate | None = None
    """Change of the mean pull by one standard deviation of the track's position; should be 0."""
    against_slope: Estimate | None = None
    """Change of the mean pull by one standard deviation of the track's slope; absent where heights are not known."""
    against_other_view: Estimate | None = None
    """Change of the mean pull by one standard deviation of the track's position in the other view of the layer."""
    drift: Estimate
    """Root mean square over 16 ranges of the muon number of the mean pull about its mean, without statistical errors.
    It can fail, but needs not pass."""
    offset: Estimate | None = None
    """Offset of its layer, in the unit of the coordinate, against the line through the offsets of all layers of its
    fit: mean and tilt of the layers can't be seen."""
    offset_alone: Estimate | None = None
    """The same if its layer alone is out of place, in the unit of the coordinate; absent unless that explains the
    offsets of all layers of its fit, and for no other layer."""
    height: Estimate | None = None
    """How much too low its layer is stated to be, if it alone is, m."""

    @property
    def dependences(self) -> list[Estimate]:
        """All changes of the mean pull."""
        found = self.against_number, self.against_position, self.against_other_view, self.against_slope
        return [each for each in found if each]

    @property
    def misplacements(self) -> list[Estimate]:
        """The numbers that tell a layer out of place: shift, scale, rotation and height."""
        found = self.pull_mean, self.against_position, self.against_other_view, self.against_slope
        return [each for each in found if each]


class WantedResolution(Record):
    """The resolution that the data want for some coordinates."""

    coordinates: list[str]
    """Coordinates that share a factor; a single one where the geometry determines its own."""
    alone: bool = False
    """Whether it assumes that the resolution of the others is as stated."""
    alike: bool
    """Whether all of their hits have the same stated σ."""
    stated: Number
    """The stated σ of their hits, in the unit of the coordinates; the root mean square if they are not alike."""
    wanted: Estimate
    """The stated σ times the factor."""
    factor: Estimate
    """The σ of maximum likelihood, from the residuals, over the stated one; of a coordinate of its own it can fail, but
    needs not pass."""

    @property
    def determined(self) -> bool:
        """Whether it is known to be above 0."""
        return self.factor.low > 0


class WantedAngle(Record):
    """The scattering in the layers that the data want, with the resolution as it is stated."""

    angle: Estimate
    """θ0, rad; where layers have different ones, or it follows from their material, its ratio to the stated one."""
    factor: Number | None = None
    """θ0 over the stated one; absent where none is stated."""
    better: bool
    """Whether it explains the residuals better than another resolution, with fewer numbers; else about as well."""


EXCESS_OF_UNIFORM, LIMIT, TAILS, CLEAR = -1.2, -0.9, 1.0, 5.0
"""Excess kurtosis of a uniform distribution; the limit below which errors are called uniform, as those of a Gaussian
that is clipped at 2 σ have −0.63; that above which they have tails; and the standard errors by which it must differ
from 0.
"""


class ErrorShape(Record):
    """The shape of the errors of the hits that are fitted together."""

    coordinates: list[str]
    """Their coordinates."""
    excess: Estimate
    """Excess kurtosis of the errors, from that of the residuals, if all have the same: 0 for a Gaussian."""

    @property
    def uniform(self) -> bool:
        """Whether errors are uniform, as within a strip, rather than Gaussian."""
        return self.excess.value < min(LIMIT, -CLEAR * (self.excess.se or 0.0))

    @property
    def tailed(self) -> bool:
        """Whether errors have longer tails than Gaussian ones."""
        return self.excess.value > max(TAILS, CLEAR * (self.excess.se or 0.0))


MISPLACED = 1.0
"""Change of the mean pull above which a layer out of place hides the resolution: what it adds to the variances of other
layers, which differs between muons with other missing hits, is then no longer small."""


class FitEntry(Record):
    """Whether the data of one scan point agree with the stated resolution."""

    point: str
    """Label of the scan point."""
    verdict: Verdict | Untested
    """The worst verdict on its numbers."""
    reasons: list[str]
    """Why it is not a pass."""
    remedies: list[Remedy]
    """What would decide it if inconclusive."""
    muons: int
    """Muons with degrees of freedom."""
    chi2_per_ndf: Number | None = None
    """χ² over degrees of freedom, both summed over the muons."""
    width: Estimate | None = None
    """Its root: how much wider residuals are than stated; should be 1."""
    median_width: Estimate | None = None
    """Root of the median of χ² over its expected median: the same of most tracks, without wrong ones."""
    outliers: Estimate | None = None
    """Share of muons with p < 1e-4; should be 1e-4."""
    beyond: int = 0
    """Outliers with hits so far out that their squares can't be summed; left out of all but the number of muons, the
    median width, the outliers and the p-values."""
    p_values: list[int]
    """Muons in 40 bins of the p-value, from 0 to 1."""
    left_out: Number | None = None
    """Share of muons with the largest χ², which are left out of what the data want, as there are outliers."""
    coordinates: list[CoordinateFit]
    """Unbiased residuals of each coordinate; none for a model with a χ² only."""
    resolution: list[WantedResolution]
    """The resolution that the data want."""
    scattering: WantedAngle | None = None
    """The scattering that explains residuals of a wrong width about as well as another resolution, or better."""
    shapes: list[ErrorShape] = Field(default_factory=list)
    """The shape of the errors of hits; none where layers that are out of place, or a drift, change that of residuals.
    It decides nothing."""
    silent: list[str] = Field(default_factory=list)
    """Coordinates without a hit in any fit, as of a dead layer."""
    constant: list[str] = Field(default_factory=list)
    """Coordinates whose hits are all the same, as of a dead layer."""
    alike: bool = False
    """Whether all tracks have all hits and the same covariance, so that a layer out of place only shifts residuals."""
    line: str = ""
    """The wanted resolution as a line of the config; empty if it can't be one."""

    @property
    def more(self) -> list[str]:
        """What would decide it, in words."""
        return [str(each) for each in self.remedies]

    @property
    def misplaced(self) -> bool:
        """Whether layers are so far out of place that no resolution can be told before, unless tracks are alike."""
        numbers = [number for each in self.coordinates for number in each.misplacements]
        return any(each.verdict == Verdict.FAIL and abs(each.value) > MISPLACED for each in numbers)

    @property
    def hidden(self) -> bool:
        """Whether the resolution is hidden by layers out of place."""
        return self.misplaced and not self.alike
