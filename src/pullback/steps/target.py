"""The value of one number of the detector or the model that gives the wanted mean σ."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config.dotted_names import limits, numeric_fields
from ..config.dotted_names import replace as replaced
from ..detector import response
from ..detector.bound_model import at_work, covariance_of
from ..detector.moving import Drawn, draw, moving_hits
from ..errors import PullbackError
from ..store.target_file import Answer, TargetAnswers
from ..study.batches import Part
from ..study.blocks import Block
from ..study.plan import Study
from ..study.scan import Point
from ..uncertainty.design import solve_target
from ..uncertainty.linear import propagate

log = logging.getLogger(__name__)


def find_target(study: Study, path: str | Path) -> None:
    """Find, at every point, the value of a number that gives the wanted mean linear σ, and write it with the curve.

    The mean is over the first block of muons of a point. Simulated muons are generated anew at each value from the same
    random numbers. Points that differ only in this number are solved once.
    """
    target = study.config.target
    ((observable, wanted),) = target.sigma.items()
    found: dict[tuple[tuple[str, float], ...], Answer] = {}
    for point in study.points:
        others = tuple((name, value) for name, value in point.values.items() if name != target.vary)
        if others not in found:
            found[others] = _solve(study, point, observable, wanted, dict(others))
            log.info("%s: %s", point.label, found[others].value)
    TargetAnswers(observable=observable, wanted=wanted, vary=target.vary, answers=[*found.values()]).write(path)


def _solve(study: Study, point: Point, observable: str, wanted: float, others: dict[str, float]) -> Answer:
    vary, start = study.config.target.vary, numeric_fields(point.config)[study.config.target.vary]
    part, block = study.first_part(point.label)
    axis = [each.name for each in study.model.observables].index(observable)
    hits, recorded = _recorded(part, block) if study.recorded else (None, None)
    drawn: dict[bool, Drawn] = {}  # random numbers, the same at every value

    def drawn_for(moved: Part) -> Drawn | None:
        if study.recorded:
            return None
        if moved.config["model"]["name"] == "own":  # the true hits of a user's model may depend on the parameters
            return draw(moved, block)
        scattered = moved.model.covariance is not None
        if scattered not in drawn:
            drawn[scattered] = draw(moved, block)
        return drawn[scattered]

    def mean_sigma(value: float) -> float:
        config = replaced(point.config, {vary: value}, where=f"config: target: {vary} = {value:g}")
        moved = replace(part, config={**part.config, **config.model_dump(mode="json", include={"model", "detector"})})
        sigma = _sigma(moved, block, hits, recorded, drawn_for(moved))[:, axis]
        known = np.isfinite(sigma) & (sigma > 0)
        return float(sigma[known].mean()) if known.any() else float("nan")

    def tried(value: float) -> float:
        try:
            return mean_sigma(value)
        except PullbackError:  # this detector is impossible
            return float("nan")

    start_sigma = mean_sigma(start)  # an error at the present value is an error of the study
    low, high = point.config.target.range_about(start, limits(vary, point.config))
    answer = solve_target(tried, wanted, min(max(start, low), high), (low, high))
    return Answer(
        values=others,
        value=answer.value,
        reached=answer.reached,
        nearest=answer.nearest,
        nearest_sigma=answer.nearest_sigma,
        start=start,
        start_sigma=start_sigma,
        grid=answer.grid.tolist(),
        sigmas=answer.sigmas.tolist(),
    )


def _sigma(part: Part, block: Block, hits: Tensor | None, recorded: Tensor | None, drawn: Drawn | None) -> np.ndarray:
    """The linear σ (muon, observable) of a block, recorded or simulated anew from the same random numbers."""
    model, (parameters, infer) = part.model, at_work(part)
    if drawn is not None:
        lost = response.lost(part, block)
        there = np.zeros((len(block), len(model.layers)))
        there[lost if lost is not None else slice(0)] = np.nan
        hits = moving_hits(part, parameters, drawn, torch.from_numpy(there))
    covariance = covariance_of(model, parameters, hits, recorded)
    with torch.no_grad():
        return propagate(infer, hits, covariance=covariance).sigma.numpy()


def _recorded(part: Part, block: Block) -> tuple[Tensor, Tensor | None]:
    from ..hits.hits_file import source_of

    file = source_of(part.config["source"], [each.name for each in part.model.coordinates])
    (found,) = file.blocks(block.start, block.stop, len(block))  # to the end, to verify that the file is unchanged
    covariance = None if found.covariance is None else torch.from_numpy(found.covariance)
    return torch.from_numpy(found.hits), covariance
