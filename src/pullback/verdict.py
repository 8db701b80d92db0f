"""The verdict on a study: gathers its artefacts, judges every point and observable, and writes the evidence."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from . import artefacts
from .artefacts import Reader
from .batches import Part
from .columns import FLAGS
from .errors import PullbackError
from .evidence import read_evidence, write_evidence
from .gathering import Gathering
from .points import Point
from .study import Study
from .tables import scanned, write_config, write_csv, write_points
from .validation import OUTSIDE, Tally, worst

log = logging.getLogger(__name__)

SUMMARY = ("mean_value", "mean_sigma", "ratio", "ratio_se", "scatter", "pull_mean", "pull_sd", "pull_sd_se", "pull_rms")
SUMMARY += ("coverage68", "coverage95")
"""Statistics of the linear domain that are columns of `summary.csv`."""


class Outputs(NamedTuple):
    """The files that `validate` writes."""

    config: str | Path
    points: str | Path
    study: str | Path
    validation: str | Path
    table: str | Path
    summary: str | Path


def validate(study: Study, files: Mapping[str, Sequence[str | Path]], outputs: Outputs) -> None:
    """Judge a study and write the evidence, whatever the verdict.

    Parameters
    ----------
    study : the plan.
    files : for each kind of artefact its files, one a batch in the study's order.
    outputs : where to write them.

    """
    gathering = Gathering(Path(outputs.study).parent)
    observables = [each.name for each in study.model.observables]
    tallies = {
        (point.label, name): Tally(point.config.validation, point.config.toys.per_muon)
        for point in study.points
        for name in observables
    }
    for index, name in enumerate(study.batches):
        with ExitStack() as stack:
            readers = {
                kind: stack.enter_context(artefacts.read(files[kind][index], study.batch(kind, name)))
                for kind in study.kinds
            }
            for part in study.batches[name].parts:
                for kind in study.kinds:
                    gathering.add(readers[kind], part.label)
                for observable in observables:
                    _tally(tallies[part.label, observable], readers, part, observable)
        log.info("batch %d of %d judged: %s", index + 1, len(study.batches), name)

    results = {key: tally.result() for key, tally in tallies.items()}
    points = {point.label: point for point in study.points}
    entries = [
        {"point": label, "observable": name, "values": points[label].values, **result}
        for (label, name), result in results.items()
    ]
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
    """The verdict in a line.

    Raises
    ------
    PullbackError : the verdict is fail, or it is inconclusive and `strict`.

    """
    evidence = read_evidence(validation)
    verdict = evidence["verdict"]
    bad = [entry for entry in evidence["points"] if entry["verdict"] == verdict]
    line = f"{evidence['study']}: verdict {verdict}"
    if verdict != "pass":
        first = f"{bad[0]['point']}: {bad[0]['observable']}: {'; '.join(bad[0]['reasons'])}"
        line += f" ({len(bad)} of {len(evidence['points'])}, the first: {first})"
    line += f"; the evidence is in {Path(validation).with_name('report.html')}"
    if verdict == "fail" or (strict and verdict == "inconclusive"):
        raise PullbackError(line)
    return line


def _tally(tally: Tally, readers: Mapping[str, Reader], part: Part, name: str) -> None:
    theta, sigma, toys = readers["theta"], readers["sigma"], readers["toys"]
    muon = toys.rows(f"{part.label}/toys/muon")
    toy_sd = toys.rows(f"{part.label}/toys/toy_sd_{name}")
    for block in part.blocks:
        flag = sigma.read(part, "flag", block)
        truth = None
        if "truth" in readers:
            truth = (
                theta.read(part, f"{name}_true", block),
                sigma.read(part, f"sigma_{name}_linear_true", block),
            )
        here = (muon >= block.start) & (muon < block.stop)
        tally.add(
            theta.read(part, name, block),
            sigma.read(part, f"sigma_{name}_linear", block),
            (flag & FLAGS["hit_not_finite"]) == 0,
            muon[here] - block.start,
            toy_sd[here],
            truth,
        )


def _flat(entry: dict[str, Any], points: Mapping[str, Point]) -> list[dict[str, Any]]:
    """The bins of an entry, then the linear domain and all muons, as rows of a table."""
    head = {
        "point": entry["point"],
        **scanned(points[entry["point"]].values),
        "observable": entry["observable"],
    }
    ranges = [("bin", each) for each in entry["bins"]] + [
        ("domain", entry["domain"]),
        ("all", entry["overall"]),
    ]
    return [{**head, "range": name, **numbers} for name, numbers in ranges]


def _summary(entry: dict[str, Any], points: Mapping[str, Point]) -> dict[str, Any]:
    domain = entry["domain"]
    return {
        "point": entry["point"],
        **scanned(points[entry["point"]].values),
        "observable": entry["observable"],
        "verdict": entry["verdict"],
        **entry["counts"],
        "domain_share": domain["share"],
        "mean_sigma_all": entry["overall"]["mean_sigma"],
        **{name: domain.get(name) for name in SUMMARY},
        "bins_outside": sum(each["verdict"] == OUTSIDE and each["muons"] > 0 for each in entry["bins"]),
    }
