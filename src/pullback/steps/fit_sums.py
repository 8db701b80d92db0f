"""Sums over the fits of a block of muons, from which the agreement of the data with the resolution is judged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import gammaincinv
from torch import Tensor

from ..models import Model
from ..store.fit_columns import CLASS_EDGES, DRIFT_RANGES, OUTLIER, P_BINS, RATIO_EDGES, shapes_of_sums
from ..uncertainty.covariance import combined
from ..uncertainty.elementwise import total
from ..uncertainty.fit_residuals import FitGroup, product

MUONS_SUMMED = 16_384
"""Muons whose numbers are summed together, so that they stay in the cache."""


FARTHEST_HIT, LARGEST_CHI2 = 1e35, 1e70
"""Largest hit, and largest χ², of a muon that is summed: the squares of the sums over 10⁹ such muons are doubles."""


class Covariances(NamedTuple):
    """The covariance of the hits, of the detector alone, and of scattering in the layers, of each muon or of all."""

    all: Tensor
    detector: Tensor
    scattering: Tensor | None


class HitNumbers(NamedTuple):
    """Hits that are used, with all that is summed over them: arrays (muon, coordinate)."""

    m: np.ndarray
    z: np.ndarray
    x: np.ndarray
    t: np.ndarray
    o: np.ndarray
    a: np.ndarray
    y: np.ndarray
    e: np.ndarray
    v: np.ndarray
    r: np.ndarray
    q: np.ndarray
    qe: np.ndarray
    qa: np.ndarray
    qf: np.ndarray
    h: np.ndarray


class FitSums:
    """The sums of one block. Arrays are those of `store.fit_columns.FIT_SUMS`."""

    def __init__(self, model: Model, unit: Float[np.ndarray, " coordinate"], muons: int):
        """Empty sums; `unit` is the stated σ of each coordinate, `muons` the number at the scan point."""
        self.unit, self.heights, self.muons = torch.from_numpy(unit), model.heights, muons
        self.layers = np.array(model.layers)
        self.arrays = {name: np.zeros(shape) for name, shape in shapes_of_sums(len(unit)).items()}

    def add_chi2(self, chi2: np.ndarray, ndf: np.ndarray, p_value: np.ndarray, hits: np.ndarray) -> None:
        """Add χ², degrees of freedom and p-values of the muons of the block, with these hits."""
        beyond = (ndf > 0) & ~_summed(chi2, hits) & (np.isfinite(p_value) | _far(hits))
        tested = np.isfinite(p_value) | beyond
        beyond, ndf = beyond[tested], ndf[tested]
        chi2, p_value = np.where(beyond, np.inf, chi2[tested]), np.where(beyond, 0.0, p_value[tested])
        x, n = chi2[~beyond], ndf[~beyond]
        found = [np.ones_like(ndf), x, n, x**2, x * n, n**2, p_value < OUTLIER, beyond]
        self.arrays["moments"] += [float(each.sum()) for each in found]
        self.arrays["p_values"] += np.histogram(p_value, P_BINS, (0, 1))[0]
        ratio = ratios(chi2, ndf)
        with np.errstate(divide="ignore"):
            logarithm = np.clip(np.log(ratio), RATIO_EDGES[0], RATIO_EDGES[-1])
        self.arrays["ratios"] += np.histogram(logarithm, RATIO_EDGES)[0]
        freedom = self.arrays["freedom"]
        whole = np.rint(ndf).astype(int).clip(0, freedom.shape[1] - 1)
        np.add.at(freedom, (classes(ratio), whole), 1.0)

    def add(self, group: FitGroup, hits: Tensor, covariances: Covariances, first: int) -> None:
        """Add muons with the same hits.

        `hits` and `covariances` are those of the hits that are used; `first` is the number of the block's first muon at
        the scan point.
        """
        coupled = (group.shape.hat.abs() > 1e-9).any(dim=0).numpy(force=True)
        used = group.used.numpy(force=True)
        self.arrays["coupled"][np.ix_(used, used)] += coupled * float(len(group.rows))
        if not group.ndf:
            return
        ratio = ratios(group.chi2.numpy(force=True), np.full(len(group.rows), float(group.ndf)))
        unbiased = group.unbiased
        good = torch.from_numpy(np.flatnonzero(_summed(group.chi2.numpy(force=True), hits.numpy(force=True))))
        for start in range(0, len(good), MUONS_SUMMED):
            rows = good[start : start + MUONS_SUMMED]
            # In order of the class, so that each class is a range of rows.
            which = classes(ratio[rows.numpy()])
            order = np.argsort(which, kind="stable")
            self._add(group, rows[order], which[order], coupled, (hits, unbiased), covariances, first)

    def _add(
        self,
        group: FitGroup,
        rows: Tensor,
        which: np.ndarray,
        coupled: Bool[np.ndarray, "coordinate coordinate"],
        given: tuple[Tensor, Tensor],
        covariances: Covariances,
        first: int,
    ) -> None:
        hits, residual = (_rows(each, rows) for each in given)
        covariance, detector = _rows(covariances.all, rows), _rows(covariances.detector, rows)
        white, used = _rows(group.shape.white, rows), group.used
        y = combined(white.mT, group.whitened[rows][:, None])[:, 0]
        M = product(white.mT, white)
        of_detector = product(M, detector)
        off = _times(covariance, y)
        predicted = hits - off
        variance = detector if detector.ndim == 2 else detector.diagonal(dim1=1, dim2=2)
        columns = (
            *(residual, residual / _rows(group.shape.sigma, rows), predicted),
            *(self._slopes(predicted, used, coupled), self._other_views(predicted, used)),
            *(y * _times(detector, y), y * self.unit[used]),
            *(each.expand(len(rows), -1) for each in (of_detector.diagonal(dim1=1, dim2=2), variance)),
            off,
            *self._of_scattering(M, of_detector, y, covariances.scattering, rows),
            hits,
        )
        place = (first + group.rows[rows].numpy() + 0.5) / self.muons
        self._add_hits(HitNumbers(*(each.numpy() for each in columns)), place, which, used.numpy())
        fisher = (of_detector * of_detector.mT + M * product(of_detector.mT, detector)) / 4
        information = M * self.unit[used][:, None] * self.unit[used]
        first_of_pair, second = np.ix_(used.numpy(), used.numpy())
        for name, matrices in (("fisher", fisher), ("information", information)):
            found = _by_class(which, matrices.flatten(1).numpy())
            self.arrays[name][:, first_of_pair, second] += found.reshape(-1, len(used), len(used))

    @np.errstate(over="ignore", invalid="ignore")  # near the largest double, sums become infinite or NaN
    def _add_hits(self, track: HitNumbers, place: np.ndarray, which: np.ndarray, used: np.ndarray) -> None:
        known = np.isfinite(track.m)
        m, z, x, t, o = (np.where(known, each, 0.0) for each in track[:5])
        h = np.where(known, track.h, 0.0)
        n = np.where(known, place[:, None] - 0.5, 0.0)
        z2 = z * z
        values: tuple[np.ndarray, ...] = (
            *(known, m, m * m, z, z2, z2 * z2, x, x * x, t, t * t, o, o * o),
            *(x * t, x * o, t * o, n, n * n, z * x, z * t, z * o, z * n),
            *(track.a, track.a**2, track.e, track.y, track.v * known),
            *(track.q, track.q * track.q.sum(axis=1, keepdims=True), track.qe, track.qa, track.qf),
            *(h, h * h),
        )
        if len(used) == len(self.unit):  # heights are found from tracks that are all alike
            r = np.where(known, track.r, 0.0)
            values += (known, t, t * t, r, r * r, r * t)
        for index, each in enumerate(values):
            self.arrays["hits"][:, index, used] += _by_class(which, each)
        ranges = np.minimum((place * DRIFT_RANGES).astype(int), DRIFT_RANGES - 1)
        order = np.argsort(ranges, kind="stable")
        for index, each in enumerate((known, z)):
            self.arrays["drift"][:, used, index] += _by_class(ranges[order], each[order], DRIFT_RANGES)

    def _of_scattering(
        self, M: Tensor, of_detector: Tensor, y: Tensor, scattering: Tensor | None, rows: Tensor
    ) -> tuple[Tensor, ...]:
        """The numbers q, qe, qa and qf of `store.fit_columns.STATISTICS`."""
        if scattering is None:
            return (torch.zeros_like(y),) * 4
        C = _rows(scattering, rows)
        of_layers = product(M, C)
        shared, own = (total((each.mT * of_layers).unbind(2)) / 2 for each in (of_detector, of_layers))
        shapes = of_layers.diagonal(dim1=1, dim2=2), shared, own
        return y * _times(C, y), *(each.expand_as(y) for each in shapes)

    def _other_views(self, predicted: Tensor, used: Tensor) -> Tensor:
        """The position of the track in the other coordinate of the layer; 0 where there is no other one."""
        layers, found = self.layers[used.numpy()], torch.zeros_like(predicted)
        for index, layer in enumerate(layers):
            others = np.flatnonzero((layers == layer) & (np.arange(len(layers)) != index))
            if len(others):
                found[:, index] = predicted[:, others[0]]
        return found

    def _slopes(self, predicted: Tensor, used: Tensor, coupled: np.ndarray) -> Tensor:
        """The slope of the track at each hit, from the outermost hits of its line; 0 where heights are not known."""
        slopes = torch.zeros_like(predicted)
        if not self.heights:
            return slopes
        z = np.array(self.heights)[used.numpy()]
        for index in range(len(z)):
            together = np.flatnonzero(coupled[index])
            low, high = together[np.argmin(z[together])], together[np.argmax(z[together])]
            if z[high] > z[low]:
                slopes[:, index] = (predicted[:, high] - predicted[:, low]) / (z[high] - z[low])
        return slopes


def _summed(chi2: Float[np.ndarray, " muon"], hits: Float[np.ndarray, "muon coordinate"]) -> Bool[np.ndarray, " muon"]:
    """Whether the squares of each muon's numbers can be summed."""
    return (chi2 <= LARGEST_CHI2) & ~_far(hits)


