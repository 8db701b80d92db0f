"""The figures of a study, as SVG and PDF: the same bytes every time, readable in grey and by the colour-blind."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from .artefacts import Reader
from .batches import BLOCK
from .config import unit_of
from .evidence import Evidence, read_evidence
from .files import whole
from .gallery import Figure, gallery, is_grid, over, point_of, varying
from .gathering import open_study
from .models import Quantity
from .normal import P68, P95
from .points import nearest_to_unscanned, number
from .study import Study
from .validation import ENDS

log = logging.getLogger(__name__)

# Okabe and Ito's colours, told apart by the colour-blind; marker and line style tell them apart in grey.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#7F7F7F"

STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "image.cmap": "cividis",
    "svg.hashsalt": "pullback",  # names of clip paths in the SVG, random otherwise
    "svg.fonttype": "path",
    "savefig.dpi": 150,
}

METADATA = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""No time of creation in the files, and no version of the drawing library."""


class Panel(NamedTuple):
    """A panel of a scan: which σ it is about, a statistic of its domain, in words, and what it should be."""

    sigma: str
    key: str
    words: str
    expected: float | None = None


SCAN = (
    Panel("linear", "mean_value", "mean {symbol} ({unit})"),
    Panel("quoted", "mean_sigma", "mean quoted σ, all muons ({unit})"),
    Panel("quoted", "linear_ok", "share of all muons that are linear"),
    Panel("linear", "share", "share in the linear domain"),
    Panel("linear", "ratio", "closure of the linear σ", 1.0),
    Panel("quoted", "ratio", "closure of the quoted σ, all muons", 1.0),
    Panel("linear", "scatter", "closure: scatter / expected"),
    Panel("linear", "pull_mean", "pull mean", 0.0),
    Panel("linear", "pull_sd", "pull sd", 1.0),
    Panel("linear", "pull_rms", "pull RMS", 1.0),
    Panel("linear", "coverage68", "success of ±1 σ", P68),
    Panel("linear", "coverage95", "success of ±1.96 σ", P95),
)


def plot(
    study: Study,
    study_file: str | Path,
    validation: str | Path,
    svgs: Sequence[str | Path],
    pdfs: Sequence[str | Path],
) -> None:
    """Draw every figure of the study's gallery, in its order, as SVG and as PDF."""
    evidence = read_evidence(validation)
    with open_study(study_file) as reader, plt.rc_context(STYLE):
        for figure, svg, pdf in zip(gallery(study), svgs, pdfs, strict=True):
            if figure.kind == "scan":
                canvas = _scan(study, evidence, figure)
            else:
                canvas = _OF_POINT[figure.kind](_Point(study, reader, evidence, figure))
            for path, (kind, metadata) in zip((svg, pdf), METADATA.items(), strict=True):
                # By way of memory: on a full disk, the writers of the files fail in obscure ways.
                image = io.BytesIO()
                canvas.savefig(image, format=kind, metadata=metadata)
                canvas.set_layout_engine("none")  # laid out once, for both files
                with whole(path) as part:
                    part.write_bytes(image.getvalue())
            plt.close(canvas)
            log.info("drawn: %s", figure.stem)


class _Point:
    """What the figures of a point are drawn from: its first block, its toys, and its entry in the evidence."""

    def __init__(self, study: Study, reader: Reader, evidence: Evidence, figure: Figure):
        self.reader, self.recorded = reader, study.recorded
        self.label = point_of(figure, study, evidence)
        self.x: Quantity = study.model.coordinates[0]
        self.quantity = _quantity(study, figure)
        self.point = next(each for each in study.points if each.label == self.label)
        self.entry = next(
            each
            for each in evidence["points"]
            if (each["point"], each["observable"]) == (self.label, self.quantity.name)
        )
        self.linear, self.quoted = self.entry["linear"], self.entry["quoted"]
        self.settings = self.point.config.validation
        resolution = self.point.config.detector.resolution
        self.sigma_x = 1 / (resolution[0] if isinstance(resolution, list) else resolution)

    def column(self, name: str) -> np.ndarray:
        return self.reader.rows(f"{self.label}/{name}", 0, BLOCK)

    def toys(self, name: str) -> np.ndarray:
        return self.reader.rows(f"{self.label}/toys/{name}")

    @property
    def usable(self) -> np.ndarray:
        return self.column(f"flag_{self.quantity.name}") == 0


