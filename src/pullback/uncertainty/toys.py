"""Toy Monte Carlo: many recorded hits around one position, and the spread of the inferred observables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..statistics.angles import wrap_last
from ..statistics.quantiles import P_ENDS, quantiles_of, sort_tails
from .arguments import Hits, check_hits, give_back, measured, mistake_in
from .covariance import HitUncertainty, cholesky, combined
from .device import DeviceGenerator
from .elementwise import WHOLE_VECTORS
from .inference import Infer, periods_of, reason_in
from .jacobians import usable_muons
from .memory import keep_freed
from .monte_carlo import ADAPTIVE_BATCH, FEWEST_FOR_ENDS
from .validity import numerical_tolerance

DEVIATES_AT_A_TIME = 65_536
"""Toys times coordinates that are held at a time: 512 KiB, which stays in the cache."""


AnyGenerator = np.random.Generator | DeviceGenerator
"""A random generator of numpy, or of a device."""

MuonRows = slice | Int[np.ndarray, " few"]
"""Some of the muons."""

Draw = Callable[[Any, tuple[int, int]], Float[Any, "toy coordinate"]]
"""Draws deviates of a shape from a random generator."""


class Toys(NamedTuple):
    """Results of each muon's toys, with standard errors from their number."""

    mean: Float[Tensor, "muon observable"]
    sd: Float[Tensor, "muon observable"]
    sd_error: Float[Tensor, "muon observable"]
    interval68: Float[Tensor, "muon observable 2"]
    interval68_error: Float[Tensor, "muon observable 2"]
    interval95: Float[Tensor, "muon observable 2"]
    interval95_error: Float[Tensor, "muon observable 2"]
    toys: Int[Tensor, " muon"]
    settled: Bool[Tensor, " muon"]


class ToySetup(NamedTuple):
    """What toys are thrown around: an inference, hits (muon, coordinate), and the standard deviation of the hits."""

    infer: Infer
    hits: Float[Tensor, "muon coordinate"]
    noise: float | Float[Tensor, "*noise"]
    root: Float[Tensor, "#muon coordinate deviate"] | None = None
    """Factor A of the covariance A Aᵀ, used in place of `noise` where hits are correlated."""

    @property
    def deviates(self) -> int:
        """Number of deviates of one toy."""
        return self.hits.shape[1] if self.root is None else self.root.shape[2]

    @property
    def factor(self) -> Float[Tensor, "#muon coordinate deviate"]:
        """A, with A Aᵀ the covariance of the hits."""
        return torch.diag_embed(torch.as_tensor(self.noise).expand(self.hits.shape)) if self.root is None else self.root

    def deviations(
        self, z: Float[Tensor, "muon toy deviate"], rows: MuonRows = slice(None)
    ) -> Float[Tensor, "muon toy coordinate"]:
        """Deviations of the hits of the selected muons in each toy, from their deviates."""
        if self.root is None:
            noise = torch.as_tensor(self.noise, dtype=z.dtype, device=z.device)
            return noise.expand(self.hits.shape)[rows, None, :] * z
        return combined(self.root if len(self.root) == 1 else self.root[rows], z)


def run_toys(
    infer: Infer,
    hits: Hits,
    *,
    toys: int,
    rng: np.random.Generator,
    sigma: HitUncertainty | None = None,
    covariance: HitUncertainty | None = None,
) -> Toys:
    """Mean, standard deviation and coverage intervals of the observables over toys thrown around each hit.

    Toy t of muon m is infer(hits[m] + sigma · z[m, t]) with z ~ N(0, 1), independent for all muons, toys and
    coordinates; with covariance matrices, infer(hits[m] + L z[m, t]) with their Cholesky factor L. The standard
    deviation has the relative standard error 1/sqrt(2 (toys - 1)) where the observable is normal. The deviates are read
    from `rng` in the order muon, toy, coordinate and handled in blocks, so memory doesn't grow with muons × toys.

    Parameters
    ----------
    infer : callable
        Function of hits (row, coordinate) that returns observables (row, observable), row by row. Rows are toys of
        several muons, so an inference that couples them (see `muon_jacobian`) gives nonsense.
    hits : Tensor or ndarray
        Positions to throw around (muon, coordinate), or (muon,). A muon with a hit that is NaN or infinite gets NaN.
    toys : int
        Toys per muon, at least 2.
    rng : Generator
        The random generator, such as `pullback.random_stream(seed, "toys", 0)`.
    sigma, covariance : float, Tensor or ndarray
        Uncertainty of the hits, exactly one of the two, as for `propagate`.

    Returns
    -------
    Toys
        mean, sd (divided by toys - 1) and sd_error (muon, observable), interval68 and interval95 with interval68_error
        and interval95_error (muon, observable, 2: low and high), in the units of the observables, and toys (muon,),
        their number; numpy arrays where hits are one. The intervals are probabilistically symmetric (JCGM
        101:2008, 7.7), and NaN with fewer than 200 toys. Errors are standard errors from the number of toys: for sd
        from the kurtosis of the toys, for interval ends from the ranks one binomial standard deviation away.

    Raises
    ------
    TypeError, ValueError
        Both of sigma and covariance, or neither; hits of a wrong type or shape; an impossible sigma or covariance;
        toys that are not a whole number, or fewer than 2.

    References
    ----------
    Propagation of distributions by Monte Carlo, JCGM 101:2008, clause 7.

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta, run_toys, random_stream
    >>> hits = torch.tensor([[0.5]], dtype=torch.float64)
    >>> run_toys(infer_theta, hits, sigma=0.01, toys=100_000, rng=random_stream(1, "toys")).sd
    tensor([[0.0060]], dtype=torch.float64)

    """
    given = measured(infer, hits, sigma, covariance)
    if given.covariance.ndim == 3:
        setup = ToySetup(infer, given.hits, 0.0, cholesky(given.covariance))
    else:
        deviations = given.covariance.sqrt() if given.sigma is None else given.sigma
        setup = ToySetup(infer, given.hits, deviations.expand(given.hits.shape))
    return give_back(hits, throw_toys([setup], toys, [rng] * len(given.hits))[0])


