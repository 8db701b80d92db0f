"""The words of the report on what was run: hits, detector, model, toys and test."""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup

from ..config.base import VIEWS, by_view, each_layer
from ..config.dotted_names import numeric_fields, range_of, unit_of
from ..config.named_numbers import unit_by_name
from ..config.own_schema import Own
from ..config.schema import StudyConfig
from ..config.source_schema import Cosmic, Recorded, Simulated, Volume
from ..detector.noise import width as noise_width
from ..models import NO_FOLD, Model
from ..models.multiple_scattering import at_momenta
from ..statistics.prefixes import prefixed, suited, with_unit
from ..study.coverage_bins import series_of
from ..study.plan import Study
from ..study.shared_parameters import correlations_of, names_of
from ..study.toy_selection import MUONS_PER_EXPERIMENT
from ..uncertainty.validity import END_OFF, SIGMA_OFF
from ..validation.evidence import Evidence
from ..validation.reasons import place_of
from .formats import count, figures, known, percent, plural

MOST_SHARED_LISTED = 8
"""Systematics, or correlations, that are listed."""


def digits(number: int) -> str:
    """A number of significant digits, in words."""
    return f"{number} significant digit{'s' * (number != 1)}"


def code(text: object) -> Markup:
    """A name as it is written in files."""
    return Markup("<code>{}</code>").format(text)


def own_sigma(study: Study) -> list[str]:
    """Symbols of the coordinates whose hits have their own σ in the file."""
    source = study.config.source
    if not isinstance(source, Recorded):
        return []
    return [each.symbol for each in study.model.coordinates if source.has_own_sigma(each.name)]


