"""Columns of the artefact of kind "fits": those of muons, and sums over the muons of each block."""

from __future__ import annotations

import numpy as np

from ..models import Quantity
from ..study.artefact_configs import ArtefactConfig
from ..study.batches import Part
from . import columns
from .artefact import Column, Writer
from .netcdf import Dims

P_BINS = 40
"""Bins of p-values, of equal width."""

OUTLIER = 1e-4
"""The p-value below which a track counts as an outlier."""

RATIO_EDGES = np.linspace(-7.0, 7.0, 1401)
"""Bins of ln q, q = χ²/median of the χ² distribution, for the median."""

CLASS_EDGES = np.concatenate([[0.0], 2 * 10 ** (np.arange(18) / 10), [np.inf]])
"""Classes of muons by q; leaving the upper ones out makes numbers robust against outliers."""

DRIFT_RANGES = 16
"""Ranges of the muon number, of equal length, between which drifts are looked for."""

MOMENTS = ("count", "chi2", "ndf", "chi2_2", "chi2_ndf", "ndf_2", "outliers", "beyond")
"""Sums over muons with degrees of freedom; all but the count and the last two without muons that are `beyond`: so far
out that their squares can't be summed. These are outliers.
"""

STATISTICS = (
    *("count", "m", "m2", "z", "z2", "z4"),
    *("x", "x2", "t", "t2", "o", "o2", "xt", "xo", "to", "n", "n2", "zx", "zt", "zo", "zn"),
    *("a", "a2", "e", "y", "v"),
    *("q", "qq", "qe", "qa", "qf"),
    *("h", "h2"),
    *("w", "wt", "wt2", "wr", "wr2", "wrt"),
)
"""Sums over hits: m is the unbiased residual and z = m/σ_m; x is the position and t the slope of the track by
generalized least squares, uncorrelated with m, and o its position in the other view of the layer; n is the place in the
sequence of muons, from −½ to ½; a = y (Σ y) with y = Σ⁻¹ times the residual of generalized least squares and Σ of the
detector alone, e its expectation, and y itself in units of 1/σ; v is the stated variance of the hit. With C the
covariance of scattering in the layers (`Reconstruction.scattering`), q = y (C y) and qq is q times its sum over the
hits of the muon; qe = (M C)_kk is the expectation of q, and qa = (Σ M C M)_kk/2 and qf = (M C M C)_kk/2 are the
information on the amount of scattering that it shares with a factor of σ² of the hit, and of its own. h is the hit.
w counts tracks without a missing hit; wt, … are sums over these of t and of r, the residual of generalized least
squares.
"""


FITS = (
    Quantity("chi2", "1", "χ² of the hits by the covariance that is propagated"),
    Quantity("ndf", "1", "degrees of freedom of χ²"),
    Quantity("p_value", "1", "probability of a larger χ²"),
)
"""Columns of the fit of each muon."""

RESIDUALS = (
    ("residual", "unbiased residual: hit minus prediction of the fit without this hit"),
    ("residual_sigma", "standard uncertainty of the unbiased residual"),
)
"""Columns of the fit for each hit of a muon."""

FIT_SUMS: dict[str, tuple[str, ...]] = {
    "moments": ("moment",),
    "p_values": ("p_bin",),
    "ratios": ("ratio_bin",),
    "freedom": ("chi2_class", "ndf"),
    "hits": ("chi2_class", "statistic", "coordinate"),
    "fisher": ("chi2_class", "coordinate", "coordinate_2"),
    "information": ("chi2_class", "coordinate", "coordinate_2"),
    "drift": ("range", "coordinate", "range_sum"),
    "coupled": ("coordinate", "coordinate_2"),
}
"""Sums over the fits of the muons of each block, with their axes: fields of `pullback.steps.fit_sums.FitSums`."""


def of_fits(out: Writer, part: Part[ArtefactConfig]) -> dict[str, Column]:
    """Add the columns of the fits, by name."""
    names = [coordinate.name for coordinate in part.model.coordinates]
    unit = part.model.coordinates[0].unit
    return {each.name: columns.add(out, part, each) for each in FITS} | {
        name: columns.add(out, part, Quantity(name, unit, words), coordinate=names) for name, words in RESIDUALS
    }


def of_fit_sums(out: Writer, part: Part[ArtefactConfig]) -> dict[str, Column]:
    """Add the columns of sums over the fits of each block, in a group `fit_sums`, by name."""
    group, names = out.point(part).create_group("fit_sums"), [each.name for each in part.model.coordinates]
    labels = {"coordinate": names, "coordinate_2": names, "moment": [*MOMENTS], "statistic": [*STATISTICS]}
    shapes = shapes_of_sums(len(names))
    blocks, found = part.last - part.first, {}
    for name, axes in FIT_SUMS.items():
        dims: Dims = {"block": None, **{axis: labels.get(axis) for axis in axes}}
        quantity = Quantity(name, "1", f"sums over the fits of a block: {name}")
        found[name] = out.column(group, name, (blocks, *shapes[name]), dims, quantity)
    return found


def shapes_of_sums(coordinates: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the sums of a block."""
    classes, pairs = len(CLASS_EDGES) - 1, (coordinates, coordinates)
    return {
        "moments": (len(MOMENTS),),
        "p_values": (P_BINS,),
        "ratios": (len(RATIO_EDGES) - 1,),
        "freedom": (classes, coordinates + 1),
        "hits": (classes, len(STATISTICS), coordinates),
        "fisher": (classes, *pairs),
        "information": (classes, *pairs),
        "drift": (DRIFT_RANGES, coordinates, 2),
        "coupled": pairs,
    }
