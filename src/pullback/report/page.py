"""`report.html`: one self-contained page with the verdict first and the evidence under it."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..config.dotted_names import unit_of
from ..config.model_schema import Own
from ..detector.noise import width as noise_width
from ..files import write_text
from ..models import NO_FOLD, Quantity
from ..statistics.intervals import half_width
from ..statistics.normal import P68, P95
from ..store.evidence_file import Evidence, read_evidence
from ..store.provenance import code_digest, vector_instructions, versions
from ..study.plan import Study
from ..validation.bin_sums import LEVELS, SIGMAS
from ..validation.csv_tables import scanned
from ..validation.diagnostics import DIAGNOSTICS
from ..validation.judgement import NARROWEST_SCATTER, OUTSIDE, worst
from .captions import words
from .figures.signs import over_sigma
from .gallery import badness, gallery, has_budget
from .source_tables import budget_of, correlations_of, design_of, enough_muons, per_point, systematics_of

FAILED = {
    "hit_not_finite": "hit NaN or infinite",
    "value_not_finite": "value NaN or infinite",
    "sigma_zero_or_nan": "σ zero or NaN",
    "sigma_negative": "σ negative",
    "toys_without_spread": "toys without a spread",
}
"""The counts of muons whose uncertainty can't be used or tested, and what they are called."""


