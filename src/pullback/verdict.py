"""The verdict on a study: gathers its artefacts, judges every point and observable, and writes the evidence."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import artefacts, shifts
from .artefacts import Reader
from .batches import Block, Part
from .circular import wrap
from .columns import FLAGS, QUOTED, TOYS
from .config import Validation
from .diagnostics import diagnose
from .errors import PullbackError
from .evidence import read_evidence, write_evidence
from .gathering import Gathering
from .models import NO_FOLD, Quantity
from .normal import K95
from .points import Point
from .sharing import Said, Seen, Sums
from .sources import design_names, sources_of
from .study import Study
from .tables import scanned, write_config, write_csv, write_points
from .validation import OUTSIDE, SIGMAS, Muons, Tally, ToyMuons, Truth, distance, worst

log = logging.getLogger(__name__)

LINEAR_SUMMARY = ("mean_value", "mean_sigma", "ratio", "ratio_se", "scatter")
LINEAR_SUMMARY += ("pull_mean", "pull_sd", "pull_sd_se", "pull_rms", "coverage68", "coverage95")
"""Statistics of the linear domain that are columns of `summary.csv`."""

QUOTED_SUMMARY = ("mean_sigma", "ratio", "ratio_se", "pull_mean", "pull_sd", "pull_rms", "coverage68", "coverage95")
"""Statistics of all muons with the quoted σ that are columns of `summary.csv`, named `quoted_…`."""


SHARED_SUMMARY = ("mean_uncertainty", "mean_uncertainty_independent", "mean_uncertainty_shared", "total", "mean")
SHARED_SUMMARY += ("pull_width", "pull_shift")
"""Statistics of what muons share that are columns of `summary.csv`."""


DESIGN_SUMS = ("slopes", "count")


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
    observables = {each.name: each for each in study.model.observables}
    among = len(study.points) * len(observables)
    tallies = {
        (point.label, name): {
            sigma: Tally(_claims(point, each), point.config.toys, sigma, point.config.uncertainty.n_dig, among)
            for sigma in SIGMAS
        }
        for point in study.points
        for name, each in observables.items()
    }
    contributions = {key: Sums() for key in tallies}
    fits = {point.label: [0.0, 0.0] for point in study.points}
    for index, name in enumerate(study.batches):
        with ExitStack() as stack:
            readers = {
                kind: stack.enter_context(artefacts.read(files[kind][index], study.batch(kind, name)))
                for kind in study.kinds
            }
            for part in study.batches[name].parts:
                for kind in study.kinds:
                    gathering.add(readers[kind], part.label)
                for each in observables.values():
                    _tally(tallies[part.label, each.name], readers, part, each)
                    _add_up(contributions[part.label, each.name], readers, part, each.name)
                if study.model.chi2:
                    _add_fits(fits[part.label], readers["theta"], part)
        log.info("batch %d of %d judged: %s", index + 1, len(study.batches), name)

    points = {point.label: point for point in study.points}
    entries = [
        {
            "point": label,
            "observable": name,
            "values": points[label].values,
            **_judged(each, points[label].config.validation),
            "chi2_per_ndf": fits[label][0] / fits[label][1] if fits[label][1] else None,
        }
        for (label, name), each in tallies.items()
    ]
    write_config(study, outputs.config)
    write_points(study, outputs.points)
    content = gathering.write(study, outputs.study)
    for entry in entries:
        label = entry["point"]
        _contribute(entry, contributions[label, entry["observable"]], points[label], study.first_part(label)[0])
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
        reasons = bad[0]["reasons"]
        more = [f"and {len(reasons) - 3} more"] if len(reasons) > 3 else []
        first = f"{bad[0]['point']}: {bad[0]['observable']}: {'; '.join([*reasons[:3], *more])}"
        line += f" ({len(bad)} of {len(evidence['points'])}, the first: {first})"
    line += f"; the evidence is in {Path(validation).with_name('report.html')}"
    if verdict == "fail" or (strict and verdict == "inconclusive"):
        raise PullbackError(line)
    return line


def _claims(point: Point, observable: Quantity) -> Validation:
    """When an uncertainty counts as right, and from where on the linear law is claimed for an observable."""
    settings = point.config.validation
    return settings.model_copy(update={"domain": max(settings.domain, observable.domain)})


def _judged(tallies: Mapping[str, Tally], settings: Validation) -> dict[str, Any]:
    """The verdict on an observable at a point, with what is said of each σ."""
    results = {sigma: tally.result() for sigma, tally in tallies.items()}
    return {
        "verdict": worst([result["verdict"] for result in results.values()]),
        "reasons": [f"{sigma} σ: {reason}" for sigma, result in results.items() for reason in result["reasons"]],
        "more": list(dict.fromkeys(advice for result in results.values() for advice in result["more"])),
        "linear_ok": results["quoted"]["overall"]["linear_ok"],
        "diagnostics": diagnose(results["linear"], results["quoted"], settings.tolerance, settings.confidence),
        **results,
    }


def _tally(tallies: Mapping[str, Tally], readers: Mapping[str, Reader], part: Part, observable: Quantity) -> None:
    """Add the muons of a part to the tallies of both σ, block by block."""
    theta, sigma, toys = readers["theta"], readers["sigma"], readers["toys"]
    name = observable.name
    muon, count = (toys.rows(f"{part.label}/toys/{column}") for column in ("muon", "toy_count"))
    adaptive = part.config["toys"]["mode"] == "adaptive"
    settled = toys.rows(f"{part.label}/toys/toy_settled") if adaptive else np.ones(len(muon))
    thrown = {field: toys.rows(f"{part.label}/toys/{kind.name.format(name=name)}") for field, kind in TOYS.items()}
    for block in part.blocks:
        value = theta.read(part, name, block)
        quoted = {field: sigma.read(part, kind.name.format(name=name), block) for field, kind in QUOTED.items()}
        flag = quoted.pop("flag")
        finite = (flag & FLAGS["hit_not_finite"]) == 0
        truth = None
        if "truth" in readers:
            at = theta.read(part, f"{name}_true", block)
            # On a circle, the truth on the same side as what is recorded.
            at = value - wrap(value - at, observable.period)
            truth = Truth(at, _distance(theta, sigma, part, observable, block, "_true"))
        here = (muon >= block.start) & (muon < block.stop)
        fields = {"count": count, "settled": settled, **thrown}
        toy_muons = ToyMuons(muon[here] - block.start, **{field: each[here] for field, each in fields.items()})
        place = _distance(theta, sigma, part, observable, block, "")
        without = (flag & FLAGS["no_standard_deviation"]) != 0
        about = value, finite, place, without, quoted["sigma_linear"], quoted["linear_ok"]
        for kind, tally in tallies.items():
            tally.add(Muons(*about, **_said(kind, value, quoted)), toy_muons, truth)


def _add_up(sums: Sums, readers: Mapping[str, Reader], part: Part, name: str) -> None:
    """Add the muons of a part to what is gathered over all of them, block by block."""
    sigma, toys = readers["sigma"], readers["toys"]
    extra = [f"budget_{name}", f"shared_jacobian_{name}"]
    there = {column for column in extra if sigma.has(f"{part.label}/{column}")}
    for row in range(len(sigma.rows(f"{part.label}/design/count_{name}"))):
        slopes, count = (sigma.rows(f"{part.label}/design/{column}_{name}", row, row + 1)[0] for column in DESIGN_SUMS)
        sums.add_slopes(slopes, float(count))
    thrown = _thrown_together(toys, part, name) if extra[1] in there else None
    for block in part.blocks if there else ():  # with one source of uncertainty, nothing is made of σ
        quoted = sigma.read(part, f"sigma_{name}", block)
        shares, jacobian = (sigma.read(part, column, block) if column in there else None for column in extra)
        sums.add(quoted, shares, jacobian)
        if thrown is not None:
            muon, spread, sd = thrown
            here = (muon >= block.start) & (muon < block.stop)
            row, total = muon[here] - block.start, sigma.read(part, f"sigma_total_{name}", block)
            sums.add_experiments(Said(total[row], jacobian[row], spread[here]), sd[here])
    if thrown is not None:
        columns = [toys.rows(f"{part.label}/experiments/{column}_{name}") for column in Seen._fields[1:]]
        for each in zip(*columns, strict=True):
            sums.add_sums(np.stack(each))


def _thrown_together(toys: Reader, part: Part, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The muons of a part in toy experiments: index in the point, spread of their own toys, scatter in experiments."""
    muon, sd = (toys.rows(f"{part.label}/experiments/{column}") for column in ("muon", f"sd_{name}"))
    all_muons, spread = (toys.rows(f"{part.label}/toys/{column}") for column in ("muon", f"toy_sd_{name}"))
    row = {each: index for index, each in enumerate(all_muons.tolist())}
    return muon, spread[[row[each] for each in muon.tolist()]], sd


