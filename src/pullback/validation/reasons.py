"""The reasons why a verdict is not a pass, and advice on what would decide it, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from ..config.schema import ToySettings, Validation
from ..models import Quantity
from ..statistics.intervals import ROOM, Verdict, coverage_interval, factor_to_decide, half_width
from ..statistics.parts import of_all
from ..uncertainty.monte_carlo import FEWEST_FOR_ENDS
from .estimates import Estimate
from .evidence import OFFSETS, Bin, Counts, DomainStatistics, Offset, Shared, Sigma
from .remedies import Remedy, rounded_up

MOST_TOYS_PER_MUON = 1_000_000
"""Largest number of toys per muon, and of pseudo-experiments, that is advised: what needs more lies at its limit."""

TOY_MUONS, MORE_MUONS = 2_000, 10
"""Muons with toys that reach every bin of some muons, as a rule; and how many times more are advised beyond."""

ERROR_OF_END = 2.67 / 1.96
"""Standard error of an end of the 95 % interval of n toys of a Gaussian, times √n, in half-widths."""
MOST_DISAGREEING, FEWEST_TO_DISAGREE = 0.5, 20
"""Largest tolerated fraction of toy muons that disagree with `linear_valid`, which happens by chance where interval
ends deviate by about δ; and minimum toy muons able to test linearity.
"""

NEVER = {
    "sigma_negative": "have a negative σ",
    "sigma_zero_or_nan": "have no σ or σ = 0, although their hits and values are finite",
    "interval_unusable": "have an interval that is not finite, or a 68.27 % interval not inside the 95 % interval",
    "sigma_not_linear": "are flagged as linear, but their σ is not the linear one",
    "toys_contradict": "have toys that contradict their flag linear_valid",
}
"""Defects that no muon with a quoted σ may have, with their descriptions."""

SINGULAR = {"are": "is", "have": "has"}

MOST_WITHHELD = 0.1
"""Largest tolerated share of muons without a standard deviation whose toys show no tails. Near the limit of what is
withheld, and where only a part of the noise goes into a ratio, some toys show none.
"""

NAMES: dict[Offset, str] = {
    "bias": "bias",
    "low68": "lower end of the 68.27 % coverage interval",
    "high68": "upper end of the 68.27 % coverage interval",
    "low95": "lower end of the 95 % coverage interval",
    "high95": "upper end of the 95 % coverage interval",
}


def defects(sigma: Sigma, counts: Counts, confidence: float) -> Iterator[str]:
    """Defects that no muon may have, and those that few may have, by binomial intervals of this confidence."""
    for name, words in NEVER.items():
        count = getattr(counts, name)
        if count and (name == "sigma_negative" or sigma == "quoted"):
            yield f"1 muon {singular(words)}" if count == 1 else f"{count} muons {words}"
    tested, withheld = counts.without_sd_tested, counts.sd_withheld
    if sigma == "quoted" and tested and coverage_interval(withheld, tested, confidence)[0] > MOST_WITHHELD:
        yield f"toys of {of_all(withheld, tested, 'muon')} that are quoted without a standard deviation have no tails"
    telling, disagreeing = counts.toys_can_tell, counts.toys_disagree
    if sigma == "quoted" and telling >= FEWEST_TO_DISAGREE and disagreeing > MOST_DISAGREEING * telling:
        yield f"toys of {of_all(disagreeing, telling, 'muon')} disagree with linear_valid"


def singular(words: str) -> str:
    """What is said of several muons, of one.

    >>> singular("are flagged as linear, but their σ is not the linear one")
    'is flagged as linear, but its σ is not the linear one'

    """
    verb, rest = words.split(" ", 1)
    return f"{SINGULAR[verb]} {rest.replace('their', 'its')}"


def over_sigma(symbol: str) -> str:
    """A symbol over σ, in brackets where it would be misread.

    >>> over_sigma("θ"), over_sigma("q/p")
    ('θ/σ', '(q/p)/σ')

    """
    return f"({symbol})/σ" if "/" in symbol or " " in symbol else f"{symbol}/σ"


def place_of(observable: Quantity, observables: Sequence[Quantity]) -> str:
    """What an observable's distance from the fold is called; nothing without one."""
    fold = observable.fold or observable.name
    return next((over_sigma(each.symbol) for each in observables if each.name == fold), "")


def reasons(
    sigma: Sigma, found: Iterable[str], bins: Sequence[Bin], domain: DomainStatistics, place: str
) -> Iterator[str]:
    """Why the verdict on a σ is not a pass, first the defects found; `place` names the distance from the fold."""
    yield from found
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        for each in bins:
            if each.verdict == verdict and each.decides:
                yield from _of_bin(sigma, each, place)
    if sigma == "quoted" and not any(isinstance(each.verdict, Verdict) for each in bins):
        yield "no muons with a usable σ"
    scatter = domain.scatter
    if scatter and scatter.verdict == Verdict.FAIL:
        low = min(scatter.all.value, scatter.local.value)
        yield f"scatter of closure between muons is {low:.3f} of that of independent toys; do they share noise?"