class PlanWording:
    """The words on what will be run, or was."""

    def __init__(self, study: Study):
        self.study, self.config = study, study.config
        self.observables = {each.name: each for each in study.model.observables}
        self.folds = sum(each.fold != NO_FOLD for each in study.model.observables)
        self.several = len(self.observables) > 1
        self.scanned = len(study.points) > 1
        self.tolerance = percent(study.config.validation.of_toys)

    def plan(self) -> dict[str, Markup | str]:
        """Where hits come from, the detector and the model."""
        return {
            "hits": self._hits(),
            "detector": self._detector(),
            "model": self._model(),
            "positions": "" if isinstance(self.config.model, Own) else _off_the_line(self.study.model),
        }

    def shared(self) -> dict[str, str]:
        """What all muons share, what the truth is compared with, and the target, by the key of the config."""
        return {"systematics": self._systematics(), "coverage": self._coverage(), "target": self._target()}

    def _systematics(self) -> str:
        section, unit = self.config.systematics, unit_by_name(StudyConfig, self.config.model_dump())
        if not section:
            return ""
        widths = [f"{name} ± {suited(section[name], unit(name) or '')}" for name in names_of(section)]
        pairs = [f"correlation of {one} and {other}: {rho:g}" for one, other, rho in correlations_of(section)]
        tested = f"tested by {count(self.config.toys.experiments)} pseudo-experiments"
        return "; ".join([", ".join(_first(widths)), *_first(pairs), tested])

    def _coverage(self) -> str:
        if self.study.recorded:
            return ""
        bins = plural(sum(len(series.edges) - 1 for series in series_of(self.study.model)), "bin")
        return f"{count(self.config.coverage.toys_per_bin)} toys around true hits in each of {bins} of the true values"

    def _target(self) -> str:
        target = self.config.target
        if target is None:
            return ""
        ((name, wanted),) = target.sigma.items()
        ends = target.range_about(numeric_fields(self.config)[target.vary], range_of(target.vary, self.config))
        low, high = (suited(end, unit_of(target.vary, self.config), 6) for end in ends)
        sigma = suited(wanted, self.observables[name].unit, 6)
        return f"{target.vary} for a mean σ of {name} of {sigma}, searched from {low} to {high}"

    def _hits(self) -> Markup | str:
        numbers = self.study.muons.values()
        source = self.config.source
        if isinstance(source, Recorded):
            return Markup("recorded, {} from {}").format(plural(next(iter(numbers)), "muon"), code(source.file))
        muons = " to ".join(dict.fromkeys((count(min(numbers)), count(max(numbers)))))
        per_point = " per point" * self.scanned
        return f"simulated, {self._source(source)}, {muons} muon{'s' * (max(numbers) != 1)}{per_point}"

    def _source(self, source: Simulated) -> str:
        """Where simulated hits come from."""
        model = self.config.model
        if isinstance(model, Own) and model.draw:
            return f"drawn by {model.draw}() in {model.file}"
        plane = " where they enter the volume" if source.volume else " at z = 0" if source.cosmic or source.beam else ""
        words = [_positions(source, model.name) + plane]
        if source.cosmic:
            words.append(_cosmic(source.cosmic))
        if source.beam:
            words.append(_normal("d{}/dz", (source.beam.slope_x, source.beam.slope_y), source.beam.spread, model.name))
        fixed = source.beam or (source.cosmic if source.cosmic and source.cosmic.spectrum == "fixed" else None)
        if fixed and (source.volume or self.study.model.momentum is not None):  # else it plays no part
            words.append(f"{fixed.momentum:g} GeV/c")
        if source.volume:
            words.append(_volume(source.volume))
        return ", ".join(words)

    def _detector(self) -> Markup:
        detector, unit = self.config.detector, self.study.model.coordinates[0].unit
        layers = f"{self.config.model.layer_count} layers, " if self.config.model.layer_count > 1 else ""
        text = self._stated(unit)
        if own := own_sigma(self.study):
            which = "each hit" if len(own) == len(self.study.model.coordinates) else f"each hit {', '.join(own)}"
            text = Markup("σ of {} from the file; where it has none, {}").format(which, text)
        text = layers + text
        if detector.efficiency != 1:
            words = {key: ", ".join(map(str, each_layer(each, 1))) for key, each in detector.efficiencies.items()}
            views = [
                f"{numbers}{key.removeprefix('efficiency').replace('.', ' in ')}" for key, numbers in words.items()
            ]
            text += f"; efficiency {', '.join(views)}"
        text += f"; noise {detector.noise.kind}"
        if detector.noise.kind != "gaussian":
            text += f", standard deviation {self._noise_width()}"
        return text

    def _stated(self, unit: str) -> Markup:
        """What is stated of the widths of hits."""
        words = []
        for key, value in self.config.detector.stated.items():
            every = each_layer(value, 1)  # once if it is the same for all
            view = key.partition(".")[2]
            widths = ", ".join(with_unit(each if key.startswith("sigma") else 1 / each, unit) for each in every)
            if key == "resolution":
                form, numbers = "resolution {} /{} ({} = {})", ", ".join(f"{each:g}" for each in every)
                words.append(Markup(form).format(numbers, unit, self._sigmas(view), widths))
            else:
                words.append(Markup("{} = {}").format(self._sigmas(view), widths))
        return Markup(", ").join(words)

    def _sigmas(self, view: str) -> Markup:
        """The symbol of σ in a view; without one, those of all views that are measured."""
        measured = {each.name[0] for each in self.study.model.coordinates}
        views = [view] if view else [each for each in VIEWS if each in measured] or ["x"]
        return Markup(" = ").join(Markup("σ<sub>{}</sub>").format(each) for each in views)

    def _noise_width(self) -> str:
        """The standard deviation of the noise, compared with the stated one, of each layer or over the scan."""
        widths = []
        for detector in (point.config.detector for point in self.study.points):
            of_layers = [
                each if key == "resolution" else 1 / each
                for key, value in detector.stated.items()
                for each in each_layer(value, 1)
            ]
            widths.append([f"{noise_width(detector.noise, each):.3g}" for each in of_layers])
        found = sorted({each for point in widths for each in point}, key=float)
        if found == ["1"]:
            return "equal to the stated one"
        if len(found) == 1:
            return f"{found[0]} times the stated one"
        if all(each == widths[0] for each in widths):
            return f"{', '.join(widths[0])} times the stated one, layer by layer"
        return f"{found[0]} to {found[-1]} times the stated one, over the points of the scan"

    def _model(self) -> str:
        model = self.study.model
        parts = [
            f"{each.symbol} = {each.long_name}{f', {each.unit}' if each.unit != '1' else ''}"
            for each in model.observables
        ]
        for name, value in model.parameters.items():
            if name == "theta0" and not np.any(value) and not self._scans("model.theta0"):
                continue  # nothing scatters
            parts.append(f"{name} = {suited(value, unit_of(f'model.{name}', self.config))}")
        return f"{self.config.model.name}: {'; '.join(parts)}"

    def _scans(self, name: str) -> bool:
        """Whether a number, or one of a list, is scanned."""
        return any(each.split("[")[0] == name for each in self.study.points[0].values)


