"""`report.html`: one self-contained page with the verdict first and the evidence under it."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from .files import write_text
from .gallery import badness, gallery
from .provenance import package_digest, versions
from .study import Study
from .tables import scanned
from .validation import NARROWEST_SCATTER, OUTSIDE


def write_report(study: Study, validation: str | Path, figures: str | Path, report: str | Path) -> None:
    """Write the report from the evidence of the validation and the folder of figures; same inputs, same bytes."""
    evidence = json.loads(Path(validation).read_text(encoding="utf-8"))
    environment = Environment(
        loader=PackageLoader("pullback"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figures": _figures, "percent": _percent, "range": _range, "count": _count}
    points = {point.label: scanned(point.values) for point in study.points}
    page = environment.get_template("report.html.j2").render(
        study=study,
        config=study.config,
        evidence=evidence,
        entries=evidence["points"],
        worst=max(evidence["points"], key=badness),
        lines=_lines(study, evidence),
        points=points,
        scanned=list(next(iter(points.values()))),
        gallery=[(figure, _embedded(Path(figures, f"{figure.stem}.svg"))) for figure in gallery(study, evidence)],
        observables={each.name: each for each in study.model.observables},
        OUTSIDE=OUTSIDE,
        NARROWEST_SCATTER=NARROWEST_SCATTER,
        # How the work was cut into jobs changes no result, and stays out of the report for that.
        config_text=yaml.safe_dump(
            study.config.model_dump(mode="json", exclude={"compute"}), sort_keys=False, allow_unicode=True
        ),
        provenance={
            "seed": study.config.seed,
            "config digest (SHA-256)": evidence["config_digest"],
            "content digest of study.h5 (SHA-256)": evidence["content_digest"],
            "package digest (SHA-256)": package_digest(),
            **{f"{name} version": number for name, number in versions().items()},
        },
    )
    write_text(report, page)


def _lines(study: Study, evidence: dict[str, Any]) -> list[str]:
    """The verdict in words: a sentence for what was found, and one for each thing that a reader must know."""
    entries = evidence["points"]
    count = {verdict: sum(each["verdict"] == verdict for each in entries) for verdict in ("pass", "fail", "inconclusive")}
    where = f"at all {len(entries)} points" if len(entries) > 1 else "here"
    tolerance, domain = study.config.validation.tolerance, study.config.validation.domain
    shares = [each["domain"]["share"] for each in entries if each["domain"]["share"] is not None]
    share = "–".join(dict.fromkeys(_percent(each) for each in (min(shares), max(shares)))) if shares else "none"
    lines = []
    match evidence["verdict"]:
        case "pass":
            lines.append(
                f"The quoted σ is right to within ±{_percent(tolerance)} {where}, for muons at least {domain:g} σ from the fold "
                f"({share} of them)."
            )
        case "fail":
            lines.append(f"The quoted σ is wrong at {count['fail']} of {len(entries)} points. Don't use these uncertainties.")
        case _:
            lines.append(f"Nothing was found wrong, but {count['inconclusive']} of {len(entries)} points could not be settled.")
    if evidence["verdict"] == "pass" and study.recorded:
        lines.append("The hits are recorded, so there is no truth to compare with: the proof rests on toys thrown around them.")
    outside = [1 - each for each in shares]
    if outside and max(outside) > 0:
        lines.append(
            f"Below {domain:g} σ the linear law is not claimed: up to {_percent(max(outside))} of the muons at a point are there, and "
            "their σ is too large (see the rows marked “outside”)."
        )
    lost = {key: sum(each["counts"][key] for each in entries) for key in ("hit_not_finite", "sigma_zero_or_nan", "sigma_negative")}
    total = sum(each["counts"]["muons"] for each in entries)
    if any(lost.values()):
        lines.append(
            f"Of {_count(total)} muons (all points), {_count(lost['hit_not_finite'])} have a hit that is NaN or infinite, "
            f"{_count(lost['sigma_zero_or_nan'])} a σ of zero or NaN, and {_count(lost['sigma_negative'])} a negative σ."
        )
    else:
        lines.append(f"No muon failed: none of {_count(total)} (all points) has a hit that is not finite, or a σ of zero, NaN or below zero.")
    for entry in entries:
        toys = sum(each["more_toys"] or 0 for each in entry["bins"])
        if toys:
            lines.append(f"{entry['point']}: about {_count(toys)} more toys would settle it, if the ratios stay where they are.")
        if entry["domain"].get("more_muons"):
            lines.append(f"{entry['point']}: about {_count(entry['domain']['more_muons'])} more muons would settle the width of its pulls.")
    return lines


def _embedded(svg: Path) -> str:
    """An SVG as the source of an image: inside a page, names in one SVG would clash with another's."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()


def _figures(value: float | None, digits: int = 4) -> str:
    """A number with so many decimals, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.3g} %"


def _count(value: int | None) -> str:
    """A whole number with thin spaces between thousands."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def _range(numbers: dict[str, Any]) -> str:
    return f"{numbers['low']:g} – {numbers['high']:g}" if numbers["high"] is not None else f"≥ {numbers['low']:g}"
