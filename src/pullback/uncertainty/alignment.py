"""Alignment of layers by the residuals of tracks: linear least squares, robust against wrong tracks.

A hit h of a layer belongs to the muon at r = R(φ) S h + d (`placement`). For tracks that predict A p, with Σ the
covariance of their hits and D = ∂r/∂a by the parameters a = (d, φ, s) of the layers, the best p leaves

    χ²(a) = rᵀ M r,  M = Σ⁻¹ − Σ⁻¹ A (Aᵀ Σ⁻¹ A)⁻¹ Aᵀ Σ⁻¹ = Wᵀ W.

So the sum over tracks needs no track parameters: with u = W r, G = W D and g = Gᵀ u, a step is a → a − N⁻¹ Σ w g, where
N = Σ w Gᵀ G. The weight w of a track falls with its χ², so that wrong combinations of hits do not count.

Source: V. Blobel and C. Kleinwort, A new method for the high-precision alignment of track detectors (Millepede),
hep-ex/0208021 (2002); P. Brückman de Renstrom, A. Hicheur and S. Haywood, ATL-INDET-PUB-2005-002 (2005), global χ²;
weights: P. J. Huber, Robust Statistics (1981), and A. E. Beaton and J. W. Tukey, Technometrics 16 (1974) 147.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaincinv

from .placement import KINDS_OF_VIEWS, Coordinates, Kind, Placement

CUT = 1e-4
"""Probability of a larger χ², of a right track, at which Tukey's weight is 0."""

SMALL_STEP = 1e-3
"""Largest step over its standard error, of a parameter, at which the iteration ends."""

WIDE_STEP = 0.1
"""The same of the first stage."""

MOST_STEPS = 200
"""Maximum number of steps."""

ENTRIES = 1 << 22
"""Entries of the derivatives G that are held at a time."""

WEAKEST = 1e-10
"""Smallest eigenvalue of N, scaled to a diagonal of 1, of a combination of parameters that tracks determine."""


NO_ERROR = 1e-6
"""Standard error of a parameter, over the stated one, that counts as 0."""

PREDICTED = 1e-12
"""Smallest M_ii over the largest one, of a hit that the others predict."""


class Parameter(NamedTuple):
    """A number to find: the offset (m), the rotation (rad) or the scale of a layer."""

    kind: Kind
    layer: int


class Undetermined(ValueError):
    """Combinations of parameters that the tracks leave free; `modes` has one row for each."""

    def __init__(self, modes: Float[np.ndarray, "mode parameter"]):
        super().__init__("the tracks leave combinations of the parameters free")
        self.modes = modes


class Diverged(ValueError):
    """The steps do not become small."""


