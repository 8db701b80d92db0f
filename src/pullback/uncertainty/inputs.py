"""Input quantities of a measurement, and what all distributions of them have (JCGM 101:2008, 6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.random import Generator
from torch import Tensor

from .toys import draw_deviates

Numbers = float | Sequence[Any] | np.ndarray | Tensor
"""Accepted types of a parameter. It is kept as a read-only float64 array."""

Values = Float[np.ndarray, " muon"]
"""A parameter or a moment for each muon, with a single one where it was given as a number."""

LEAST_PROBABILITY = 2.0**-54
"""Uniform deviates of exactly 0 become half of the least step between them: a quantile at 0 may be infinite."""


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

    @property
    def kind(self) -> str:
        """Its name, for messages."""
        return type(self).__name__

    def _keep(self, **parameters: Numbers) -> None:
        """Keep the parameters as arrays of equal length."""
        given = {name: as_array(self.kind, name, value) for name, value in parameters.items()}
        shapes = {name: array.shape for name, array in given.items()}
        if max(map(len, shapes.values())) > 1 or len(set(shapes.values()) - {(), (1,)}) > 1:
            found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ValueError(f"{self.kind}: parameters must be numbers or (muon,), for as many muons each, not {found}")
        common = np.broadcast_shapes((1,), *shapes.values())
        for name, array in given.items():
            object.__setattr__(self, name, np.broadcast_to(array, common))

    def _refuse(self, bad: Bool[np.ndarray, " muon"], name: str, what: str) -> None:
        """Raise where a parameter has an impossible value."""
        if bad.any():
            muon = int(bad.argmax())
            where = f" of muon {muon}" if len(bad) > 1 else ""
            raise ValueError(f"{self.kind}: {name}{where} is {getattr(self, name)[muon]:g}, but it {what}")

    @property
    def muons(self) -> int:
        """Number of muons that the parameters are for; 1 stands for any number."""
        return len(self._parameters()[0])

    @property
    def quantities(self) -> int:
        """How many quantities there are."""
        return 1

    def covariances(self) -> Float[np.ndarray, "muon quantity quantity"]:
        """The variance as a matrix."""
        return self.variance[:, None, None]

    def draw(
        self, rngs: Sequence[Generator], toys: int, muons: Integer[np.ndarray, " row"] | None = None
    ) -> Float[np.ndarray, "row toy quantity"]:
        """Random values of the quantity for each of some muons, by default 0, 1, …, from one generator per muon."""
        muons = np.arange(len(rngs)) if muons is None else muons
        if len(muons) != len(rngs) or (self.muons > 1 and muons.size and muons.max() >= self.muons):
            raise ValueError(
                f"{self.kind} has parameters for {self.muons} muons: it can't be drawn with {len(rngs)} "
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


@runtime_checkable
class FrozenDistribution(Protocol):
    """A distribution of one quantity from `scipy.stats`, with its parameters, such as `scipy.stats.gamma(3)`."""

    dist: Any
    args: tuple[Any, ...]
    kwds: dict[str, Any]

    def ppf(self, q: Any) -> Any:
        """Quantiles at probabilities q."""

    def median(self) -> Any:
        """The quantile at 0.5."""

    def mean(self) -> Any:
        """The mean, which may not be finite."""

    def var(self) -> Any:
        """The variance, which may not be finite."""


class Frozen(Input):
    """A continuous distribution of `scipy.stats`: its quantiles at uniform deviates (JCGM 101:2008, C.2).

    Where it has no finite mean, `mean` is the median, and where it has no finite variance, `variance` is infinite.
    """

    mean: Values
    variance: Values

    def __init__(self, frozen: FrozenDistribution) -> None:
        self._frozen = frozen
        if hasattr(frozen, "pmf"):
            raise ValueError(f"{self.kind} is discrete: an input must have a continuous distribution")
        median, mean, variance = (np.asarray(each(), float) for each in (frozen.median, frozen.mean, frozen.var))
        if median.ndim > 1:
            raise ValueError(f"{self.kind}: parameters must be numbers or (muon,), not of shape {median.shape}")
        if not np.isfinite(median).all():
            raise ValueError(f"{self.kind}: no such distribution for parameters {[*frozen.args, *frozen.kwds.items()]}")
        shape = np.broadcast_shapes((1,), median.shape)
        self.mean = np.broadcast_to(np.where(np.isfinite(mean), mean, median), shape)
        self.variance = np.broadcast_to(np.where(np.isfinite(variance), variance, np.inf), shape)

    @property
    def kind(self) -> str:
        """Its name, for messages."""
        return f"scipy.stats.{self._frozen.dist.name}"

    @property
    def muons(self) -> int:
        """Number of muons that the parameters are for; 1 stands for any number."""
        return len(self.mean)

    def _parameters(self) -> Sequence[np.ndarray]:
        given = (*self._frozen.args, *self._frozen.kwds.values())
        return [np.broadcast_to(each, self.mean.shape)[:, None, None] for each in given]

    def _draw(self, rngs: Sequence[Generator], toys: int, parameters: Sequence[np.ndarray]) -> np.ndarray:
        places = len(self._frozen.args)
        by_name = dict(zip(self._frozen.kwds, parameters[places:], strict=True))
        deviates = np.maximum(uniform_deviates(rngs, toys, 1), LEAST_PROBABILITY)
        return self._frozen.dist.ppf(deviates, *parameters[:places], **by_name)


class Moments(NamedTuple):
    """Result of `moments`, by the names of `propagate`'s arguments."""

    hits: Float[Tensor, "muon coordinate"]
    covariance: Float[Tensor, "muon coordinate coordinate"]