class SetupWording(PlanWording):
    """The words on what was run."""

    def __init__(self, study: Study, evidence: Evidence):
        super().__init__(study)
        self.evidence, self.entries = evidence, evidence.points

    def domains(self) -> str:
        """The distance from the fold from which linear propagation is used, and that of observables with more."""
        claimed = self.config.validation.domain
        further: dict[float, list[str]] = {}
        for each in self.study.model.observables:
            if each.domain > claimed:
                further.setdefault(each.domain, []).append(each.symbol)
        words = [f"{domain:g} σ for {', '.join(symbols)}" for domain, symbols in further.items()]
        return f"{claimed:g} σ" + (f" ({'; '.join(words)})" if words else "")

    def scanned_names(self) -> list[str]:
        """Names of the scanned parameters."""
        return list(self.study.points[0].values)

    def run(self) -> list[tuple[str, Markup]]:
        """What was run, row by row: name and text."""
        rows = {
            **self.plan(),
            "uncertainty": (
                f"the linear σ where JCGM 101, clause 8, accepts it to {digits(self.config.uncertainty.n_dig)}, σ is "
                f"right to {percent(SIGMA_OFF)} and interval ends to {percent(END_OFF)} of the half-width; elsewhere "
                "the standard deviation by numerical integration"
            ),
            "toys": self._toys(),
            "fit": self._fit(),
            "scan": self._scan(),
            "test": self._test(),
            "truth": self._truth(),
        }
        return [(name, Markup.escape(text)) for name, text in rows.items() if text]

    def _toys(self) -> str:
        toys = self.config.toys
        number = count(toys.per_muon)
        if toys.mode != "fixed":
            number = f"until results are stable to {digits(toys.n_dig)}, at most {count(toys.most)},"
        spread = "one observable after the other" if self.several else self.study.model.observables[0].symbol
        text = (
            f"{number} around the hits of each of up to {count(toys.muons)} muons per point; these muons are evenly "
            f"spread in {spread}, a tenth of them in its logarithm"
        )
        if self.config.systematics:
            text += (
                f". {count(toys.experiments)} pseudo-experiments, each with up to {MUONS_PER_EXPERIMENT} of these muons"
            )
        return text

    def _fit(self) -> Markup | str:
        fits = known(entry.chi2_per_ndf for entry in self.evidence.fits)
        if not fits:
            return ""
        values = " to ".join(dict.fromkeys(figures(each, 3) for each in (min(fits), max(fits))))
        return Markup(
            "χ² per degree of freedom, over all muons of a point: {}, by the covariance that is propagated; see "
            '<a href="#data">the data and the stated resolution</a>'
        ).format(values)

    def _scan(self) -> str:
        values = self.study.points[0].values
        if not values:
            return "none"
        names = ", ".join(self.scanned_names())
        return (
            f"{len(self.study.points)} points over {names} (in place of the values above), with "
            f"{self.config.random_numbers} random numbers"
        )

    def _truth(self) -> str:
        if self.study.recorded:
            return ""
        settings = self.config.validation
        return (
            f"{count(self.config.coverage.toys_per_bin)} toys around true hits in each bin of the true value, which is "
            "what the inference makes of the true hits: coverage "
            f"of the confidence intervals must be nominal ± {percent(settings.coverage_tolerance)}, bias and width of "
            f"pulls right to ± {settings.of_truth:g}"
        )

    def _test(self) -> str:
        settings = self.config.validation
        observables = self.study.model.observables
        first = place_of(observables[0], observables)
        where = f"at least {self.domains()} from the fold" if self.several else f"{first} ≥ {settings.domain:g}"
        which = f"the linear σ in bins {where}, the quoted σ in all bins" if self.folds else "both σ for all muons"
        return (
            f"A ratio passes when its {percent(settings.confidence)} confidence interval lies within "
            f"1 ± {settings.of_toys:g}, the offset of an interval end when its own lies within "
            f"± {settings.of_toys:g} half-widths. Either fails when its Bonferroni-corrected interval lies outside, "
            "and is inconclusive otherwise. The mean over the muons of each bin is judged and, for the quoted σ, the "
            f"root mean square too: {which}"
        )