def _far(hits: Float[np.ndarray, "muon coordinate"]) -> Bool[np.ndarray, " muon"]:
    return (np.abs(hits) > FARTHEST_HIT).any(axis=1)


def ratios(chi2: Float[np.ndarray, " muon"], ndf: Float[np.ndarray, " muon"]) -> Float[np.ndarray, " muon"]:
    """χ² over the median of its distribution."""
    medians = {each: 2 * gammaincinv(each / 2, 0.5) for each in np.unique(ndf).tolist()}
    if len(medians) == 1:
        return chi2 / next(iter(medians.values()))
    return chi2 / np.array([medians[each] for each in ndf.tolist()])


def classes(ratio: Float[np.ndarray, " muon"]) -> np.ndarray:
    """The class of each muon."""
    return np.searchsorted(CLASS_EDGES, ratio, side="right").clip(1, len(CLASS_EDGES) - 1) - 1


def _rows(matrices: Tensor, rows: Tensor) -> Tensor:
    """The matrices of some muons; one that all share stays as it is."""
    return matrices if len(matrices) == 1 else matrices[rows]


def _times(covariance: Tensor, y: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon coordinate"]:
    """Σ y, for variances or matrices."""
    if covariance.ndim == 2:
        return covariance * y
    return total(covariance[:, :, index] * y[:, index, None] for index in range(y.shape[1]))


def _by_class(which: np.ndarray, values: np.ndarray, number: int = len(CLASS_EDGES) - 1) -> np.ndarray:
    """Sums (class, number) of the rows of each class, which are in order; of one row that all share, its multiples."""
    count = np.bincount(which, minlength=number)
    if len(values) == 1 < len(which):
        return count[:, None] * values
    found = np.zeros((number, values.shape[1]))
    there = np.flatnonzero(count)
    starts = np.concatenate([[0], np.cumsum(count[there])[:-1]]).astype(int)
    found[there] = np.add.reduceat(values, starts, axis=0, dtype=float)
    return found
