"""The value of one number of the detector or the model that gives the wanted mean σ."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config.dotted_names import numeric_fields, range_of, unit_of, with_numbers
from ..config.schema import TARGET_MUONS, Target
from ..detector.bound_model import Parameters
from ..detector.known import Known
from ..detector.noise import Noise
from ..detector.reconstruction import Reconstruction
from ..detector.response import Response, SimulatedBlock
from ..errors import PullbackError
from ..models import load_model
from ..store.target_file import TargetAnswer, TargetAnswers
from ..study.aligning import placement_of
from ..study.artefact_configs import SigmaConfig, restricted
from ..study.batches import Part
from ..study.blocks import Block
from ..study.plan import Study
from ..study.scan import Point
from ..uncertainty.parts import part_with
from ..uncertainty.quoting import quote
from ..uncertainty.solving import solve_target
from .common import hits_file

log = logging.getLogger(__name__)


def find_target(study: Study, path: str | Path) -> None:
    """Find, at every point, the value of a number that gives the wanted mean σ, and write it with the curve.

    σ is the one that is quoted, and the mean is over the first `TARGET_MUONS` muons of a point that have one. Simulated
    muons are generated anew at each value from the same random numbers. Values are tried from the present one outward,
    so that of several the nearest is found, by ratio where the range allows one. Points that differ only in this number
    are solved once.
    """
    target = study.config.target
    assert target
    ((observable, wanted),) = target.sigma.items()
    found: dict[tuple[tuple[str, float], ...], TargetAnswer] = {}
    for point in study.points:
        others = tuple((name, value) for name, value in point.values.items() if name != target.vary)
        if others not in found:
            found[others] = _solve(study, target, point, dict(others))
            log.info("%s: %s", point.label, _in_short(target, found[others]))
    answers = [*found.values()]
    units = {name: unit_of(name, study.config) for name in (*study.points[0].values, target.vary)}
    TargetAnswers(
        observable=observable,
        wanted=wanted,
        vary=target.vary,
        unit=units[target.vary],
        units={name: units[name] for name in answers[0].values},
        answers=answers,
    ).write(path)


def _solve(study: Study, target: Target, point: Point, others: dict[str, float]) -> TargetAnswer:
    vary, start = target.vary, numeric_fields(point.config)[target.vary]
    ((observable, wanted),) = target.sigma.items()
    part, block = study.first_part(point.label)
    axis = [each.name for each in study.model.observables].index(observable)
    recorded = _recorded(part, block) if study.recorded else None
    drawn: dict[tuple[bool, bool, Noise], SimulatedBlock] = {}  # random numbers, the same at every value

    def hits_of(moved: Part[SigmaConfig], parameters: Parameters) -> tuple[Tensor, Known]:
        if recorded:
            return recorded
        kind = *Response(moved).adds, moved.config.detector.noise
        # The true hits of a user's model may depend on the parameters.
        if kind not in drawn or moved.config.model.name == "own":
            drawn[kind] = SimulatedBlock.draw(moved, block)
        return drawn[kind].hits(moved, parameters), Known(momentum=drawn[kind].momentum(moved))

    muons: dict[float, tuple[int, int]] = {}  # with a σ, and all, at each value

    def mean_sigma(value: float) -> float:
        config = with_numbers(point.config, {vary: value}, where=f"config: target: {vary} = {value:g}")
        moved = replace(
            part, config=restricted(config, SigmaConfig), model=load_model(config.model, part.digests.get("model"))
        )
        reconstruction = Reconstruction.of(moved)
        taken, covariance, _ = reconstruction.taken(*hits_of(moved, reconstruction.parameters))
        infer, column = part_with(reconstruction.infer, axis)
        few, n_dig = slice(TARGET_MUONS), config.uncertainty.n_dig
        sigma = quote(infer, taken[few], covariance=covariance[few], n_dig=n_dig).sigma.numpy()[:, column]
        known = _known(sigma)
        mean = float(known.mean()) if len(known) else float("nan")
        muons[value] = len(known), len(sigma)
        log.info("%s: %s = %g: mean σ %g of %d muons", point.label, vary, value, mean, len(known))
        return mean

    start_sigma = mean_sigma(start)  # an error at the present value is an error of the study

    def tried(value: float) -> float:
        try:
            return start_sigma if value == start else mean_sigma(value)
        except PullbackError:  # this detector is impossible
            return float("nan")

    low, high = target.range_about(start, range_of(vary, point.config))
    answer = solve_target(tried, wanted, min(max(start, low), high), (low, high))
    known, quoted = muons[start if np.isnan(answer.nearest) else answer.nearest]
    return TargetAnswer(
        values=others,
        value=answer.value,
        reached=answer.reached,
        nearest=answer.nearest,
        nearest_sigma=answer.nearest_sigma,
        further=[*answer.others],
        known=known,
        muons=quoted,
        start=start,
        start_sigma=start_sigma,
        grid=answer.grid.tolist(),
        sigmas=answer.sigmas.tolist(),
    )


def _in_short(target: Target, answer: TargetAnswer) -> str:
    """The answer in one line of the log."""
    if answer.value is not None:
        more = f"; so do {', '.join(f'{value:g}' for value in answer.further)}" if answer.further else ""
        return f"{target.vary} = {answer.value:g} gives the wanted mean σ{more}"
    tried = f"no value of {target.vary} from {answer.grid[0]:g} to {answer.grid[-1]:g} gives"
    if np.isnan(answer.nearest_sigma):
        return f"{tried} any σ"
    return f"{tried} the wanted mean σ; the nearest is {answer.nearest_sigma:g}, at {answer.nearest:g}"


def _known(sigma: np.ndarray) -> np.ndarray:
    """The σ of muons that have one."""
    return sigma[np.isfinite(sigma) & (sigma > 0)]


def _recorded(part: Part[SigmaConfig], block: Block) -> tuple[Tensor, Known]:
    file = hits_file(part)
    (found,) = file.blocks(block.start, block.stop, len(block))  # to the end, to verify that the file is unchanged
    placement = placement_of(part)
    hits = found.hits if placement is None else placement.to_frame(found.hits)
    return torch.from_numpy(hits), Known(found.covariance, found.momentum, found.z).each(torch.from_numpy)