class TrackGroup(NamedTuple):
    """Tracks with the same hits: their rows, the indices of these hits, and W and Σ, of all or of each.

    Σ is given as variances or matrices.
    """

    rows: Int[np.ndarray, " track"]
    used: Int[np.ndarray, " coordinate"]
    white: Float[np.ndarray, "#track freedom coordinate"]
    covariance: Float[np.ndarray, "#track coordinate *other"]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of χ²."""
        return self.white.shape[1]

    def take(self, rows: slice) -> TrackGroup:
        """The selected tracks."""
        white, covariance = (each if len(each) == 1 else each[rows] for each in (self.white, self.covariance))
        return TrackGroup(self.rows[rows], self.used, white, covariance)

    def times(self, matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """The product of matrices, one or one for each track, and a vector for each."""
        if len(matrices) == 1:
            return vectors @ matrices[0].T
        return np.einsum("mfk,mk->mf", matrices, vectors)

    def deviations(self, u: Float[np.ndarray, "track freedom"]) -> Float[np.ndarray, "track used"]:
        """Hits minus fitted positions, Σ Wᵀ u."""
        y = self.times(self.white.transpose(0, 2, 1), u)
        return self.covariance * y if self.covariance.ndim == 2 else self.times(self.covariance, y)


class AlignedLayers(NamedTuple):
    """What `align_layers` finds.

    Attributes
    ----------
    value : array (parameter,)
        Offsets, m, and rotations, rad.
    covariance : array (parameter, parameter)
        Their covariance.
    placement : Placement
        The same as offsets and rotations of all layers.
    width : float
        Width of the residuals over the stated one, by the median of χ².
    weight : array (track,)
        Weight of each track with degrees of freedom, from 0 to 1.
    steps : int
        Number of steps.
    """

    value: Float[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    placement: Placement
    width: float
    weight: Float[np.ndarray, " track"]
    steps: int


def align_layers(
    hits: Float[np.ndarray, "track coordinate"],
    groups: Sequence[TrackGroup],
    of: Coordinates,
    free: Sequence[Parameter],
    start: Float[np.ndarray, " parameter"] | None = None,
) -> AlignedLayers:
    """Offsets and rotations of layers, of which those that are not `free` are 0.

    Steps begin with Huber's weights, w = min(1, m/χ), with m² the median of χ², whose minimum is unique and does not
    depend on the start, and end with Tukey's, w = (1 − χ²/(s² c²))² for χ < s c, with c² exceeded by a right track with
    the probability `CUT` and the scale s² = median of χ² over that of its distribution, found anew at each step.

    The covariance is that of an M-estimator, H⁻¹ B H⁻¹ with B = Σ w² g gᵀ and the second derivatives
    H = N + 2 Σ (∂w/∂χ²) g gᵀ. It holds for weights of any kind, and for residuals that are wider than Σ says, since g
    is as the data have it.

    Parameters
    ----------
    hits : array (track, coordinate)
        Hits as the layers read them, m.
    groups : sequence of TrackGroup
        The tracks with degrees of freedom.
    of : Coordinates
        How coordinates belong to layers.
    free : sequence of Parameter
        The parameters to find.
    start : array (parameter,), optional
        Where the iteration begins; default: layers in place.

    Returns
    -------
    AlignedLayers
        The parameters, and what else is known of them.

    Raises
    ------
    Undetermined
        The tracks leave a combination of parameters free.
    Diverged
        The steps do not become small.

    Source: covariance of M-estimators, P. J. Huber, Proc. 5th Berkeley Symp. 1 (1967) 221.

    """
    problem, value = _Problem(hits, groups, of, free), np.zeros(len(free)) if start is None else start
    tukey = False
    for step in range(1, MOST_STEPS + 1):
        sums = problem.sums(value, tukey=tukey)
        change = np.linalg.solve(sums.normal, sums.slope)
        value = value - change
        # Hits without noise have no errors; a step far below those that are stated is small.
        error = np.maximum(sums.variance.diagonal(), NO_ERROR**2 / sums.normal.diagonal())
        largest = float((np.abs(change) / np.sqrt(error)).max())
        if tukey and largest < SMALL_STEP:
            final = problem.sums(value, tukey=True)
            placement, weight = problem.placement(value), np.concatenate(final.weights)
            return AlignedLayers(value, final.variance, placement, final.width, weight, step)
        tukey = tukey or largest < WIDE_STEP or step > MOST_STEPS // 2
    raise Diverged(f"alignment does not settle within {MOST_STEPS} steps")


class _Sums(NamedTuple):
    """Sums over tracks: N, Σ w g, the covariance of the parameters, the width, and the weights of each group."""

    normal: Float[np.ndarray, "parameter parameter"]
    slope: Float[np.ndarray, " parameter"]
    variance: Float[np.ndarray, "parameter parameter"]
    width: float
    weights: list[Float[np.ndarray, " track"]]


class _Problem:
    """The tracks and parameters of an alignment."""

    def __init__(
        self,
        hits: Float[np.ndarray, "track coordinate"],
        groups: Sequence[TrackGroup],
        of: Coordinates,
        free: Sequence[Parameter],
    ):
        self.hits, self.groups, self.of, self.free = hits, groups, of, free
        self.tracks = sum(len(group.rows) for group in groups)

    def placement(self, value: Float[np.ndarray, " parameter"]) -> Placement:
        """Where the layers are with these parameters."""
        by_layer: dict[Kind, list[float]] = {
            kind: [0.0] * (int(self.of.layer.max()) + 1) for kind in {each.kind for each in self.free}
        }
        for (kind, layer), number in zip(self.free, value.tolist(), strict=True):
            by_layer[kind][layer] = number
        return Placement.by_layer(self.of, by_layer)

    @cached_property
    def _medians(self) -> dict[int, float]:
        """The median of χ² by its degrees of freedom."""
        return {group.freedom: 2 * float(gammaincinv(group.freedom / 2, 0.5)) for group in self.groups}

    def sums(self, value: Float[np.ndarray, " parameter"], *, tukey: bool) -> _Sums:
        """The sums over all tracks with Tukey's weights, or Huber's."""
        placement = self.placement(value)
        chi2 = [chi2_of(group, placement.to_frame(self.hits[group.rows])) for group in self.groups]
        medians = [self._medians[group.freedom] for group in self.groups]
        scale = float(np.median(np.concatenate([each / median for each, median in zip(chi2, medians, strict=True)])))
        scale = max(scale, np.finfo(float).tiny)
        normal, slope, second, spread = (np.zeros(shape) for shape in self._shapes)
        weights: list[Float[np.ndarray, " track"]] = []
        for group, each, median in zip(self.groups, chi2, medians, strict=True):
            weight, change = _tukey(each / scale, group.freedom) if tukey else _huber(each / scale, median)
            weights.append(weight)
            for rows, G, g in self._derivatives(group, placement):
                w = weight[rows, None]
                flat = (G * np.sqrt(w)[:, :, None]).reshape(-1, len(self.free))
                normal += flat.T @ flat
                slope += (w * g).sum(axis=0)
                second += 2 / scale * (g * change[rows, None]).T @ g
                spread += (g * w**2).T @ g
        _refuse_free(normal)
        # With Huber's weights, far from the minimum, N says how large a step is.
        inverse = np.linalg.inv(normal + second if tukey else normal)
        return _Sums(normal, slope, inverse @ spread @ inverse.T, float(np.sqrt(scale)), weights)

    @property
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        count = len(self.free)
        return (count, count), (count,), (count, count), (count, count)

    def _derivatives(self, group: TrackGroup, placement: Placement) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """G (track, freedom, parameter) and g (track, parameter) of ranges of the tracks of a group."""
        place = {(int(self.of.layer[c]), int(self.of.view[c])): index for index, c in enumerate(group.used)}
        step = max(1, ENTRIES // (max(1, group.freedom) * (len(self.free) + len(group.used))))
        for start in range(0, len(group.rows), step):
            rows = slice(start, min(start + step, len(group.rows)))
            part = group.take(rows)
            r = placement.to_frame(self.hits[part.rows])[:, part.used]
            u = part.times(part.white, r)
            position = np.full((len(r), len(self.of.layer)), np.nan)
            position[:, part.used] = r - part.deviations(u)
            turned = position - placement.offset
            straight = placement.from_frame(position)
            G = np.zeros((len(r), part.freedom, len(self.free)))
            for index, parameter in enumerate(self.free):
                for view, slope in _slopes(parameter, placement, turned, straight):
                    if (coordinate := place.get((parameter.layer, view))) is not None:
                        G[:, :, index] += part.white[:, :, coordinate] * np.reshape(slope, (-1, 1))
            yield rows, G, np.einsum("mfp,mf->mp", G, u)


def _slopes(
    parameter: Parameter,
    placement: Placement,
    turned: Float[np.ndarray, "track coordinate"],
    straight: Float[np.ndarray, "track coordinate"],
) -> Iterator[tuple[int, float | np.ndarray]]:
    """∂r/∂a by one parameter: how far the hits of its layer move in each view.

    `turned` is R(φ) S h and `straight` is h, where the hits are those of the fitted track: a hit itself is correlated
    with its residual, and scales would be too small.
    """
    at = {int(view): c for c, view in enumerate(placement.of.view) if placement.of.layer[c] == parameter.layer}
    if parameter.kind == "rotation":
        yield from ((0, -turned[:, at[1]]), (1, turned[:, at[0]]))
        return
    (view,) = (view for view, kinds in enumerate(KINDS_OF_VIEWS) if parameter.kind in kinds)
    if parameter.kind == KINDS_OF_VIEWS[view][0]:
        yield view, 1.0
        return
    along, angle = straight[:, at[view]], float(placement.angle[at[view]])
    yield view, np.cos(angle) * along
    if angle:
        yield 1 - view, (-1.0 if view else 1.0) * np.sin(angle) * along


def chi2_of(group: TrackGroup, positions: Float[np.ndarray, "track coordinate"]) -> Float[np.ndarray, " track"]:
    """χ² of the tracks of a group, whose hits are at these positions."""
    return np.square(group.times(group.white, positions[:, group.used])).sum(axis=1)


def residuals_of(
    group: TrackGroup, positions: Float[np.ndarray, "track coordinate"]
) -> Float[np.ndarray, "track used"]:
    """Unbiased residuals, hit minus prediction of the others: (M r)_i/M_ii; NaN where the others do not predict it."""
    M = np.einsum("mfk,mfl->mkl", group.white, group.white)
    own = M.diagonal(axis1=1, axis2=2)
    known = own > PREDICTED * own.max(axis=1, keepdims=True)
    return group.times(M, positions[:, group.used]) / np.where(known, own, np.nan)


def _huber(chi2: Float[np.ndarray, " track"], median: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights that fall as 1/χ beyond the median, and their derivative by χ², which is not used."""
    return np.sqrt(median / np.maximum(chi2, median)), np.zeros_like(chi2)


def _tukey(chi2: Float[np.ndarray, " track"], freedom: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights that are 0 for a χ² that hardly any right track has, and their derivative by χ²."""
    cut = 2 * float(gammaincinv(freedom / 2, 1 - CUT))
    left = np.maximum(1 - chi2 / cut, 0.0)
    return left**2, -2 / cut * left


def _refuse_free(normal: Float[np.ndarray, "parameter parameter"]) -> None:
    """Raise for combinations of parameters without information."""
    own = normal.diagonal()
    if not (own > 0).all():
        raise Undetermined(np.eye(len(own))[own <= 0])
    unit = 1 / np.sqrt(own)
    values, vectors = np.linalg.eigh(normal * np.outer(unit, unit))
    if values[0] < WEAKEST:
        raise Undetermined(vectors.T[values < WEAKEST])
