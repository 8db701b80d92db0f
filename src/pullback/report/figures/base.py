"""Shared by the figures: style, the data of a scan point, and common elements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation

from ...models import NO_FOLD, Quantity
from ...models.stated import stated_resolution
from ...statistics.angles import wrap
from ...statistics.prefixes import prefixed
from ...store.artefact import Reader
from ...store.columns import LINEAR_SIGMA
from ...study import blocks
from ...study.blocks import block_count
from ...study.plan import Study
from ...study.toy_selection import blocks_shown, share
from ...validation.bin_sums import distance
from ...validation.coverage_evidence import TruthBin
from ...validation.estimates import Estimate
from ...validation.evidence import Bin, Entry, Evidence
from ...validation.reasons import over_sigma
from ..gallery import Figure, point_of
from .ranges import FURTHEST, drawable
from .symbols import with_symbol

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

B = TypeVar("B", Bin, TruthBin)

# Okabe and Ito's colours, told apart by the colour-blind; marker and line style tell them apart in grey.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#7F7F7F"

PAGE_WIDTH = 6.4
"""Width of every figure in inches: shown at the same width, all have text of the same size."""

SMALL = 8
"""Size of the smallest text in points; on a phone, where a figure is 672 px wide and scrolls, that is 12 px."""

STYLE: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "image.cmap": "cividis",
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "pullback",  # names of clip paths in the SVG, random otherwise
    "svg.fonttype": "path",
    "savefig.dpi": 150,
}

FURTHEST_PULL = 4.5
"""Pulls beyond this are counted, not drawn."""

FOR_NARROW_BINS = 300
"""Pulls from which a histogram has narrow bins."""

FEW = 2
"""Panels beside each other."""

SMALLEST_PLAIN, LARGEST_PLAIN = 1e-3, 1e5
"""Ends of a logarithmic axis between which its labels are plain numbers, not powers of 10."""


class ResidualSpread(NamedTuple):
    """Median of the residuals of a coordinate, and half the range of the middle 68.27 %, in its unit."""

    median: float
    width: float


class Subject:
    """The data of the figures of a scan point: its first block, its toys, and its entries in the evidence.

    `before` holds the residuals before alignment, by the name of the coordinate, of a study that aligns its layers.
    """

    def __init__(
        self,
        study: Study,
        reader: Reader,
        evidence: Evidence,
        figure: Figure,
        before: Mapping[str, ResidualSpread] = MappingProxyType({}),
    ):
        self.study, self.reader, self.recorded, self.before = study, reader, study.recorded, before
        self.model, self.one_hit = study.model, study.config.model.name == "one_hit"
        self.coordinates = [*map(with_symbol, study.model.coordinates)]
        self.label = point_of(figure, study, evidence)
        self.point = next(each for each in study.points if each.label == self.label)
        self.settings = self.point.config.validation
        self.fit = next(each for each in evidence.fits if each.point == self.label)
        entries = {each.observable: each for each in evidence.points if each.point == self.label}
        self.observables = [Observable(self, each, entries[each.name]) for each in observables_of(study, figure)]

    def column(self, name: str) -> np.ndarray:
        """A column of the first muons, with NaN for values too large to be drawn."""
        return drawable(self.as_recorded(name))

    def as_recorded(self, name: str) -> np.ndarray:
        """A column of the first muons as it is in the artefact."""
        return self.reader.rows(f"{self.label}/{name}", 0, blocks.BLOCK)

    def toys(self, name: str) -> np.ndarray:
        """A column of the toy muons that are shown."""
        muons = self.study.muons[self.label]
        total, count = block_count(muons), min(self.point.config.toys.muons, muons)
        leading = blocks_shown(total, count)
        column, muon = (
            self.reader.rows(f"{self.label}/toys/{each}", 0, share(range(leading), total, count).stop)
            for each in (name, "muon")
        )
        return drawable(
            column[muon < leading * blocks.BLOCK]
        )  # a block with too few muons has fewer toys than its share

    def at(self, name: str, muon: np.ndarray) -> np.ndarray:
        """A column of given muons, most of which are in the first block."""
        first = self.column(name)
        rows = (
            first[each] if each < blocks.BLOCK else self.reader.rows(f"{self.label}/{name}", each, each + 1)[0]
            for each in muon.tolist()
        )
        return drawable(np.array(list(rows), first.dtype))

    def whole(self, name: str) -> np.ndarray:
        """A whole column, along another axis than muons."""
        return self.reader.rows(f"{self.label}/{name}")

    @property
    def resolution(self) -> np.ndarray:
        """The resolution of each coordinate, in 1 over its unit."""
        return stated_resolution(self.point.config.detector.stated, self.model)


class Observable:
    """An observable at the scan point of a figure, with its entry in the evidence."""

    def __init__(self, subject: Subject, quantity: Quantity, entry: Entry):
        self.subject, self.quantity, self.entry = subject, quantity, entry
        self.name, self.symbol = quantity.name, quantity.symbol
        self.linear, self.quoted = entry.linear, entry.quoted
        fold = quantity.fold or quantity.name
        folds = (each for each in subject.model.observables if each.name == fold and fold != NO_FOLD)
        self.fold = next(map(with_symbol, folds), None)

    def column(self, pattern: str) -> np.ndarray:
        """A column of the first muons, such as `sigma_{}`."""
        return self.subject.column(pattern.format(self.name))

    def toys(self, pattern: str) -> np.ndarray:
        """A column of the toy muons that are shown."""
        return self.subject.toys(pattern.format(self.name))

    def at(self, pattern: str, muon: np.ndarray) -> np.ndarray:
        """A column of given muons."""
        return self.subject.at(pattern.format(self.name), muon)

    @property
    def domain(self) -> float:
        """Distance from the fold, in σ, from which linear propagation is used."""
        return max(self.subject.settings.domain, self.quantity.domain)

    def true(self) -> np.ndarray:
        """The value at the true hits; for an angle on a circle, within half a period of the recorded value."""
        value = self.column("{}")
        return value - wrap(value - self.column("{}_true"), self.quantity.period)

    def distance(self, at: str = "", muon: np.ndarray | None = None) -> np.ndarray:
        """Distance of the first muons, or of given ones, from the fold in σ, at recorded or (`_true`) at true hits."""
        if self.fold is None:
            return np.full(len(self.column("{}") if muon is None else muon), np.inf)
        columns = f"{self.fold.name}{at}", LINEAR_SIGMA[at].of(self.fold.name)
        read = self.subject.column if muon is None else partial(self.subject.at, muon=muon)
        return distance(*map(read, columns))

    @property
    def place(self) -> str:
        """What the distance from the fold is called."""
        return over_sigma(self.fold.symbol) if self.fold else ""


def observables_of(study: Study, figure: Figure) -> list[Quantity]:
    """The observables that a figure is about."""
    return [with_symbol(each) for each in study.model.observables if figure.observable in ("", each.name)]


def say_what_is_beyond(axes: Axes, hits: np.ndarray) -> None:
    """Show the number of hits that are too far to be drawn, if any."""
    if beyond := int((np.isfinite(hits) & (np.abs(hits) > FURTHEST)).sum()):
        words = f"{beyond} hit{'s' * (beyond > 1)} beyond ±{FURTHEST:g} not shown"
        axes.set_title(words, fontsize=SMALL, color=VERMILLION)


def with_minus(words: str) -> str:
    """Words whose numbers have a minus sign, and no sign where they are 0."""
    return re.sub(r"[+-](0\.?0*)(?![\d.])", r"\1", words).replace("-", "−")


def say_outside(axes: Axes, outside: np.ndarray, of: str = "muon") -> None:
    """Show the number of muons, or hits, outside a panel's range, if any: where each of them is outside."""
    if count := int(outside.sum()):
        words = f"{count} {of}{'s' * (count > 1)} outside"
        style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": SMALL, "color": VERMILLION}
        axes.text(1, 1.01, words, transform=axes.transAxes, **style)


