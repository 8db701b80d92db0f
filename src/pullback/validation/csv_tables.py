"""Text files of a study: resolved config, points, and CSV tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import yaml

from ..files import write_text
from ..study.plan import Study
from ..study.scan import number
from .coverage_evidence import JUDGED, Interval, TruthBin
from .coverage_reasons import TARGETS
from .estimates import Estimate
from .evidence import OFFSETS, SIGMAS, Bin, DomainStatistics, Entry, NotJudged, Sigma, Statistics
from .fit_evidence import CoordinateFit, FitEntry

CsvRow = dict[str, str | float | None]
"""The cells of a row by the names of their columns."""

RANGES = {Bin: "bin", DomainStatistics: "domain", Statistics: "all"}
"""Which muons a row of `validation.csv` is about."""

PLAIN = {"muons", "recorded", "share", "linear_valid", "mean_value", "mean_sigma", "toy_muons", "toys"}
"""The statistics that are plain numbers, and have columns of the same names."""

LINEAR_SUMMARY = (
    *("mean_value", "mean_sigma", "ratio", "ratio_se", "scatter"),
    *("pull_mean", "pull_sd", "pull_sd_se", "pull_rms", "coverage68", "coverage95"),
)
"""Columns of the linear domain that `summary.csv` has too."""

COVERAGES: tuple[Interval, ...] = get_args(Interval)
"""All kinds of intervals."""

QUOTED_SUMMARY = ("mean_sigma", "ratio", "ratio_se", "pull_mean", "pull_sd", "pull_rms", "coverage68", "coverage95")
"""Columns of all muons with the quoted σ that `summary.csv` has too, named `quoted_…`."""


def write_config(study: Study, path: str | Path) -> None:
    """Write the resolved config, with all defaults, as YAML."""
    config = study.config.model_dump(mode="json")
    write_text(path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))


def write_points(study: Study, path: str | Path) -> None:
    """Write the points as CSV: label, scanned values, number of muons, and batches."""
    batches: dict[str, list[str]] = {point.label: [] for point in study.points}
    for name, batch in study.batches.items():
        for part in batch.parts:
            batches[part.label].append(name)
    rows: list[CsvRow] = [
        {
            "point": point.label,
            **scanned(point.values),
            "muons": study.muons[point.label],
            "batches": " ".join(batches[point.label]),
        }
        for point in study.points
    ]
    write_csv(path, rows)


def scanned(values: dict[str, float]) -> dict[str, str]:
    """Scanned values as they appear in tables."""
    return {name: number(value) for name, value in values.items()}


def write_tables(
    study: Study, entries: Sequence[Entry], fits: Sequence[FitEntry], table: str | Path, summary: str | Path
) -> None:
    """Write `validation.csv`, with rows of all three questions, and `summary.csv`."""
    points = {point.label: scanned(point.values) for point in study.points}
    rows: list[CsvRow] = []
    sums: list[CsvRow] = []
    for entry in entries:
        head: CsvRow = {"point": entry.point, **points[entry.point], "observable": entry.observable}
        for sigma in SIGMAS:
            judgement = entry.of(sigma)
            for numbers in (*judgement.bins, judgement.domain, judgement.overall):
                where: CsvRow = {"question": "propagation", "range": RANGES[type(numbers)], "sigma": sigma}
                rows.append({**head, **where, **columns(numbers, sigma, study.recorded)})
        for bin_ in entry.truth.bins if entry.truth else ():
            rows.append({**head, "question": "truth", "range": "bin", **truth_columns(bin_)})
        fit = next(each for each in fits if each.point == entry.point)
        sums.append({**head, **_summary(entry, fit, study.recorded)})
    for fit in fits:
        of_point: CsvRow = {"point": fit.point, **points[fit.point], "question": "data", "range": "all"}
        rows += [{**of_point, **_residuals(each)} for each in fit.coordinates]
    write_csv(table, rows)
    write_csv(summary, sums)


def columns(numbers: Statistics, sigma: Sigma, recorded: bool) -> CsvRow:
    """Statistics by the names of their columns; without pulls if the hits are recorded."""
    estimates = {"ratio": numbers.ratio, "ratio_rms": numbers.ratio_rms}
    for offset in OFFSETS:
        deviation = numbers.offsets.of(offset)
        estimates |= {f"{offset}_off": deviation.mean, f"{offset}_rms": deviation.rms}
    row: CsvRow = {"low": numbers.low, "high": numbers.high} if isinstance(numbers, Bin | DomainStatistics) else {}
    row |= numbers.model_dump(include=PLAIN)
    for name, estimate in estimates.items():
        if sigma == "quoted" or not name.endswith("_rms"):
            row |= _limits(name, estimate, ("", "_se", "_low", "_high"))
    if not recorded:
        pulls = numbers.pulls
        row |= _limits("pull_mean", pulls and pulls.mean, ("", "_se"))
        row |= _limits("pull_sd", pulls and pulls.sd, ("", "_se", "_low", "_high"))
        row["pull_rms"] = pulls and pulls.rms
        row |= _limits("coverage68", pulls and pulls.coverage68) | _limits("coverage95", pulls and pulls.coverage95)
    if isinstance(numbers, Bin):
        row["ratio_verdict"] = None
        judged = {name: estimate.verdict for name, estimate in estimates.items() if estimate and estimate.verdict}
        row |= {f"{name.removesuffix('_off')}_verdict": verdict for name, verdict in judged.items()}
        row |= {"verdict": numbers.verdict, "factor": numbers.factor, "decides": numbers.decides}
    if isinstance(numbers, DomainStatistics) and sigma == "linear":
        scatter = numbers.scatter
        row |= {"pull_sd_verdict": numbers.pull_sd_verdict, "pull_sd_factor": numbers.pulls and numbers.pulls.sd.factor}
        row |= {"scatter": scatter and scatter.all.value, "scatter_local": scatter and scatter.local.value}
        row |= _limits("scatter", scatter and scatter.all, ("_low", "_high"))
        row |= _limits("scatter_local", scatter and scatter.local, ("_low", "_high"))
        row["scatter_verdict"] = scatter and scatter.verdict
    return row


def truth_columns(each: TruthBin) -> CsvRow:
    """A bin of true values, with toys around true hits, by the names of its columns."""
    row: CsvRow = {"low": each.low, "high": each.high, "muons": each.muons, "share": each.share}
    row |= {"truths": each.truths, "toys": each.toys, "without": each.without, "predicted_bias": each.predicted_bias}
    row |= _limits("truth_bias", each.bias, ("", "_se", "_low", "_high"))
    row |= {"pull_mean": each.pull_mean, **_limits("pull_sd", each.pull_sd)}
    for name in COVERAGES:
        row |= _limits(f"coverage_{name}", each.coverage.of(name))
    names = {"bias": "truth_bias", "confidence68": "coverage_confidence68", "confidence95": "coverage_confidence95"}
    row |= {f"{names.get(name, name)}_verdict": number.verdict for name, number in each.judged}
    return row | {"verdict": each.verdict, "factor": each.factor, "decides": each.decides}


def _limits(name: str, estimate: Estimate | None, ends: Sequence[str] = ("", "_low", "_high")) -> CsvRow:
    """The columns of an estimate."""
    if estimate is None:
        return {f"{name}{end}": None for end in ends}
    found = {"": estimate.value, "_se": estimate.se, "_low": estimate.low, "_high": estimate.high}
    return {f"{name}{end}": found[end] for end in ends}


def _summary(entry: Entry, fit: FitEntry, recorded: bool) -> CsvRow:
    """The columns of an observable at a point, after its name."""
    linear, quoted, shared = entry.linear, entry.quoted, entry.shared
    domain, overall = columns(linear.domain, "linear", recorded), columns(quoted.overall, "quoted", recorded)
    row: CsvRow = {
        "verdict": entry.verdict,
        "propagation_verdict": entry.propagation,
        **truth_summary(entry),
        "data_verdict": fit.verdict,
        **_fit_summary(fit),
        "linear_verdict": linear.verdict,
        "quoted_verdict": quoted.verdict,
        "linear_valid": entry.linear_valid,
        **{f"linear_valid_{each.low:g}_to_{each.high:g}": each.linear_valid for each in quoted.bins},
        **quoted.counts.model_dump(),
        "domain_share": linear.domain.share,
        "mean_sigma_all": linear.overall.mean_sigma,
        **{name: domain.get(name) for name in LINEAR_SUMMARY},
        "bins_outside": sum(each.verdict == NotJudged.OUTSIDE and each.muons > 0 for each in linear.bins),
        **{f"quoted_{name}": overall.get(name) for name in QUOTED_SUMMARY},
        **{f"share_{name.replace(' ', '_')}": share for name, share in entry.budget.items()},
    }
    if shared:
        mean = shared.mean_uncertainty
        row |= {
            "mean_uncertainty": mean and mean.total,
            "mean_uncertainty_independent": mean and mean.independent,
            "mean_uncertainty_shared": mean and mean.shared,
            "total": shared.total and shared.total.value,
            "mean": shared.mean and shared.mean.value,
            "pull_width": shared.pull_width and shared.pull_width.value,
            "pull_shift": shared.pull_shift and shared.pull_shift.value,
        }
    return row | {f"d_mean_sigma_d_{name}": slope for name, slope in entry.design.items()}


def truth_summary(entry: Entry) -> CsvRow:
    """Whether the truth is covered: the verdict, and the numbers furthest from what they should be in any bin."""
    truth = entry.truth
    if not truth:
        return {"truth_verdict": "not tested"}
    row: CsvRow = {"truth_verdict": truth.verdict}
    for name in JUDGED:
        known = [(each, number) for each in truth.bins if each.decides and (number := each.of(name))]
        if known and name != "pull_sd":
            bin_, number = max(known, key=lambda each: abs(each[1].value - TARGETS[name]))
            column = {"bias": "truth_bias"}.get(name, f"coverage_{name}")
            row |= {**_limits(column, number), f"{column}_bin": f"{bin_.low:g} to {bin_.high:g}"}
    return row


def _fit_summary(fit: FitEntry) -> CsvRow:
    """The columns of the data at a point."""
    return {
        "chi2_per_ndf": fit.chi2_per_ndf,
        **_limits("residual_width", fit.width, ("", "_se")),
        **_limits("residual_median_width", fit.median_width, ("", "_se")),
        "outliers": fit.outliers and fit.outliers.value,
    }


def _residuals(fit: CoordinateFit) -> CsvRow:
    """The columns of the unbiased residuals of a coordinate."""
    row: CsvRow = {"coordinate": fit.name, "hits": fit.hits}
    row |= _limits("residual_mean", fit.mean, ("", "_se")) | _limits("residual_sd", fit.sd, ("", "_se"))
    row |= _limits("pull_mean", fit.pull_mean, ("", "_se")) | _limits("pull_sd", fit.pull_sd, ("", "_se"))
    row |= {"pull_mean_verdict": fit.pull_mean.verdict, "pull_sd_verdict": fit.pull_sd.verdict}
    return row | _limits("offset", fit.offset, ("", "_se"))


def write_csv(path: str | Path, rows: Sequence[CsvRow]) -> None:
    """Write rows as CSV, with one column per key of any row. Numbers are exact; None and NaN become empty cells."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None or value != value else value for key, value in row.items()})
    write_text(path, text.getvalue())
