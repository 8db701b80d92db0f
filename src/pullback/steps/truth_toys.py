"""Toys around true hits, recorded by the simulated detector.

Toys around recorded hits cannot see an error that truth and recorded hits share, such as a shift. These begin at the
truth, and are recorded as the simulation records hits (`Response.record`), not by the covariance of propagation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..detector.bound_model import Inference
from ..detector.reconstruction import Reconstruction, Taken
from ..detector.response import Response, stream_of
from ..statistics.angles import holds, wrap_last
from ..statistics.normal import K68, K95
from ..store.artefact import Reader
from ..store.columns import BUDGET, COVERED, REAL_PLACES, TRUTH_PLACES
from ..study.artefact_configs import CoverageConfig, SigmaConfig
from ..study.batches import Part
from ..study.blocks import Block, block_count
from ..study.shared_parameters import sources_of
from ..study.toy_selection import share
from ..uncertainty.budget import LAYER
from ..uncertainty.confidence import confidence_interval
from ..uncertainty.distribution import propagate_distribution
from ..uncertainty.inference import periods_of
from ..uncertainty.linear import propagate
from ..uncertainty.quoting import quote
from .common import arrays, evaluate
from .true_hits import Chooser, Momenta, Selected, SimulatedMuons, TrueHits, taken_at

TOYS_AT_A_TIME = 131_072
"""Toys held together."""

PIECES_TOGETHER = 32
"""Pieces whose truths and quoted toys are handled in one call, as each piece has few of them."""

SHARE_BY_INTEGRALS = 1 / 8
"""Share of the toys for which confidence intervals are computed where these take integrals or a search: they need hold
the truth only at least as often as they say."""

SHARE_QUOTED, SHARE_IF_SLOW = 0.02, 0.0025
"""Share of these toys for which the coverage intervals (JCGM 101) are computed too: fewer if that takes long
(`Model.slow`)."""

TO_REGRESS = 10
"""Minimum toys of each truth, per coordinate, for the budget by regression."""

STREAMS = ("choice", "noise", "scattering")
"""Random streams of a block, in the order of their keys."""

OfToys = Float[np.ndarray, "truth toy observable"]
OfTruths = Float[np.ndarray, "truth observable"]

TruthRows = dict[str, np.ndarray]
"""Fields (truth, observable, …) by name; NaN for the observables of other series."""


class TruthToys:
    """The toys of a part around true hits, and what is found of each truth."""

    def __init__(self, part: Part[CoverageConfig]):
        self.part, self.model, self.response = part, part.model, Response(part)
        self.reconstruction = Reconstruction.of(part)
        self.infer, self.at_truth = self.reconstruction.infer, Inference(part.model, self.reconstruction.parameters)
        self.per_bin, self.n_dig = part.config.coverage.toys_per_bin, part.config.uncertainty.n_dig
        self.chooser = Chooser(self.reconstruction, self.per_bin)
        every = sources_of(part.of_kind(SigmaConfig))
        self.sources = [name for name in every if name.startswith(LAYER)] if len(every) > 1 else []

    def throw(self, block: Block, muons: SimulatedMuons, quoted: Reader) -> TruthRows:
        """The rows of a block."""
        numbers = share(range(block.index, block.index + 1), block_count(self.part.muons), self.chooser.truths)
        streams = {name: stream_of(self.part, "coverage", block.index, key) for key, name in enumerate(STREAMS)}
        found = [self._empty(0)]
        every = self.chooser.choose(streams["choice"], numbers, muons)
        for _, of_series in groupby(every, key=attrgetter("series")):
            pieces = [piece for chosen in of_series for piece in self._pieces(chosen)]
            for start in range(0, len(pieces), PIECES_TOGETHER):
                found.append(self._rows(block, pieces[start : start + PIECES_TOGETHER], streams, quoted))
        return _joined(found)

    @property
    def _toys_of_each(self) -> int:
        """Toys of one truth."""
        return max(2, -(-self.per_bin // self.chooser.truths))

    def _pieces(self, chosen: TrueHits) -> Iterator[TrueHits]:
        """The truths whose toys are held together."""
        step = max(1, TOYS_AT_A_TIME // self._toys_of_each)
        for start in range(0, len(chosen.muon), step):
            yield chosen.take(slice(start, start + step))

    def _toys(
        self, chosen: TrueHits, streams: Mapping[str, np.random.Generator]
    ) -> Float[np.ndarray, "toy coordinate"]:
        """The recorded hits of all toys, those of each truth together; with the lost hits of the muon."""
        x_true = np.repeat(chosen.hits, self._toys_of_each, axis=0)
        drawn = self.response.drawn(streams.__getitem__, len(x_true), lossy=False)
        return self.response.record(x_true, drawn, momentum=_repeated(chosen.momentum, self._toys_of_each))

    def _rows(
        self, block: Block, pieces: Sequence[TrueHits], streams: Mapping[str, np.random.Generator], quoted: Reader
    ) -> TruthRows:
        """The rows of truths of one series."""
        truths = TrueHits.joined(pieces)
        columns = truths.series.observables
        infer = Selected(self.infer, columns)
        true = evaluate(Selected(self.at_truth, columns), truths.hits)  # on a line, whatever the weights
        of_pieces, to_quote = [], []
        ends = np.cumsum([len(piece.muon) for piece in pieces])[:-1]
        for piece, own in zip(pieces, np.split(true, ends), strict=True):
            x_reco = self._toys(piece, streams)
            of_pieces.append(self._placed(columns, self._of_toys(block, piece, infer, x_reco, own, quoted)))
            to_quote.append(_first(torch.from_numpy(x_reco), len(own), self._share_to_quote(piece)))
        at = taken_at(self.reconstruction, torch.from_numpy(truths.hits), truths.momentum)
        predicted = propagate_distribution(infer, at.hits, covariance=at.covariance)
        found = {"true": true, "bias": predicted.bias.numpy(), "sd": predicted.sd.numpy()}
        found |= self._quoted(truths, infer, torch.cat(to_quote), true)
        return self._placed(columns, found, _joined(of_pieces)) | self._places(block, truths, pieces)

    def _of_toys(
        self, block: Block, chosen: TrueHits, infer: Selected, x_reco: np.ndarray, true: OfTruths, quoted: Reader
    ) -> TruthRows:
        """What all toys of some truths say."""
        hits = torch.from_numpy(x_reco)
        toys = self._taken(chosen, hits)
        linear = arrays(propagate(infer, toys.hits, covariance=toys.covariance))
        value, sigma = (linear[name].reshape(len(true), -1, true.shape[1]) for name in ("value", "sigma"))
        found = _compared(infer, value, sigma, true)
        few = _first(hits, len(true), _share_confident(chosen))
        found |= self._confident(chosen, infer, few, value, true)
        if self.sources and not chosen.moved and len(x_reco) >= TO_REGRESS * x_reco.shape[1] * len(chosen.muon):
            found |= self._budget(block, chosen, x_reco, infer, quoted)
        return found

    def _share_to_quote(self, chosen: TrueHits) -> float:
        """Share of the toys for which coverage intervals are computed."""
        return _share_confident(chosen) * (SHARE_IF_SLOW if self.model.slow else SHARE_QUOTED)

    def _taken(self, chosen: TrueHits, hits: Tensor) -> Taken:
        """What the inference takes of toys, those of each truth together."""
        return taken_at(self.reconstruction, hits, _repeated(chosen.momentum, len(hits) // len(chosen.hits)))

    def _confident(self, chosen: TrueHits, infer: Selected, hits: Tensor, value: OfToys, true: OfTruths) -> TruthRows:
        """How many confidence intervals of toys hold the truth; `value` has those of these toys first."""
        taken, covariance, _ = self._taken(chosen, hits)
        found = confidence_interval(infer, taken, covariance=covariance, n_dig=self.n_dig, refine=False)
        ends = {name: each.reshape(len(true), -1, *each.shape[1:]) for name, each in arrays(found).items()}
        known = np.isfinite(value[:, : len(hits) // len(true)])
        without = known & ~np.isfinite(ends["confidence95"]).all(axis=-1)
        held = {name: _held(each, true, infer) for name, each in ends.items()}
        return {"toys_confident": known.sum(axis=1), "without": without.sum(axis=1), **held}

    def _quoted(self, chosen: TrueHits, infer: Selected, hits: Tensor, true: OfTruths) -> TruthRows:
        """How many coverage intervals of toys hold the truth."""
        taken, covariance, _ = self._taken(chosen, hits)
        found = arrays(quote(infer, taken, covariance=covariance, n_dig=self.n_dig))
        ends = {
            name: found[name].reshape(len(true), -1, *found[name].shape[1:]) for name in ("interval68", "interval95")
        }
        known = np.isfinite(ends["interval95"]).all(axis=-1)
        return {"toys_quoted": known.sum(axis=1)} | {name: _held(each, true, infer) for name, each in ends.items()}

    def _budget(self, block: Block, chosen: TrueHits, x_reco: np.ndarray, infer: Selected, quoted: Reader) -> TruthRows:
        """The share of each layer in the variance: by regression of toys on the deviations of hits, and as quoted.

        With the residuals r of an observable and the deviations d of the hits, r = J d + … by least squares, which
        knows nothing of derivatives; the share of a layer is the sum of J² Var(d) over its coordinates.
        """
        truths, per = len(chosen.hits), len(x_reco) // len(chosen.hits)
        off = np.nan_to_num(x_reco.reshape(truths, per, -1) - chosen.hits[:, None])
        with torch.no_grad():
            value = infer(self._taken(chosen, torch.from_numpy(x_reco)).hits).numpy().reshape(truths, per, -1)
        residual = wrap_last(value - value[:, :1], periods_of(infer))
        residual -= residual.mean(axis=1, keepdims=True)
        off -= off.mean(axis=1, keepdims=True)
        variance = np.square(off).mean(axis=1)
        inverse = np.linalg.pinv(np.einsum("ktc,ktd->kcd", off, off), hermitian=True)
        slopes = np.einsum("kcd,ktd,kto->koc", inverse, off, residual)
        of_coordinates = np.square(slopes) * variance[:, None]
        layers = np.array(self.model.layers)
        by_toys = np.stack([of_coordinates[:, :, layers == layer].sum(axis=2) for layer in sorted(set(layers))], axis=2)
        names = [self.model.observables[column].name for column in chosen.series.observables]
        shares = [quoted.read(self.part, BUDGET["shares"].of(name), block)[chosen.muon] for name in names]
        as_quoted = np.stack([each[:, : len(self.sources)] for each in shares], axis=1)
        return {"budget_toys": by_toys, "budget_quoted": as_quoted}

    def _placed(self, columns: tuple[int, ...], found: TruthRows, rows: TruthRows | None = None) -> TruthRows:
        """Rows with a column for each observable of the model: NaN for what is not found, if no rows are given."""
        rows = rows or self._empty(len(next(iter(found.values()))))
        for name, values in found.items():
            rows[name][:, list(columns)] = values
        return rows

    def _places(self, block: Block, truths: TrueHits, pieces: Sequence[TrueHits]) -> TruthRows:
        """Where the truths are."""
        there = self.chooser.at(torch.from_numpy(truths.hits), truths.momentum)
        return {
            "muon": block.start + truths.muon,
            "bin": np.concatenate([np.full(len(piece.muon), piece.bin) for piece in pieces]),
            "distance": there.distance(truths.series),
            "width_ratio": there.width_ratio(truths.series),
        }

    def _empty(self, truths: int) -> TruthRows:
        """Rows of NaN."""
        every = len(self.model.observables)
        places = {name: np.empty(truths, "f8" if name in REAL_PLACES else "i8") for name in TRUTH_PLACES}
        shapes = {name: (truths, every, *[len(self.sources)] * bool(kind.along)) for name, kind in COVERED.items()}
        return {**places, **{name: np.full(shape, np.nan) for name, shape in shapes.items()}}


def _repeated(momentum: Momenta, toys: int) -> Float[np.ndarray, " toy"] | None:
    """The momenta of all toys, those of each truth together."""
    return None if momentum is None else np.repeat(momentum, toys)


def _share_confident(chosen: TrueHits) -> float:
    """Share of the toys for which confidence intervals are computed."""
    return 1.0 if chosen.series.moved or chosen.series.fold is None else SHARE_BY_INTEGRALS


def _joined(rows: Sequence[TruthRows]) -> TruthRows:
    """The rows of all."""
    return {name: np.concatenate([each[name] for each in rows]) for name in rows[0]}


def _mean(values: OfToys, known: np.ndarray) -> OfTruths:
    """Mean over the known toys; NaN without any."""
    count = known.sum(axis=1)
    return np.where(known, values, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan)


def _sd(values: OfToys, known: np.ndarray) -> OfTruths:
    """Standard deviation over the known toys; NaN for fewer than two."""
    count, off = known.sum(axis=1), values - _mean(values, known)[:, None]
    return np.sqrt(np.where(known, off * off, 0.0).sum(axis=1) / np.where(count > 1, count - 1, np.nan))


def _compared(infer: Selected, value: OfToys, sigma: OfToys, true: OfTruths) -> TruthRows:
    """Toys against truth: bias, spread, pulls, and how many intervals by the linear σ hold the truth."""
    off = wrap_last(value - true[:, None], periods_of(infer))
    known = np.isfinite(off)
    usable = known & np.isfinite(sigma) & (sigma > 0)
    pull = off / np.where(usable, sigma, np.nan)
    away = np.abs(off)
    held = {f"linear{level}": (away <= k * sigma).sum(axis=1) for level, k in (("68", K68), ("95", K95))}
    return {
        "toys": known.sum(axis=1),
        "off_mean": _mean(off, known),
        "off_sd": _sd(off, known),
        "pulls": usable.sum(axis=1),
        "pull_mean": _mean(pull, usable),
        "pull_sd": _sd(pull, usable),
        **held,
    }


def _first(hits: Tensor, truths: int, share: float) -> Tensor:
    """The first toys of each truth, a share of them."""
    toys = hits.reshape(truths, -1, hits.shape[1])
    return toys[:, : math.ceil(toys.shape[1] * share)].flatten(0, 1)


def _held(
    ends: Float[np.ndarray, "truth toy observable 2"], true: OfTruths, infer: Selected
) -> Int[np.ndarray, "truth observable"]:
    """How many intervals of each truth hold it."""
    periods = periods_of(infer) or (0.0,) * true.shape[1]
    each = [holds(ends[:, :, index], true[:, None, index], period) for index, period in enumerate(periods)]
    return np.stack(each, axis=-1).sum(axis=1)