def _quantity(study: Study, figure: Figure) -> Quantity:
    """The observable that a figure is about; the first, where it is about hits."""
    return next(each for each in study.model.observables if figure.observable in ("", each.name))


def _axis(quantity: Quantity, words: str = "") -> str:
    return f"{words}{quantity.symbol} ({quantity.unit})"


def _gaussian(axes: Axes) -> None:
    z = np.linspace(-4.5, 4.5, 200)
    axes.plot(z, np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), color="black", lw=1.2, label="unit Gaussian")


def _density(axes: Axes, values: np.ndarray, bins: np.ndarray, **style: Any) -> None:
    """A histogram as a density over all values, those outside the bins and an empty sample included."""
    weights = np.full(len(values), 1 / (max(1, len(values)) * (bins[1] - bins[0])))
    axes.hist(values, bins=bins, weights=weights, **style)


def _hits(data: _Point) -> Canvas:
    reco = data.column("x_reco")[:, 0]
    if data.recorded:
        canvas, axes = plt.subplots(figsize=(5.5, 3.2))
        reco = reco[np.isfinite(reco)]
        axes.hist(reco, bins=min(100, max(10, len(reco) // 50)), color=BLUE)
        axes.plot(
            reco[:200],
            np.zeros_like(reco[:200]),
            "|",
            color="black",
            ms=12,
            clip_on=False,
            label="the first 200 hits",
        )
        axes.set(xlabel=_axis(data.x, "recorded "), ylabel="muons")
        axes.legend()
        return canvas
    true = data.column("x_true")[:, 0]
    canvas, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
    counts, xs, ys = np.histogram2d(true, reco, bins=120)
    mesh = left.pcolormesh(
        xs, ys, np.where(counts > 0, counts, np.nan).T, norm="log", rasterized=True, cmap="cividis_r"
    )
    canvas.colorbar(mesh, ax=left, label="muons")
    left.axline((true.mean(), true.mean()), slope=1, color=VERMILLION, lw=1.2, ls="--", label="recorded = true")
    left.set(xlabel=_axis(data.x, "true "), ylabel=_axis(data.x, "recorded "))
    left.legend(loc="upper left")
    _density(right, (reco - true) / data.sigma_x, np.linspace(-4.5, 4.5, 61), color=BLUE, alpha=0.5, label="hits")
    _gaussian(right)
    right.set(xlabel=f"(recorded − true) {data.x.symbol} × resolution", ylabel="density", ylim=(0, 0.48))
    right.legend()
    return canvas


def _value(data: _Point) -> Canvas:
    usable = data.usable
    x = data.column("x_reco")[usable, 0]
    value = data.column(data.quantity.name)[usable]
    sigma = data.column(f"sigma_{data.quantity.name}_linear")[usable]
    interval = data.column(f"interval68_{data.quantity.name}")[usable]
    panels = {"all hits": np.full(len(x), True), "within 6 σ of the fold": np.abs(x) < 6 * data.sigma_x}
    panels = {title: which for title, which in panels.items() if which.any()} or panels
    canvas, grid = plt.subplots(1, len(panels), figsize=(4 * len(panels), 3.4), squeeze=False)
    for axes, (title, which) in zip(grid.flat, panels.items(), strict=True):
        order = np.flatnonzero(which)[np.argsort(x[which], kind="stable")]
        if len(order) > 60:
            wanted = np.linspace(x[order[0]], x[order[-1]], 60)  # evenly over x, as far as there are muons
            order = order[np.unique(np.searchsorted(x[order], wanted).clip(0, len(order) - 1))]
        axes.errorbar(
            x[order], value[order], sigma[order], fmt="none", elinewidth=2.5, color="lightgrey", label="±1 σ, linear"
        )
        # By themselves, since near a fold the value at the hit can lie outside of its interval.
        axes.vlines(x[order], *interval[order].T, lw=1, color=BLUE, label="68.27 % interval")
        axes.plot(x[order], value[order], "o", ms=2.5, color=BLUE)
        axes.axhline(0, color="black", lw=0.6)
        axes.set(xlabel=_axis(data.x, "recorded "), ylabel=_axis(data.quantity), title=title)
    grid.flat[0].legend(loc="upper left")
    return canvas


def _sigma(data: _Point) -> Canvas:
    name, settings = data.quantity.name, data.settings
    muon, sd = data.toys("muon"), data.toys(f"toy_sd_{name}")
    first = muon < BLOCK  # toys around muons of the first block
    muon, sd = muon[first], sd[first]
    columns = (f"{name}", f"sigma_{name}_linear", f"sigma_{name}")
    value, sigma, quoted = (data.column(column)[muon] for column in columns)
    good = (quoted > 0) & np.isfinite(sd)
    order = np.argsort(value[good], kind="stable")
    value, sigma, quoted, sd = (each[good][order] for each in (value, sigma, quoted, sd))
    canvas, panels = plt.subplots(
        2, 2, figsize=(8, 4.6), sharex="col", sharey="row", gridspec_kw={"height_ratios": [2, 1.3]}
    )
    if not len(value):
        panels[0, 0].text(0.5, 0.5, "no toys", transform=panels[0, 0].transAxes)
        return canvas
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, to_linear = np.abs(value / sigma) >= settings.domain, sd / sigma
    boundary = value[inside].min() if inside.any() else value.max()
    zoom = min(value.max(), max(10 * np.median(sigma), 2 * boundary))
    for column, (title, limit) in enumerate((("all muons", value.max()), (f"small {data.quantity.symbol}", zoom))):
        top, bottom = panels[:, column]
        few = len(value) <= 100
        points = {
            "ms": 4 if few else 2,
            "rasterized": not few,
            "color": VERMILLION,
            "alpha": 1 if few else 0.5,
            "ls": "none",
        }
        top.plot(value, sd, "s", label="sd of toys", **points)
        top.plot(value, quoted, color=BLUE, lw=1.5, label="quoted σ")
        top.plot(value, sigma, color="black", lw=1, ls="--", label="linear σ")
        bottom.axhspan(1 - settings.tolerance, 1 + settings.tolerance, color=GREY, alpha=0.25, lw=0)
        bottom.axhline(1, color=BLUE, lw=1)
        bottom.plot(value, to_linear, "x", **{**points, "color": "black"}, label="to the linear σ")
        bottom.plot(value, sd / quoted, "s", **points, label="to the quoted σ")
        if inside.any() and not inside.all():
            for axes in (top, bottom):
                axes.axvline(boundary, color="black", ls=":", lw=0.8)
        top.set(title=title)
        limit = limit or quoted.max()  # where all muons are at zero
        bottom.set(xlabel=_axis(data.quantity), xlim=(-0.02 * limit, 1.02 * limit))
    panels[0, 0].set(ylabel=f"uncertainty of {_axis(data.quantity)}", ylim=(0, 1.15 * max(sigma.max(), sd.max())))
    panels[0, 0].legend(loc="lower left", ncols=3)
    panels[1, 0].set(ylabel="toy sd / σ")
    panels[1, 1].legend(loc="lower right", fontsize=8)
    return canvas


def _pulls(data: _Point) -> Canvas:
    name, sigma = data.quantity.name, data.column(f"sigma_{data.quantity.name}_linear")
    usable = data.usable & (sigma > 0)
    at, sigma_at = data.column(f"{name}_true"), data.column(f"sigma_{name}_linear_true")
    z = (data.column(name) - at)[usable] / sigma[usable]
    inside = (np.abs(at) >= data.settings.domain * sigma_at)[usable]
    canvas, axes = plt.subplots(figsize=(5.5, 3.6))
    bins = np.linspace(-4.5, 4.5, 61)
    domain = data.linear["domain"]
    words = f"\nmean {domain['pull_mean']:+.3f}, sd {domain['pull_sd']:.3f}" if domain.get("pull_sd") else ""
    condition = f"{data.quantity.symbol}/σ ≥ {data.settings.domain:g}"
    _density(axes, z[inside], bins, color=BLUE, alpha=0.5, label=f"{condition}{words}")
    if not inside.all():
        below = f"{data.quantity.symbol}/σ < {data.settings.domain:g}"
        _density(axes, z[~inside], bins, histtype="step", color=VERMILLION, ls="--", label=below)
    _gaussian(axes)
    axes.set(xlabel=f"pull of {data.quantity.symbol}", ylabel="density")
    axes.legend(loc="upper left", fontsize=8)
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    return canvas


def _bins(axes: Axes, data: _Point, words: str) -> None:
    """Bins of θ/σ along the axis."""
    bins = data.linear["bins"]
    edges = [f"{each['low']:g}–{each['high']:g}" if each["high"] is not None else f"≥ {each['low']:g}" for each in bins]
    axes.set_xticks(range(len(bins)), edges)
    axes.set(xlabel=f"{words}{data.quantity.symbol}/σ", xlim=(-0.5, len(bins) - 0.5))


def _in_bins(axes: Axes, bins: list[dict[str, Any]], key: str, shift: float = 0.0, **style: Any) -> None:
    """A statistic with its interval in those bins that have it."""
    place = [i for i, each in enumerate(bins) if each.get(key) is not None]
    value, low, high = (np.array([bins[i][f"{key}{limit}"] for i in place]) for limit in ("", "_low", "_high"))
    axes.errorbar(np.array(place) + shift, value, [value - low, high - value], capsize=3, ls="none", **style)


def _coverage(data: _Point) -> Canvas:
    canvas, panels = plt.subplots(1, 2, figsize=(9.5, 3.6), sharey=True)
    outside = sum(each["low"] < data.settings.domain for each in data.linear["bins"])
    kinds = ((data.linear, ("±1 σ, linear", "±1.96 σ, linear")), (data.quoted, ("68.27 %, quoted", "95 %, quoted")))
    for axes, (judged, words) in zip(panels, kinds, strict=True):
        styles = ((P68, "68", BLUE, "o"), (P95, "95", VERMILLION, "s"))
        for (nominal, level, colour, marker), label in zip(styles, words, strict=True):
            axes.axhline(nominal, color=colour, ls="--", lw=0.8)
            _in_bins(axes, judged["bins"], f"coverage{level}", fmt=marker, color=colour, label=label)
        _bins(axes, data, "true ")
        axes.legend(loc="lower right", fontsize=8)
    panels[0].axvspan(-0.5, outside - 0.5, color=GREY, alpha=0.2, lw=0)
    if outside:
        panels[0].text(-0.4, 0.03, "outside the linear domain", transform=panels[0].get_xaxis_transform(), fontsize=8)
    panels[0].set(ylabel="success", ylim=(None, 1.02))
    return canvas


def _ends(data: _Point) -> Canvas:
    canvas, axes = plt.subplots(figsize=(6.5, 3.6))
    tolerance = data.settings.tolerance
    axes.axhspan(-tolerance, tolerance, color=GREY, alpha=0.25, lw=0)
    axes.axhline(0, color="black", lw=0.6)
    styles = ((BLUE, "v", "68.27 %, lower"), (BLUE, "^", "68.27 %, upper"))
    styles += ((VERMILLION, "v", "95 %, lower"), (VERMILLION, "^", "95 %, upper"))
    for index, (end, (colour, marker, label)) in enumerate(zip(ENDS, styles, strict=True)):
        shift = 0.12 * (index - 1.5)
        _in_bins(axes, data.quoted["bins"], f"{end}_off", shift, fmt=marker, ms=4, color=colour, label=label)
    _bins(axes, data, "recorded ")
    axes.set(ylabel="(toy end − quoted end) / half-width")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -2 * tolerance), max(high, 2 * tolerance))
    canvas.legend(loc="outside upper center", ncols=4, fontsize=8)
    return canvas


def _law(data: _Point) -> Canvas:
    name, usable = data.quantity.name, data.usable
    canvas, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    share = [np.nan if each["linear_ok"] is None else each["linear_ok"] for each in data.quoted["bins"]]
    left.bar(range(len(share)), share, color=BLUE, alpha=0.7)
    _bins(left, data, "" if data.recorded else "true ")
    left.set(ylabel="share of muons that are linear", ylim=(0, 1.05))
    linear = data.column(f"sigma_{name}_linear")[usable]
    has_sigma = linear > 0
    linear = linear[has_sigma]
    place = np.abs(data.column(name)[usable][has_sigma]) / linear
    near = np.flatnonzero(place < 6)
    near = near[np.argsort(place[near], kind="stable")]
    near = near[:: max(1, len(near) // 500)]
    for kind, colour, style, label in (("sigma", BLUE, "-", "quoted σ"), ("bias", VERMILLION, "--", "bias")):
        ratio = data.column(f"{kind}_{name}")[usable][has_sigma] / linear
        right.plot(place[near], ratio[near], style, color=colour, label=label)
    right.axhline(1, color="black", lw=0.6)
    right.set(xlabel=f"{data.quantity.symbol}/σ at the recorded hit", ylabel="over the linear σ", xlim=(0, 6))
    right.legend()
    return canvas


def _scan(study: Study, evidence: Evidence, figure: Figure) -> Canvas:
    values, names = varying(study), over(study)
    nominal = nearest_to_unscanned(study.points, study.config)
    points = {each.label: each.values for each in study.points}
    fixed = [name for name in values if name not in names] if is_grid(study) else []
    entries = [
        each
        for each in evidence["points"]
        if each["observable"] == figure.observable
        and all(points[each["point"]][name] == nominal.values[name] for name in fixed)
    ]
    panels = [panel for panel in SCAN if np.isfinite(_numbers(entries, panel, panel.key)).any()]
    rows = -(-len(panels) // 3)
    canvas, grid = plt.subplots(rows, 3, figsize=(10, 2.9 * rows), squeeze=False)
    where = np.array([[points[each["point"]][name] for name in names] for each in entries])
    labels = [f"{name} ({unit_of(name)})" if unit_of(name) else name for name in names]
    tolerance, quantity = study.config.validation.tolerance, _quantity(study, figure)
    for axes, panel in zip(grid.flat, panels, strict=False):
        axes.set(title=panel.words.format(**quantity._asdict()), xlabel=labels[0])
        if len(names) == 1:
            _line(axes, where[:, 0], entries, panel, tolerance)
        else:
            column = _numbers(entries, panel, panel.key)
            _map(canvas, axes, where, column, [values[name] for name in names], _limits(panel, tolerance))
            axes.set_ylabel(labels[1])
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    return canvas


def _numbers(entries: list[dict[str, Any]], panel: Panel, key: str) -> np.ndarray:
    """A statistic of the panel's σ at each point; NaN where there is none."""
    found = (each[panel.sigma]["domain"].get(key) for each in entries)
    return np.array([np.nan if each is None else each for each in found], float)


def _line(axes: Axes, where: np.ndarray, entries: list[dict[str, Any]], panel: Panel, tolerance: float) -> None:
    """A quantity over the first parameter, with its interval where it has one, against what is expected of it."""
    order = np.argsort(where, kind="stable")
    value, low, high = (_numbers(entries, panel, f"{panel.key}{end}") for end in ("", "_low", "_high"))
    if panel.expected is not None:
        axes.axhspan(panel.expected - tolerance, panel.expected + tolerance, color=GREY, alpha=0.25, lw=0)
        axes.axhline(panel.expected, color="black", ls="--", lw=0.8)
    axes.plot(where[order], value[order], "o-", ms=3.5, color=BLUE)
    if np.isfinite(low).any():
        axes.vlines(where, low, high, color=BLUE, lw=1)
    axes.ticklabel_format(axis="y", useOffset=False)


def _limits(panel: Panel, tolerance: float) -> tuple[float, float] | tuple[None, None]:
    """The range of colours: what should be a given number is shown against the tolerance, so that noise looks small."""
    return (None, None) if panel.expected is None else (panel.expected - tolerance, panel.expected + tolerance)


def _map(
    canvas: Canvas,
    axes: Axes,
    where: np.ndarray,
    column: np.ndarray,
    ticks: list[list[float]],
    limits: tuple[float, float] | tuple[None, None],
) -> None:
    """A quantity over two parameters that fill a grid."""
    colours = {"vmin": limits[0], "vmax": limits[1]}
    bar = {"ax": axes, "extend": "neither" if limits[0] is None else "both", "format": "{x:.4g}"}
    grid = np.full((len(ticks[1]), len(ticks[0])), np.nan)
    for (x, y), value in zip(where, column, strict=True):
        grid[ticks[1].index(y), ticks[0].index(x)] = value
    image = axes.imshow(grid, origin="lower", aspect="auto", **colours)
    canvas.colorbar(image, **bar)
    for set_ticks, values in ((axes.set_xticks, ticks[0]), (axes.set_yticks, ticks[1])):
        every = -(-len(values) // 8)
        set_ticks(range(0, len(values), every), [number(value) for value in values[::every]])
    if grid.size <= 36:
        middle = sum(image.get_clim()) / 2
        for (row, place), value in np.ndenumerate(grid):
            axes.text(
                place,
                row,
                f"{value:.4g}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if value < middle else "black",
            )


_OF_POINT: dict[str, Callable[[_Point], Canvas]] = {
    "hits": _hits,
    "value": _value,
    "sigma": _sigma,
    "law": _law,
    "ends": _ends,
    "pulls": _pulls,
    "coverage": _coverage,
}
