"""The figures of residuals by layer, and of χ²: whether the data agree with the fit, in units people use."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy.special import gammainc

from ...statistics.normal import P68
from ...statistics.prefixes import prefixed
from ..first_muons import with_sigma
from ..formats import brief, percent
from .base import (
    BLUE,
    FOR_NARROW_BINS,
    GREY,
    PAGE_WIDTH,
    SMALL,
    VERMILLION,
    Canvas,
    ResidualSpread,
    Subject,
    legend,
    normal,
    panels,
    plt,
    say,
    titled,
)
from .fits import show_p_values
from .passes import Bins, all_rows, counted, sample
from .ranges import FURTHEST

WIDTHS = 4.0
"""Half-range of a histogram of residuals, in units of their width or of the stated one, whichever is larger."""

OF_MIXTURE = 100
"""Widths of which the expected distribution is made, where hits have σ of their own."""

LOG_RATIO = Bins(-3.0, 6.0, 90)
"""Bins of log₁₀(χ²/ndf)."""

LONGEST_NUMBER = 20
"""Letters of a number with its error, above which both are told as powers of ten."""

FOR_FEW_TRACKS = 3
"""Bins of χ²/ndf that are one for few tracks, of which each would be a spike."""


class _Expected(NamedTuple):
    """What a sample of residuals of a coordinate shows: median, 68.27 % half-width, and σ by the stated resolution."""

    median: float
    width: float
    sigmas: np.ndarray

    @property
    def sigma(self) -> float:
        return float(np.median(self.sigmas))

    @property
    def median_error(self) -> float:
        """Standard error of the median of a Gaussian of this width."""
        return self.width * float(np.sqrt(np.pi / 2 / len(self.sigmas)))

    @property
    def width_error(self) -> float:
        """Standard error of half the range of the middle 68.27 % of a Gaussian, whose quantiles are correlated."""
        p = (1 - P68) / 2
        return self.width * float(np.sqrt(p * (1 - 2 * p) / 2 / len(self.sigmas)) / normal(np.ones(1), 0, 1)[0])

    @property
    def bins(self) -> Bins:
        half = abs(self.median) + WIDTHS * max(self.width, self.sigma)
        return Bins(-half, half, 81 if len(self.sigmas) >= FOR_NARROW_BINS else 21)

    def density(self, x: np.ndarray) -> np.ndarray:
        """The density that is expected, of a mixture of Gaussians."""
        shares = (np.arange(OF_MIXTURE) + 0.5) / OF_MIXTURE
        sigmas, counts = np.unique(np.quantile(self.sigmas, shares, method="nearest"), return_counts=True)
        parts = [count * normal(x, 0, sigma) for sigma, count in zip(sigmas, counts, strict=True)]
        return np.sum(parts, axis=0) / OF_MIXTURE


def residuals_by_layer(subject: Subject) -> Canvas:
    """Draw the unbiased residuals of each coordinate beside what the stated resolution makes of them."""
    residual, sigma = sample(subject, "residual", "residual_sigma")
    found = [_expected(*columns) for columns in zip(residual.T, sigma.T, strict=True)]
    counts, totals = _counts(subject, found)
    quantities = subject.coordinates
    canvas, grid = panels(len(found), 2.4)
    for axes, quantity, each, of_bins, total in zip(grid, quantities, found, counts, totals, strict=True):
        axes.set_title(quantity.symbol)
        if each is None:
            say(axes, "no residuals")
            axes.set(xticks=[], yticks=[])
        else:
            # Coordinates with the same unit share the unit of their axes.
            alike = [
                one.sigma for one, other in zip(found, quantities, strict=True) if one and other.unit == quantity.unit
            ]
            factor, unit = prefixed(max(alike), quantity.unit)
            unit = "" if unit == "1" else unit
            _histogram(axes, each, of_bins, int(total), factor, unit, subject.before.get(quantity.name))
            axes.set_xlabel(titled("unbiased residual", unit))
    legend(canvas, grid)
    return canvas


def _expected(residual: np.ndarray, sigma: np.ndarray) -> _Expected | None:
    """None for a coordinate without residuals of a known width."""
    good = np.isfinite(residual) & np.isfinite(sigma) & (sigma > 0)
    if not good.any():
        return None
    low, median, high = np.quantile(residual[good], [0.15865, 0.5, 0.84135])
    return _Expected(float(median), float(high - low) / 2, sigma[good])


def _counts(subject: Subject, found: list[_Expected | None]) -> tuple[list[np.ndarray], np.ndarray]:
    """The counts in bins, and the number of residuals, of each coordinate."""
    counts, totals = [np.zeros(each.bins.number if each else 1) for each in found], np.zeros(len(found))
    for rows in all_rows(subject, "residual", "residual_sigma"):
        residual, sigma = rows.columns
        # A residual that is too large for a double has a σ, too.
        totals += (np.isfinite(residual) | (np.isfinite(sigma) & (sigma > 0))).sum(axis=0)
        for place, each in enumerate(found):
            if each:
                counts[place] += counted((each.bins, residual[:, place]))
    return counts, totals


def _histogram(
    axes: Axes,
    each: _Expected,
    counts: np.ndarray,
    total: int,
    factor: float,
    unit: str,
    before: ResidualSpread | None,
) -> None:
    """The shares of all residuals in each bin, as a density; positions are drawn in another unit by a factor."""
    shares = counts / total
    bins, width = each.bins, (each.bins.high - each.bins.low) / each.bins.number
    axes.stairs(shares / (width * factor), bins.edges * factor, fill=True, color=BLUE, alpha=0.5, label="hits")
    x = np.linspace(bins.low, bins.high, 301)
    expected = each.density(x) / factor
    axes.plot(x * factor, expected, color="black", lw=1, label="expected from the stated σ")
    axes.axvline(0, color=GREY, lw=0.6)
    top = 1.45 * max(axes.get_ylim()[1] / 1.05, expected.max())
    if before:
        style: dict[str, Any] = {"fmt": "D", "ms": 3.5, "color": VERMILLION, "capsize": 3}
        style["label"] = "before alignment: median ± width"
        axes.errorbar(before.median * factor, 0.4 * top, xerr=before.width * factor, **style)
    beyond = (total - int(counts.sum())) / total
    numbers = [("median", each.median, each.median_error), ("width", each.width, each.width_error)]
    words = [f"{name} {_with_error(value * factor, error * factor)} {unit}".rstrip() for name, value, error in numbers]
    words.append(f"stated {brief(each.sigma * factor)} {unit}".rstrip())
    words += [f"before {brief(before.median * factor)} ± {brief(before.width * factor)}"] if before else []
    words += [f"{percent(beyond)} outside"] * (beyond > 0)
    axes.text(0.03, 0.98, "\n".join(words).replace("-", "−"), transform=axes.transAxes, va="top", fontsize=SMALL)
    axes.set(yticks=[], ylim=(0, top), xlim=(bins.low * factor, bins.high * factor))


def _with_error(value: float, error: float) -> str:
    """A number with its error, to the error's second digit unless that takes too many."""
    text = with_sigma(value, error)
    return text if len(text) <= LONGEST_NUMBER else f"{brief(value)} ± {brief(error)}"