def moments(inputs: Sequence[Input | FrozenDistribution]) -> Moments:
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
    inputs = checked_inputs(inputs)
    muons, coordinates = count_muons(inputs), sum(each.quantities for each in inputs)
    hits, covariance = np.empty((muons, coordinates)), np.zeros((muons, coordinates, coordinates))
    start = 0
    for each in inputs:
        size = each.quantities
        own = slice(start, start + size)
        hits[:, own] = each.mean.reshape(-1, size)
        covariance[:, own, own] = each.covariances()
        start += size
    return Moments(torch.from_numpy(hits), torch.from_numpy(covariance))


def checked_inputs(inputs: Sequence[Input | FrozenDistribution]) -> list[Input]:
    """The inputs of a measurement, those of `scipy.stats` with the methods of all others.

    Raises
    ------
    ValueError
        No inputs, something that is no distribution, a discrete one, or impossible parameters of one.

    """
    known = isinstance(inputs, Sequence) and all(isinstance(each, Input | FrozenDistribution) for each in inputs)
    if not known or not inputs:
        raise ValueError(
            "inputs must be a list of distributions, such as [Gaussian(0.5, 0.01)] or [scipy.stats.gamma(3)], "
            f"not {inputs!r}"
        )
    return [each if isinstance(each, Input) else Frozen(each) for each in inputs]


def count_muons(inputs: Sequence[Input]) -> int:
    """Number of muons that inputs have parameters for: 1 where all are numbers.

    Raises
    ------
    ValueError
        Parameters for different numbers of muons.

    """
    counts = {each.muons for each in inputs} - {1}
    if len(counts) > 1:
        found = ", ".join(f"{each.kind} {each.muons}" for each in inputs)
        raise ValueError(f"inputs have parameters for different numbers of muons: {found}")
    return counts.pop() if counts else 1


def as_array(kind: str, name: str, given: Numbers) -> np.ndarray:
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


def uniform_deviates(rngs: Sequence[Generator], toys: int, count: int) -> Float[np.ndarray, "row toy count"]:
    """Uniform deviates from 0 to 1, each muon's from its own generator."""
    return draw_deviates(rngs, toys, count, Generator.random)
