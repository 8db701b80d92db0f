"""The verdict on a study: merges the tallies of batches, judges points and observables, and writes the evidence."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import PullbackError
from ..models import Quantity
from ..store import artefact
from ..store.evidence_file import read_evidence, write_evidence
from ..store.study_file import Gathering, unpack
from ..study import shared_parameters
from ..study.batches import Part
from ..study.blocks import block_count
from ..study.plan import Study
from ..study.scan import Point
from .batch_sums import PointTally
from .bin_sums import SIGMAS, Tally
from .csv_tables import scanned, write_config, write_csv, write_points
from .diagnostics import diagnose
from .judgement import OUTSIDE, Judgement, worst
from .systematics import SystematicSums

log = logging.getLogger(__name__)

LINEAR_SUMMARY = ("mean_value", "mean_sigma", "ratio", "ratio_se", "scatter")
LINEAR_SUMMARY += ("pull_mean", "pull_sd", "pull_sd_se", "pull_rms", "coverage68", "coverage95")
"""Statistics of the linear domain that are columns of `summary.csv`."""

QUOTED_SUMMARY = ("mean_sigma", "ratio", "ratio_se", "pull_mean", "pull_sd", "pull_rms", "coverage68", "coverage95")
"""Statistics of all muons with the quoted σ that are columns of `summary.csv`, named `quoted_…`."""


SHARED_SUMMARY = ("mean_uncertainty", "mean_uncertainty_independent", "mean_uncertainty_shared", "total", "mean")
SHARED_SUMMARY += ("pull_width", "pull_shift")
"""Statistics of the shared uncertainty that are columns of `summary.csv`."""


class Outputs(NamedTuple):
    """Paths of the files that `validate` writes."""

    config: str | Path
    points: str | Path
    study: str | Path
    validation: str | Path
    table: str | Path
    summary: str | Path


def validate(study: Study, tallies: Sequence[str | Path], outputs: Outputs) -> None:
    """Judge a study and write the evidence, whatever the verdict.

    Parameters
    ----------
    study : Study
        The plan.
    tallies : sequence of path
        The tallies of its batches, in the study's order.
    outputs : Outputs
        Where to write the results.

    """
    gathering, entries = Gathering(), []
    points = {point.label: point for point in study.points}
    among = len(points) * len(study.model.observables)
    for index, (name, file) in enumerate(zip(study.batches, tallies, strict=True)):
        batch = study.batch("tally", name)
        with artefact.read(file, batch) as reader:
            for part in batch.parts:
                arrays = reader.arrays(part.label)
                gathering.add(name, reader.parents, unpack(arrays))
                if part.first == 0:  # parts of a point are consecutive, so one point is held at a time
                    found = PointTally(part)
                found.merge(arrays)
                if part.last == block_count(part.muons):
                    entries += _entries(study, points[part.label], part, found, among)
        log.info("tally %d of %d read: %s", index + 1, len(study.batches), name)
    write_config(study, outputs.config)
    write_points(study, outputs.points)
    content = gathering.write(study, outputs.study)
    write_evidence(
        outputs.validation,
        {
            "study": study.config.study,
            "verdict": worst([entry["verdict"] for entry in entries]),
            "config_digest": study.digest,
            "content_digest": content,
            "points": entries,
        },
    )
    write_csv(outputs.table, [row for entry in entries for row in _flat(entry, points)])
    write_csv(outputs.summary, [_summary(entry, points) for entry in entries])


def check(validation: str | Path, strict: bool) -> str:
    """The verdict in one line.

    Raises
    ------
    PullbackError
        The verdict is fail, or it is inconclusive and `strict` is set.

    """
    evidence = read_evidence(validation)
    verdict = evidence["verdict"]
    bad = [entry for entry in evidence["points"] if entry["verdict"] == verdict]
    line = f"{evidence['study']}: verdict {verdict}"
    if verdict != "pass":
        reasons = bad[0]["reasons"]
        more = [f"and {len(reasons) - 3} more"] if len(reasons) > 3 else []
        first = f"{bad[0]['point']}: {bad[0]['observable']}: {'; '.join([*reasons[:3], *more])}"
        line += f" ({len(bad)} of {len(evidence['points'])}, the first: {first})"
    line += f"; the evidence is in {Path(validation).with_name('report.html')}"
    if verdict == "fail" or (strict and verdict == "inconclusive"):
        raise PullbackError(line)
    return line


def _entries(study: Study, point: Point, part: Part, found: PointTally, among: int) -> Iterator[dict[str, Any]]:
    """The evidence on each observable at a point, from the tally of all muons of the point."""
    for each in study.model.observables:
        entry = {
            "point": point.label,
            "observable": each.name,
            "values": point.values,
            **_judged(found.of(each.name), point, each, among),
            "chi2_per_ndf": found.chi2_per_ndf,
        }
        _contribute(entry, found.sums[each.name], point, part)
        yield entry


def _judged(tallies: Mapping[str, Tally], point: Point, observable: Quantity, among: int) -> dict[str, Any]:
    """The verdict on an observable at a point, one of `among` in the study, with the judgement of each σ."""
    settings = point.config.validation
    # The lower edge of the linear domain of this observable.
    claims = settings.model_copy(update={"domain": max(settings.domain, observable.domain)})
    results = {sigma: Judgement(tally, claims, point.config.toys, among).result() for sigma, tally in tallies.items()}
    return {
        "verdict": worst([result["verdict"] for result in results.values()]),
        "reasons": [f"{sigma} σ: {reason}" for sigma, result in results.items() for reason in result["reasons"]],
        "more": list(dict.fromkeys(advice for result in results.values() for advice in result["more"])),
        "linear_valid": results["quoted"]["overall"]["linear_valid"],
        "diagnostics": diagnose(results["linear"], results["quoted"], settings.tolerance, settings.confidence),
        **results,
    }


def _contribute(entry: dict[str, Any], sums: SystematicSums, point: Point, part: Part) -> None:
    """Add to an entry the budget, the slopes by the design, and the judgement of the shared uncertainty."""
    sources, section = shared_parameters.sources_of(part), part.config.systematics
    entry["budget"] = sums.budget(sources) if len(sources) > 1 else {}
    entry["budget_variance"] = sums.variance if len(sources) > 1 else None
    entry["design"] = sums.design([each.name for each in shared_parameters.design_numbers(part)])
    entry["shared"] = None
    if section:
        settings = point.config.validation
        sigma_eta = shared_parameters.covariance_of(section)
        experiments = sums.experiments(sigma_eta, settings.tolerance, settings.confidence)
        entry["shared"] = {**sums.mean(sigma_eta), **experiments}
        verdict = entry["shared"]["verdict"]
        entry["verdict"] = worst([entry["verdict"], verdict])
        if verdict != "pass":
            entry["reasons"].append(f"systematics: {_shared_reason(entry['shared'])}")


def _shared_reason(shared: dict[str, Any]) -> str:
    """Why the pseudo-experiments do not pass."""
    if shared["experiment_muons"] < 2:
        return "fewer than two muons are in the pseudo-experiments"
    words = {"total": "scatter over experiments / total σ", "mean": "scatter of the mean pull / expected scatter"}
    reasons = [
        f"{words[name]} = {shared[name]:.4f} [{shared[f'{name}_low']:.4f}, {shared[f'{name}_high']:.4f}]"
        for name in words
        if shared.get(f"{name}_verdict", "pass") != "pass"
    ]
    if "mean" not in shared:
        reasons.append("the mean pull is not judged, since muons without a σ are in the pseudo-experiments")
    return "; ".join(reasons)


def _flat(entry: dict[str, Any], points: Mapping[str, Point]) -> list[dict[str, Any]]:
    """Bins, domain and all muons of each σ, as rows of a table."""
    head = {
        "point": entry["point"],
        **scanned(points[entry["point"]].values),
        "observable": entry["observable"],
    }
    ranges = [
        (name, numbers)
        for sigma in SIGMAS
        for name, numbers in [
            *(("bin", each) for each in entry[sigma]["bins"]),
            ("domain", entry[sigma]["domain"]),
            ("all", {"sigma": sigma, **entry[sigma]["overall"]}),
        ]
    ]
    return [{**head, "range": name, **numbers} for name, numbers in ranges]


def _summary(entry: dict[str, Any], points: Mapping[str, Point]) -> dict[str, Any]:
    linear, quoted = entry["linear"], entry["quoted"]
    return {
        "point": entry["point"],
        **scanned(points[entry["point"]].values),
        "observable": entry["observable"],
        "verdict": entry["verdict"],
        "linear_verdict": linear["verdict"],
        "quoted_verdict": quoted["verdict"],
        "linear_valid": entry["linear_valid"],
        **{f"linear_valid_{_range(each)}": each["linear_valid"] for each in quoted["bins"]},
        **quoted["counts"],
        "domain_share": linear["domain"]["share"],
        "mean_sigma_all": linear["overall"]["mean_sigma"],
        **{name: linear["domain"].get(name) for name in LINEAR_SUMMARY},
        "bins_outside": sum(each["verdict"] == OUTSIDE and each["muons"] > 0 for each in linear["bins"]),
        **{f"quoted_{name}": quoted["overall"].get(name) for name in QUOTED_SUMMARY},
        "chi2_per_ndf": entry["chi2_per_ndf"],
        **{f"share_{name.replace(' ', '_')}": share for name, share in entry["budget"].items()},
        **{name: (entry["shared"] or {}).get(name) for name in SHARED_SUMMARY if entry["shared"]},
        **{f"d_mean_sigma_d_{name}": slope for name, slope in entry["design"].items()},
    }


def _range(bin_: dict[str, Any]) -> str:
    """The range of a bin as part of a column name."""
    return f"{bin_['low']:g}_to_{bin_['high']:g}"
