"""Input quantities of a measurement, and distributions that describe our knowledge of them (JCGM 101:2008, 6.4).

A parameter is a number, or an array with one value per muon. All distributions have the methods of `Input`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.random import Generator
from torch import Tensor

from .covariance import check_covariance, cholesky
from .toys import draw_deviates

Numbers = float | Sequence[Any] | np.ndarray | Tensor
"""Accepted types of a parameter. It is kept as a read-only float64 array."""

Values = Float[np.ndarray, " muon"]
"""A parameter or a moment for each muon, with a single one where it was given as a number."""


class Input:
    """One quantity, independent of all others; `MultivariateGaussian` alone has several.

    A distribution has its parameters by name, its `mean` and `variance`, and `draw`. All are kept for each muon,
    (muon,), with a single one where they were given as numbers. A parameter that is not finite or impossible raises a
    ValueError that names it and the muon.
    """

    if TYPE_CHECKING:  # attributes of some distributions, computed by others

        @property
        def mean(self) -> Values:
            """Best estimates."""

        @property
        def variance(self) -> Values:
            """Squared standard uncertainties."""

    def _keep(self, **parameters: Numbers) -> None:
        """Keep the parameters as arrays of equal length."""
        given = {name: _array(_name(self), name, value) for name, value in parameters.items()}
        shapes = {name: array.shape for name, array in given.items()}
        if max(map(len, shapes.values())) > 1 or len(set(shapes.values()) - {(), (1,)}) > 1:
            found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ValueError(
                f"{_name(self)}: parameters must be numbers or (muon,), for as many muons each, not {found}"
            )
        common = np.broadcast_shapes((1,), *shapes.values())
        for name, array in given.items():
            object.__setattr__(self, name, np.broadcast_to(array, common))

    def _refuse(self, bad: Bool[np.ndarray, " muon"], name: str, what: str) -> None:
        """Raise where a parameter has an impossible value."""
        if bad.any():
            muon = int(bad.argmax())
            where = f" of muon {muon}" if len(bad) > 1 else ""
            raise ValueError(f"{_name(self)}: {name}{where} is {getattr(self, name)[muon]:g}, but it {what}")

    @property
    def muons(self) -> int:
        """Number of muons that the parameters are for; 1 stands for any number."""
        return len(self._parameters()[0])

    @property
    def quantities(self) -> int:
        """How many quantities there are."""
        return 1

    def draw(
        self, rngs: Sequence[Generator], toys: int, muons: Integer[np.ndarray, " row"] | None = None
    ) -> Float[np.ndarray, "row toy quantity"]:
        """Random values of the quantity for each of some muons, by default 0, 1, …, from one generator per muon."""
        muons = np.arange(len(rngs)) if muons is None else muons
        if len(muons) != len(rngs) or (self.muons > 1 and muons.size and muons.max() >= self.muons):
            raise ValueError(
                f"{_name(self)} has parameters for {self.muons} muons: it can't be drawn with {len(rngs)} "
                f"generators for muons {muons.tolist()}"
            )
        return self._draw(rngs, toys, [p[muons if len(p) > 1 else [0]] for p in self._parameters()])

    def _parameters(self) -> Sequence[np.ndarray]:
        """Parameters of `_draw`, here each (1 or muon, 1, 1)."""
        return [value[:, None, None] for value in vars(self).values()]

    def _draw(
        self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]
    ) -> Float[np.ndarray, "row toy quantity"]:
        """Values from the parameters of these muons."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, init=False)
class Gaussian(Input):
    """The normal distribution N(mean, sd²): a best estimate with its standard uncertainty (JCGM 101:2008, 6.4.7).

    Examples
    --------
    >>> from pullback import Gaussian, random_stream
    >>> Gaussian([0.5, 1.5], 0.01).draw([random_stream(1, "toys", muon) for muon in range(2)], 1000).shape
    (2, 1000, 1)

    """

    mean: Values
    sd: Values

    def __init__(self, mean: Numbers, sd: Numbers) -> None:
        self._keep(mean=mean, sd=sd)
        self._refuse(self.sd < 0, "sd", "must not be negative")

    @property
    def variance(self) -> Values:
        """sd²."""
        return self.sd**2

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        mean, sd = parameters
        return mean + sd * draw_deviates(rngs, toys, 1)


@dataclass(frozen=True, eq=False, init=False)
class _Bounded(Input):
    """A distribution on the interval from low to high, symmetric around its middle."""

    low: Values
    high: Values

    def __init__(self, low: Numbers, high: Numbers) -> None:
        self._keep(low=low, high=high)
        self._check_ends()

    def _check_ends(self) -> None:
        self._refuse(self.low > self.high, "low", "must not be above high")

    @property
    def mean(self) -> Values:
        """(low + high) / 2."""
        return (self.low + self.high) / 2


class Rectangular(_Bounded):
    """The rectangular distribution R(low, high): nothing is known but the limits (JCGM 101:2008, 6.4.2).

    Examples
    --------
    >>> from pullback import Rectangular
    >>> Rectangular(-1, 1).variance
    array([0.33333333])

    """

    @property
    def variance(self) -> Values:
        """(high - low)² / 12."""
        return (self.high - self.low) ** 2 / 12

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        low, high = parameters
        return low + (high - low) * _uniform(rngs, toys, 1)


