"""The figures of a study, as SVG and PDF: the same bytes every time, readable in grey and by the colour-blind."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from .artefacts import Reader
from .batches import BLOCK
from .gallery import Figure, gallery, varying
from .gathering import open_study
from .models import Quantity
from .points import Point, nearest_to_unscanned, number
from .study import Study

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

SCAN = {
    "mean_sigma": "mean σ ({unit})",
    "share": "share in the linear domain",
    "ratio": "closure: toy sd / σ",
    "scatter": "closure: scatter / expected",
    "pull_mean": "pull mean",
    "pull_sd": "pull sd",
    "pull_rms": "pull RMS",
    "coverage68": "coverage of ±1 σ",
    "coverage95": "coverage of ±1.96 σ",
}
"""The panels of a scan: statistics of the linear domain, and what they are called."""


def plot(study: Study, study_file: str | Path, validation: str | Path, folder: str | Path) -> None:
    """Draw every figure of the study's gallery into a folder, which appears when all are drawn."""
    evidence = json.loads(Path(validation).read_text(encoding="utf-8"))
    folder = Path(folder)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with open_study(study_file) as reader, plt.rc_context(STYLE):
        for figure in gallery(study, evidence):
            canvas = _DRAW[figure.kind](_Data(study, reader, evidence, figure))
            canvas.draw_without_rendering()
            canvas.set_layout_engine("none")  # laid out once, for both files
            # No time of creation, and no version of the drawing library.
            canvas.savefig(part / f"{figure.stem}.svg", metadata={"Date": None, "Creator": None})
            canvas.savefig(
                part / f"{figure.stem}.pdf",
                metadata={"CreationDate": None, "Creator": None, "Producer": None},
            )
            plt.close(canvas)
            log.info("drawn: %s", figure.stem)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)


class _Data:
    """What one figure is drawn from: the first block of its point, and its entry in the evidence."""

    def __init__(self, study: Study, reader: Reader, evidence: dict[str, Any], figure: Figure):
        self.study, self.reader, self.figure = study, reader, figure
        self.x: Quantity = study.model.coordinates[0]
        names = [each.name for each in study.model.observables]
        self.quantity: Quantity = study.model.observables[names.index(figure.observable or names[0])]
        self.entries = [each for each in evidence["points"] if each["observable"] == self.quantity.name]
        if figure.point is not None:
            self.entry = next(each for each in self.entries if each["point"] == figure.point)
            self.point: Point = next(each for each in study.points if each.label == figure.point)
            self.settings = self.point.config.validation
            self.sigma_x = 1 / self.point.config.detector.resolution

    def column(self, name: str) -> np.ndarray:
        return self.reader.rows(f"{self.figure.point}/{name}", 0, BLOCK)

    def toys(self, name: str) -> np.ndarray:
        return self.reader.rows(f"{self.figure.point}/toys/{name}")

    @property
    def usable(self) -> np.ndarray:
        return self.column("flag") == 0

    @property
    def at(self) -> tuple[np.ndarray, np.ndarray]:
        """Value and σ where toys are thrown, of the muons in the first block."""
        suffix = "" if self.study.recorded else "_true"
        name = self.quantity.name
        return self.column(f"{name}{suffix}"), self.column(f"sigma_{name}_linear{suffix}")


def _axis(quantity: Quantity, words: str = "") -> str:
    return f"{words}{quantity.symbol} ({quantity.unit})"


def _gaussian(axes: Axes) -> None:
    z = np.linspace(-4.5, 4.5, 200)
    axes.plot(z, np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), color="black", lw=1.2, label="unit Gaussian")


def _hits(data: _Data) -> Canvas:
    reco = data.column("x_reco")[:, 0]
    if data.study.recorded:
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
    left.axline((true.mean(), true.mean()), slope=1, color="black", lw=0.8, ls="--", label="recorded = true")
    left.set(xlabel=_axis(data.x, "true "), ylabel=_axis(data.x, "recorded "))
    left.legend(loc="upper left")
    right.hist(
        (reco - true) / data.sigma_x,
        bins=np.linspace(-4.5, 4.5, 61),
        density=True,
        color=BLUE,
        alpha=0.5,
        label="hits",
    )
    _gaussian(right)
    right.set(xlabel=f"(recorded − true) {data.x.symbol} × resolution", ylabel="density", ylim=(0, 0.48))
    right.legend()
    return canvas


