"""Counts and sums over the muons of a point, in bins of θ/σ, for each uncertainty that is judged.

Counts are integers and sums over blocks are exact (docs/reproducibility.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ..statistics.exact_sum import ExactSum
from ..study.coverage_bins import EDGES
from ..uncertainty.validity import contradicted
from .evidence import OFFSETS, Counts, Offset, Sigma

FEWEST_TO_CONTRADICT = 1000
"""Minimum toys per muon to contradict `linear_valid`; below it the errors of the interval ends are too large."""

LIGHTEST_TAILS = 0.2
"""Excess kurtosis of toys below which they show no tails; without a standard deviation most muons have 0.5 or more."""

COUNTS = tuple(Counts.model_fields)
"""Counts of muons summed over all bins."""


class Sums(NamedTuple):
    """Six counts, beginning with muons binned by their true and by their recorded hits, and six sums.

    z is the pull, and z2 to z4 are its powers.
    """

    muons: float
    recorded: float
    linear_valid: float
    pulls: float
    in68: float
    in95: float
    value: float
    sigma: float
    z: float
    z2: float
    z3: float
    z4: float


COUNTED, SUMMED = Sums._fields[:6], Sums._fields[6:]


class Muons(NamedTuple):
    """Muons of a block: value at the recorded hit, whether the hit is finite, θ/σ there, and the quoted uncertainty.

    A muon whose distribution has no standard deviation (`without_sd`) has only an interval. The `bias` is needed only
    for toy muons; in blocks without them it is NaN.
    """

    value: Float[np.ndarray, " muon"]
    hit_finite: Bool[np.ndarray, " muon"]
    distance: Float[np.ndarray, " muon"]
    without_sd: Bool[np.ndarray, " muon"]
    sigma_linear: Float[np.ndarray, " muon"]
    linear_valid: np.ndarray
    sigma: Float[np.ndarray, " muon"]
    bias: Float[np.ndarray, " muon"]
    interval68: Float[np.ndarray, "muon end"]
    interval95: Float[np.ndarray, "muon end"]


class ToyMuons(NamedTuple):
    """Toy muons: number of toys, whether their digits are stable, and statistics of the toys."""

    number: np.ndarray
    settled: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    sd_error: np.ndarray
    interval68: np.ndarray
    interval68_error: np.ndarray
    interval95: np.ndarray
    interval95_error: np.ndarray


class Truth(NamedTuple):
    """Value and θ/σ of the same muons at their true hits."""

    value: Float[np.ndarray, " muon"]
    distance: Float[np.ndarray, " muon"]


class ToyResiduals(NamedTuple):
    """Toys compared with the quoted uncertainty of each muon: bin, value, toys, sd over σ, deviations, errors."""

    bin: np.ndarray
    value: np.ndarray
    number: np.ndarray
    ratio: np.ndarray
    ratio_error: np.ndarray
    offsets: Float[np.ndarray, "muon offset"]
    """In the order of `OFFSETS`."""
    errors: Float[np.ndarray, "muon offset"]

    def take(self, rows: np.ndarray) -> ToyResiduals:
        """Those of the selected muons."""
        return ToyResiduals(*(each[rows] for each in self))

    def offset(self, name: Offset) -> tuple[np.ndarray, np.ndarray]:
        """One of the deviations, with its errors."""
        index = OFFSETS.index(name)
        return self.offsets[:, index], self.errors[:, index]


def distance(value: np.ndarray, sigma_linear: np.ndarray) -> np.ndarray:
    """θ/σ, by which muons are binned. Without a linear σ it is 0 at θ = 0 and infinity elsewhere."""
    has_sigma = (sigma_linear > 0) & np.isfinite(sigma_linear)
    if has_sigma.all():
        return _over(np.abs(value), sigma_linear)
    without = np.where(value == 0, 0.0, np.inf)
    return np.where(has_sigma, _over(np.abs(value), np.where(has_sigma, sigma_linear, 1)), without)


@np.errstate(over="ignore")
def _over(value: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """The quotient; infinity on overflow."""
    return value / sigma


def edges(domain: float) -> Float[np.ndarray, " edge"]:
    """The bin edges, which include the lower edge of the linear domain, `domain`."""
    return np.unique([*EDGES, domain])


class Binned:
    """The usable muons of a block, by bin, and sums over those of each bin.

    Most muons are in the same bin. The sum over it is that over all muons, with zeros in place of the others; only the
    others are sorted by bin.
    """

    def __init__(self, bins: UInt8[np.ndarray, " muon"], count: int):
        """`bins` holds the bin of each muon, and their number, `count`, for a muon that is not used."""
        self.counts = _counts(bins, count)
        self._most = int(self.counts.argmax())
        self._left_out = np.flatnonzero(bins != self._most)
        others = self._left_out[bins[self._left_out] < count]
        self._others = others[np.argsort(bins[others], kind="stable")]
        of_others = np.where(np.arange(count) == self._most, 0, self.counts)
        self._filled = of_others > 0
        self._starts = (np.cumsum(of_others) - of_others)[self._filled]

    def sums(self, terms: Float[np.ndarray, "term muon"]) -> Float[np.ndarray, "term bin"]:
        """The sum of each term in each bin; the terms are overwritten."""
        found = np.zeros((len(terms), len(self.counts)))
        if len(self._starts):
            found[:, self._filled] = np.add.reduceat(terms[:, self._others], self._starts, axis=1)
        terms[:, self._left_out] = 0.0
        found[:, self._most] = terms.sum(axis=1)
        return found

    def numbers(self, which: Bool[np.ndarray, " muon"]) -> Int[np.ndarray, " bin"]:
        """The number of some muons in each bin."""
        found = np.zeros(len(self.counts), "i8")
        if len(self._starts):
            found[self._filled] = np.add.reduceat(which[self._others], self._starts, dtype="i8")
        found[self._most] = np.count_nonzero(which) - np.count_nonzero(which[self._left_out])
        return found


class Placed:
    """The bins of the muons of a block, by true hits if these are known; shared by the tallies of both σ."""

    def __init__(
        self,
        value: Float[np.ndarray, " muon"],
        hit_finite: Bool[np.ndarray, " muon"],
        distance: Float[np.ndarray, " muon"],
        truth: Truth | None,
        edges: Float[np.ndarray, " edge"],
    ):
        self.has_truth = truth is not None
        self.at = value if truth is None else truth.value
        with np.errstate(invalid="ignore"):  # of infinite values, which are not used
            self.off = value - self.at
        self.valued = hit_finite & np.isfinite(value) & np.isfinite(self.at)
        self._count = len(edges) - 1
        self._recorded = _bins(edges, distance)
        self._bins = self._recorded if truth is None else _bins(edges, truth.distance)
        self._last: tuple[np.ndarray, Binned, np.ndarray] | None = None

    def recorded_within(self, bins: Bool[np.ndarray, " bin"], which: Bool[np.ndarray, " muon"]) -> np.ndarray:
        """Number of some muons by their recorded hits, in these bins; 0 in the others."""
        if not bins.any():
            return np.zeros(self._count, "i8")
        return np.where(bins, np.bincount(self._recorded[which], minlength=self._count), 0)

    def binned(self, good: Bool[np.ndarray, " muon"]) -> tuple[Binned, Int[np.ndarray, " bin"]]:
        """The usable muons by bin, and their number by the recorded hits.

        They usually are the same for both σ, and are then computed once.
        """
        if self._last is None or not np.array_equal(good, self._last[0]):
            bins, recorded = (np.where(good, each, self._count).astype("u1") for each in (self._bins, self._recorded))
            self._last = good, Binned(bins, self._count), _counts(recorded, self._count)
        return self._last[1:]


class Tally:
    """Counts and sums over the muons of one point and observable, bin by bin, for one σ.

    It is filled block by block, so that memory does not grow with the number of muons. `arrays` and `merge` combine the
    tallies of batches.
    """

    def __init__(self, sigma: Sigma, edges: Float[np.ndarray, " edge"], n_dig: int, domain: float = math.inf):
        """An empty tally; in its `domain` the linear σ is compared with toys of muons that are called linear only."""
        self.sigma, self.edges, self.n_dig = sigma, edges, n_dig
        self._inside = (edges[:-1] >= domain) & (sigma == "linear")
        self.counts = dict.fromkeys(COUNTS, 0)
        self.has_truth = False
        self._bins = np.zeros((len(COUNTED), len(edges) - 1), "i8")
        self._sums = ExactSum()
        self._sums.add(np.zeros((len(SUMMED), len(edges) - 1)))
        self._toys: list[ToyResiduals] = []

    def add(self, muons: Muons, placed: Placed) -> None:
        """Add a block of muons."""
        value, sigma, at = muons.value, muons.sigma, placed.at
        finite, valued, valid = muons.hit_finite, placed.valued, muons.linear_valid != 0
        usable = (sigma > 0) & np.isfinite(sigma)
        without = valued & muons.without_sd & (self.sigma == "quoted")
        good = valued & usable
        ends68, ends95 = (np.ascontiguousarray(each.T) for each in (muons.interval68, muons.interval95))
        most = np.finfo(float).max
        sound = (ends95[0] >= -most) & (ends95[0] <= ends68[0]) & (ends68[0] <= ends68[1])
        sound &= (ends68[1] <= ends95[1]) & (ends95[1] <= most)
        negative = sigma < 0
        found = {
            "hit_not_finite": ~finite,
            "value_not_finite": finite & ~valued,
            "no_standard_deviation": without,
            "sigma_negative": finite & negative,
            "sigma_zero_or_nan": valued & ~usable & ~negative & ~without,
            "interval_unusable": (good | without) & ~sound,
            "sigma_not_linear": good & valid & (sigma != muons.sigma_linear),
        }
        self.counts["muons"] += len(value)
        for name, which in found.items():
            self.counts[name] += int(np.count_nonzero(which))

        self.has_truth |= placed.has_truth
        binned, recorded = placed.binned(good)
        if not binned.counts.any():
            return
        others = placed.recorded_within(self._inside, good & ~valid)
        counts = {"muons": binned.counts, "recorded": recorded - others, "linear_valid": binned.numbers(valid)}
        if placed.has_truth:
            counts |= {"pulls": binned.counts}
            counts |= {"in68": binned.numbers(_inside(at, ends68)), "in95": binned.numbers(_inside(at, ends95))}
        for name, of_bins in counts.items():
            self._bins[COUNTED.index(name)] += of_bins
        sums = np.zeros((len(SUMMED), len(binned.counts)))
        with np.errstate(over="ignore", invalid="ignore"):  # near the largest double, sums become infinite or NaN
            terms = _terms(value, sigma, placed.off if placed.has_truth else None)
            sums[: len(terms)] = binned.sums(terms)
        self._sums.add(sums)

    def add_toys(self, muons: Muons, toys: ToyMuons) -> None:
        """Add toy muons. They are binned by the recorded hits, around which their toys are thrown."""
        without = muons.without_sd & (self.sigma == "quoted") & np.isfinite(toys.interval95).all(axis=1)
        known = ((muons.sigma > 0) & np.isfinite(muons.sigma) & np.isfinite(toys.sd)) | without
        judged = ~self._inside[_bins(self.edges, muons.distance)] | (muons.linear_valid != 0)
        self.counts["toys_without_spread"] += int((~known).sum())
        self.counts["toys_unsettled"] += int((known & (toys.settled == 0)).sum())
        known &= judged
        muons, toys = Muons(*(each[known] for each in muons)), ToyMuons(*(each[known] for each in toys))
        sigma = muons.sigma
        offs = [(toys.mean - muons.value - muons.bias) / sigma]
        errors = [toys.sd / np.sqrt(toys.number) / sigma]
        for quoted, ends, error in (
            (muons.interval68, toys.interval68, toys.interval68_error),
            (muons.interval95, toys.interval95, toys.interval95_error),
        ):
            # In units of the half-width, so that a relative error of σ is an equal deviation of the interval ends.
            with np.errstate(divide="ignore", invalid="ignore"):
                half = (quoted[:, 1:] - quoted[:, :1]) / 2
                offs += [*((ends - quoted) / half).T]
                errors += [*(error / half).T]
        bins = _bins(self.edges, muons.distance)
        self._toys.append(
            ToyResiduals(
                bins,
                muons.value,
                toys.number,
                toys.sd / sigma,
                toys.sd_error / sigma,
                np.stack(offs, axis=1),
                np.stack(errors, axis=1),
            )
        )
        enough = toys.number >= FEWEST_TO_CONTRADICT
        # Var(s²)/σ⁴ = 2/(n-1) + κ/n, solved for κ with the standard error of s. Without tails κ is known to √(24/n).
        tested = muons.without_sd & enough
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = toys.number * ((2 * toys.sd_error / toys.sd) ** 2 - 2 / (toys.number - 1))
            clearly = excess + np.sqrt(24 / toys.number) < LIGHTEST_TAILS
        self.counts["without_sd_tested"] += int(tested.sum())
        self.counts["sd_withheld"] += int((tested & clearly).sum())
        contradictions = contradicted(
            muons.linear_valid[enough] != 0,
            muons.value[enough],
            muons.sigma_linear[enough],
            np.stack([toys.sd, toys.sd_error], axis=1)[enough],
            np.stack([toys.interval95, toys.interval95_error], axis=2)[enough],
            toys.number[enough],
            self.n_dig,
        )
        for name, which in zip(("toys_contradict", "toys_can_tell", "toys_disagree"), contradictions, strict=True):
            self.counts[name] += int(which.sum())

    @property
    def bins(self) -> list[np.ndarray]:
        """Counts and sums in each bin, in the order of `Sums`."""
        return [*self._bins, *self._sums.rounded]

    @property
    def toys(self) -> ToyResiduals:
        """The toy muons, in the order in which they were added."""
        whole, real, offsets = np.empty(0, "i8"), np.empty(0), np.empty((0, len(OFFSETS)))
        empty = ToyResiduals(whole, real, whole, real, real, offsets, offsets)
        return ToyResiduals(*map(np.concatenate, zip(empty, *self._toys, strict=True)))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The exact content of the tally, which `merge` adds to another."""
        *singles, offsets, errors = self.toys
        return {
            "counts": np.array([*self.counts.values(), self.has_truth], "i8"),
            "bins": self._bins,
            "sums": self._sums.parts,
            "toys": np.array([each.astype("f8") for each in (*singles, *offsets.T, *errors.T)]),
        }

    def merge(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add the `arrays` of another tally, whose muons come after the muons of this one."""
        *counts, has_truth = arrays["counts"].tolist()
        self.counts = {name: self.counts[name] + count for name, count in zip(COUNTS, counts, strict=True)}
        self.has_truth |= bool(has_truth)
        self._bins += arrays["bins"]
        for part in arrays["sums"]:
            self._sums.add(part)
        bins, value, number, ratio, ratio_error, *both = arrays["toys"]
        offsets, errors = np.split(np.stack(both, axis=1), 2, axis=1)
        whole = bins.astype("i8"), value, number.astype("i8")
        self._toys.append(ToyResiduals(*whole, ratio, ratio_error, offsets, errors))


def _terms(value: np.ndarray, sigma: np.ndarray, off: np.ndarray | None) -> Float[np.ndarray, "term muon"]:
    """What is summed, in the order of `SUMMED`: of pulls only with a truth; NaN or infinite for unusable muons."""
    terms = np.empty((len(SUMMED) if off is not None else 2, len(value)))
    terms[0], terms[1] = value, sigma
    if off is not None:
        z, z2, z3, z4 = terms[2:]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            np.divide(off, sigma, out=z)
            np.multiply(z, z, out=z2)
            np.multiply(z2, z, out=z3)
            np.multiply(z3, z, out=z4)
    return terms


def _inside(at: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Whether intervals (end, muon) contain the true value."""
    return (ends[0] <= at) & (at <= ends[1])


def _counts(bins: np.ndarray, count: int) -> Int[np.ndarray, " bin"]:
    """Number of muons in each bin; with few bins, comparisons are many times faster than `bincount`."""
    return np.array([np.count_nonzero(bins == index) for index in range(count)])


def _bins(edges: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The bin of each θ/σ; the last bin for NaN."""
    # With few edges, comparisons are seven times faster than a binary search.
    bins = np.zeros(len(place), "u1")
    for edge in edges[1:-1]:
        bins += ~(place < edge)
    return bins