def _of_bin(sigma: Sigma, each: Bin, place: str) -> Iterator[str]:
    """Why a bin does not pass."""
    high = f" < {each.high:g}" if math.isfinite(each.high) else ""
    where = f" at {each.low:g} ≤ {place}{high}" if place else ""  # without a fold there is but one bin
    if not each.toy_muons:
        yield f"no toys{where}"
        return
    if each.ratio and each.ratio.verdict != Verdict.PASS:
        yield f"toy sd / σ = {bracketed(each.ratio)}{where}"
    elif each.ratio_rms and each.ratio_rms.verdict != Verdict.PASS:
        yield f"root mean square deviation of σ over muons = {bracketed(each.ratio_rms)}{where}"
    if sigma == "linear":
        return
    if any(end.mean is None for end in each.offsets.ends):
        yield f"too few toys for the ends of intervals{where}"
    deviations = [(name, each.offsets.of(name)) for name in OFFSETS]
    numbers = [(name, of.mean, "") for name, of in deviations]
    numbers += [(name, of.rms, " in root mean square") for name, of in deviations]
    wrong = [(number, name, how) for name, number, how in numbers if number and number.verdict != Verdict.PASS]
    if wrong:
        number, name, how = max(wrong, key=lambda found: (found[0].verdict == Verdict.FAIL, abs(found[0].value)))
        unit = "σ" if name == "bias" else "half-widths"
        others = f", the worst of {len(wrong)} such numbers," if len(wrong) > 1 else ""
        yield f"{NAMES[name]} of toys{others} is {bracketed(number, '' if how else '+')} {unit} off{how}{where}"


def bracketed(number: Estimate, sign: str = "") -> str:
    """A number with its confidence interval."""
    return "{0:{3}.4f} [{1:{3}.4f}, {2:{3}.4f}]".format(number.value, number.low, number.high, sign)


def advice(toys: ToySettings, settings: Validation, sigma: Sigma, bins: Sequence[Bin], muons: int) -> list[Remedy]:
    """What would decide an inconclusive verdict; `muons` is the number of muons in all bins."""
    undecided = [each for each in bins if each.verdict == Verdict.INCONCLUSIVE and each.decides]
    found: list[Remedy] = []
    if any(not each.toy_muons for each in undecided):
        needed = min(muons, max(TOY_MUONS, MORE_MUONS * toys.muons))
        found += [Remedy(key="toys.muons", value=needed, now=toys.muons)] if needed > toys.muons else []
    if with_toys := [each for each in undecided if each.toy_muons]:
        found += _more_toys(toys, settings, sigma, with_toys)
    return found


def _more_toys(toys: ToySettings, settings: Validation, sigma: Sigma, bins: Sequence[Bin]) -> list[Remedy]:
    """The toys of each muon that would decide bins with toys."""
    now = max(1, round(sum(each.toys for each in bins) / sum(each.toy_muons for each in bins)))
    # Toys are distributed over all bins, so the bin with the greatest need sets the number of toys per muon.
    needed = 1 + (now - 1) * max((each.factor for each in bins if each.factor is not None), default=0.0)
    if sigma == "quoted":
        few = [each.toy_muons for each in bins if any(end.mean is None for end in each.offsets.ends)]
        needed = max([needed, *(_for_ends(muons, settings) for muons in few)])
    if needed > MOST_TOYS_PER_MUON:
        return [_wider(settings)]
    if needed <= now:
        return [Remedy(words="find out why some muons have no intervals: more toys would not help")]
    mode = [Remedy(key="toys.mode", value="fixed", now=toys.mode)] if toys.mode == "adaptive" else []
    return [*mode, Remedy(key="toys.per_muon", value=rounded_up(needed), now=now)]


def _for_ends(muons: int, settings: Validation) -> float:
    """Toys of each of some muons that tell their mean interval ends, and the root mean square of these.

    A mean needs m n toys for an error of `ERROR_OF_END`/√(m n). The mean square of m ends is known to √(2/m) of their
    variance, `ERROR_OF_END`²/n.
    """
    errors, size = half_width(settings.confidence) + ROOM, ERROR_OF_END / settings.of_toys
    return max(FEWEST_FOR_ENDS, (errors * size) ** 2 / muons, errors * math.sqrt(2 / muons) * size**2)


def _wider(settings: Validation) -> Remedy:
    return Remedy(key="validation.tolerance", value=2 * settings.of_toys, now=settings.of_toys)


def advice_on_shared(shared: Shared, settings: Validation) -> list[Remedy]:
    """What would decide inconclusive pseudo-experiments."""
    numbers = [each for each in (shared.total, shared.mean) if each and each.verdict == Verdict.INCONCLUSIVE]
    if not numbers:
        return []
    error = 1 / math.sqrt(2 * (shared.experiments - 1))
    limits = -settings.of_toys, settings.of_toys
    factor = max(factor_to_decide(each.value - 1, error * each.value, limits, settings.confidence) for each in numbers)
    if not shared.experiments * factor < MOST_TOYS_PER_MUON:
        return [_wider(settings)]
    needed = rounded_up(shared.experiments * factor)
    return [Remedy(key="toys.experiments", value=needed, now=shared.experiments)]


def of_shared(shared: Shared) -> str:
    """Why the pseudo-experiments do not pass."""
    if shared.experiment_muons < 2:
        return "fewer than two muons are in the pseudo-experiments"
    names = {"scatter over pseudo-experiments / total σ": shared.total}
    names["scatter of the mean pull / expected scatter"] = shared.mean
    found = [f"{name} = {bracketed(each)}" for name, each in names.items() if each and each.verdict != Verdict.PASS]
    if shared.mean is None:
        found.append("the mean pull is not judged, since muons without a σ are in the pseudo-experiments")
    return "; ".join(found)