def chi2_distribution(subject: Subject) -> Canvas:
    """Draw χ²/ndf of all tracks beside what is expected, and the p-values."""
    counts, freedom = _ratios(subject)
    canvas, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 2.8))
    if not freedom:
        say(left, "no degrees of freedom")
    else:
        together = 1 if sum(freedom.values()) >= FOR_NARROW_BINS else FOR_FEW_TRACKS
        counts, edges = counts.reshape(-1, together).sum(axis=1), 10 ** LOG_RATIO.edges[::together]
        expected = sum(number * np.diff(gammainc(ndf / 2, ndf * edges / 2)) for ndf, number in freedom.items())
        left.stairs(counts, edges, fill=True, color=BLUE, alpha=0.5, label="tracks")
        left.stairs(expected, edges, color="black", lw=1, label="expected")
        shown = np.flatnonzero((counts > 0) | (expected > 1e-3 * expected.max()))
        left.set(xscale="log", xlim=(edges[shown[0]], edges[shown[-1] + 1]), ylim=(0, None))
        left.set(xlabel="χ²/ndf", ylabel="tracks", title=_in_words(subject))
        left.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.legend(loc="upper left", fontsize=SMALL)
    show_p_values(right, subject.fit)
    return canvas


def _in_words(subject: Subject) -> str:
    """Mean and typical χ²/ndf."""
    fit = subject.fit
    if fit.chi2_per_ndf is None:
        return ""
    typical = "" if fit.median_width is None else f", of a typical track {brief(fit.median_width.value**2)}"
    return f"mean χ²/ndf {brief(fit.chi2_per_ndf)}{typical}"


def _ratios(subject: Subject) -> tuple[np.ndarray, Counter[float]]:
    """The number of tracks in bins of log₁₀(χ²/ndf), with those above in the last one, and by degrees of freedom."""
    counts, freedom = np.zeros(LOG_RATIO.number), Counter[float]()
    for rows in all_rows(subject, "chi2", "ndf"):
        chi2, ndf = rows.columns
        chi2 = np.where((ndf > 0) & np.isnan(chi2), FURTHEST, chi2)  # too large for a double
        counts += counted((LOG_RATIO, _log_ratio(chi2, ndf)))
        tracks = np.isfinite(chi2) & (ndf > 0)
        freedom.update(dict(zip(*(each.tolist() for each in np.unique(ndf[tracks], return_counts=True)), strict=True)))
    return counts, freedom


def _log_ratio(chi2: np.ndarray, ndf: np.ndarray) -> np.ndarray:
    """log₁₀(χ²/ndf), at most the end of `LOG_RATIO`; NaN without degrees of freedom."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = np.log10(chi2 / np.where(ndf > 0, ndf, np.nan))
    return np.minimum(found, LOG_RATIO.high)