def say(axes: Axes, words: str) -> None:
    """Words in the middle of a panel that has nothing else to show."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center")


def label_axis(axes: Axes, along: Literal["x", "y"], words: str, unit: str) -> None:
    """Label an axis, when all is drawn, with the unit that suits its range: mrad, µm."""
    factor, unit = prefixed(max(map(abs, getattr(axes, f"get_{along}lim")())), unit)
    axes.set(**{f"{along}label": titled(words, unit)})
    axis = getattr(axes, f"{along}axis")
    if getattr(axes, f"get_{along}scale")() == "log":
        axis.set_major_formatter(_ScaledLog(factor))
        axis.set_minor_formatter(_ScaledLog(factor))
    elif factor != 1:
        axis.set_major_formatter(scaled_ticks(factor))


def scaled_ticks(factor: float) -> FuncFormatter:
    """Labels of a linear axis, times a factor."""
    return FuncFormatter(lambda value, _: f"{factor * value:.6g}".replace("-", "−"))


class _ScaledLog(LogFormatterSciNotation):
    """Labels of a logarithmic axis, times a power of 10: plain numbers where the whole axis can have them."""

    def __init__(self, factor: float):
        super().__init__()
        self._factor = factor

    def __call__(self, x: float, pos: int | None = None) -> str:
        words = super().__call__(self._factor * x, pos)  # empty where there is no room for a label
        assert self.axis
        low, high = (self._factor * each for each in self.axis.get_view_interval())
        plain = words and low >= SMALLEST_PLAIN and high <= LARGEST_PLAIN
        return f"{self._factor * x:.6g}" if plain else str(words)


def titled(words: str, unit: str) -> str:
    """Words with their unit, if any, in parentheses."""
    return words if unit in ("", "1") else f"{words} ({unit})"


def beyond_band(axes: Axes, expected: float, tolerance: float) -> tuple[float, float]:
    """The range of an axis, and at least so much that a band of the tolerance has an edge."""
    low, high = axes.get_ylim()
    return min(low, expected - 1.4 * tolerance), max(high, expected + 1.4 * tolerance)


def gaussian(axes: Axes) -> None:
    """The density of the unit Gaussian."""
    z = np.linspace(-4.5, 4.5, 200)
    axes.plot(z, normal(z, 0, 1), color="black", lw=1.2, label="unit Gaussian")


def normal(x: np.ndarray, mean: float, sd: float) -> np.ndarray:
    """The density of a Gaussian."""
    return np.exp(-(((x - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))


def pull_bins(count: int) -> np.ndarray:
    """The edges of bins of pulls: wider for few, of which each would be a spike."""
    return np.linspace(-FURTHEST_PULL, FURTHEST_PULL, 61 if count >= FOR_NARROW_BINS else 19)


def density(axes: Axes, values: np.ndarray, bins: np.ndarray, **style: Any) -> None:
    """A histogram normalized to all values, including those outside the bins; the sample may be empty."""
    # One outline is much faster to draw than one bar per bin.
    style = {"histtype": "stepfilled", **style}
    weights = np.full(len(values), 1 / (max(1, len(values)) * (bins[1] - bins[0])))
    axes.hist(values, bins=bins.tolist(), weights=weights, **style)


def legend(
    canvas: Canvas,
    panels: Iterable[Axes],
    loc: Any = "outside upper center",
    ncols: int = 4,
    rows: int = 1,
    **style: Any,
) -> None:
    """One legend for all panels: in the place of a missing last panel, which has `rows` rows, if one is free."""
    panels = list(panels)
    shown: dict[str, Artist] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        shown |= dict(zip(names, handles, strict=True))
    if shown and (free := _free_place(canvas, panels, rows)):
        free.legend(list(shown.values()), list(shown), loc="center", ncols=1, fontsize=SMALL, **style)
        return
    while shown:  # panels that have nothing to show have no lines, either
        made = canvas.legend(list(shown.values()), list(shown), loc=loc, ncols=ncols, fontsize=SMALL, **style)
        if ncols == 1 or made.get_window_extent().width <= canvas.bbox.width:
            break
        made.remove()
        ncols -= 1


def _free_place(canvas: Canvas, panels: Sequence[Axes], rows: int) -> Axes | None:
    """The place at the end of a grid whose last column is free in its last `rows` rows, without a frame."""
    grid = panels[0].get_gridspec() if panels else None
    if grid is None or grid.ncols == 1:
        return None
    taken = {(spec.num1, spec.num2) for axes in canvas.axes if (spec := axes.get_subplotspec())}
    places = range(grid.nrows * grid.ncols)
    at_end = {*places[grid.ncols - 1 :: grid.ncols][-rows:]}
    if taken != {(place, place) for place in {*places} - at_end}:
        return None
    free = canvas.add_subplot(grid[-rows:, -1])
    free.set_axis_off()
    return free


def panels(
    count: int, height: float, *, most: int = FEW, sharex: bool = False, sharey: bool = False
) -> tuple[Canvas, list[Axes]]:
    """A figure with `count` panels, at most `most` per row; `sharex` and `sharey` as in `plt.subplots`."""
    columns = min(count, most)
    rows = -(-count // columns)
    canvas, grid = plt.subplots(
        rows, columns, figsize=(PAGE_WIDTH, height * rows), squeeze=False, sharex=sharex, sharey=sharey
    )
    for axes in grid.flat[count:]:
        axes.remove()
    return canvas, list(grid.flat[:count])


def mosaic(rows: Sequence[Sequence[str]], height: float) -> tuple[Canvas, dict[str, Axes]]:
    """A figure with panels by name, which may be as wide as several; `height` is that of a row."""
    plan: Any = [[*row] for row in rows]
    canvas, found = plt.subplot_mosaic(plan, figsize=(PAGE_WIDTH, height * len(rows)))
    return canvas, {str(name): axes for name, axes in found.items()}


@dataclass(frozen=True)
class BinPanel(Generic[B]):
    """A panel with bins along its axis: title, binned quantity, labels, bins, and number of empty bins left out."""

    title: str
    place: str
    words: list[str]
    bins: list[B]
    left_out: int = 0


def bin_panels(found: Sequence[tuple[Observable, Sequence[B]]], known: Callable[[B], bool]) -> list[BinPanel[B]]:
    """The bins of observables as panels, without the empty ones at either end.

    Observables without a fold have one bin, and are together in one panel. Of several observables, those of which one
    bin is known are there too: a panel of their own would be nearly empty.
    """
    wide: list[BinPanel[B]] = []
    flat: list[tuple[str, B]] = []
    for each, bins in found:
        kept = ends_of([known(one) for one in bins])
        shown = list(bins[kept])
        folds = each.fold is not None and len(bins) > 1
        if folds and (len(shown) > 1 or len(found) == 1):
            wide.append(BinPanel(each.symbol, each.place, labels(shown), shown, len(bins) - len(shown)))
        else:
            flat.append((f"{each.symbol}\n{labels(shown)[0]} σ" if folds else each.symbol, shown[-1]))
    if flat:
        words = [each for each, _ in flat]
        title = "one bin each" if any("\n" in each for each in words) else "without a fold"
        wide.append(BinPanel(title, "", words, [each for _, each in flat]))
    return wide


def ends_of(known: Sequence[bool]) -> slice:
    """From the first bin that has something to show to the last one; only the last one if none has.

    >>> ends_of([False, True, False, True, False]), ends_of([False, False])
    (slice(1, 4, None), slice(1, 2, None))

    """
    places = [place for place, each in enumerate(known) if each] or [len(known) - 1]
    return slice(places[0], places[-1] + 1)


def is_estimated(estimate: Estimate | None) -> bool:
    """Whether a bin has an estimate that can be drawn."""
    return estimate is not None and bool(np.isfinite(estimate.value))


def say_left_out(axes: Axes, number: int) -> None:
    """Show the number of bins that a panel leaves out, if any."""
    if number:
        text = f"{number} empty bin{'s' * (number > 1)} not shown"
        axes.text(1, 1.01, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=SMALL, color=GREY)


def labels(bins: Sequence[Bin] | Sequence[TruthBin]) -> list[str]:
    """The ranges of bins."""
    return [f"{each.low:g}–{each.high:g}" if np.isfinite(each.high) else f"≥ {each.low:g}" for each in bins]


def ticks(axes: Axes, words: Sequence[str], place: str) -> None:
    """Label the bins along the axis."""
    axes.set_xticks(range(len(words)), words)
    axes.set(xlabel=place, xlim=(-0.5, len(words) - 0.5))


def in_bins(axes: Axes, estimates: Sequence[Estimate | None], shift: float = 0.0, **style: Any) -> None:
    """Plot the estimate of each bin with its interval; bins without an estimate stay empty."""
    known = {place + shift: each for place, each in enumerate(estimates) if each and is_estimated(each)}
    value, low, high = (np.array([getattr(each, of) for each in known.values()]) for of in ("value", "low", "high"))
    axes.errorbar(np.array([*known]), value, [value - low, high - value], capsize=3, ls="none", **style)


def height_of(views: Sequence[Any]) -> float:
    """Height of a panel with bins."""
    return 3.4 if len(views) == 1 else 2.5


def named(axes: Axes, panel: BinPanel[Any], at: str, among: int) -> None:
    """The bins along an axis, how many are left out, and a title where there are several panels."""
    ticks(axes, panel.words, f"{at}{panel.place}" if panel.place else "")
    beside = among > 1 and panel.left_out  # the number stands at the right of the title
    if among > 1:
        axes.set_title(panel.title, loc="left" if beside else "center")
    say_left_out(axes, panel.left_out)
