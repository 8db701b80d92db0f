"""What the residuals say of each layer: widths, offsets, dependences, and σ by maximum likelihood.

σ² of a coordinate is its stated one times a factor s. With y = M r and M = Σ⁻¹ − Σ⁻¹ A (Aᵀ Σ⁻¹ A)⁻¹ Aᵀ Σ⁻¹, the
log-likelihood of the residuals has the slopes (y_k (Σ_det y)_k − (M Σ_det)_kk)/2 by s_k at s = 1, and the information
F_kl = [(M Σ_det)_kl (M Σ_det)_lk + M_kl (Σ_det M Σ_det)_kl]/4. One step of Fisher's scoring, s = 1 + F⁻¹ slopes, is
Rao's minimum-norm quadratic estimator: without bias for any true s, any pattern of missing hits, and hits that each
have their own σ, since it is linear in s; efficient near s = 1.

Source: C. R. Rao, J. Multivariate Anal. 1 (1971) 257 (MINQUE); restricted maximum likelihood, D. A. Harville, J. Am.
Stat. Assoc. 72 (1977) 320.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammainc, gammaincc, gammaincinv

from ..store.fit_columns import CLASS_EDGES, MOMENTS, OUTLIER, RATIO_EDGES, STATISTICS
from .fit_tally import FitTally

LEAST_DETERMINED = 1e-3
"""Smallest eigenvalue of the information on the factors of the coordinates of a fit, scaled to a diagonal of 1, with
which they are told apart.
"""

MORE_UNEXPLAINED = 1.2
"""Ratio of mean squares of unexplained pulls, of all tracks over those kept, above which tracks are left out."""

MORE_BY_FEW, TRIMMED_FEW = 10.0, 1e-10
"""The same ratio, and p-value, where there are few wrong tracks, of which some are very far out."""

LEAST_SCATTER = 1e-6
"""Smallest variance of slopes over that of normal residuals; that of a single muon is 0."""

UNEXPLAINED = 5.0
"""Standard errors by which a single layer may fail to explain the common width, if it alone is named."""

SAME = 1e-12
"""Variance over mean square below which a number varies by rounding only."""

WRONG_TRACKS_LEFT_OUT = 1e-3
"""Share of tracks beyond p = 1e-4 of the core of the distribution above which wrong tracks are left out."""

LARGEST_MEDIAN = RATIO_EDGES[-2]
"""Logarithm of the largest median of χ² that its histogram tells; beyond, all tracks are kept: most are wrong alike."""

COMPLETE = 0.999
"""Share of the hits that are of tracks without a missing hit, from which tracks are all alike."""

TRIMMED = 0.01
"""p-value in the core of the distribution below which tracks are left out, if there are wrong ones."""


class Found(NamedTuple):
    """A number and its standard error."""

    value: float
    se: float


class Factor(NamedTuple):
    """The variance of some coordinates over the stated one, and the gain in the log-likelihood over 1."""

    coordinates: tuple[int, ...]
    ratio: Found
    gain: float

    @property
    def width(self) -> Found:
        """The same of standard deviations."""
        root = math.sqrt(max(self.ratio.value, 0.0))
        return Found(root, self.ratio.se / (2 * root) if root else math.inf)


class Score(NamedTuple):
    """The slopes of the log-likelihood by the factors of σ² of the coordinates, and the information on them."""

    slopes: Float[np.ndarray, " coordinate"]
    information: Float[np.ndarray, "coordinate coordinate"]


class FitEstimates:
    """Numbers from the sums over the fits of a point."""

    def __init__(self, tally: FitTally):
        self.moments = dict(zip(MOMENTS, np.broadcast_to(tally.of("moments"), len(MOMENTS)).tolist(), strict=True))
        self.p_values, self._ratios, self._freedom = tally.of("p_values"), tally.of("ratios"), tally.of("freedom")
        self._hits, self._fisher, self._information = tally.of("hits"), tally.of("fisher"), tally.of("information")
        self.drift_sums, self._coupled = tally.of("drift"), tally.of("coupled")

    @property
    def muons(self) -> int:
        """Muons with degrees of freedom."""
        return int(self.moments["count"])

    @property
    def beyond(self) -> int:
        """Muons so far out that their squares can't be summed."""
        return int(self.moments["beyond"])

    @property
    def fitted(self) -> bool:
        """Whether any muon has a fit."""
        return bool(self._coupled.any())

    @property
    def used(self) -> Bool[np.ndarray, " coordinate"]:
        """Whether each coordinate has a hit in any fit."""
        return np.asarray(self._coupled.diagonal() > 0)

    @property
    def complete(self) -> bool:
        """Whether nearly all tracks have all hits."""
        sums = self.sums(robust=False)
        return bool(sums["w"].sum() > COMPLETE * sums["count"].sum())

    @property
    def information(self) -> Float[np.ndarray, " coordinate"]:
        """Information on the offset of each coordinate, if the others are in place, in units of 1/σ²."""
        return self._information[: self.kept].sum(axis=0).diagonal()

    @property
    def information_of_muon(self) -> Float[np.ndarray, "coordinate coordinate"]:
        """M of a muon, averaged over all, in units of 1/σ²."""
        return self._information.sum(axis=0) / max(self.muons - self.beyond, 1)

    @property
    def chi2_per_ndf(self) -> Found:
        """χ² over degrees of freedom, both summed over muons."""
        of = self.moments
        mean = of["chi2"] / of["ndf"]
        square = of["chi2_2"] - 2 * mean * of["chi2_ndf"] + mean**2 * of["ndf_2"]
        return Found(mean, math.sqrt(max(square, 0.0)) / of["ndf"])

    @cached_property
    def median(self) -> Found:
        """Median of χ² over the median of its distribution, from a histogram of its logarithm; by order statistics."""
        low, middle, high = (self._ratio_at(0.5 + sign / (2 * math.sqrt(self.muons))) for sign in (-1, 0, 1))
        return Found(middle, (high - low) / 2)

    def _ratio_at(self, share: float) -> float:
        below = np.concatenate([[0.0], np.cumsum(self._ratios)])
        return float(np.exp(np.interp(np.clip(share, 0, 1) * below[-1], below, RATIO_EDGES)))

    @property
    def outliers(self) -> int:
        """Muons with p < 1e-4 by the stated resolution."""
        return int(self.moments["outliers"])

    @cached_property
    def wrong_tracks(self) -> float:
        """Excess of muons beyond p = 1e-4 of a χ² distribution that is scaled to the median of the data, as a share."""
        edge, counts = self._edge(OUTLIER), self._freedom.sum(axis=0)
        ndf = np.flatnonzero(counts[1:]) + 1
        expected = counts[ndf] * gammaincc(ndf / 2, edge / self.median.value * gammaincinv(ndf / 2, 0.5))
        beyond = self._ratios.sum() - np.interp(np.log(edge), RATIO_EDGES[1:], np.cumsum(self._ratios))
        return float((beyond - expected.sum()) / self._ratios.sum())

    def _edge(self, p_value: float) -> float:
        """The ratio q at a p-value of the scaled distribution, for the most frequent degrees of freedom."""
        ndf = int(self._freedom.sum(axis=0).argmax())
        return self.median.value * gammaincinv(ndf / 2, 1 - p_value) / gammaincinv(ndf / 2, 0.5)

    @cached_property
    def kept(self) -> int:
        """Classes of χ² from which estimates are taken: all, unless there are wrong tracks."""
        if math.log(self.median.value) > LARGEST_MEDIAN:
            return len(CLASS_EDGES) - 1
        few = self.wrong_tracks <= WRONG_TRACKS_LEFT_OUT + 5 * math.sqrt(OUTLIER / self.muons)
        edge = self._edge(TRIMMED_FEW if few else TRIMMED)
        some = int(np.argmin(abs(np.log(CLASS_EDGES[1:-1] / edge)))) + 1
        # Tracks that only look wrong, as a layer is at a wrong height, are as good as the others, unless they are few
        # and decide alone.
        without, more = (_nothing, MORE_BY_FEW) if few else (_explained, MORE_UNEXPLAINED)
        return some if self._square(None, without) > more * self._square(some, without) else len(CLASS_EDGES) - 1

    def _square(self, stop: int | None, without: Callable[[dict[str, np.ndarray], int], float]) -> float:
        """Mean square of the pulls in the classes before one, without a share of that of each coordinate."""
        sums = dict(zip(STATISTICS, self._hits[:stop].sum(axis=0), strict=True))
        known = np.flatnonzero(sums["count"]).tolist()
        found = [(1 - without(sums, index)) * float(sums["z2"][index] / sums["count"][index]) for index in known]
        return sum(found) / max(len(found), 1)

    @property
    def kept_muons(self) -> float:
        """Muons that are not left out."""
        return float(self._freedom[: self.kept].sum())

    @property
    def left_out(self) -> float:
        """Share of muons that are left out."""
        return float(self._freedom[self.kept :].sum() / self._freedom.sum())

    @cached_property
    def shrinkage(self) -> float:
        """Mean square of what is kept over that of all, for normal residuals of the width of the median."""
        if self.kept == len(CLASS_EDGES) - 1:
            return 1.0
        counts = self._freedom.sum(axis=0)
        ndf = np.flatnonzero(counts[1:]) + 1
        edges = CLASS_EDGES[self.kept] / self.median.value * gammaincinv(ndf / 2, 0.5)
        squares = gammainc(ndf / 2 + 1, edges) / gammainc(ndf / 2, edges)
        return float((counts[ndf] * ndf * squares).sum() / (counts[ndf] * ndf).sum())

    def sums(self, *, robust: bool = True) -> dict[str, np.ndarray]:
        """The sums over hits by name, without the muons that are left out if robust."""
        found = self._hits[: self.kept if robust else None].sum(axis=0)
        return dict(zip(STATISTICS, found, strict=True))

    @cached_property
    def components(self) -> list[np.ndarray]:
        """Coordinates that are fitted together, such as those of a view."""
        # A hit of little weight is predicted by others that hardly depend on it.
        either = (self._coupled + self._coupled.T > 0) + np.eye(len(self._coupled))
        reach = np.linalg.matrix_power(either, len(either)) > 0
        return [np.flatnonzero(row) for index, row in enumerate(reach) if row.argmax() == index and row[index]]

    def factors(self) -> Iterator[Factor]:
        """The factors of the variance of each component: of its coordinates where they are determined, else of all.

        After a common one follows the one of the single coordinate that explains most alone. What shifts, heights and
        drifts explain does not count.
        """
        sums, scale = self.sums(), self._scale(self.sums(), self._score.information)
        for seen, slopes, F in self._scores():
            yield from _factors_of(seen, slopes, F, scale[seen], sums["e"][seen])

    def explained_by_factors(self) -> float:
        """Uᵀ F⁻¹ U, how much of the second moments of the residuals the factors explain (`fit_scattering`)."""
        found = 0.0
        for _, slopes, F in self._scores():
            if _determined(F):
                found += float(slopes @ np.linalg.solve(F, slopes))
            else:
                found += max(float(slopes.sum()) ** 2 / float(F.sum()), float((slopes**2 / F.diagonal()).max()))
        return found

    @property
    def noise_alone(self) -> Float[np.ndarray, " coordinate"]:
        """Share of the mean square of the pulls of each coordinate without what shifts, heights and drifts explain."""
        sums = self.sums()
        return np.array([1 - dependences(sums, index).explained for index in range(len(sums["a"]))])

    @cached_property
    def _score(self) -> Score:
        sums, F = self.sums(), self._fisher[: self.kept].sum(axis=0)
        return Score((sums["a"] * self.noise_alone / self.shrinkage - sums["e"]) / 2, F)

    def _scores(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each component: its coordinates with residuals, and slopes and information of their factors."""
        slopes, F = self._score
        for component in self.components:
            # A coordinate that the others do not predict has no residuals; its information is rounding.
            seen = component[(F.diagonal()[component] > 0) & (self.sums()["count"][component] > 0)]
            if len(seen):
                yield seen, slopes[seen], F[np.ix_(seen, seen)]

    def _scale(self, sums: dict[str, np.ndarray], F: Float[np.ndarray, "_ _"]) -> Float[np.ndarray, " coordinate"]:
        """Variance of the slopes over that of normal residuals of the stated width."""
        count = max(1.0, self.kept_muons)
        spread = sums["a2"] - sums["a"] ** 2 / count
        found = spread / np.where(F.diagonal() > 0, 4 * F.diagonal(), np.inf) / self.shrinkage**2
        return np.maximum(found, LEAST_SCATTER)

    def offsets(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each component: its coordinates, their offsets in units of the stated σ, and the covariance of these.

        Offsets that a track of the fit could have can't be seen: mean and tilt. Of all that fit as well, these have the
        smallest sum of squares in units of σ.
        """
        y, A = self.sums()["y"] / self.shrinkage, self._information[: self.kept].sum(axis=0)
        for component in self.components:
            inverse = np.linalg.pinv(A[np.ix_(component, component)], rcond=1e-9, hermitian=True)
            yield component, inverse @ y[component], inverse * self.median.value


def _explained(sums: dict[str, np.ndarray], index: int) -> float:
    """Share of the mean square of the pulls that shifts, heights and drifts explain."""
    return dependences(sums, index).explained


def _nothing(_sums: dict[str, np.ndarray], _index: int) -> float:
    return 0.0


def mean_and_sd(sums: dict[str, np.ndarray], index: int, first: str, unit: float = 1.0) -> tuple[Found, Found]:
    """Mean and standard deviation of m or z of a coordinate, times a unit."""
    count, total, square = (float(sums[name][index]) for name in ("count", first, f"{first}2"))
    mean = total / count
    variance = max(square / count - mean**2, 0.0)
    # Excess from the fourth power of z, about 0.
    z2 = float(sums["z2"][index])
    fourth = float(sums["z4"][index]) * count / z2**2 if z2 else 3.0
    sd = math.sqrt(variance)
    spread = math.sqrt(max(fourth - 1, 0.5) / count) / 2
    return Found(unit * mean, unit * sd / math.sqrt(count)), Found(unit * sd, unit * sd * spread)


def _determined(F: Float[np.ndarray, "_ _"]) -> bool:
    """Whether information on factors tells them apart."""
    unit = 1 / np.sqrt(F.diagonal())
    return bool(np.linalg.eigvalsh(F * np.outer(unit, unit))[0] > LEAST_DETERMINED)


def _factors_of(
    component: np.ndarray, slopes: np.ndarray, F: np.ndarray, scale: np.ndarray, expected: np.ndarray
) -> Iterator[Factor]:
    """The factors of a component, from slopes and information of the likelihood by the factors of its coordinates.

    `scale` is the variance of each slope over that of normal residuals, `expected` the expectation of a.
    """
    noise = F * np.sqrt(np.outer(scale, scale))
    if _determined(F):
        inverse = np.linalg.inv(F)
        found, errors = (inverse @ slopes).tolist(), np.sqrt((inverse @ noise @ inverse).diagonal()).tolist()
        for index, value, se in zip(component.tolist(), found, errors, strict=True):
            yield Factor((index,), Found(1 + value, se), 0.0)
        return
    total = float(F.sum())
    common = Found(1 + float(slopes.sum()) / total, math.sqrt(float(noise.sum())) / total)
    # The degrees of freedom are the trace of (M Σ)², which is twice the information on a common factor.
    yield Factor(tuple(component.tolist()), common, _gain(common.value, 2 * total) * total / float(noise.sum()))
    stretches, freedoms = (1 + 2 * slopes / expected).tolist(), (expected**2 / (2 * F.diagonal())).tolist()
    gains = [_gain(*pair) / own for *pair, own in zip(stretches, freedoms, scale.tolist(), strict=True)]
    best = max(range(len(gains)), key=gains.__getitem__)
    own = float(F[best, best])
    ratio = Found(1 + float(slopes[best]) / own, math.sqrt(float(scale[best]) / own))
    rest = (ratio.value - 1) * float(F[best].sum()) / total - (common.value - 1)  # alone, it must explain all
    gain = gains[best] if abs(rest) < UNEXPLAINED * common.se else -math.inf
    yield Factor((int(component[best]),), ratio, gain)


def _gain(stretch: float, freedom: float) -> float:
    """Gain in the log-likelihood of normal numbers by a factor of their variance, at its best value."""
    return freedom / 2 * (stretch - 1 - math.log(stretch)) if stretch > 0 else 0.0


class Dependences(NamedTuple):
    """Changes of z by one standard deviation each, and the share of mean z² that they and the mean explain."""

    effects: dict[str, Found]
    explained: float


def dependences(sums: dict[str, np.ndarray], index: int) -> Dependences:
    """How z of a coordinate changes with position x, slope t, position in the other view o, and muon number n.

    x, t and o are taken together, so that one does not stand for another with which it is correlated. A number that
    does not vary has no effect.
    """
    count, square = float(sums["count"][index]), float(sums["z2"][index])
    if count < 2 or not square:
        return Dependences({}, 0.0)
    of = {name: float(each[index]) / count for name, each in sums.items()}

    def shared(one: str, other: str) -> float:
        key = f"{one}2" if one == other else f"{one}{other}"
        return of[key] - of[one] * of[other]

    variance = max(shared("z", "z"), 0.0)
    effects: dict[str, Found] = {}
    explained = of["z"] ** 2
    for together in (("x", "t", "o"), ("n",)):
        names = [name for name in together if shared(name, name) > SAME * of[f"{name}2"]]
        sd = {name: math.sqrt(shared(name, name)) for name in names}
        pairs = [[shared(*sorted((a, b), key=together.index)) / (sd[a] * sd[b]) for b in names] for a in names]
        with_z = np.array([shared("z", name) / sd[name] for name in names])
        inverse = np.linalg.pinv(np.array(pairs).reshape(len(names), len(names)), rcond=SAME**0.5, hermitian=True)
        found, errors = inverse @ with_z, np.sqrt(np.maximum(inverse.diagonal(), 0.0) * variance / count)
        effects |= {name: Found(float(x), float(e)) for name, x, e in zip(names, found, errors, strict=True)}
        explained += float(with_z @ found)
    return Dependences(effects, min(max(explained / of["z2"], 0.0), 1.0))


def spread_of(sums: dict[str, np.ndarray], index: int, name: str) -> float:
    """Standard deviation of position x, slope t or muon number n of the tracks at a coordinate."""
    count = float(sums["count"][index])
    return math.sqrt(max(float(sums[f"{name}2"][index]) / count - (float(sums[name][index]) / count) ** 2, 0.0))


def drift(sums: Float[np.ndarray, "range 2"], variance: float) -> Found:
    """Mean square over ranges of the muon number of the mean pull about its mean, less its statistical part.

    `variance` is that of the pulls.
    """
    count, total = sums[sums[:, 0] > 1].T
    if len(count) < 2:
        return Found(0.0, math.inf)
    mean = total.sum() / count.sum()
    scatter, free = float((count * (total / count - mean) ** 2).sum()), (len(count) - 1) * variance
    error = math.sqrt(2 * variance * free + 4 * variance * max(scatter - free, 0.0))
    return Found((scatter - free) / float(count.sum()), error / float(count.sum()))
