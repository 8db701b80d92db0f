"""The verdict on a study: merges the tallies of batches, judges points and observables, and writes the evidence."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import TextWrapper
from typing import NamedTuple

from ..config.schema import Validation
from ..detector.losses import losses_in_place
from ..errors import ANSWERS_FOLLOW, PullbackError
from ..files import write_text
from ..models.stated import stated_resolution
from ..statistics.intervals import Verdict
from ..store import artefact
from ..store.columns import has_covariances
from ..store.study_file import Gathering, unpack
from ..study import shared_parameters
from ..study.aligning import placement_of
from ..study.artefact_configs import TallyConfig
from ..study.batches import Part
from ..study.blocks import block_count
from ..study.coverage_bins import PULL_EDGES, unfolded
from ..study.plan import Study
from ..study.scan import Point
from ..uncertainty.budget import LAYER
from .answers import QUESTIONS
from .batch_sums import PointTally
from .coverage_evidence import SmearedEntry, TruthJudgement
from .coverage_judgement import CoverageJudge, is_exact
from .coverage_reasons import advice_on_truth
from .csv_tables import write_config, write_points, write_tables
from .diagnostics import diagnose
from .estimates import worst
from .evidence import SIGMAS, Entry, Evidence, Judgement, evidence_schema
from .findings import OF_TRUTH, findings
from .fit_evidence import FitEntry
from .fit_judgement import FitJudge
from .fit_units import unit_of_positions
from .judgement import Judge
from .pull_judgement import PullJudge
from .reasons import advice_on_shared, bracketed, of_shared, place_of
from .sentences import answers_of

log = logging.getLogger(__name__)

WRAPPED = TextWrapper(
    120, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
)
"""How an answer is broken into lines of a terminal."""


class Outputs(NamedTuple):
    """Paths of the files that `validate` writes."""

    config: str | Path
    points: str | Path
    study: str | Path
    validation: str | Path
    schema: str | Path
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
    gathering = Gathering()
    entries: list[Entry] = []
    smeared: list[SmearedEntry] = []
    fits: list[FitEntry] = []
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
                    point, observables = points[part.label], study.model.observables
                    muons = _smeared(point, part, found, len(points))
                    entries += [_entry(point, part, index, found, muons, among) for index in range(len(observables))]
                    smeared += [muons] if muons else []
                    fits.append(_fits(point, part, found, len(points)))
        log.info("tally %d of %d read: %s", index + 1, len(study.batches), name)
    write_config(study, outputs.config)
    write_points(study, outputs.points)
    content = gathering.write(study, outputs.study)
    answers = answers_of(study, entries, fits, findings(study, entries, smeared, fits))
    Evidence(
        study=study.config.study,
        verdict=answers.verdict,
        config_digest=study.digest,
        content_digest=content,
        imported=study.imported.plain() if study.imported else None,
        separating=study.reading.separating,
        answers=answers,
        points=entries,
        smeared=smeared,
        fits=fits,
    ).write(outputs.validation)
    write_text(outputs.schema, evidence_schema())
    write_tables(study, entries, fits, outputs.table, outputs.summary)


def check(validation: str | Path, strict: bool) -> str:
    """The three answers and, in the last line, the verdict.

    Raises
    ------
    PullbackError
        The verdict is fail, or it is inconclusive and `strict` is set. The verdict is then in the first line, and alone
        if `ANSWERS_FOLLOW` is set in the environment.

    """
    evidence = Evidence.read(validation)
    verdict, deciding = evidence.verdict, evidence.answers.that_decide
    judged = f"{evidence.study}: verdict {verdict}. See {Path(validation).with_name('report.html')}"
    answers = []
    for name, each in evidence.answers.each.items():
        text = f"{QUESTIONS[name]} {each.verdict}. {each.sentence if name in deciding else ''}"
        answers.append(WRAPPED.fill(text))
    if verdict == Verdict.FAIL or (strict and verdict == Verdict.INCONCLUSIVE):
        raise PullbackError("\n".join([judged, *(answers if not os.environ.get(ANSWERS_FOLLOW) else [])]))
    return "\n".join([*answers, judged])


def _fits(point: Point, part: Part[TallyConfig], found: PointTally, among: int) -> FitEntry:
    """Whether the data of a point, one of `among` in the study, agree with the stated resolution."""
    units = (1 / stated_resolution(point.config.detector.stated, part.model)).tolist()
    placement, own_sigma = placement_of(part), has_covariances(part)
    stretch = placement.stretch if placement else 1.0
    aligned = point.config.alignment is not None
    settings = point.config.validation
    judge = FitJudge(
        part.model,
        units,
        settings,
        among,
        own_sigma=own_sigma,
        stretch=stretch,
        aligned=aligned,
        source_unit=unit_of_positions(point.config.source),
    )
    return judge.result(point.label, found.fits)


def _entry(
    point: Point,
    part: Part[TallyConfig],
    index: int,
    found: PointTally,
    smeared: SmearedEntry | None,
    among: int,
) -> Entry:
    """The evidence on one of the observables at a point, one of `among` in the study, from the tally of all muons."""
    observables = part.model.observables
    observable = observables[index]
    place = place_of(observable, observables)
    settings, sums = point.config.validation, found.sums[observable.name]
    # The lower edge of the linear domain of this observable.
    claims = settings.model_copy(update={"domain": max(settings.domain, observable.domain)})
    tallies = found.of(observable.name)
    linear, quoted = (Judge(tallies[sigma], claims, point.config.toys, among, place).result() for sigma in SIGMAS)
    both, sources, systematics = (linear, quoted), shared_parameters.sources_of(part), part.config.systematics
    verdicts = [linear.verdict, quoted.verdict]
    worst_first = sorted(both, key=lambda judgement: -judgement.verdict.severity)
    reasons = [f"{judgement.sigma} σ: {reason}" for judgement in worst_first for reason in judgement.reasons]
    shared = None
    if systematics:
        sigma_eta = shared_parameters.shift_covariance(systematics)
        shared = sums.shared(sigma_eta, settings.of_toys, settings.confidence)
        verdicts.append(shared.verdict)
        if shared.verdict != Verdict.PASS:
            reasons.append(f"systematics: {of_shared(shared)}")
    truth = _truth(part, index, found, claims, among, linear, quoted)
    reasons += [f"{OF_TRUTH}{reason}" for reason in truth.reasons] if truth else []
    remedies = [each for judgement in both for each in judgement.remedies]
    remedies += advice_on_shared(shared, settings) if shared else []
    remedies += advice_on_truth(truth, point.config.coverage.toys_per_bin, settings) if truth else []
    return Entry(
        point=point.label,
        observable=observable.name,
        values=point.values,
        verdict=worst([*verdicts, truth and truth.verdict]),
        propagation=worst(verdicts),
        truth=truth,
        reasons=reasons,
        remedies=list(dict.fromkeys(remedies)),
        linear_valid=quoted.overall.linear_valid,
        diagnostics=diagnose(linear, quoted, truth, smeared, claims),
        linear=linear,
        quoted=quoted,
        budget=sums.budget(sources) if len(sources) > 1 else {},
        budget_variance=sums.variance if len(sources) > 1 else None,
        design=sums.design([each.name for each in shared_parameters.design_numbers(part)]),
        shared=shared,
    )


def _truth(
    part: Part[TallyConfig],
    index: int,
    found: PointTally,
    settings: Validation,
    among: int,
    linear: Judgement,
    quoted: Judgement,
) -> TruthJudgement | None:
    """Whether the intervals of one of the observables hold the truth; None for recorded hits."""
    rows = found.coverage.of("rows")
    if not rows:
        return None
    sources = [name for name in shared_parameters.sources_of(part) if name.startswith(LAYER)]
    judge = CoverageJudge(part.model, index, rows, settings, among)
    edges = judge.series.edges
    muons = [sum(each.muons for each in quoted.bins if low <= each.low < high) for low, high in pairwise(edges)]
    truth = judge.result(muons, sources)
    if linear.domain.pull_sd_verdict != Verdict.FAIL or not linear.domain.pulls:
        return truth
    reason = f"width of the pulls of all muons in the linear domain is {bracketed(linear.domain.pulls.sd)}"
    return truth.model_copy(update={"verdict": Verdict.FAIL, "reasons": [reason, *truth.reasons]})


def _smeared(point: Point, part: Part[TallyConfig], found: PointTally, among: int) -> SmearedEntry | None:
    """The smeared muons of a point, one of `among`, against their truth; None for recorded hits."""
    sums, rows = found.coverage.of("pulls"), found.coverage.of("rows")
    if not sums:
        return None
    efficiency = {each.name: each.efficiency for each in losses_in_place(part)}
    names = [each.name for each in unfolded(part.model)]
    exact = {each.name: is_exact(part.model, index, rows) for index, each in enumerate(part.model.observables)}
    return PullJudge(sums, point.config.validation, among).result(point.label, names, exact, efficiency, PULL_EDGES)