def _add_fits(sums: list[float], theta: Reader, part: Part) -> None:
    """Add χ² and the degrees of freedom of a part's muons that have any of these."""
    for block in part.blocks:
        chi2, ndf = (theta.read(part, column, block) for column in ("chi2", "ndf"))
        known = np.isfinite(chi2) & (ndf > 0)
        sums[0] += float(chi2[known].sum())
        sums[1] += float(ndf[known].sum())


def _contribute(entry: dict[str, Any], sums: Sums, point: Point, part: Part) -> None:
    """Add to an entry where its uncertainty comes from: the budget, the slopes by the design, and what muons share."""
    sources, section = sources_of(part), part.config["systematics"]
    entry["budget"] = sums.budget(sources) if len(sources) > 1 else {}
    entry["budget_variance"] = sums.variance if len(sources) > 1 else None
    entry["design"] = sums.design([name for name, *_ in design_names(part)])
    entry["shared"] = None
    if section:
        settings = point.config.validation
        sigma_eta = shifts.covariance_of(section)
        experiments = sums.experiments(sigma_eta, settings.tolerance, settings.confidence)
        entry["shared"] = {**sums.mean(sigma_eta), **experiments}
        verdict = entry["shared"]["verdict"]
        entry["verdict"] = worst([entry["verdict"], verdict])
        if verdict != "pass":
            entry["reasons"].append(f"systematics: {_shared_reason(entry['shared'])}")