@dataclass(frozen=True, eq=False, init=False)
class Trapezoid(_Bounded):
    """The symmetric trapezoidal distribution from low to high, with a top that is beta times as wide as its base.

    It is the distribution of a sum of two rectangular quantities: beta = |w₁ - w₂| / (w₁ + w₂) with their widths w₁
    and w₂ (JCGM 101:2008, 6.4.4). With beta = 0 it is triangular (6.4.5), with beta = 1 rectangular (6.4.2).

    Examples
    --------
    >>> from pullback import Trapezoid
    >>> Trapezoid(-1, 1, beta=0).variance
    array([0.16666667])

    """

    beta: Values

    def __init__(self, low: Numbers, high: Numbers, beta: Numbers) -> None:
        self._keep(low=low, high=high, beta=beta)
        self._check_ends()
        self._refuse((self.beta < 0) | (self.beta > 1), "beta", "must be from 0 (triangular) to 1 (rectangular)")

    @property
    def variance(self) -> Values:
        """(high - low)² (1 + beta²) / 24."""
        return (self.high - self.low) ** 2 * (1 + self.beta**2) / 24

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        low, high, beta = parameters
        first, second = np.split(_uniform(rngs, toys, 2), 2, axis=2)
        return low + (high - low) / 2 * ((1 + beta) * first + (1 - beta) * second)


class Arcsine(_Bounded):
    """The arc sine or U-shaped distribution U(low, high), of what oscillates between two limits (JCGM 101:2008, 6.4.6).

    Examples
    --------
    >>> from pullback import Arcsine
    >>> Arcsine(-1, [1, 3]).variance
    array([0.5, 2. ])

    """

    @property
    def variance(self) -> Values:
        """(high - low)² / 8."""
        return (self.high - self.low) ** 2 / 8

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        low, high = parameters
        return (low + high) / 2 + (high - low) / 2 * np.sin(2 * np.pi * _uniform(rngs, toys, 1))


@dataclass(frozen=True, eq=False, init=False)
class StudentT(Input):
    """Student's t distribution, shifted to the mean and scaled: an average of few indications (JCGM 101:2008, 6.4.9).

    For the average of n indications with the standard deviation s, scale = s / sqrt(n) and freedom = n - 1. The
    distribution has a mean only where freedom > 1; otherwise `mean` is its centre.

    Examples
    --------
    >>> from pullback import StudentT
    >>> StudentT(10, 0.5, freedom=4).variance
    array([0.5])

    """

    mean: Values
    scale: Values
    freedom: Values

    def __init__(self, mean: Numbers, scale: Numbers, freedom: Numbers) -> None:
        self._keep(mean=mean, scale=scale, freedom=freedom)
        self._refuse(self.scale < 0, "scale", "must not be negative")
        self._refuse(self.freedom <= 0, "freedom", "must be positive")

    @property
    def variance(self) -> Values:
        """scale² freedom / (freedom - 2), and infinite where freedom ≤ 2."""
        exists = self.freedom > 2
        ratio = self.freedom / np.where(exists, self.freedom - 2, 1.0)
        return np.where(exists, self.scale**2 * ratio, np.where(self.scale > 0, np.inf, 0.0))

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        mean, scale, freedom = parameters
        each = np.broadcast_to(freedom[:, 0, 0], len(rngs))
        t = [rng.standard_t(nu, size=(toys, 1)) for rng, nu in zip(rngs, each, strict=True)]
        return mean + scale * np.reshape(t, (len(rngs), toys, 1))


