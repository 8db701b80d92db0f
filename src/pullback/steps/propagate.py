"""Propagation of the resolution to the observables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..models.base import fold_places
from ..store import artefact, columns, quoted_columns
from ..store.artefact import Writer
from ..store.columns import FLAGS
from ..study.artefact_configs import SigmaConfig
from ..study.batches import Batch, Part
from ..uncertainty.arrays import Tensor
from ..uncertainty.inference import Infer
from .common import RECO, TRUTH, arrays, configured_device, log, open_parents, progress, read_hits


def propagate_uncertainty(
    batch: Batch[SigmaConfig], reco: str | Path, sigma: str | Path, truth: str | Path | None = None, device: str = "cpu"
) -> None:
    """Propagate the stated resolution to the observables at the recorded hits, on a `device` of the config.

    For each observable, write `sigma_<o>` (quoted), `sigma_<o>_linear` (by the Jacobian), `linear_valid_<o>` (whether
    the two are equal), `bias_<o>`, the coverage intervals `interval68_<o>`, `interval95_<o>` (JCGM 101), the confidence
    intervals `confidence68_<o>`, `confidence95_<o>`, and `flag_<o>`, whose bits say what of the result can't be used
    (`pullback.store.columns.FLAG_WORDS`). `distance_<o>` is the distance of an observable from its fold; `<o>_squared`
    and `sigma_<o>_squared` are squares without bias, where the model has such. Further columns:
    `pullback.steps.components`.

    For simulated hits, also write `sigma_<o>_linear_true` and `distance_<o>_true` at the true hits.
    """
    from ..detector.reconstruction import Reconstruction
    from ..uncertainty.linear import propagate
    from ..uncertainty.quoting import quote
    from .components import Contributions, Design

    where = configured_device(device)
    log.info("on %s", where)
    with (
        open_parents(batch, {RECO: reco, TRUTH: truth}) as parents,
        artefact.create(sigma, batch, parents.values()) as out,
    ):
        for part in batch.parts:
            reconstruction = Reconstruction.of(part, where)
            infer = reconstruction.infer
            n_dig = part.config.uncertainty.n_dig
            table, folds = quoted_columns.of_quoted(out, part), _Folds(out, part, "")
            contributions, design = Contributions(out, part, reconstruction), Design(out, part)
            for block in progress(part, "propagated"):
                hits, known = read_hits(parents[RECO], part, RECO, block, where)
                taken = reconstruction.taken(hits, known)
                quoted = quote(infer, taken.hits, covariance=taken.covariance, n_dig=n_dig)
                found = arrays(quoted)
                table.append(found | {"flag": _flag(infer, taken.hits, found)})
                folds.append(infer, taken.hits, taken.covariance)
                contributions.append(hits, known, taken, quoted.sigma)
                design.append(block, hits, known)
            if TRUTH not in parents:
                continue
            table, folds = columns.of_muons(out, part, columns.TRUE_LINEAR), _Folds(out, part, "_true")
            for block in progress(part, "propagated at the true hits"):
                hits, sigma_x, _ = reconstruction.taken(*read_hits(parents[TRUTH], part, TRUTH, block, where))
                table.append(arrays(propagate(infer, hits, covariance=sigma_x)))
                folds.append(infer, hits, sigma_x)


class _Folds:
    """Columns of distances from the folds, and of squares without bias at the recorded hits."""

    def __init__(self, out: Writer, part: Part[SigmaConfig], suffix: str):
        observables, places = part.model.observables, fold_places(part.model.observables)
        near = [index for index, place in enumerate(places) if place is not None]
        squared = [index for index, each in enumerate(observables) if not suffix and each.name in part.model.squared]
        self.of = [place or 0 for place in places]
        self.distances = columns.of_muons(out, part, {"distance": columns.DISTANCES[suffix]}, which=near)
        self.squares = columns.of_muons(out, part, columns.SQUARED, which=squared)
        self.near, self.squared = bool(near), bool(squared)

    def append(self, infer: Infer, hits: Tensor, sigma_x: Tensor) -> None:
        """Add a block of muons."""
        from ..uncertainty.signed import fold_distances, unbiased_squares

        if self.near:
            found = arrays(fold_distances(infer, hits, covariance=sigma_x))
            self.distances.append({"distance": found["distance"][:, self.of]})
        if self.squared:
            self.squares.append(arrays(unbiased_squares(infer, hits, covariance=sigma_x)))


def _flag(infer: Infer, hits: Tensor, quoted: dict[str, np.ndarray]) -> np.ndarray:
    """Bits (muon, observable) that say what of a result can't be used, as `FLAG_WORDS` describes."""
    from ..uncertainty.jacobians import usable_muons

    usable, value, sigma = usable_muons(infer, hits), quoted["value"], quoted["sigma"]
    with np.errstate(over="ignore", invalid="ignore"):  # much faster than testing each number
        total = value.sum() + sigma.sum() + quoted["confidence68"].sum() + quoted["confidence95"].sum()
    if usable is None and np.isfinite(total) and (sigma > 0).all():
        return np.zeros(value.shape, "u1")  # the usual case
    finite = (
        np.full_like(value, True, bool)
        if usable is None
        else np.repeat(usable.numpy(force=True)[:, None], value.shape[1], 1)
    )
    valued = np.isfinite(value)
    without = finite & valued & np.isnan(sigma) & np.isfinite(quoted["interval95"]).all(axis=2)
    unusable = finite & ~((sigma != 0) & np.isfinite(sigma)) & ~without
    unbounded = finite & valued & ~_has_ends(quoted)
    bits = (~finite, finite & ~valued, unusable, sigma < 0, without, unbounded)
    return sum(bit.astype("u1") * np.uint8(mask) for bit, mask in zip(bits, FLAGS.values(), strict=True))


def _has_ends(quoted: dict[str, np.ndarray]) -> np.ndarray:
    """Whether both confidence intervals (muon, observable) have both ends."""
    return np.isfinite(quoted["confidence68"]).all(axis=2) & np.isfinite(quoted["confidence95"]).all(axis=2)