def _value(data: _Data) -> Canvas:
    usable = data.usable
    x = data.column("x_reco")[usable, 0]
    value = data.column(data.quantity.name)[usable]
    sigma = data.column(f"sigma_{data.quantity.name}_linear")[usable]
    canvas, panels = plt.subplots(1, 2, figsize=(8, 3.4))
    near = np.abs(x) < 6 * data.sigma_x
    for axes, which, title in (
        (panels[0], np.full(len(x), True), "all hits"),
        (panels[1], near, "within 6 σ of the fold"),
    ):
        axes.set(xlabel=_axis(data.x, "recorded "), ylabel=_axis(data.quantity), title=title)
        if not which.any():
            axes.text(0.5, 0.5, "no muons here", transform=axes.transAxes, ha="center")
            continue
        order = np.flatnonzero(which)[np.argsort(x[which], kind="stable")]
        wanted = np.linspace(x[order[0]], x[order[-1]], 60)  # evenly over x, as far as there are muons
        shown = order[np.unique(np.searchsorted(x[order], wanted).clip(0, len(order) - 1))]
        axes.errorbar(
            x[shown],
            value[shown],
            sigma[shown],
            fmt="o",
            ms=2.5,
            lw=0.8,
            capsize=1.5,
            color=BLUE,
            label="±1 σ",
        )
        axes.axhline(0, color="black", lw=0.6)
        axes.legend(loc="upper left")
    return canvas


def _sigma(data: _Data) -> Canvas:
    name, settings = data.quantity.name, data.settings
    value, sigma = data.at
    muon, sd = data.toys("muon"), data.toys(f"toy_sd_{name}")
    first = muon < len(value)  # toys around muons of the first block
    muon, sd = muon[first], sd[first]
    value, sigma = value[muon], sigma[muon]
    good = sigma > 0
    order = np.argsort(value[good], kind="stable")
    value, sigma, sd = (each[good][order] for each in (value, sigma, sd))
    canvas, panels = plt.subplots(
        2, 2, figsize=(8, 4.6), sharex="col", sharey="row", gridspec_kw={"height_ratios": [2, 1.3]}
    )
    if not len(value):
        panels[0, 0].text(0.5, 0.5, "no toys", transform=panels[0, 0].transAxes)
        return canvas
    inside = np.abs(value / sigma) >= settings.domain
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
        top.plot(value, sigma, color=BLUE, lw=1.5, label="propagated σ")
        bottom.axhspan(1 - settings.tolerance, 1 + settings.tolerance, color=GREY, alpha=0.25, lw=0)
        bottom.axhline(1, color=BLUE, lw=1)
        bottom.plot(value, sd / sigma, "s", **points)
        if inside.any() and not inside.all():
            for axes in (top, bottom):
                axes.axvline(boundary, color="black", ls="--", lw=0.8)
        top.set(title=title)
        bottom.set(xlabel=_axis(data.quantity), xlim=(-0.02 * limit, 1.02 * limit))
    panels[0, 0].set(ylabel=f"uncertainty of {_axis(data.quantity)}", ylim=(0, 1.15 * max(sigma.max(), sd.max())))
    panels[0, 0].legend(loc="lower left", ncols=2)
    panels[1, 0].set(ylabel="toy sd / σ")
    return canvas


def _pulls(data: _Data) -> Canvas:
    name, usable = data.quantity.name, data.usable
    at, sigma_at = data.at
    z = (data.column(name) - data.column(f"{name}_true"))[usable] / data.column(f"sigma_{name}_linear")[usable]
    inside = (np.abs(at) >= data.settings.domain * sigma_at)[usable]
    canvas, axes = plt.subplots(figsize=(5.5, 3.6))
    bins = np.linspace(-4.5, 4.5, 61)
    domain = data.entry["domain"]
    words = f"\nmean {domain['pull_mean']:+.3f}, sd {domain['pull_sd']:.3f}" if domain.get("pull_sd") else ""
    condition = f"{data.quantity.symbol}/σ ≥ {data.settings.domain:g}"
    axes.hist(z[inside], bins=bins, density=True, color=BLUE, alpha=0.5, label=f"{condition}{words}")
    if (~inside).sum() > 1:
        axes.hist(
            z[~inside],
            bins=bins,
            density=True,
            histtype="step",
            color=VERMILLION,
            ls="--",
            label="below: the fold",
        )
    _gaussian(axes)
    axes.set(xlabel=f"pull of {data.quantity.symbol}", ylabel="density")
    axes.legend(loc="upper left", fontsize=8)
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    return canvas