def write_report(
    study: Study,
    validation: str | Path,
    figures: Sequence[str | Path],
    report: str | Path,
    target: str | Path | None = None,
) -> None:
    """Write the report from the evidence of the validation and the figures, as SVG, of the study's gallery.

    And from what was found for its target, if it has one.
    """
    evidence = read_evidence(validation)
    environment = Environment(
        loader=PackageLoader("pullback.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figures": _figures, "percent": _percent, "range": _range, "count": _count}
    environment.filters["furthest_end"] = _furthest_end
    environment.filters |= {"significant": _significant, "signed": _signed}
    resolution = study.config.detector.resolution
    resolutions = resolution if isinstance(resolution, list) else [resolution]
    failed = {**FAILED, "hit_not_finite": "too few hits"} if study.model.missing else FAILED
    points = {point.label: scanned(point.values) for point in study.points}
    page = environment.get_template("report.html.j2").render(
        study=study,
        config=study.config,
        evidence=evidence,
        entries=evidence["points"],
        target=read_evidence(target) if target else None,
        worst=max(evidence["points"], key=badness),
        found=_found(study, evidence),
        points=points,
        scanned={name: _with_unit(name, unit_of(name, study.config)) for name in next(iter(points.values()))},
        observables={each.name: each for each in study.model.observables},
        places={each.name: _place(study, each) for each in study.model.observables},
        together=per_point(study, evidence),
        amount=_amount(study, evidence),
        hits=_hits(study),
        layers=_layers(study),
        has_budget=has_budget(study),
        budgets_of=lambda own: [budget_of(study, entry) for entry in own],
        designs_of=lambda own: [design_of(study, entry) for entry in own],
        systematics=systematics_of(study),
        correlations=correlations_of(study),
        enough_muons=enough_muons,
        gallery=[
            (figure.stem, *words(figure, study, evidence), _embedded(svg))
            for figure, svg in zip(gallery(study), figures, strict=True)
        ],
        FAILED=failed,
        domains=_domains(study),
        unit_of=lambda name: unit_of(name, study.config),
        OUTSIDE=OUTSIDE,
        NARROWEST_SCATTER=NARROWEST_SCATTER,
        LEVELS=LEVELS,
        DIAGNOSTICS=DIAGNOSTICS,
        noise_width=noise_width(study.config.detector.noise, resolutions[0]),
        resolutions=resolutions,
        # How the work was cut into jobs changes no result, and stays out of the report for that.
        config_text=yaml.safe_dump(
            study.config.model_dump(mode="json", exclude={"compute": {"batch_cost"}}),
            sort_keys=False,
            allow_unicode=True,
        ),
        provenance={
            "seed": study.config.seed,
            "config digest (SHA-256)": evidence["config_digest"],
            "content digest of study.h5 (SHA-256)": evidence["content_digest"],
            "code digest (SHA-256)": code_digest(),
            **({f"{name} file (SHA-256)": digest for name, digest in study.digests.items()}),
            **{f"{name} version": number for name, number in versions().items()},
            "vector instructions of the CPU": vector_instructions()["numpy"],
        },
    )
    write_text(report, page)


def _domains(study: Study) -> str:
    """From how far from the fold on the linear law is claimed, with the observables for which that is further."""
    claimed = study.config.validation.domain
    further: dict[float, list[str]] = {}
    for each in study.model.observables:
        if each.domain > claimed:
            further.setdefault(each.domain, []).append(each.symbol)
    words = [f"{domain:g} σ for {', '.join(symbols)}" for domain, symbols in further.items()]
    return f"{claimed:g} σ" + (f" ({'; '.join(words)})" if words else "")


def _found(study: Study, evidence: Evidence) -> dict[str, Any]:
    """The numbers that the verdict in words is made of."""
    entries = evidence["points"]
    bins = {sigma: [each for entry in entries for each in entry[sigma]["bins"]] for sigma in SIGMAS}
    shares = [entry["linear_valid"] for entry in entries if entry["linear_valid"] is not None]
    outside = [each for each in bins["linear"] if each["verdict"] == OUTSIDE and each["ratio"]]
    counts = {
        key: _over_points(study, entries, lambda entry, key=key: entry["quoted"]["counts"][key])
        for key in (*FAILED, "no_standard_deviation", "toys_unsettled", "muons")
    }
    return {
        "count": Counter(entry["verdict"] for entry in entries),
        "linear_valid": list(dict.fromkeys(_percent(each) for each in (min(shares), max(shares)))) if shares else [],
        "all_linear": min(shares, default=0.0) == 1.0,
        "fold": any(each["low"] == 0 and each["muons"] for each in bins["quoted"]),
        "off_outside": max((1 / each["ratio"] - 1 for each in outside), key=abs, default=None),
        "success": _success(study, entries),
        "heed": [
            (entry, DIAGNOSTICS[name], each["value"])
            for entry in entries
            for name, each in entry["diagnostics"].items()
            if each["verdict"] == "fail" and not DIAGNOSTICS[name].decides
        ],
        "lost": {key: counts[key] for key in FAILED},
        "unsettled": counts["toys_unsettled"],
        "toy_muons": _over_points(study, entries, lambda entry: entry["quoted"]["overall"]["toy_muons"]),
        "muons": counts["muons"],
        "without_sd": counts["no_standard_deviation"],
        "without_sd_of": [
            each.symbol
            for each in study.model.observables
            if any(
                entry["quoted"]["counts"]["no_standard_deviation"]
                for entry in entries
                if entry["observable"] == each.name
            )
        ],
        "folds": len([each for each in study.model.observables if each.fold != NO_FOLD]),
        "shared": worst([entry["shared"]["verdict"] for entry in entries if entry["shared"]]),
        "fits": sorted(entry["chi2_per_ndf"] for entry in entries if entry["chi2_per_ndf"] is not None),
    }


def _over_points(study: Study, entries: list[dict[str, Any]], number: Callable[[dict[str, Any]], int]) -> int:
    """A number of muons, summed over the points; of the observables of a point, the one with most of them."""
    return sum(max(number(entry) for entry in entries if entry["point"] == point.label) for point in study.points)


def _place(study: Study, observable: Quantity) -> str:
    """What an observable's distance from the fold is called; nothing without one."""
    fold = observable.fold or observable.name
    return next((over_sigma(each.symbol) for each in study.model.observables if each.name == fold), "")


def _amount(study: Study, evidence: Evidence) -> str:
    """What there are so many of in the evidence: points, observables, or both."""
    points, observables = len(study.points), len(study.model.observables)
    if observables == 1:
        return f"{points} point{'s' * (points > 1)}"
    if points == 1:
        return f"{observables} observables"
    return f"{points * observables} ({observables} observables at {points} points)"


def _hits(study: Study) -> str:
    """Where simulated hits come from, in words."""
    source, name = study.config.source, study.config.model.name
    if study.recorded:
        return ""
    if name == "own" and study.config.model.draw:
        return f"drawn by {study.config.model.draw}() in {study.config.model.file}"
    views = {"track": "x", "one_hit": "x", "own": "each coordinate"}.get(name, "x and y")
    text = f"{views} ~ U({source.x_min:g}, {source.x_max:g}) m"
    if source.cosmic:
        at = "the middle of the volume" if source.volume else "z = 0"
        text += f" at {at}, zenith angles as cos² up to {source.cosmic.zenith_max:g} rad"
    if source.volume:
        volume, cosmic = source.volume, source.cosmic
        least = " and more" if cosmic.spectrum == "sea_level" else ""
        text += (
            f"; scattered in {volume.thickness:g} m of radiation length {volume.radiation_length:g} m at "
            f"z = {volume.z:g} m, at {cosmic.momentum:g} GeV/c{least}"
        )
    return text


def _layers(study: Study) -> list[dict[str, Any]]:
    """The layers, where there are several: height if it is known, coordinates, resolution and efficiency."""
    model, detector = study.model, study.config.detector
    count = study.config.model.layer_count
    heights = [z for name in ("z", "z_upper", "z_lower") for z in model.parameters.get(name, ())]
    if isinstance(study.config.model, Own) or len(heights) != count:
        heights = [None] * count

    def of_layer(value: Any, index: int) -> float:
        return value[index] if isinstance(value, list) else value

    return (
        [
            {
                "layer": index,
                "height": heights[index],
                "coordinates": [
                    each.symbol for each, on in zip(model.coordinates, model.layers, strict=True) if on == index
                ],
                "resolution": of_layer(detector.resolution, index),
                "efficiency": of_layer(detector.efficiency, index),
            }
            for index in range(count)
        ]
        if count > 1
        else []
    )


def _with_unit(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _success(study: Study, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Quoted intervals that hold the truth too seldom near a fold though σ is right, each at its worst point."""
    settings, found = study.config.validation, {}
    for entry in entries:
        near = [each for each in entry["quoted"]["bins"] if each["low"] < entry["linear"]["domain"]["low"]]
        for each in near:
            for level, nominal in zip(LEVELS, (P68, P95), strict=True):
                # Of several observables, each is said once.
                several = len(study.model.observables) > 1
                key = entry["observable"] if several else (each["low"], level)
                name = f"coverage{level}"
                # Where success is wrong far from the fold too, its cause is another.
                elsewhere = entry["diagnostics"].get(f"coverage{level}", {}).get("verdict")
                if each.get(name) is None or each["ratio_verdict"] == "fail" or elsewhere == "fail":
                    continue
                too_low = half_width(each[f"{name}_high"]) / half_width(nominal) < 1 - settings.tolerance
                if too_low and (key not in found or each[name] < found[key]["value"]):
                    found[key] = {
                        "range": _range(each),
                        "interval": f"{100 * nominal:g} %",
                        "value": each[name],
                        "low": each[f"{name}_low"],
                        "high": each[f"{name}_high"],
                        "point": entry["point"],
                        "observable": entry["observable"],
                    }
    return list(found.values())


def _embedded(svg: str | Path) -> str:
    """An SVG as the source of an image: inside a page, names in one SVG would clash with another's."""
    return "data:image/svg+xml;base64," + base64.b64encode(Path(svg).read_bytes()).decode()


def _figures(value: float | None, digits: int = 4) -> str:
    """A number with so many decimals, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _significant(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def _signed(value: float | None) -> str:
    """A change in per cent with its sign, or a dash."""
    if value is None:
        return "–"
    return f"{100 * value:+.2f} %".replace("-", "−") if abs(value) >= 5e-5 else "0 %"


def _percent(value: float | None) -> str:
    """A share in per cent; what is less than all, or more than nothing, is never rounded to it."""
    if value is None:
        return "–"
    text = f"{100 * value:.3g}"
    for digits in range(4, 17):
        if not (text == "100" and value < 1):
            break
        text = f"{100 * value:.{digits}g}"
    return f"{text} %"


def _furthest_end(numbers: dict[str, Any], level: str) -> str:
    """How far the end of an interval that is further off is off, in half-widths."""
    known = [numbers[f"{end}{level}_off"] for end in ("low", "high") if numbers[f"{end}{level}_off"] is not None]
    return f"{max(known, key=abs):+.4f}" if known else "–"


def _count(value: int | None) -> str:
    """A whole number with thin spaces between thousands."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def _range(numbers: dict[str, Any]) -> str:
    return f"{numbers['low']:g} – {numbers['high']:g}" if numbers["high"] is not None else f"≥ {numbers['low']:g}"
