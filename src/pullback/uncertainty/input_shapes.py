"""Distributions that describe our knowledge of one input quantity or of several (JCGM 101:2008, 6.4).

A parameter is a number, or an array with one value per muon. All distributions have the methods of `Input`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator

from .covariance import check_covariance, cholesky
from .inputs import Input, Numbers, Values, as_array, uniform_deviates
from .toys import draw_deviates


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
        return low + (high - low) * uniform_deviates(rngs, toys, 1)


@dataclass(frozen=True, eq=False, init=False)
class CurvilinearTrapezoid(_Bounded):
    """The rectangular distribution whose limits are known to ± d only: a trapezoid with curved flanks.

    The lower limit is rectangular from low - d to low + d, and the upper one as far from the middle
    (JCGM 101:2008, 6.4.3). With d = 0 it is rectangular (6.4.2).

    Examples
    --------
    >>> from pullback import CurvilinearTrapezoid
    >>> CurvilinearTrapezoid(-1, 1, d=0.6).variance
    array([0.37333333])

    """

    d: Values

    def __init__(self, low: Numbers, high: Numbers, d: Numbers) -> None:
        self._keep(low=low, high=high, d=d)
        self._check_ends()
        self._refuse(self.d < 0, "d", "must not be negative")
        self._refuse(2 * self.d > self.high - self.low, "d", "must be at most (high - low) / 2: the limits would cross")

    @property
    def variance(self) -> Values:
        """(high - low)² / 12 + d² / 9."""
        return (self.high - self.low) ** 2 / 12 + self.d**2 / 9

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        low, high, d = parameters
        limit, place = np.split(uniform_deviates(rngs, toys, 2), 2, axis=2)
        lower = low - d + 2 * d * limit
        return lower + (low + high - 2 * lower) * place


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
        first, second = np.split(uniform_deviates(rngs, toys, 2), 2, axis=2)
        return low + (high - low) / 2 * ((1 + beta) * first + (1 - beta) * second)


class Triangular(_Bounded):
    """The symmetric triangular distribution T(low, high): a sum of two rectangular quantities of equal width.

    Source: JCGM 101:2008, 6.4.5.

    Examples
    --------
    >>> from pullback import Triangular
    >>> Triangular(-1, 1).variance
    array([0.16666667])

    """

    @property
    def variance(self) -> Values:
        """(high - low)² / 24."""
        return (self.high - self.low) ** 2 / 24

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        low, high = parameters
        return low + (high - low) / 2 * uniform_deviates(rngs, toys, 2).sum(axis=2, keepdims=True)


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
        return (low + high) / 2 + (high - low) / 2 * np.sin(2 * np.pi * uniform_deviates(rngs, toys, 1))


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
        mean, covariance = (
            as_array("MultivariateGaussian", "mean", mean),
            as_array("MultivariateGaussian", "covariance", covariance),
        )
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

    def covariances(self) -> Float[np.ndarray, "muon quantity quantity"]:
        """The covariance, as it is."""
        return self.covariance

    def _parameters(self) -> Sequence[np.ndarray]:
        return self.mean[:, None, :], self._factor

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        mean, factor = parameters
        return mean + draw_deviates(rngs, toys, self.quantities) @ factor.swapaxes(1, 2)
