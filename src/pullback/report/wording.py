"""The sentences of the report around its tables."""

from __future__ import annotations

import math

from markupsafe import Markup

from ..config.own_schema import Own
from ..statistics.parts import of_all
from ..statistics.prefixes import suited
from ..store.alignment_file import AlignmentFile
from ..store.target_file import TargetAnswers
from ..study import shared_parameters
from ..study.blocks import BLOCK
from ..uncertainty.validity import END_OFF, SIGMA_OFF
from ..validation.estimates import Estimate
from ..validation.evidence import Entry
from ..validation.judgement import NARROWEST_SCATTER
from ..validation.reasons import place_of
from ..validation.sentences import amount
from .formats import count, figures, percent, signed
from .setup_wording import code
from .source_tables import design_of, systematics_of
from .target_wording import target_sentences
from .verdict_wording import VerdictWording, joined

MARKED = Markup(
    '<b>Bold</b> numbers decide: <span class="fail">✗</span> fails, <span class="inconclusive">?</span> is not settled '
    "(with the confidence interval); grey numbers are only shown."
)
"""How numbers in tables are marked."""


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
            "integration over the noise, as the figures show."
        )

    def drawn(self) -> str:
        """Which points the figures show."""
        which = ""
        if self.scanned and self.config.figures.points == "notable":
            which = (
                "Two scan points are drawn: the one nearest the unscanned config, and the worst one, whose deciding "
                "ratios are furthest from 1. "
            )
        if max(self.study.muons.values()) > BLOCK:
            which += f"Figures show at most the first {count(BLOCK)} muons of a point."
        return which.rstrip()

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
        which = f" Shown is the worst of {amount(self.study)}." if len(self.entries) > 1 else ""
        return (
            f"No single diagnostic sees every error; each covers what others miss.{which} Of several bins, the value "
            "furthest from the expected one among those with the worst verdict is given. Diagnostics in grey are not "
            "part of the verdict."
        )

    def bins(self) -> Markup:
        """How to read the tables of the toys around recorded hits."""
        return Markup(
            "Toys are thrown around the recorded hits, where σ is quoted. <i>Closure</i>: standard deviation of toys "
            "over σ, with its confidence interval. <i>Bias</i>: mean of toys minus value and quoted bias, over σ. "
            "<i>Ends</i>: ends of the toys' intervals minus those of the quoted coverage intervals (JCGM 101), over "
            "the half-width; the end that is further off is given. <i>rms</i>: the same as root mean square over "
            "muons, in which opposite deviations do not cancel. {}"
        ).format(MARKED)

    def scatter(self, entry: Entry) -> Markup:
        """The scatter of closure in the linear domain."""
        scatter = entry.linear.domain.scatter
        if not scatter:
            return Markup("")
        return Markup(
            "Scatter of closure between muons, over that expected from the number of toys: {}, between neighbours in "
            '{} {}, <b class="{}">{}</b>. It fails below {}, since toys are then not independent.'
        ).format(
            _limits(scatter.all, 3),
            self.observables[entry.observable].symbol,
            _limits(scatter.local, 3),
            scatter.verdict,
            scatter.verdict,
            NARROWEST_SCATTER,
        )

    def truth(self) -> Markup:
        """How to read the tables of the toys around true hits."""
        text = Markup(
            "Toys are thrown around true hits, at true values spread over every bin, and recorded as the simulated "
            "detector records hits. <i>Coverage</i>: share of toys whose interval holds the truth; that of a "
            "<b>confidence interval</b> decides, with a tolerance of {}. <i>Bias</i>: mean of recorded − true less the "
            "predicted bias, over σ; its tolerance is {:g}, as is that of the width of pulls, (recorded − true)/σ, "
            "where nothing folds. {} "
        ).format(percent(self.config.validation.coverage_tolerance), self.config.validation.of_truth, MARKED)
        if any(entry.truth and entry.truth.at_least for entry in self.entries):
            text += (
                "For azimuths, and for what depends on a fold in another way, a confidence interval need only hold the "
                "truth at least as often as it says. "
            )
        if self.folds:
            text += Markup(
                "A <b>coverage interval (JCGM 101)</b> holds its share of the values that the recorded hit allows. "
                "Near a fold it is no confidence interval: there it is a statement about the recorded hit, not about "
                "the truth, and so is ±1 σ. Both are only shown."
            )
        return text

    def bias(self) -> str:
        """That the bias at a fold in two directions can't be avoided, and where there is none."""
        lengths = [each for each in self.study.model.observables if len(each.folds) > 1 and not each.period]
        if not lengths:
            return ""
        symbols = joined([each.symbol for each in lengths])
        squared = [each for each in lengths if each.name in self.study.model.squared]
        instead = "".join(
            f" Its square does: the column {each.name}_squared, {each.symbol}² less its noise, is unbiased; average "
            "that, not the angle."
            for each in squared
        )
        return (
            f"No estimator of an angle that can't be negative is unbiased at its fold: noise in two directions always "
            f"adds to {symbols}. The predicted bias, in σ, is near 1.25 at a true distance of 0 and near 1/(2ρ) at a "
            f"large distance ρ; its mean over muons does not shrink.{instead}"
        )

    def muons(self) -> str:
        """How to read the table of the pulls of all muons."""
        return (
            "Pulls, (recorded − true)/linear σ, of all muons of a point. A quantity that does not fold has no bias, so "
            "a shift, a gain or noise that muons share is seen: by the mean in bins of the true value, by its scatter "
            "between blocks of muons, over that of independent ones, and by the correlation of blocks. The muons are "
            "as many as they are: they can contradict (✗), and what they can't settle decides nothing."
        )

    def systematics(self) -> Markup:
        """The systematic parameters, and what they do."""
        values = [
            Markup("{}{} ± {}").format(
                code(name), "" if value is None else f" = {suited(value, unit)}", suited(u, unit)
            )
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

    def alignment(self, found: AlignmentFile) -> str:
        """What moved the layers to where they are."""
        fixed = ", ".join(map(str, found.reference))
        before, after = found.before.median_chi2_per_ndf, found.after.median_chi2_per_ndf
        return (
            f"Layers were aligned by {of_all(found.weighted, found.tracks, 'track', count)}, {found.source}, with "
            f"layers {fixed} held fixed: the median χ²/ndf of a track went from {before:.3g} to {after:.3g}. Hits are "
            "corrected by these deviations, whose covariance is among the systematics."
        )

    def resolution(self, own: list[Entry]) -> str:
        """What the slope by the resolution means, if all layers have the same."""
        words = {"detector.resolution": "resolution", "detector.sigma": "σ of the hits"}
        slopes = [each for each in design_of(self.study, own[0]) if each.parameter in words]
        symbol = self.observables[own[0].observable].symbol
        return "".join(
            f": 1 % more {words[each.parameter]} changes the mean σ of {symbol} by {signed(each.change)}"
            for each in slopes
            if math.isfinite(each.change)
        )

    def target(self, target: TargetAnswers) -> list[Markup]:
        """What was found for the wanted mean σ."""
        observable = self.observables[target.observable]
        return [*target_sentences(target, observable.symbol, observable.unit)]


def _limits(estimate: Estimate | None, digits: int) -> str:
    """An estimate with its confidence interval."""
    value, low, high = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return f"{figures(value, digits)} [{figures(low, digits)}, {figures(high, digits)}]"
