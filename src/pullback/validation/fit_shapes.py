"""Whether the errors of hits are uniform, or have tails, by the kurtosis of residuals; and the pitch of strips.

A pull is z_k = Σ_j M_kj e_j/√M_kk, with independent errors e_j in units of σ and M of `fit_estimates`. Fourth cumulants
add, so that errors with the excess kurtosis κ give pulls with f_k κ, f_k = Σ_j M_kj⁴/M_kk². Three equidistant layers
have f = 0.5, the inner ones of four 0.55, and without a fit f is 1. κ is found by least squares from all coordinates
that are fitted together. Its error is that of Gaussian errors, √(24/n)/f for n muons, as if all pulls of a muon were
the same. Scattering is Gaussian, and does not add to fourth cumulants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..models import Quantity
from ..statistics.prefixes import with_unit
from ..store.fit_columns import OUTLIER
from .estimates import Criteria
from .fit_estimates import FitEstimates
from .fit_evidence import EXCESS_OF_UNIFORM, ErrorShape, FitEntry, WantedResolution

FEWEST_PULLS = 100
"""Minimum muons of which a kurtosis is shown."""

MANY_OUTLIERS = 10
"""Times as many outliers as expected from which tails are told: not those of a few tracks."""

PITCH_FOR_SIGMA = {
    math.sqrt(12): "√12 times the wanted one, as if the pitch of strips had been given in place of σ = pitch/√12",
    math.sqrt(3): "√3 times the wanted one, as if half the pitch of strips had been given in place of σ = pitch/√12",
}
"""Ratios of a stated σ to the wanted one that may be a mistake."""

SAME_RATIO, RATIO_ERRORS = 0.02, 3.0
"""Relative deviation, or standard errors, within which a ratio is one of these."""

ALIKE_SIGMA = 1.05
"""Largest ratio of the wanted σ of layers that may have the same pitch."""


def shapes_of_errors(of: FitEstimates, names: Sequence[str], criteria: Criteria) -> Iterator[ErrorShape]:
    """The shape of the errors of the coordinates that are fitted together; by the names of all coordinates."""
    sums, M = of.sums(robust=False), of.information_of_muon
    count, diagonal = sums["count"], M.diagonal()
    for component in of.components:
        seen = component[(count[component] >= FEWEST_PULLS) & (diagonal[component] > 0)]
        if not len(seen):
            continue
        n, mean = count[seen], sums["z"][seen] / count[seen]
        variance = sums["z2"][seen] / n - mean**2
        if not (variance > 0).all():
            continue
        fourth = sums["z4"][seen] / n - 6 * mean**2 * variance - mean**4  # about the mean of a symmetric distribution
        excess = fourth / variance**2 - 3
        f = (M[seen] ** 4).sum(axis=1) / diagonal[seen] ** 2
        value, se = (float((n * f * each).sum() / (n * f**2).sum()) for each in (excess, np.sqrt(24 / n)))
        yield ErrorShape(coordinates=[names[index] for index in seen], excess=criteria.estimate(value, se))


def shape_words(entry: FitEntry, coordinates: Mapping[str, Quantity]) -> Iterator[str]:
    """Which errors are not Gaussian: uniform, with the pitch of strips that have such errors, or with tails."""
    every = len({name for each in entry.shapes for name in each.coordinates})
    many = bool(entry.outliers and entry.outliers.low > MANY_OUTLIERS * OUTLIER)
    for each in entry.shapes:
        of = "" if len(each.coordinates) == every else f" in {each.coordinates[0][0]}"
        if each.uniform:
            number = f"{each.excess.value:.2f} ± {each.excess.se or 0.0:.2f}"
            yield (
                f"The errors of hits{of} look uniform, as of strips, not Gaussian: their excess kurtosis is {number}, "
                f"where uniform ones have {EXCESS_OF_UNIFORM} and Gaussian ones 0{_pitch(entry, each, coordinates)}"
            )
        elif each.tailed and many:
            yield (
                f"The errors of hits{of} have longer tails than Gaussian ones: their excess kurtosis is "
                f"{each.excess.value:.3g}, where Gaussian ones have 0"
            )


def _pitch(entry: FitEntry, shape: ErrorShape, coordinates: Mapping[str, Quantity]) -> str:
    """The pitch by the wanted σ, where all layers want about the same."""
    own = [each for each in entry.resolution if {*each.coordinates} <= {*shape.coordinates}]
    sigma = [each.wanted.value for each in own]
    if not own or not all(each.alike and each.determined for each in own) or max(sigma) > ALIKE_SIGMA * min(sigma):
        return ""
    mean, se = float(np.mean(sigma)), float(np.mean([each.wanted.se or 0.0 for each in own]))
    unit = coordinates[shape.coordinates[0]].unit
    return f"; their pitch would be σ·√12 = {with_unit(math.sqrt(12) * mean, unit, math.sqrt(12) * se)}"


def pitch_guess(off: Sequence[WantedResolution]) -> str:
    """That the stated σ may be a pitch, or half of one, if all wanted ones say so; a guess."""
    for ratio, words in PITCH_FOR_SIGMA.items():
        if off and all(_is(each, ratio) for each in off):
            return f"; the stated σ is {words}"
    return ""


def _is(wanted: WantedResolution, ratio: float) -> bool:
    """Whether the stated σ is this ratio times the wanted one."""
    found = wanted.factor.value * ratio
    return abs(found - 1) < max(SAME_RATIO, RATIO_ERRORS * ratio * (wanted.factor.se or 0.0))
