"""The sentences of the report around its tables."""

from __future__ import annotations

import math
from collections.abc import Iterator

from markupsafe import Markup

from ..config.dotted_names import unit_of
from ..config.model_schema import Own
from ..store.target_file import Answer, TargetAnswers
from ..study import shared_parameters
from ..study.blocks import BLOCK
from ..uncertainty.validity import END_OFF, SIGMA_OFF
from ..validation.estimates import Estimate
from ..validation.evidence import Entry
from ..validation.judgement import NARROWEST_SCATTER
from ..validation.reasons import place_of
from .formats import count, figures, percent, signed
from .setup_wording import code
from .source_tables import design_of, systematics_of
from .verdict_wording import VerdictWording


class Wording(VerdictWording):
    """All words of the report on a study."""

    def linear(self) -> str:
        """What the table of where linear propagation is valid shows."""
        bins = fold = ""
        if self.folds:
            observables, hits = self.study.model.observables, "recorded" if self.study.recorded else "true"
            distance = "distance from the fold, in σ" if self.several else place_of(observables[0], observables)
            without = "; one bin where there is no fold" if self.folds < len(observables) else ""
            bins = f", in bins of the {hits} {distance}{without}"
            at = " at x = 0, where θ turns" if self.config.model.name == "one_hit" else ""
            fold = f". This happens around the fold{at}{', for observables that have one' if without else ''}"
        return (
            f"Share of muons for which the linear σ is quoted{bins}. For the others linear propagation misses an end "
            f"of the 95 % interval by more than JCGM 101, clause 8, allows or by {percent(END_OFF)} of its half-width, "
            f"or σ by more than {percent(SIGMA_OFF)}{fold}. For these muons σ, bias and intervals come from numerical "
            "integration over the noise, as the figures below show."
        )

    def drawn(self) -> str:
        """Which points the figures show."""
        which = ""
        if self.scanned and self.config.figures.points == "notable":
            which = (
                "Two scan points are drawn: the one nearest the unscanned config, and the worst one, whose deciding "
                "ratios are furthest from 1. "
            )
        return f"{which}Figures show at most the first {count(BLOCK)} muons of a point."

    def moving(self) -> Markup | str:
        """What hits do when the design changes."""
        if self.study.recorded:
            return "The recorded hits stay where they are"
        if isinstance(self.config.model, Own) and self.config.model.draw:
            return Markup(
                "The noise of simulated hits changes with the design; the true hits drawn by {} stay where they are"
            ).format(code(self.config.model.draw))
        return "Simulated hits move with the design"

    def scan(self) -> str:
        """How to read the table of the scan points."""
        where = f"at least {self.domains()} from the fold" if self.folds else "all of them"
        correlated = ""
        if self.scanned and self.config.random_numbers == "common":
            correlated = (
                " The scan points share their random numbers, so their errors are correlated: differences between "
                "points are more precise than the errors suggest, and points must not be averaged as if they were "
                "independent."
            )
        return (
            f"Statistics of the linear σ are for muons in the linear domain ({where}), those of the quoted σ for "
            f"all muons.{correlated}"
        )

    def diagnostics(self) -> str:
        """How to read the table of the diagnostics."""
        which = f" Shown is the worst of {self.amount()}." if len(self.entries) > 1 else ""
        return (
            f"No single diagnostic sees every error; each covers what others miss.{which} Of several bins, the value "
            "furthest from the expected one is given. Diagnostics in grey are not part of the verdict."
        )

    def bins(self) -> Markup:
        """How to read the tables of the validation."""
        place = "the distance from the fold" if self.several else self.study.model.observables[0].symbol
        truth = "" if self.study.recorded else ", and at the true hits for muons and their pulls"
        pulls = Markup(
            "<i>Pulls</i>: (recorded − true)/σ; the pull sd of the linear σ must pass over the linear domain as a "
            "whole. <i>Coverage</i>: share of muons whose interval around the recorded value contains the truth; it "
            "is not part of the verdict. "
        )
        return Markup(
            "Bins of {} over the linear σ: at the recorded hits for toys, which are drawn around them{}. "
            "<i>Closure</i>: standard deviation of toys over σ, with its confidence interval. <i>Ends</i>: ends of the "
            "toys' intervals minus the quoted ends, over the half-width; the larger of the two is given. Closure, ends "
            "and bias must pass in every bin. {}<i>Scatter</i> of closure between muons, over that expected from the "
            "number of toys, fails when its whole confidence interval lies below {}: then the toys are not independent."
        ).format(place, truth, "" if self.study.recorded else pulls, NARROWEST_SCATTER)

    def domain(self, entry: Entry) -> Markup:
        """The pull sd and the scatter of closure in the linear domain."""
        pulls, scatter, text = entry.linear.domain.pulls, entry.linear.domain.scatter, Markup("")
        verdict = Markup('<b class="{0}">{0}</b>')
        if judged := entry.linear.domain.pull_sd_verdict:
            sd = _limits(pulls and pulls.sd, 4)
            text += Markup("Pull sd in the linear domain: {}, {}. ").format(sd, verdict.format(judged))
        if scatter:
            text += Markup("Scatter of closure: {}, between neighbouring muons in {} {}, {}.").format(
                _limits(scatter.all, 3),
                self.observables[entry.observable].symbol,
                _limits(scatter.local, 3),
                verdict.format(scatter.verdict),
            )
        return text

    def systematics(self) -> Markup:
        """The systematic parameters, and what they do."""
        values = [
            Markup("{}{} ± {:g} {}").format(code(name), "" if value is None else f" = {value:g}", u, unit)
            for name, u, unit, value in systematics_of(self.study)
        ]
        pairs = [
            Markup("; the correlation of {} and {} is {:g}").format(code(first), code(second), correlation)
            for first, second, correlation in shared_parameters.correlations_of(self.config.systematics)
        ]
        return Markup(
            "Shared by all muons: {}{}. They are not included in the σ of a muon: they shift all muons together. The "
            "mean over N muons has an independent uncertainty, which shrinks as 1/√N, and a shared one, which does not "
            "shrink."
        ).format(Markup(", ").join(values), Markup("").join(pairs))

    def resolution(self, own: list[Entry]) -> str:
        """What the slope by the resolution means, if all layers have the same."""
        slopes = [each for each in design_of(self.study, own[0]) if each.parameter == "detector.resolution"]
        symbol = self.observables[own[0].observable].symbol
        return "".join(
            f": 1 % more resolution changes the mean σ of {symbol} by {signed(each.change)}"
            for each in slopes
            if math.isfinite(each.change)
        )

    def target(self, target: TargetAnswers) -> Iterator[Markup]:
        """What was found for the wanted mean σ."""
        for answer in target.answers:
            values = [Markup("{} = {:g}").format(code(name), value) for name, value in answer.values.items()]
            text = self._reached if answer.reached else self._not_reached
            yield Markup(", ").join(values) + (": " if values else "") + text(target, answer)

    def _wanted(self, target: TargetAnswers) -> str:
        observable = self.observables[target.observable]
        return f"mean σ of {observable.symbol} of {target.wanted:g} {observable.unit}"

    def _reached(self, target: TargetAnswers, answer: Answer) -> Markup:
        unit, now = unit_of(target.vary, self.config), answer.start_sigma
        return Markup("{} = <b>{:.6g}</b> {} gives a {}. The present value is {:g} {}, with {}.").format(
            code(target.vary),
            answer.value,
            unit,
            self._wanted(target),
            answer.start,
            unit,
            "no σ" if math.isnan(now) else f"a mean σ of {now:.4g}",
        )

    def _not_reached(self, target: TargetAnswers, answer: Answer) -> Markup:
        unit, grid = unit_of(target.vary, self.config), answer.grid
        if math.isnan(answer.nearest_sigma):
            return Markup("No value of {} that was tried gives any σ.").format(code(target.vary))
        text = Markup("<b>No value</b> of {} from {:g} to {:g} {} gives a {}: the nearest is {:.4g}, at {:.6g} {}.")
        return text.format(
            code(target.vary),
            grid[0],
            grid[-1],
            unit,
            self._wanted(target),
            answer.nearest_sigma,
            answer.nearest,
            unit,
        )


def _limits(estimate: Estimate | None, digits: int) -> str:
    """An estimate with its confidence interval."""
    value, low, high = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return f"{figures(value, digits)} [{figures(low, digits)}, {figures(high, digits)}]"