def _shared_reason(shared: dict[str, Any]) -> str:
    """What about the toy experiments kept the verdict from being a pass."""
    if shared["experiment_muons"] < 2:
        return "fewer than two muons are in the toy experiments"
    words = {"total": "scatter over experiments / total σ", "mean": "how much the mean pull moves / what is expected"}
    reasons = [
        f"{words[name]} = {shared[name]:.4f} [{shared[f'{name}_low']:.4f}, {shared[f'{name}_high']:.4f}]"
        for name in words
        if shared.get(f"{name}_verdict", "pass") != "pass"
    ]
    if "mean" not in shared:
        reasons.append("the mean pull is not judged, since muons without a σ are in the toy experiments")
    return "; ".join(reasons)


def _distance(theta: Reader, sigma: Reader, part: Part, observable: Quantity, block: Block, at: str) -> np.ndarray:
    """How many σ each muon is from the fold of an observable, at recorded or true hits; infinity without one."""
    fold = observable.fold or observable.name
    if fold == NO_FOLD:
        return np.full(len(block), np.inf)
    return distance(theta.read(part, f"{fold}{at}", block), sigma.read(part, f"sigma_{fold}_linear{at}", block))


def _said(kind: str, value: np.ndarray, quoted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What one σ says: itself, the bias, and the two intervals; by the linear law none, and ±1 σ and ±1.96 σ."""
    fields = ("sigma", "bias", "interval68", "interval95")
    if kind == "quoted":
        return {field: quoted[field] for field in fields}
    sigma = quoted["sigma_linear"]
    intervals = (value[:, None] + sigma[:, None] * np.array([-k, k]) for k in (1.0, K95))
    return dict(zip(fields, (sigma, np.zeros_like(sigma), *intervals), strict=True))


def _flat(entry: dict[str, Any], points: Mapping[str, Point]) -> list[dict[str, Any]]:
    """The bins of an entry, then the domain and all muons, of each σ, as rows of a table."""
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
        "linear_ok": entry["linear_ok"],
        **{f"linear_ok_{_range(each)}": each["linear_ok"] for each in quoted["bins"]},
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
    """The range of a bin in the name of a column."""
    return f"{bin_['low']:g}_to_{bin_['high']:g}"