@dataclass(frozen=True, eq=False, init=False)
class MultivariateGaussian(Input):
    """Several correlated quantities, multivariate normal N(mean, covariance) (JCGM 101:2008, 6.4.8).

    Parameters
    ----------
    mean : Tensor or ndarray
        (quantity,), or (muon, quantity).
    covariance : Tensor or ndarray
        (quantity, quantity), or (muon, quantity, quantity). It may be semi-definite: quantities may depend on each
        other without fail, or be known exactly.

    Raises
    ------
    ValueError
        Another shape, values that are not finite, or a covariance that is not symmetric and positive semi-definite.

    Examples
    --------
    >>> import numpy as np
    >>> from pullback import MultivariateGaussian, random_stream
    >>> pair = MultivariateGaussian([4.999, 0.0197], [[4e-6, -2e-9], [-2e-9, 4e-12]])
    >>> values = pair.draw([random_stream(1, "toys")], 100_000)
    >>> round(float(np.corrcoef(values[0].T)[0, 1]), 2)
    -0.5

    """

    mean: Float[np.ndarray, "muon quantity"]
    covariance: Float[np.ndarray, "muon quantity quantity"]
    _factor: Float[np.ndarray, "#muon quantity quantity"] = field(repr=False)

    def __init__(self, mean: Numbers, covariance: Numbers) -> None:
        mean, covariance = _array(_name(self), "mean", mean), _array(_name(self), "covariance", covariance)
        size = mean.shape[-1] if mean.ndim in (1, 2) else 0
        if not size or covariance.ndim not in (2, 3) or covariance.shape[-2:] != (size, size):
            raise ValueError(
                f"MultivariateGaussian: mean must be (quantity,) or (muon, quantity) and covariance "
                f"(quantity, quantity) or (muon, quantity, quantity), not {mean.shape} and {covariance.shape}"
            )
        if len({*mean.shape[:-1], *covariance.shape[:-2]} - {1}) > 1:
            raise ValueError(
                f"MultivariateGaussian: mean is for {len(mean)} muons, and covariance for {len(covariance)}"
            )
        mean, covariance = mean.reshape(-1, size), covariance.reshape(-1, size, size)
        check_covariance(torch.tensor(covariance))
        muons = max(len(mean), len(covariance))
        object.__setattr__(self, "mean", np.broadcast_to(mean, (muons, size)))
        object.__setattr__(self, "covariance", np.broadcast_to(covariance, (muons, size, size)))
        # Taken apart before it's spread over the muons: one shared covariance has one factor.
        object.__setattr__(self, "_factor", cholesky(torch.tensor(covariance)).numpy())

    @property
    def quantities(self) -> int:
        """How many quantities there are."""
        return self.mean.shape[-1]

    @property
    def variance(self) -> Float[np.ndarray, "muon quantity"]:
        """The diagonal of the covariance."""
        return self.covariance.diagonal(axis1=1, axis2=2)

    def _parameters(self) -> Sequence[np.ndarray]:
        return self.mean[:, None, :], self._factor

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        mean, factor = parameters
        return mean + draw_deviates(rngs, toys, self.quantities) @ factor.swapaxes(1, 2)


class Moments(NamedTuple):
    """Result of `moments`, by the names of `propagate`'s arguments."""

    hits: Float[Tensor, "muon coordinate"]
    covariance: Float[Tensor, "muon coordinate coordinate"]


def moments(inputs: Sequence[Input]) -> Moments:
    """Best estimates and covariance of all quantities, in order, as linear propagation needs them.

    The quantities of all distributions are the coordinates; those of different distributions are uncorrelated.
    `propagate` refuses a variance that is infinite (`StudentT` with freedom ≤ 2).

    Source: JCGM 101:2008, 6.4; JCGM 100:2008, 4.3 and 5.2.

    Examples
    --------
    >>> from pullback import Gaussian, Rectangular, propagate
    >>> from pullback.uncertainty.inputs import moments
    >>> inputs = [Gaussian(2, 0.1), Rectangular(2.7, 3.3)]
    >>> propagate(lambda hits: hits.prod(dim=1, keepdim=True), **moments(inputs)._asdict()).sigma
    tensor([[0.4583]], dtype=torch.float64)

    """
    muons, coordinates = count_muons(inputs), sum(each.quantities for each in inputs)
    hits, covariance = np.empty((muons, coordinates)), np.zeros((muons, coordinates, coordinates))
    start = 0
    for each in inputs:
        size = each.quantities
        own = slice(start, start + size)
        hits[:, own] = each.mean.reshape(-1, size)
        block = each.covariance if isinstance(each, MultivariateGaussian) else each.variance[:, None, None]
        covariance[:, own, own] = block
        start += size
    return Moments(torch.from_numpy(hits), torch.from_numpy(covariance))


def count_muons(inputs: Sequence[Input]) -> int:
    """Number of muons that inputs have parameters for: 1 where all are numbers.

    Raises
    ------
    ValueError
        No inputs, something that is no distribution, or parameters for different numbers of muons.

    """
    if not isinstance(inputs, Sequence) or not inputs or not all(isinstance(each, Input) for each in inputs):
        raise ValueError(f"inputs must be a list of distributions, such as [Gaussian(0.5, 0.01)], not {inputs!r}")
    counts = {each.muons for each in inputs} - {1}
    if len(counts) > 1:
        found = ", ".join(f"{_name(each)} {each.muons}" for each in inputs)
        raise ValueError(f"inputs have parameters for different numbers of muons: {found}")
    return counts.pop() if counts else 1


def _name(distribution: Input) -> str:
    return type(distribution).__name__


def _array(kind: str, name: str, given: Numbers) -> np.ndarray:
    """A parameter of a kind of distribution as an array of its own that can't be written to, finite throughout."""
    try:
        array = np.array(given.numpy(force=True) if isinstance(given, Tensor) else given, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{kind}: {name} must be a number or numbers, not {given!r}") from None
    if not array.size:
        raise ValueError(f"{kind}: {name} is empty, of shape {array.shape}")
    if not np.isfinite(array).all():
        position = np.argwhere(~np.isfinite(array))[0].tolist()
        where = f" at {position}" if position else ""
        raise ValueError(f"{kind}: {name}{where} is not finite")
    array.flags.writeable = False
    return array


def _uniform(rngs: Sequence[Generator], toys: int, count: int) -> Float[np.ndarray, "row toy count"]:
    """Uniform deviates from 0 to 1, each muon's from its own generator."""
    return draw_deviates(rngs, toys, count, Generator.random)
