"""Do the data agree with the stated resolution? An equivalence test of χ² and unbiased residuals.

These numbers must pass: the root of χ²/ndf and the width of the pulls of each coordinate, which should be 1 to within
`validation.data_tolerance`; the mean of the pulls, and its change with muon number, position and slope, which should be
0 to within twice as much (a shift of 0.1 σ widens a distribution by 0.5 %); and the share of tracks with p < 1e-4.

Numbers that the data may determine poorly can fail, but need not pass: σ of a single layer, and drifts of any shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ..config.schema import Validation
from ..models import Model
from ..statistics.intervals import Verdict, coverage_interval, factor_to_decide, half_width
from ..store.fit_columns import OUTLIER
from .estimates import Criteria, Estimate
from .fit_config_line import config_line
from .fit_estimates import Factor, FitEstimates, Found, dependences, drift, mean_and_sd, spread_of
from .fit_evidence import CoordinateFit, FitEntry, Untested, WantedAngle, WantedResolution
from .fit_heights import several_heights, shifts_by_slope
from .fit_reasons import Background, fails_in_width, fit_reasons
from .fit_remedies import advice_on_few, advice_on_fits
from .fit_scattering import wanted_scattering
from .fit_shapes import shapes_of_errors
from .fit_silent import constant, constant_words, silent
from .fit_tally import FitTally
from .fit_units import column_question, noise_of, unit_question

SHIFT = 2.0
"""Tolerance of means over that of widths."""

OUTLIERS = 0.2
"""Tolerance of the share of tracks with p < 1e-4 over that of widths: 1 % by default."""

EXPLAINED = 0.95
"""Share of the χ² of all offsets of a fit that a single layer out of place must explain to be named alone."""

TESTS_OF_A_COORDINATE, TESTS_OF_A_POINT = 7, 2
"""Numbers of a coordinate, and of all hits together, that are judged."""

FEWEST_TRACKS = 50
"""Minimum muons with degrees of freedom to judge. Errors are taken from the scatter between muons: with 10 honest muons
3 studies of 10 would fail, with 50 muons 1 of 50."""

NO_FUNCTION = "the model has neither `fitted` nor `chi2`, which say how well its muons agree with the hits"
NO_FREEDOM = "as many parameters as hits"
NO_MUON = "no muon has enough hits for a fit"
TOO_LARGE = "the squares of the residuals are too large for double precision"

KNOWN_THEN = "only then is it known what else is wrong"
"""Words on what makes everything else look wrong."""

LARGEST_SUM = 1e150
"""Largest sum over residuals whose square is a double."""


class FitJudge:
    """Judges the fits of one point by their tally."""

    def __init__(
        self,
        model: Model,
        units: Sequence[float],
        settings: Validation,
        among: int,
        *,
        own_sigma: bool,
        single: bool = True,
        stretch: Float[np.ndarray, " coordinate"] | float = 1.0,
        aligned: bool = False,
        source_unit: str = "",
    ):
        """Judge one of `among` points; `units` are 1/resolution of the coordinates.

        `own_sigma` is whether hits have their own σ, from a file, and `single` whether one coordinate alone may be
        wrong, where a line does not determine the resolution of each. Hits are fitted in the frame of the detector, in
        which those of a layer are scaled by `stretch`; wanted resolutions are those in the layer, as they are stated.
        `aligned` is whether the config has an alignment, and `source_unit` the unit of the positions in its file, if
        they are in one.
        """
        self.aligned, self.source_unit = aligned, source_unit
        self.single, self.stretch = single, np.broadcast_to(stretch, len(model.coordinates))
        count = len(model.coordinates)
        tests = among * (TESTS_OF_A_POINT + TESTS_OF_A_COORDINATE * count)
        self.model, self.units, self.settings, self.own_sigma = model, units, settings, own_sigma
        self.criteria, self.tolerance = Criteria.among(settings.confidence, tests), settings.data_tolerance

    def result(self, point: str, tally: FitTally | None) -> FitEntry:
        """The evidence on a point."""
        if tally is None:
            square = len(self.model.coordinates) <= len(self.model.observables)
            return _untested(point, NO_FREEDOM if square else NO_FUNCTION)
        estimates = FitEstimates(tally)
        if not estimates.muons:
            return _untested(point, NO_FREEDOM if estimates.fitted else NO_MUON)
        sums = estimates.sums(robust=False).values()
        if estimates.beyond == estimates.muons or not all((np.abs(each) < LARGEST_SUM).all() for each in sums):
            return _untested(point, TOO_LARGE)
        enough = estimates.muons - estimates.beyond >= FEWEST_TRACKS
        return self._tested(point, estimates) if enough else _too_few(point, estimates, self.settings)

    def _tested(self, point: str, of: FitEstimates) -> FitEntry:
        chi2 = of.chi2_per_ndf
        width, median = math.sqrt(chi2.value), math.sqrt(of.median.value)
        judged = _Coordinates(self.model, self.units, of, self.criteria, self.tolerance)
        coordinates = judged.entries if self.model.fitted else []
        resolution = [*self._resolution(of)] if self.model.fitted else []
        entry = FitEntry(
            point=point,
            verdict=Verdict.PASS,
            reasons=[],
            remedies=[],
            muons=of.muons,
            chi2_per_ndf=chi2.value,
            width=self.criteria.mean(width, chi2.se / (2 * width) if width else 0.0, self.tolerance, 1.0),
            median_width=self.criteria.estimate(median, of.median.se / (2 * median) if median else 0.0),
            outliers=self._outliers(of.outliers, of.muons),
            beyond=of.beyond,
            p_values=[int(each) for each in of.p_values],
            left_out=of.left_out or None,
            coordinates=coordinates,
            resolution=resolution,
        )
        verdict = max(_verdicts(entry), key=lambda each: each.severity)
        names = [each.name for each in self.model.coordinates]
        entry = entry.model_copy(
            update={
                "silent": [names[index] for index in silent(of)],
                "constant": [names[index] for index in constant(of)] if verdict == Verdict.FAIL else [],
                "alike": of.complete and not self.own_sigma and self.model.covariance is None,
            }
        )
        if not _changed(coordinates):
            entry = entry.model_copy(update={"shapes": [*shapes_of_errors(of, names, self.criteria)]})
        line = config_line(entry, self.model, self.units, own_sigma=self.own_sigma)
        off = [each for each in resolution if self._off(each)]
        unexplained = fails_in_width(entry) and bool(off or not all(each.determined for each in resolution))
        angle = self._angle(of) if unexplained and not entry.misplaced else None
        found = entry.model_copy(update={"verdict": verdict, "line": line, "scattering": angle})
        if verdict == Verdict.PASS:
            return found
        reasons = self._before_all_else(of, found)
        reasons = reasons or [*fit_reasons(found, self.model, off, self._background(of, found), aligned=self.aligned)]
        remedies = advice_on_fits(found, self.tolerance, SHIFT, OUTLIERS)
        return found.model_copy(update={"reasons": reasons, "remedies": remedies})

    def _before_all_else(self, of: FitEstimates, entry: FitEntry) -> list[str]:
        """A dead layer or a wrong unit, which makes everything else look wrong."""
        if dead := [*constant_words(entry, {each.name: each for each in self.model.coordinates})]:
            return [f"{dead[0]}: {KNOWN_THEN}"]
        if entry.verdict != Verdict.FAIL:
            return []
        scatters = bool(entry.scattering and entry.scattering.better)
        question = unit_question(noise_of(of), self.model, self.source_unit, self.units, scatters=scatters)
        question = question or column_question(of, self.model)
        return [f"{question}; {KNOWN_THEN}"] if question else []

    def _background(self, of: FitEstimates, entry: FitEntry) -> Background:
        """What reasons need beside the evidence."""
        sums, places = of.sums(), {each.name: index for index, each in enumerate(self.model.coordinates)}
        steep = {places[each.name]: each.against_slope.value for each in entry.coordinates if each.against_slope}
        several = {
            self.model.coordinates[index].name: heights
            for index in steep
            if (heights := several_heights(sums, self.model, index))
        }
        significant = half_width(self.criteria.confidence_to_fail)
        return Background(of.wrong_tracks, several, shifts_by_slope(sums, steep), significant)

    def _angle(self, of: FitEstimates) -> WantedAngle | None:
        """The wanted scattering: θ0 of all layers where they share one, else the factor of what is stated."""
        found, stated = wanted_scattering(of, self.model), self.model.parameters.get("theta0")
        if found is None:
            return None
        angle, none = found.angle, self.model.covariance is None
        if not none and isinstance(stated, float):
            angle = Found(stated * angle.value, stated * angle.se)
        factor = None if none else found.angle.value
        return WantedAngle(angle=self.criteria.estimate(*angle), factor=factor, better=found.better)

    def _off(self, wanted: WantedResolution) -> bool:
        """Whether a resolution is off by more than the tolerance, and significantly so, among all that is judged."""
        off = abs(wanted.factor.value - 1)
        return off > max(self.tolerance, half_width(self.criteria.confidence_to_fail) * (wanted.factor.se or 0.0))

    def _outliers(self, count: int, muons: int) -> Estimate:
        """The share of outliers with its verdict: more than expected is wrong, fewer is not."""
        most = OUTLIER + OUTLIERS * self.settings.data_tolerance
        narrow, wide = (coverage_interval(count, muons, confidence) for confidence in self.criteria)
        verdict = Verdict.PASS if narrow[1] <= most else Verdict.FAIL if wide[0] > most else Verdict.INCONCLUSIVE
        share, factor = count / muons, None
        if verdict == Verdict.INCONCLUSIVE:
            error = (narrow[1] - narrow[0]) / (2 * half_width(self.criteria.confidence))
            factor = factor_to_decide(share - OUTLIER, error, (-math.inf, most - OUTLIER), *self.criteria)
        return Estimate(value=share, low=narrow[0], high=narrow[1], verdict=verdict, factor=factor)

    def _resolution(self, of: FitEstimates) -> Iterator[WantedResolution]:
        """The wanted resolution of each component, or of its coordinates; of a single one alone if much more likely."""
        sums, common = of.sums(), None
        more_likely = half_width(self.criteria.confidence_to_fail) ** 2 / 2
        for factor in of.factors():
            if len(factor.coordinates) > 1:
                common = factor
            elif common is None:
                yield self._wanted(factor, sums, alone=False)
            else:
                alone = self.single and factor.gain > common.gain + more_likely
                yield self._wanted(factor if alone else common, sums, alone=alone)
                common = None

    def _wanted(self, factor: Factor, sums: dict[str, np.ndarray], *, alone: bool) -> WantedResolution:
        which, width = list(factor.coordinates), factor.width
        # Small rotations mix the variances of the two views, but the stated σ of the config are known without.
        squares = sums["v"] / self.stretch**2 if self.own_sigma else sums["count"] * np.square(self.units)
        stated = math.sqrt(float(squares[which].sum() / sums["count"][which].sum()))
        single = len(which) == 1
        judged = self.criteria.mean(*width, self.tolerance, 1.0) if single else self.criteria.estimate(*width)
        return WantedResolution(
            coordinates=[self.model.coordinates[index].name for index in which],
            alone=alone,
            alike=not self.own_sigma and len({self.units[index] for index in which}) == 1,
            stated=stated,
            wanted=self.criteria.estimate(stated * width.value, stated * width.se),
            factor=judged,
        )


class _Coordinates:
    """The numbers of each coordinate with their verdicts."""

    def __init__(self, model: Model, units: Sequence[float], of: FitEstimates, criteria: Criteria, tolerance: float):
        self.model, self.units, self.of = model, units, of
        self.criteria, self.tolerance = criteria, tolerance
        self.all, self.robust = of.sums(robust=False), of.sums()

    @property
    def entries(self) -> list[CoordinateFit]:
        """Those of coordinates with residuals."""
        return [self._entry(index) for index in range(len(self.model.coordinates)) if self.robust["count"][index] > 1]

    def _entry(self, index: int) -> CoordinateFit:
        mean, sd = mean_and_sd(self.robust, index, "m")
        pull_mean, pull_sd = mean_and_sd(self.robust, index, "z")
        against = dependences(self.robust, index).effects
        slope = against.get("t")
        changes = drift(self.of.drift_sums[:, index], mean_and_sd(self.all, index, "z")[1].value ** 2)
        offset, alone = self._offsets.get(index, (None, None))
        return CoordinateFit(
            name=self.model.coordinates[index].name,
            fitted_with=[self.model.coordinates[other].name for other in self._together(index)],
            hits=int(self.all["count"][index]),
            mean=self.criteria.estimate(*mean),
            sd=self.criteria.estimate(*sd),
            pull_mean=self._shift(pull_mean),
            pull_sd=self.criteria.mean(*pull_sd, self.tolerance, 1.0),
            against_number=self._shift(against.get("n", Found(0.0, math.inf))),
            against_position=self._shift(against["x"]) if "x" in against else None,
            against_other_view=self._shift(against["o"]) if "o" in against else None,
            against_slope=self._shift(slope) if slope else None,
            drift=self._drift(changes),
            offset=offset and self.criteria.estimate(*offset),
            offset_alone=alone and self.criteria.estimate(*alone),
            height=self._height(index, slope),
        )

    def _together(self, index: int) -> list[int]:
        """The coordinates that are fitted together with one."""
        return next(each.tolist() for each in self.of.components if index in each)

    def _shift(self, number: Found) -> Estimate:
        return self.criteria.mean(*number, SHIFT * self.tolerance)

    def _drift(self, square: Found) -> Estimate:
        """Root mean square of the drift; fails if clearly too large."""
        low = square.value - half_width(self.criteria.confidence_to_fail) * square.se
        found = self.criteria.estimate(*square)
        limits = {name: math.sqrt(max(getattr(found, name), 0.0)) for name in ("value", "low", "high")}
        verdict = Verdict.FAIL if low > (SHIFT * self.tolerance) ** 2 else None
        return Estimate(**limits, se=square.se, verdict=verdict)

    @cached_property
    def _offsets(self) -> dict[int, tuple[Found, Found | None]]:
        """The offset of each coordinate, and its offset if it alone is out of place, where that explains all others."""
        found: dict[int, tuple[Found, Found | None]] = {}
        y, own, of = self.robust["y"], self.of.information, self.of
        for component, offsets, covariance in of.offsets():
            chi2 = float(y[component] @ offsets) * of.shrinkage
            explained = [own[index] > 0 and y[index] ** 2 > EXPLAINED * chi2 * own[index] for index in component]
            errors = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
            for index, offset, error, explains in zip(component.tolist(), offsets, errors, explained, strict=True):
                unit, alone = self.units[index], None
                if explains and sum(explained) == 1:
                    value, se = y[index] / own[index] / of.shrinkage, math.sqrt(of.median.value / own[index])
                    alone = Found(unit * float(value), unit * se)
                found[index] = Found(unit * float(offset), unit * float(error)), alone
        return found

    def _height(self, index: int, slope: Found | None) -> Estimate | None:
        """The error of the height of a layer, from the change of its residuals with the slope."""
        if slope is None:
            return None
        unit = mean_and_sd(self.robust, index, "m")[1].value / mean_and_sd(self.robust, index, "z")[1].value
        scale = unit / spread_of(self.robust, index, "t")
        return self.criteria.estimate(scale * slope.value, scale * slope.se)


def _changed(coordinates: Sequence[CoordinateFit]) -> bool:
    """Whether residuals are changed in shape by more than the errors of hits."""
    numbers = [number for each in coordinates for number in (each.pull_mean, *each.dependences, each.drift)]
    return not coordinates or any(each.verdict == Verdict.FAIL for each in numbers)


def _verdicts(entry: FitEntry) -> Iterator[Verdict]:
    """The verdicts on all numbers of an entry; those that only can fail have none otherwise."""
    numbers: list[Estimate | None] = [entry.width, entry.outliers]
    for each in entry.coordinates:
        numbers += [each.pull_mean, each.pull_sd, *each.dependences, each.drift]
    yield from (each.verdict for each in numbers if each and each.verdict)
    yield from (each.factor.verdict for each in entry.resolution if each.factor.verdict == Verdict.FAIL)


def _too_few(point: str, of: FitEstimates, settings: Validation) -> FitEntry:
    """The evidence of so few muons that they decide nothing."""
    few = "1 muon with degrees of freedom is" if of.muons == 1 else f"{of.muons} muons with degrees of freedom are"
    reason = f"{few} too few to decide (χ²/ndf = {of.chi2_per_ndf.value:.3g})"
    return _untested(point, reason).model_copy(
        update={
            "verdict": Verdict.INCONCLUSIVE,
            "remedies": advice_on_few(of.muons, settings),
            "muons": of.muons,
            "chi2_per_ndf": of.chi2_per_ndf.value,
            "p_values": [int(each) for each in of.p_values],
        }
    )


def _untested(point: str, reason: str) -> FitEntry:
    return FitEntry(
        point=point,
        verdict=Untested.UNTESTED,
        reasons=[reason],
        remedies=[],
        muons=0,
        p_values=[],
        coordinates=[],
        resolution=[],
    )
