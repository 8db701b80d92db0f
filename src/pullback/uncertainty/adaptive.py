"""Adaptive Monte Carlo: as many toys for each muon as its results need (JCGM 101:2008, 7.9.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from torch import Tensor

from ..statistics.quantiles import sorted_rows
from .arguments import mistake_in
from .inference import Infer
from .inputs import FrozenDistribution, Input, checked_inputs, count_muons, moments
from .monte_carlo import ADAPTIVE_BATCH
from .validity import check_digits, numerical_tolerance

HELD = 64 * 2**20 // 8
"""Largest number of values held for one group of muons, if all of them need `most` toys: 64 MiB."""


class AdaptiveToys(NamedTuple):
    """Result of `adaptive_toys`, muon by muon."""

    mean: Float[Tensor, "muon observable"]
    sd: Float[Tensor, "muon observable"]
    symmetric: Float[Tensor, "muon observable 2"]
    shortest: Float[Tensor, "muon observable 2"]
    toys: Int[Tensor, " muon"]
    settled: Bool[Tensor, " muon"]
    twice_error: Float[Tensor, "muon observable 4"]
    tolerance: Float[Tensor, "muon observable"]


def adaptive_toys(
    infer: Infer,
    inputs: Sequence[Input | FrozenDistribution],
    rng: Generator | Sequence[Generator],
    *,
    n_dig: int = 1,
    coverage: float = 0.95,
    most: int = 1_000_000,
    device: str | torch.device | None = None,
) -> AdaptiveToys:
    """Mean, standard deviation and coverage intervals of the observables, by toys thrown until these are stable.

    Toys come in batches of M = max(J, 10⁴), where J is the smallest integer not below 100 / (1 - p). Each batch h
    has its own mean y, standard deviation u, and ends of the probabilistically symmetric interval; the average of each
    of the four over h batches has the standard deviation s = sqrt(Σ (y⁽ʰ⁾ - ȳ)² / (h (h - 1))). From the second batch
    on a muon is settled, and gets no more toys, when 2 s ≤ δ for all four and every observable, with δ the
    `numerical_tolerance` of the standard deviation of all toys so far.

    2 s is an estimate itself, from at least 2 batches, and the toys stop the first time that it is small enough. So
    what settles last is within δ of the exact value less often than two standard deviations suggest: with n_dig = 2, in
    93 % of 2000 repetitions for the ends of a normal distribution of sd 2, 91 % for the mean of a rectangular one, and
    81 % for the upper end of χ² with one degree of freedom. What settles sooner, as mean and sd mostly do, is within δ
    nearly always.

    The shortest interval plays no part in it. Where the density has its maximum inside, the ends of that settle only
    with the cube root of the toys, and may be less certain than δ.

    Parameters
    ----------
    infer : callable
        Function of hits (row, coordinate) that returns observables (row, observable), row by row. Rows are toys of
        several muons. It should be fast for tens of thousands of rows.
    inputs : sequence of distributions
        Distributions, such as `Gaussian`, whose quantities are the coordinates, in order; also continuous ones of
        `scipy.stats` with their parameters, such as `scipy.stats.gamma(3)`. Array parameters have one value per muon;
        with numbers alone there is one muon. Of an observable that inherits an infinite variance, only the intervals
        mean anything.
    rng : Generator or sequence of Generator
        The random generator, such as `pullback.random_stream(seed, "toys")`, of which each muon gets a child
        (`rng.spawn`); or one generator per muon, to split muons over several calls. A muon's results depend on its own
        generator alone.
    n_dig : int
        Significant digits of the standard deviation that must be right, usually 1 or 2. Each digit takes 100 times the
        toys.
    coverage : float
        p, the coverage probability of the intervals.
    most : int
        Largest number of toys per muon, at least 2 M; only whole batches are thrown. A muon's toys are kept until it is
        settled, in groups of muons whose toys fit into 64 MiB, or of one muon.
    device : str or device
        Where `infer` gets its hits, and where the results are; the CPU by default. Deviates are drawn on the CPU.

    Returns
    -------
    AdaptiveToys
        mean and sd (muon, observable) of all toys, sd divided by toys - 1 (7.6); symmetric and shortest (muon,
        observable, 2), the ends of the probabilistically symmetric and of the shortest interval that hold the fraction
        p of all toys (7.7); toys (muon,), how many were thrown; settled (muon,), False where `most` was reached first,
        or where a result is not finite; twice_error (muon, observable, 4), 2 s of the mean, the standard deviation, the
        low and the high end; tolerance (muon, observable), δ. All are in the units of the observables. A muon for which
        any observable of any toy is NaN or infinite has NaN in all of them, and gets no further toys.

    Raises
    ------
    TypeError, ValueError
        Inputs that are no continuous distributions or for different numbers of muons; not one generator for each muon;
        n_dig, coverage or most out of range; a wrong shape of the result of `infer`.

    References
    ----------
    JCGM 101:2008, 7.9.4, with 7.9.2 for δ.

    Examples
    --------
    >>> from pullback import Gaussian, Rectangular, adaptive_toys, random_stream
    >>> inputs = [Gaussian([1.0, 2.0], 0.1), Rectangular(2.7, 3.3)]
    >>> result = adaptive_toys(lambda hits: hits.prod(dim=1, keepdim=True), inputs, random_stream(1, "toys"))
    >>> result.sd
    tensor([[0.3459],
            [0.4572]], dtype=torch.float64)
    >>> result.toys
    tensor([20000, 20000])

    """
    inputs = checked_inputs(inputs)
    muons = count_muons(inputs)
    batch = batch_size(coverage)
    check_digits(n_dig)
    if most < 2 * batch:
        raise ValueError(f"most must be at least 2 batches of {batch} toys at a coverage of {coverage:g}, not {most}")
    rngs = _children(rng, muons)
    centre = moments(inputs).hits[:1].to(device or "cpu")
    observables = _observe(infer, centre).shape[1]
    throw = _Throw(infer, inputs, rngs, n_dig, coverage, batch, most // batch, observables, centre.device)
    group = max(1, HELD // max(most * observables, batch * centre.shape[1]))
    parts = [throw.group(np.arange(muons)[start : start + group]) for start in range(0, muons, group)]
    return AdaptiveToys(*map(torch.cat, zip(*parts, strict=True)))


def batch_size(coverage: float) -> int:
    """Toys in a batch, M = max(J, 10⁴) with J the smallest integer not below 100 / (1 - p) (7.9.4)."""
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1, such as 0.95, not {coverage:g}")
    # 1 - 0.9 is a rounding error below 0.1, and must not cost one more toy.
    return max(math.ceil(round(100 / (1 - coverage), 6)), ADAPTIVE_BATCH)


def symmetric_interval(ordered: Float[Tensor, "*row toy"], coverage: float) -> Float[Tensor, "*row 2"]:
    """The probabilistically symmetric interval of values in ascending order (JCGM 101:2008, 7.7).

    It is y₍ᵣ₎ to y₍ᵣ₊q₎ with q = p M, rounded, and r = (M - q) / 2, rounded up where it is no whole number.
    """
    inside, outside = _ranks(ordered, coverage)
    low = (outside + 1) // 2 - 1  # the standard counts from 1
    return ordered[..., [low, low + inside]]


def shortest_interval(ordered: Float[Tensor, "*row toy"], coverage: float) -> Float[Tensor, "*row 2"]:
    """The shortest of the intervals y₍ᵣ₎ to y₍ᵣ₊q₎ of values in ascending order, or the first of these (7.7)."""
    inside, outside = _ranks(ordered, coverage)
    low = (ordered[..., inside:] - ordered[..., :outside]).argmin(dim=-1, keepdim=True)
    return torch.cat([ordered.gather(-1, low), ordered.gather(-1, low + inside)], dim=-1)


def _ranks(ordered: Tensor, coverage: float) -> tuple[int, int]:
    """Distance q between the ranks of the ends of an interval, and M - q."""
    toys = ordered.shape[-1]
    q = math.floor(coverage * toys + 0.5)
    return q, toys - q


class _Throw(NamedTuple):
    """Inference, distributions and settings of the toys."""

    infer: Infer
    inputs: Sequence[Input]
    rngs: Sequence[Generator]
    n_dig: int
    coverage: float
    batch: int
    batches: int
    observables: int
    device: torch.device

    def group(self, muons: np.ndarray) -> AdaptiveToys:
        """The results of muons whose toys are held together."""

        def numbers(*more: int) -> Tensor:
            shape = (len(muons), self.observables, *more)
            return torch.full(shape, torch.nan, dtype=torch.float64, device=self.device)

        toys = torch.zeros(len(muons), dtype=torch.int64, device=self.device)
        result = AdaptiveToys(numbers(), numbers(), numbers(2), numbers(2), toys, toys > 0, numbers(4), numbers())
        held = result.mean.new_empty(len(muons), self.observables, self.batches * self.batch)
        found, active = numbers(4, self.batches), list(range(len(muons)))
        for h in range(1, self.batches + 1):
            thrown = h * self.batch
            values = self.one_batch(muons[active])
            if h == 1:
                # Distances from a muon's first value lose no digits, and are exactly 0 where nothing varies.
                origin = values[:, :, :1].clone()
            # From here on muon by muon: sums over arrays of another shape may round otherwise.
            for muon, value in zip(list(active), values, strict=True):
                held[muon, :, thrown - self.batch : thrown] = value
                found[muon, :, :, h - 1] = self.four_results(value - origin[muon])
                if h == 1:
                    continue
                mean, sd, twice = _combine(found[muon, :, :, :h], self.batch)
                delta = numerical_tolerance(sd, self.n_dig)
                finite, settled = bool(twice.isfinite().all()), bool((twice <= delta[:, None]).all())
                if finite and not settled and h < self.batches:
                    continue
                active.remove(muon)
                result.toys[muon], result.settled[muon] = thrown, settled
                if finite:
                    ordered = sorted_rows(held[muon, :, :thrown])
                    result.mean[muon], result.sd[muon] = origin[muon, :, 0] + mean, sd
                    result.symmetric[muon] = symmetric_interval(ordered, self.coverage)
                    result.shortest[muon] = shortest_interval(ordered, self.coverage)
                    result.twice_error[muon], result.tolerance[muon] = twice, delta
            if not active:
                break
        return result

    def one_batch(self, muons: np.ndarray) -> Float[Tensor, "muon observable toy"]:
        """The observables of a batch of toys of each muon."""
        rngs = [self.rngs[muon] for muon in muons]
        hits = np.concatenate([each.draw(rngs, self.batch, muons) for each in self.inputs], axis=2)
        value = _observe(self.infer, torch.from_numpy(hits.reshape(-1, hits.shape[2])).to(self.device))
        return value.reshape(len(muons), self.batch, self.observables).mT.contiguous()

    def four_results(self, values: Float[Tensor, "observable toy"]) -> Float[Tensor, "observable 4"]:
        """Mean, standard deviation, and both ends of the symmetric interval."""
        low, high = symmetric_interval(sorted_rows(values), self.coverage).unbind(-1)
        return torch.stack([values.mean(dim=-1), values.std(dim=-1), low, high], dim=-1)


def _combine(found: Float[Tensor, "observable 4 batch"], toys: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard deviation of all toys, and twice the standard deviation of the averages over the batches."""
    h = found.shape[-1]
    average = found.mean(dim=-1)
    around = ((found - average[:, :, None]) ** 2).sum(dim=-1)
    twice = 2 * (around / (h * (h - 1))).sqrt()
    squares = (toys - 1) * (found[:, 1] ** 2).sum(dim=-1) + toys * around[:, 0]  # within batches, and between them
    return average[:, 0], (squares / (h * toys - 1)).sqrt(), twice


def _observe(infer: Infer, hits: Tensor) -> Float[Tensor, "row observable"]:
    """The observables of hits, checked."""
    with torch.no_grad():
        value = infer(hits)
    if mistake := mistake_in(value, len(hits), "row"):
        raise ValueError(f"infer {mistake}")
    return value.to(hits)


def _children(rng: Generator | Sequence[Generator], muons: int) -> Sequence[Generator]:
    """A random generator for each muon."""
    rngs = rng.spawn(muons) if isinstance(rng, Generator) else rng
    if not isinstance(rngs, Sequence) or not all(isinstance(each, Generator) for each in rngs):
        raise TypeError(
            'rng must be a numpy random generator, such as pullback.random_stream(seed, "toys"), or one for each muon'
        )
    if len(rngs) != muons:
        raise ValueError(f"rng must be one random generator, or one for each of {muons} muons, not {len(rngs)}")
    return rngs