def throw_toys(
    throws: Sequence[ToySetup],
    toys: int,
    rngs: Sequence[AnyGenerator],
    *,
    draw: Draw | None = None,
    n_dig: int | None = None,
) -> list[Toys]:
    """`run_toys` for several setups with equal numbers of muons and common deviates; those of muon m are of rngs[m].

    Setups that share deviates have correlated errors, so differences between them are smooth. Drawing the deviates once
    also saves most of the time. Those of numpy's generators are drawn on the CPU and moved to the device of the hits; a
    `DeviceGenerator` draws them there. They are standard normal unless `draw` draws others.

    With `n_dig`, toys are adaptive: batches of 10 000 toys until twice the standard deviation of the average over
    batches of each of mean, sd and ends of the 95 % interval is at most the numerical tolerance of the sd in this
    number of digits (JCGM 101:2008, 7.9.4), and at most `toys`, in whole batches.
    """
    if not all(isinstance(rng, AnyGenerator) for rng in rngs):
        raise TypeError('rng must be a numpy random generator, such as pullback.random_stream(seed, "toys")')
    if not isinstance(toys, Integral):
        raise ValueError(f"toys must be a whole number, not {toys!r}")
    if toys < 2:
        raise ValueError(f"toys must be at least 2 to have a spread, not {toys}")
    keep_freed()
    if n_dig is not None and toys < 2 * ADAPTIVE_BATCH:
        raise ValueError(
            f"adaptive toys need at least two batches of {ADAPTIVE_BATCH}: {2 * ADAPTIVE_BATCH}, not {toys}"
        )
    sums = [_Sums(throw, n_dig) for throw in throws]
    if {len(throw.hits) for throw in throws} - {len(rngs)}:
        raise ValueError("every throw needs as many muons as there are random generators")
    coordinates = throws[0].deviates if throws else 1
    step = max(1, DEVIATES_AT_A_TIME // coordinates)
    batch = min(toys, step) if n_dig is None else ADAPTIVE_BATCH
    group = max(1, step // batch)
    for first in range(0, len(rngs), group):
        rows = slice(first, min(first + group, len(rngs)))
        if n_dig is None:
            for start in range(0, toys, batch):
                z = _with_sorted_tails(draw_deviates(rngs[rows], min(batch, toys - start), coordinates, draw))
                for each in sums:
                    each.add(rows, z)
                del z  # before others are drawn, in the same memory, which is in the cache
        else:
            _adaptively(sums, np.arange(rows.start, rows.stop), rngs, toys // batch, draw)
    return [each.toys() for each in sums]


def _adaptively(
    sums: Sequence[_Sums], rows: np.ndarray, rngs: Sequence[AnyGenerator], batches: int, draw: Draw | None
) -> None:
    """Throw batches of toys around some muons, until all are settled or no batches are left."""
    coordinates = sums[0].deviates
    for _ in range(batches):
        z = _with_sorted_tails(draw_deviates([rngs[row] for row in rows], ADAPTIVE_BATCH, coordinates, draw))
        for each in sums:
            mine = ~each.settled[rows]
            if mine.any():
                each.add(rows[mine], z[mine])
                each.settle(rows[mine])
        rows = rows[[not all(setup.settled[row] for setup in sums) for row in rows]]
        if not len(rows):
            break


def draw_deviates(
    rngs: Sequence[AnyGenerator], toys: int, coordinates: int, draw: Draw | None = None
) -> Float[Any, "muon toy coordinate"]:
    """Deviates of every muon, each muon's from its own generator; a tensor where these are a device's."""
    on_device = [rng for rng in rngs if isinstance(rng, DeviceGenerator)]
    if on_device:
        on_its_own = draw or DeviceGenerator.standard_normal
        return torch.stack([on_its_own(rng, (toys, coordinates)) for rng in on_device])
    z = np.empty((len(rngs), toys, coordinates))
    for rng, out in zip((rng for rng in rngs if isinstance(rng, np.random.Generator)), z, strict=True):
        if draw is None:
            rng.standard_normal(out=out)
        else:
            out[:] = draw(rng, out.shape)
    return z


def _with_sorted_tails(z: Float[Any, "muon toy coordinate"]) -> Float[Tensor, "muon toy coordinate"]:
    """The deviates, with the toys of each muon in the order of `sort_tails` if a toy has one deviate.

    The observables of most muons are then in order too, for all setups, and need no selection.
    """
    if isinstance(z, np.ndarray) and z.shape[2] == 1:
        sort_tails(z[:, :, 0], _around_ends(z.shape[1]))
    return torch.as_tensor(z)


def _noise(throw: ToySetup) -> Tensor:
    """Standard deviations of independent hits, checked."""
    hits = throw.hits.detach()
    noise = torch.as_tensor(throw.noise, dtype=hits.dtype, device=hits.device).detach()
    if tuple(noise.shape) not in {(), (hits.shape[1],), tuple(hits.shape)}:
        raise ValueError(
            f"noise has shape {tuple(noise.shape)}; for hits {tuple(hits.shape)} it must be a number, "
            f"({hits.shape[1]},) or {tuple(hits.shape)}"
        )
    if not (torch.isfinite(noise) & (noise >= 0)).all():
        raise ValueError("noise must be finite and not negative: it is the standard uncertainty of the hits")
    return noise.expand(hits.shape)


class _Sums:
    """Running sums of the observables' distance from their value at the hit, which loses no digits.

    They are kept on the CPU, as numpy arrays, which take less time than tensors to add a few numbers to.
    """

    def __init__(self, throw: ToySetup, n_dig: int | None):
        self.infer, self.hits, self.n_dig = throw.infer, check_hits(throw.hits).detach(), n_dig
        self.deviates = throw.deviates
        root = None if throw.root is None else throw.root.detach()
        self.setup = ToySetup(throw.infer, self.hits, _noise(throw), root)
        # A copy: a function that changes its hits would change the caller's.
        self.centre = centre = _inferred(self.infer, self.hits.clone())
        muons, observables = centre.shape
        self.count = np.zeros(muons, "i8")
        self.settled = np.zeros(muons, bool)
        # Over toys: the powers 1 to 4; over batches, weighted by their toys: interval ends, and their squared errors.
        self.powers = np.zeros((4, muons, observables))
        self.ends, self.errors = np.zeros((2, muons, observables, 4))
        # Over batches: sum and sum of squares of mean, sd and the ends of the 95 % interval.
        self.batches = np.zeros((2, muons, observables, 4))

    def add(self, rows: MuonRows, z: Float[Tensor, "few toy coordinate"]) -> None:
        """Throw more toys around some muons."""
        count, away = z.shape[1], self._away(rows, z)
        powers = _power_sums(away)
        found = quantiles_of(away, _around_ends(count)).numpy(force=True)
        ends, above, below = found[:, :, :4], found[:, :, 4:8], found[:, :, 8:]
        self.count[rows] += count
        self.powers[:, rows] += powers
        self.ends[rows] += count * ends
        self.errors[rows] += np.square(count / 2 * (above - below))
        if self.n_dig is not None:
            mean = powers[0] / count
            sd = np.sqrt(((powers[1] - count * mean * mean) / (count - 1)).clip(min=0))
            batch = np.concatenate([np.stack([mean, sd], axis=2), ends[:, :, 2:]], axis=2)
            self.batches[:, rows] += np.stack([batch, batch * batch])

    def _away(self, rows: MuonRows, z: Float[Tensor, "few toy coordinate"]) -> Float[Tensor, "few observable toy"]:
        """Distance of each toy's observables from their value at the hit."""
        thrown = self.setup.deviations(z.to(self.hits), rows).add_(self.hits[rows, None, :])
        shape = thrown.shape[:2]
        value = _inferred(self.infer, thrown.flatten(0, 1)).unflatten(0, shape)
        del thrown  # so that its memory, which is in the cache, is used again
        away = wrap_last(value - self.centre[rows, None, :], periods_of(self.infer))
        return away.transpose(1, 2).contiguous()

    def settle(self, rows: Int[np.ndarray, " few"]) -> None:
        """Mark the muons that need no more batches (JCGM 101:2008, 7.9.4)."""
        h = (self.count[rows] / ADAPTIVE_BATCH)[:, None, None]
        if self.n_dig is None or (h < 2).any():
            return
        total, squares = self.batches[:, rows]
        twice = 2 * np.sqrt(((squares - total * total / h) / (h * (h - 1))).clip(min=0))
        delta = numerical_tolerance(torch.from_numpy(self._moments(rows)[1]), self.n_dig).numpy()
        # More toys don't help where there is no number.
        done = (twice <= delta[:, :, None]).all(axis=2) | np.isnan(delta)
        self.settled[rows] = done.all(axis=1)

    def _moments(self, rows: MuonRows = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean away from the value at the hit, standard deviation, and its standard error."""
        count = self.count[rows, None]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            mean, second, third, fourth = self.powers[:, rows] / count
            central = second - mean * mean
            variance = central * count / (count - 1)
            excess = (fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4) / (central * central) - 3
            # Var(s²)/σ⁴ = 2/(n-1) + κ/n. In small samples the excess kurtosis κ comes out too low by itself.
            excess = np.where((count < 100) | np.isnan(excess), np.nan_to_num(excess).clip(min=0), excess)
            sd = np.sqrt(variance.clip(min=0))
            return mean, sd, sd * np.sqrt((2 / (count - 1) + excess / count).clip(min=0)) / 2

    def toys(self) -> Toys:
        """Results of all toys; NaN where hits or observables are not finite, or too few toys for an interval."""
        mean, sd, sd_error, ends, errors = (
            torch.from_numpy(each).to(self.centre) for each in (*self._moments(), *self._intervals())
        )
        usable = usable_muons(self.infer, self.hits)
        finite = torch.isfinite(mean) if usable is None else usable[:, None].expand_as(mean)
        number = finite & torch.isfinite(sd)
        count = torch.from_numpy(self.count).to(number.device)
        known = number[:, :, None] & (count >= FEWEST_FOR_ENDS)[:, None, None]
        nan = float("nan")
        ends = torch.where(known, self.centre[:, :, None] + ends, nan)
        errors = torch.where(known, errors, nan)
        mean, sd, sd_error = (torch.where(finite, each, nan) for each in (self.centre + mean, sd, sd_error))
        intervals = (ends[:, :, :2], errors[:, :, :2], ends[:, :, 2:], errors[:, :, 2:])
        settled = torch.from_numpy(self.settled).to(number.device) & number.all(dim=1)
        return Toys(mean, sd, sd_error, *intervals, count, settled)

    def _intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """Interval ends away from the value at the hit, averaged over batches, and their errors."""
        count = self.count[:, None, None]
        return self.ends / count, np.sqrt(self.errors) / count


def _power_sums(values: Float[Tensor, "*rows value"]) -> Float[np.ndarray, "..."]:
    """Sums of the powers 1 to 4 of the values of each row."""
    sums = values.new_empty(4, *values.shape[:-1])
    torch.sum(values, dim=-1, out=sums[0])
    square = values * values
    torch.sum(square, dim=-1, out=sums[1])
    torch.sum(square * values, dim=-1, out=sums[2])
    torch.sum(square.mul_(square), dim=-1, out=sums[3])  # in place, which stays in the cache
    return sums.numpy(force=True)


@lru_cache
def _around_ends(count: int) -> tuple[float, ...]:
    """The probabilities of the ends, and those a binomial standard deviation of their rank above and below them."""
    half = np.sqrt(P_ENDS * (1 - P_ENDS) / count)
    return tuple(np.concatenate([P_ENDS, P_ENDS + half, P_ENDS - half]).clip(0, 1).tolist())


def _inferred(infer: Infer, hits: Float[Tensor, "row coordinate"]) -> Float[Tensor, "row observable"]:
    """The observables of toys, bit for bit independent of a toy's place in the array.

    torch handles a few numbers at the end of an array by other instructions, whose last bit may differ. The array is
    extended by numbers that are not used, which take these places.
    """
    missing = -len(hits) % WHOLE_VECTORS
    with torch.no_grad():
        padded = torch.cat([hits, hits[-1:].expand(missing, -1)]) if missing else hits
        try:
            found = infer(padded)
        except (IndexError, ValueError, RuntimeError) as error:
            if reason := reason_in(error, hits.shape[1]):
                raise ValueError(f"infer {reason}") from error
            raise
        if mistake := mistake_in(found, len(padded)):
            raise ValueError(f"infer {mistake}")
        return found[: len(hits)].to(hits.dtype)