def _coverage(data: _Data) -> Canvas:
    canvas, axes = plt.subplots(figsize=(6, 3.6))
    bins = data.entry["bins"]
    for nominal, key, colour, marker, words in (
        (0.6827, "68", BLUE, "o", "±1 σ"),
        (0.95, "95", VERMILLION, "s", "±1.96 σ"),
    ):
        axes.axhline(nominal, color=colour, ls="--", lw=0.8)
        place = [i for i, each in enumerate(bins) if each.get(f"coverage{key}") is not None]
        value = np.array([bins[i][f"coverage{key}"] for i in place])
        low = np.array([bins[i][f"coverage{key}_low"] for i in place])
        high = np.array([bins[i][f"coverage{key}_high"] for i in place])
        axes.errorbar(place, value, [value - low, high - value], fmt=marker, color=colour, capsize=3, label=words)
    outside = sum(each["low"] < data.settings.domain for each in bins)
    axes.axvspan(-0.5, outside - 0.5, color=GREY, alpha=0.2, lw=0, label="outside the linear domain")
    edges = [f"{each['low']:g}–{each['high']:g}" if each["high"] is not None else f"≥ {each['low']:g}" for each in bins]
    axes.set_xticks(range(len(bins)), edges)
    axes.set(
        xlabel=f"true {data.quantity.symbol}/σ",
        ylabel="coverage",
        xlim=(-0.5, len(bins) - 0.5),
        ylim=(None, 1.02),
    )
    canvas.legend(loc="outside upper center", ncols=3, fontsize=8)
    return canvas


def _scan(data: _Data) -> Canvas:
    values = varying(data.study)
    names = list(values)[:2]
    nominal = nearest_to_unscanned(data.study.points, data.study.config)
    others = {name: nominal.values[name] for name in list(values)[2:]}
    points = {each.label: each for each in data.study.points}
    entries = [
        each
        for each in data.entries
        if all(points[each["point"]].values[name] == value for name, value in others.items())
    ]
    panels = {key: words for key, words in SCAN.items() if any(each["domain"].get(key) is not None for each in entries)}
    rows = -(-len(panels) // 3)
    canvas, grid = plt.subplots(rows, 3, figsize=(10, 2.9 * rows), squeeze=False)
    where = [[points[each["point"]].values[name] for name in names] for each in entries]
    for axes, (key, words) in zip(grid.flat, panels.items(), strict=False):
        column = np.array(
            [each["domain"].get(key) if each["domain"].get(key) is not None else np.nan for each in entries]
        )
        axes.set(title=words.format(unit=data.quantity.unit), xlabel=names[0])
        if len(names) == 1:
            axes.plot([x for (x,) in where], column, "o-", ms=3.5, color=BLUE)
            axes.ticklabel_format(axis="y", useOffset=False)
        else:
            limits = _limits(key, data.study.config.validation.tolerance)
            _map(canvas, axes, np.array(where), column, [values[name] for name in names], limits)
            axes.set_ylabel(names[1])
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    return canvas


def _limits(key: str, tolerance: float) -> tuple[float, float] | tuple[None, None]:
    """The range of colours: what should be a given number is shown against the tolerance, so that noise looks small."""
    expected = {"ratio": 1.0, "pull_sd": 1.0, "pull_rms": 1.0, "coverage68": 0.6827, "coverage95": 0.95}
    return (expected[key] - tolerance, expected[key] + tolerance) if key in expected else (None, None)


def _map(
    canvas: Canvas,
    axes: Axes,
    where: np.ndarray,
    column: np.ndarray,
    ticks: list[list[float]],
    limits: tuple[float, float] | tuple[None, None],
) -> None:
    """A quantity over two parameters: a heat map where they fill a grid, else marked points."""
    colours = {"vmin": limits[0], "vmax": limits[1]}
    bar = {"ax": axes, "extend": "neither" if limits[0] is None else "both", "format": "{x:.4g}"}
    if len(where) != len(ticks[0]) * len(ticks[1]):
        marks = axes.scatter(*where.T, c=column, marker="s", edgecolors="black", linewidths=0.5, **colours)
        canvas.colorbar(marks, **bar)
        return
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


_DRAW: dict[str, Callable[[_Data], Canvas]] = {
    "hits": _hits,
    "value": _value,
    "sigma": _sigma,
    "pulls": _pulls,
    "coverage": _coverage,
    "scan": _scan,
}
