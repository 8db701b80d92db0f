"""The picture of the detector with a muon in it: layers at their heights, hits, fitted lines, and the resolution."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from ...config.base import Section
from ...statistics.prefixes import prefixed, with_unit
from .base import GREY, PAGE_WIDTH, SMALL, Canvas, Subject, legend, plt
from .one_plane import picture_of_one_hit
from .ranges import drawable
from .to_scale import draw_angle, set_scale
from .tracks import VIEW_STYLES, DrawnLine, drawn_lines, finite, largest, unit_of_heights

MARGIN = 0.15
"""How far lines are drawn beyond the layers, over the distance between the outermost ones."""

CLOSEST = 0.055
"""Distance of layers, over the height of the picture, below which their σ are not beside them."""

IN_TITLE = ("theta", "phi", "theta_msc")
"""Observables that the title gives, if a model has them."""


class Scene(NamedTuple):
    """A view of the detector: its lines, the muon, and the factors from m to the units of the axes."""

    view: str
    tracks: list[DrawnLine]
    muon: int
    sideways: float
    upward: float

    @property
    def span(self) -> tuple[float, float]:
        """From where to where lines are drawn."""
        spans = [each.span for each in self.tracks]
        return min(span[0] for span in spans), max(span[1] for span in spans)

    @property
    def style(self) -> dict[str, Any]:
        """The style of lines and hits."""
        return {"color": VIEW_STYLES.get(self.view, VIEW_STYLES["x"])[0]}

    @property
    def marker(self) -> str:
        """The marker of hits."""
        return VIEW_STYLES.get(self.view, VIEW_STYLES["x"])[1]


def detector(subject: Subject) -> Canvas:
    """Draw the detector with the first muon that crosses it, to scale: one hit, or lines view by view."""
    return picture_of_one_hit(subject) if subject.one_hit else _picture_of_lines(subject)


def _picture_of_lines(subject: Subject) -> Canvas:
    tracks = drawn_lines(subject, MARGIN)
    muon, views = _first_muon(tracks), list(dict.fromkeys(each.view for each in tracks))
    (upward, unit_of_z), (sideways, unit_of_x) = unit_of_heights(tracks), _unit_across(tracks, muon)
    columns = 1 if muon is None else 2
    size = PAGE_WIDTH, 0.7 + 2.9 * len(views)
    canvas, grid = plt.subplots(len(views), columns, figsize=size, squeeze=False, width_ratios=[1.4, 1][:columns])
    for row, view in zip(grid, views, strict=True):
        scene = Scene(view, [each for each in tracks if each.view == view], muon or 0, sideways, upward)
        _layers(row[0], scene, subject)
        if muon is None:
            low, high = (each * upward for each in scene.span)
            set_scale(row[0], (0.0, 0.0), (low, high), view, sideways / upward)
        else:
            _muon(row[0], scene, subject)
            _resolution(row[1], scene)
        row[0].set(xlabel=f"{view} ({unit_of_x})", ylabel=f"z ({unit_of_z})")
    if muon is not None:
        canvas.suptitle(_in_words(subject, muon), fontsize=9)
    legend(canvas, grid.flat, "outside lower center", 3)
    return canvas


def _first_muon(tracks: list[DrawnLine]) -> int | None:
    """The first muon with all lines, or else with some; None without any."""
    known = np.array([np.isfinite(each.fit.position).all(axis=1) for each in tracks])
    for which in (known.all(axis=0), known.any(axis=0)):
        if which.any():
            return int(np.flatnonzero(which)[0])
    return None


def _unit_across(tracks: list[DrawnLine], muon: int | None) -> tuple[float, str]:
    """The factor and the unit that suit the hits of a muon."""
    return prefixed(1.0 if muon is None else largest(*(each.hits[muon] for each in tracks)), "m")


def _layers(axes: Axes, scene: Scene, subject: Subject) -> None:
    """What a muon crosses: layers, planes and the volume."""
    model, source = subject.point.config.model, subject.point.config.source
    for z in np.unique(np.concatenate([each.z for each in scene.tracks])):
        axes.axhline(z * scene.upward, color=GREY, lw=2, alpha=0.7, label=_layer_in_words(model), zorder=1)
    for z in getattr(model, "at", None) or ():
        axes.axhline(z * scene.upward, color="black", lw=1, ls=(0, (6, 3)), label="planes of model.at", zorder=1)
    volume = getattr(source, "volume", None)
    if volume is not None and len(scene.tracks) > 1:
        ends = [(volume.z + side * volume.thickness / 2) * scene.upward for side in (-1, 1)]
        words = f"volume, {with_unit(volume.thickness, 'm')} thick"
        axes.axhspan(*ends, color="#E69F00", alpha=0.35, lw=0, label=words, zorder=0)


def _layer_in_words(model: Section) -> str:
    """What a layer is, with its scattering."""
    for name, sign, unit in (("theta0", "$θ_0$ = ", "rad"), ("material", "", "$X_0$")):
        given = getattr(model, name, None)
        numbers = [float(each) for each in np.ravel(0.0 if given is None else given)]
        if max(numbers) > 0:
            ends = dict.fromkeys((min(numbers), max(numbers)))
            return f"layer, scatters: {sign}{' to '.join(with_unit(each, unit) for each in ends)}"
    return "layer"


def _muon(axes: Axes, scene: Scene, subject: Subject) -> None:
    """The fitted lines of the muon and its hits, in a picture to scale."""
    hits = [each.hits[scene.muon] * scene.sideways for each in scene.tracks]
    heights = [np.array(each.span) for each in scene.tracks]
    pairs = zip(scene.tracks, heights, strict=True)
    lines = [drawable(each.fit.at(z)[scene.muon]) * scene.sideways for each, z in pairs]
    across = finite(np.concatenate([*hits, *lines]))
    ends = (float(across.min()), float(across.max())) if len(across) else (0.0, 0.0)
    low, high = (each * scene.upward for each in scene.span)
    factor = scene.sideways / scene.upward
    stretched = set_scale(axes, ends, (low, high), scene.view, factor)
    for each, x, z, line in zip(scene.tracks, hits, heights, lines, strict=True):
        axes.plot(line, z * scene.upward, lw=1.2, label=f"fitted line, {scene.view}", **scene.style)
        axes.plot(x, each.z * scene.upward, scene.marker, ms=5, mfc="white", label=f"hits, {scene.view}", **scene.style)
        if len(scene.tracks) == 1 and np.isfinite(line).all():
            words = "θ" if subject.study.config.model.name == "track" else f"arctan d{scene.view}/dz"
            draw_angle(axes, (line[0], low), (line[1], high), words, stretched / factor)
    if len(scene.tracks) > 1:
        _closest_approach(axes, scene, subject)


def _closest_approach(axes: Axes, scene: Scene, subject: Subject) -> None:
    """The point of closest approach of a scattered muon, where it is in the picture."""
    x, z = (float(subject.column(f"poca_{axis}")[scene.muon]) for axis in (scene.view, "z"))
    if scene.span[0] < z < scene.span[1]:
        label = "point of closest approach"
        axes.plot([x * scene.sideways], [z * scene.upward], "X", ms=6, color="black", label=label, zorder=4)


def _resolution(axes: Axes, scene: Scene) -> None:
    """The hits of the muon minus its lines, with their σ, and the band of the lines."""
    deviations = [each.deviation[scene.muon] for each in scene.tracks]
    sigmas = [each.sigma[scene.muon] for each in scene.tracks]
    factor, unit = prefixed(largest(*sigmas), "m")
    for each, off, sigma in zip(scene.tracks, deviations, sigmas, strict=True):
        z = np.linspace(*each.span, 61)
        band = drawable(each.fit.sigma(z)[scene.muon]) * factor
        words = f"fitted line ± σ, {scene.view}"
        axes.fill_betweenx(z * scene.upward, -band, band, alpha=0.25, lw=0, label=words, **scene.style)
        style = {"ms": 4, "mfc": "white", "elinewidth": 1, "capsize": 2, **scene.style}
        axes.errorbar(off * factor, each.z * scene.upward, xerr=sigma * factor, fmt=scene.marker, **style)
    axes.axvline(0, color="black", lw=0.6)
    low, high = (each * scene.upward for each in scene.span)
    axes.set(xlabel=f"hit − line ({unit})", ylim=(low, high))
    axes.set_title(_beside_layers(axes, scene, sigmas), fontsize=SMALL)


def _beside_layers(axes: Axes, scene: Scene, sigmas: list[np.ndarray]) -> str:
    """σ of the hits in words: one for all, or else beside each layer if there is room."""
    heights, numbers = np.concatenate([each.z for each in scene.tracks]), np.concatenate(sigmas)
    known = np.isfinite(numbers)
    ends = [with_unit(float(end), "m") for end in (numbers[known].min(), numbers[known].max())] if known.any() else []
    if len({*ends}) < 2:
        return f"σ of the hits: {ends[0]}" if ends else ""
    room = CLOSEST * (scene.span[1] - scene.span[0])
    if any(upper - lower < room for lower, upper in pairwise(sorted(heights))):
        return f"σ of the hits: {ends[0]} to {ends[1]}"
    for z, sigma in zip(heights[known], numbers[known], strict=True):
        place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": SMALL}
        axes.text(1.02, z * scene.upward, with_unit(float(sigma), "m"), **place)
    return "σ of the hits beside the layers"


def _in_words(subject: Subject, muon: int) -> str:
    """The number of a muon and its angles."""
    found = []
    for each in subject.observables:
        value, sigma = (float(each.column(name)[muon]) for name in ("{}", "sigma_{}"))
        if each.name in IN_TITLE and np.isfinite(value):
            known = sigma if np.isfinite(sigma) else None
            found.append(f"{each.symbol} = {with_unit(value, each.quantity.unit, known)}")
    return f"muon {muon}" + (f": {', '.join(found)}".replace("-", "−") if found else "")
