"""Calibration of a detector by its tracks: alignment and resolution, iterated together.

Each alignment weighs tracks by the resolution, and the resolution that residuals want is that of layers in place. So
both are found in turn until neither changes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import Float

from ..config.alignment_schema import Alignment, free_parameters, lines_of
from ..detector.known import Known
from ..errors import PullbackError
from ..models import Model, Quantity, has_fit
from ..models.stated import stated_resolution
from ..statistics.parts import of_all
from ..statistics.prefixes import with_unit
from ..steps.aligning import first_tracks, found_alignment
from ..store.alignment_file import AlignedNumber, AlignmentFile, kept_alignment
from ..study.aligning import placement_by, to_be_aligned
from ..study.blocks import BLOCK
from ..study.plan import Study
from ..uncertainty.placement import Kind, Placement
from .fit_evidence import FitEntry, Untested, WantedAngle, WantedResolution
from .fit_judgement import FitJudge
from .fit_mends import angle_words
from .fit_reasons import symbols_of, wanted_words
from .fit_tally import FitTally

log = logging.getLogger(__name__)

MOST_ROUNDS = 30
"""Maximum number of rounds."""

SETTLED = 1e-3
"""Change of a resolution, relative to it, at which both have settled; or a tenth of its error, if that is larger."""

PATIENT_ROUNDS = 10
"""Rounds after which a change by its error is taken for settled: which tracks are left out may change to and fro."""

ALIKE = 1e-9
"""Largest relative difference of resolutions that are the same."""

VANISHED, NOTHING = 1e-3, 1e-9
"""Change of a σ, over the largest change of another and over the stated one, below which there is none that explains
the tracks.
"""

LARGEST_CHANGE = 10.0
"""Largest factor by which a resolution changes in a round."""


class Calibration(NamedTuple):
    """The resolution and the alignment that the tracks want.

    `resolution` has what tracks say of each line in place of what is stated, `sigma` that of each coordinate, and
    `line` the same as a line of the config, empty if hits have a σ of their own; `alignment` is None where no layer is
    free, and that of the file where the config names one. `scattering` is what would explain the tracks with σ as
    stated.
    """

    study: Study
    alignment: AlignmentFile | None
    resolution: list[WantedResolution]
    line: str
    sigma: list[float]
    rounds: int
    own_sigma: bool
    chi2_per_ndf: float | None
    scattering: WantedAngle | None = None

    @property
    def kept_in(self) -> str | None:
        """The file of the alignment that was made before, if that was used."""
        alignment = self.study.config.alignment
        return alignment.file if alignment else None


def calibrate(raw: Mapping[str, Any]) -> Calibration:
    """Align the layers of a study and find the resolution of its hits, in turn, until both have settled.

    Parameters
    ----------
    raw : mapping
        A config as read from YAML. Its first `alignment.tracks` muons are used, and no scan. Without `alignment`, the
        default is taken where the model has a free layer.

    Returns
    -------
    Calibration
        What was found, after the last round.

    Raises
    ------
    PullbackError
        The config is wrong, or has a model without a fit; the tracks are too few, or leave something free; or it does
        not settle.

    """
    study = _prepared(raw)
    if not has_fit(study.model) or not study.model.fitted:
        raise PullbackError(f"calibrate: model {study.config.model.name} has no fit whose residuals say anything")
    tracks, alignment = first_tracks(study), study.config.alignment
    start, kept, found = 1 / stated_resolution(study.config.detector.stated, study.model), kept_alignment(study), None
    sigma, scattering = start, None
    for rounds in range(1, MOST_ROUNDS + 1):
        stated = _stated(sigma, study.model)
        if alignment and alignment.found:
            found = found_alignment(study, tracks, stated)
        known = kept or found
        numbers = known.aligned.corrections if known else alignment.numbers if alignment else {}
        placement = placement_by(numbers, study.model)
        hits = placement.to_frame(tracks.hits) if placement else tracks.hits
        entry = _judged(study, stated, hits, tracks.known, placement)
        log.info("round %d: χ²/ndf %s", rounds, entry.chi2_per_ndf)
        own_sigma = tracks.known.covariance is not None
        if rounds == 1:
            scattering = entry.scattering
        changed = sigma * _factors(entry, study.model)
        if own_sigma or all(_settled(each, rounds) for each in entry.resolution):
            wanted = entry.resolution, entry.line, changed.tolist()
            return Calibration(study, known, *wanted, rounds, own_sigma, entry.chi2_per_ndf, scattering)
        sigma = changed
        change = sigma / start
        if (vanished := change < max(VANISHED * change.max(), NOTHING)).any():
            raise PullbackError(_no_sigma(study.model, vanished, scattering))
    raise PullbackError(f"calibrate: resolution and alignment do not settle within {MOST_ROUNDS} rounds")


def _no_sigma(model: Model, vanished: np.ndarray, scattering: WantedAngle | None) -> str:
    """That no σ explains the tracks, and what would."""
    names = [each.name for each, gone in zip(model.coordinates, vanished, strict=True) if gone]
    where = symbols_of(names, {each.name: each for each in model.coordinates})
    text = f"calibrate: no σ in {where} above 0 explains these tracks"
    if scattering:
        return f"{text}: they want {angle_words(scattering, model)}"
    if model.covariance is None:
        return f"{text}: they are straighter there than hits with an error would be"
    return f"{text}: the stated scattering in the layers, or the distances of layers, are too large"


def _prepared(raw: Mapping[str, Any]) -> Study:
    """The study of the muons that are used, with the default alignment if it has none."""
    study = Study.from_config(raw)
    model = study.config.model
    if "alignment" not in raw and lines_of(model) and free_parameters(Alignment(), model):
        study = Study.from_config({**raw, "alignment": {}})
    study = to_be_aligned(study)
    alignment = study.config.alignment or Alignment()
    muons = {label: min(count, alignment.tracks) for label, count in study.muons.items()}
    return study.changed(study.config, muons=muons)


def _stated(sigma: Float[np.ndarray, " coordinate"], model: Model) -> dict[str, float | list[float]]:
    """The σ of each coordinate, by the keys of `Detector.stated`."""
    in_y = np.array([each.name.startswith("y") for each in model.coordinates])
    if in_y.any():
        return {"sigma.x": sigma[~in_y].tolist(), "sigma.y": sigma[in_y].tolist()}
    return {"sigma": sigma.tolist()}


def _judged(
    study: Study,
    stated: dict[str, float | list[float]],
    hits: Float[np.ndarray, "muon coordinate"],
    known: Known,
    placement: Placement | None,
) -> FitEntry:
    """What the residuals of hits in their places say of the resolution."""
    (point,) = study.points
    units, own_sigma = (1 / stated_resolution(stated, study.model)).tolist(), known.covariance is not None
    stretch = placement.stretch if placement else 1.0
    judge = FitJudge(study.model, units, point.config.validation, 1, own_sigma=own_sigma, single=False, stretch=stretch)
    entry = judge.result(point.label, _tallied(study.model, stated, hits, known, placement))
    if entry.verdict == Untested.UNTESTED or not entry.resolution:
        why = "; ".join([*entry.reasons, *entry.more])
        raise PullbackError(f"calibrate: the tracks do not tell the resolution: {why}")
    return entry


def _tallied(
    model: Model,
    stated: dict[str, float | list[float]],
    hits: Float[np.ndarray, "muon coordinate"],
    known: Known,
    placement: Placement | None,
) -> FitTally:
    """The sums over the fits of muons, as those of a study."""
    import torch

    from ..detector.bound_model import parameters_of
    from ..detector.reconstruction import Reconstruction
    from ..steps.fit_comparison import FitComparison

    tally = FitTally()
    reconstruction = Reconstruction(model, parameters_of(model, stated), bool(model.lines), placement)
    comparison = FitComparison(reconstruction)
    for start in range(0, len(hits), BLOCK):
        rows = slice(start, start + BLOCK)
        own = known.each(itemgetter(rows)).each(torch.from_numpy)
        found = comparison.compared(torch.from_numpy(hits[rows]), own, start, len(hits))
        tally.merge({name: np.asarray(each)[None] for name, each in found.sums.arrays.items()})
    return tally


def _settled(wanted: WantedResolution, rounds: int) -> bool:
    if not wanted.factor.value:
        return False
    share = 0.1 if rounds < PATIENT_ROUNDS else 1.0
    return abs(wanted.factor.value - 1) < max(SETTLED, share * (wanted.factor.se or 0.0))


def _factors(entry: FitEntry, model: Model) -> Float[np.ndarray, " coordinate"]:
    """By what the σ of each coordinate is to be multiplied."""
    by_name = {name: each.factor.value for each in entry.resolution for name in each.coordinates}
    factors = np.array([by_name.get(each.name, 1.0) for each in model.coordinates])
    return np.clip(factors, 1 / LARGEST_CHANGE, LARGEST_CHANGE)


def write_alignment(found: Calibration, path: str | Path) -> None:
    """Write the alignment of a calibration, as `alignment.file` takes it.

    Raises
    ------
    PullbackError
        No layer was free, so that there is none.

    """
    if found.alignment is None:
        raise PullbackError("calibrate: no layer is free to be aligned, so that there is nothing to write")
    found.alignment.write(path)


def calibration_in_words(found: Calibration, written: str | None) -> str:
    """What was found, and a config to use; `written` is the path that has the alignment."""
    coordinates = {each.name: each for each in found.study.model.coordinates}
    return "\n".join(
        [*_sentences(found, coordinates), "", "For the config, in place of what it has:", "", *_config(found, written)]
    )


def _sentences(found: Calibration, coordinates: Mapping[str, Quantity]) -> Iterator[str]:
    alignment, times = found.alignment, f"{found.rounds} round{'s' * (found.rounds > 1)}"
    if alignment and not found.kept_in:
        yield (
            f"{of_all(alignment.tracks, alignment.muons, 'muon')} have more hits than parameters, {alignment.weighted} "
            f"of them count; {times}"
        )
        before, after = (each.median_chi2_per_ndf for each in (alignment.before, alignment.after))
        yield f"median χ²/ndf: {before:.3g} before the alignment, {after:.3g} after it, with the resolution below"
    else:
        yield f"layers are where {found.kept_in or 'the config'} says{', or none is free' * (not alignment)}; {times}"
        if found.chi2_per_ndf is not None:
            yield f"χ²/ndf: {found.chi2_per_ndf:.3g} with the resolution below"
    for number in alignment.numbers if alignment else ():
        yield f"{number.name} = {_in_unit(number)}"
    widths = [
        wanted_words(each, coordinates) if found.own_sigma else _widths(found, each, coordinates)
        for each in found.resolution
    ]
    angle = angle_words(found.scattering, found.study.model) if found.scattering else ""
    if found.scattering and found.scattering.better:
        yield f"the tracks want {angle}"
        yield "without it, and less well, they want:"
        yield from (f"  {each}" for each in widths)
        return
    yield from widths
    if angle:
        yield f"or, in place of these σ, the tracks want {angle}"


def _widths(found: Calibration, of: WantedResolution, coordinates: Mapping[str, Quantity]) -> str:
    """The σ of each coordinate of a line, or once if they are the same."""
    by_name = dict(zip(coordinates, found.sigma, strict=True))
    share = (of.factor.se or 0.0) / of.factor.value if of.factor.value else 0.0
    first = by_name[of.coordinates[0]]
    if all(abs(by_name[name] - first) < ALIKE * first for name in of.coordinates):
        width = with_unit(first, coordinates[of.coordinates[0]].unit, share * first)
        return f"σ = {width} in {symbols_of(of.coordinates, coordinates)}"
    each = (with_unit(by_name[name], coordinates[name].unit, share * by_name[name]) for name in of.coordinates)
    return f"σ = {', '.join(each)} in {symbols_of(of.coordinates, coordinates)}, which share their relative error"


def _in_unit(number: AlignedNumber) -> str:
    scale, unit = {"rotation": (1e3, "mrad")}.get(number.kind, (1.0, "" if number.unit == "1" else number.unit))
    return with_unit(scale * number.value, unit, scale * number.se, "+").rstrip()


def _config(found: Calibration, written: str | None) -> Iterator[str]:
    if found.scattering and found.scattering.better:
        yield "# the scattering that the tracks want, as above, with σ as stated; then calibrate again"
    elif found.line:
        yield found.line
    elif found.own_sigma:
        yield "# the σ of hits is in the file: multiply its columns by the factors above"
    alignment = found.alignment
    if alignment is None:
        return
    if path := written or found.kept_in:
        named = {"alignment": {"file": path}}
        yield yaml.safe_dump(named, default_flow_style=None, allow_unicode=True, width=np.inf).rstrip()
        return
    yield "# as a file, with --output alignment.json, it keeps the correlations, too"
    yield "alignment:"
    for kind, values in alignment.aligned.corrections.items():
        yield f"  {kind}: {_list(kind, values)}"
    yield "systematics:"
    for number in alignment.numbers:
        yield f"  {number.name}: {_value(number.kind, number.se)}"


IN_CONFIG: Mapping[Kind, tuple[float, str]] = {"x": (1e6, "um"), "y": (1e6, "um"), "rotation": (1e3, "mrad")}
"""Units in which a config is written, and how many of them are one."""


def _value(kind: Kind, value: float) -> str:
    scale, unit = IN_CONFIG.get(kind, (1.0, ""))
    return f"{scale * value:.3g} {unit}".rstrip()


def _list(kind: Kind, values: Sequence[float]) -> str:
    scale, unit = IN_CONFIG.get(kind, (1.0, ""))
    every = f"[{', '.join(f'{scale * value:.5g}' for value in values)}]"
    return f'"{every} {unit}"' if unit else every