def _first(words: list[str]) -> list[str]:
    """A list of words, or the first of many and how many more there are."""
    more = len(words) - MOST_SHARED_LISTED
    return [*words[:MOST_SHARED_LISTED], f"and {more} more"] if more > 1 else words


def _off_the_line(model: Model) -> str:
    """What positions at planes are where layers scatter, and how far off the muon is in root mean square."""
    numbers = {name: np.asarray(value, "f8") for name, value in model.parameters.items()}
    if "at" not in numbers or not any(numbers[name].any() for name in {"theta0", "material"} & numbers.keys()):
        return ""
    text = (
        "positions at planes are those of the line that a muon would follow without scattering in the layers, not of "
        "its path with the deflections in the layers above the plane"
    )
    if "material" in numbers and "momentum" not in numbers:
        return f"{text}; how far it is off that line depends on its momentum"
    heights = np.concatenate([numbers[name] for name in ("z", "z_upper", "z_lower") if name in numbers])
    theta0, planes = at_momenta(numbers, None)["theta0"], numbers["at"].tolist()
    off = [math.hypot(*(theta0 * np.maximum(heights - plane, 0.0))) for plane in planes]
    widths = ", ".join(f"{with_unit(each, 'm')} at z = {suited(z, 'm')}" for each, z in zip(off, planes, strict=True))
    momentum = numbers.get("momentum", numbers.get("theta0_momentum"))
    of = "" if momentum is None else f" of {momentum:g} GeV/c"
    return f"{text}: a muon{of} is off that line by {widths} (root mean square)"


def _positions(source: Simulated, model: str) -> str:
    if source.beam and source.beam.spot is not None:
        return _normal("{}", (source.beam.x, source.beam.y), source.beam.spot, model, "m")
    views = {"track": "x", "one_hit": "x", "own": "each coordinate"}.get(model, "x and y")
    factor, unit = prefixed(max(abs(source.x_min), abs(source.x_max)), "m")
    return f"{views} ~ U({factor * source.x_min:g}, {factor * source.x_max:g}) {unit}"


def _normal(name: str, means: tuple[float, float], widths: float | list[float], model: str, unit: str = "") -> str:
    """Two Gaussian distributions, or that of the only view."""
    views = "x" if model == "track" else "xy"
    factor, unit = prefixed(max(*map(abs, means), *by_view(widths)), unit)
    each = zip(views, means, by_view(widths), strict=False)
    words = [f"{name.format(view)} ~ N({factor * mean:g}, {factor * width:g})" for view, mean, width in each]
    return f"{', '.join(words)} {unit}".rstrip()


def _cosmic(cosmic: Cosmic) -> str:
    if cosmic.spectrum == "fixed":
        return f"zenith angles as cos² up to {cosmic.zenith_max:g} rad"
    return (
        f"Reyna's sea-level spectrum above {cosmic.momentum:g} GeV/c up to a zenith angle of {cosmic.zenith_max:g} rad"
    )


def _volume(volume: Volume) -> str:
    material = f"{volume.material.replace('_', ' ')}, " if volume.material else ""
    thickness, radiation_length, z = (
        suited(each, "m") for each in (volume.thickness, volume.radiation_length, volume.z)
    )
    text = f"scattered in {thickness} ({material}radiation length {radiation_length})"
    return f"{text} at z = {z}" + {"none": "", "bethe": " with mean energy loss"}[volume.energy_loss]
