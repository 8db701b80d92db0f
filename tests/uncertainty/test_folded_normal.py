import math

import numpy as np
import pytest
import torch
from oracles import dense
from scipy import stats

from pullback import propagate_distribution
from pullback.statistics.quantiles import P_ENDS
from pullback.uncertainty.elementwise import WHOLE_VECTORS
from pullback.uncertainty.folded_normal import folded_normal_quantiles
from pullback.uncertainty.folds import Fold, Folding

DOUBLE = torch.float64


def test_quantiles_of_the_folded_normal_distribution():
    places = np.array([0.0, 1e-3, 0.3, 0.7001, 1.0, 2.3, 3.9, 7.99, 8.0, 8.1, 40.0])
    found = folded_normal_quantiles(torch.from_numpy(places)).t()
    exact = np.array([stats.norm(t).ppf(P_ENDS) if t > 9 else stats.foldnorm(t).ppf(P_ENDS) for t in places])
    np.testing.assert_allclose(found, exact, rtol=0, atol=2e-5)


def declared(function, signed=lambda h: h):
    """A function of one hit that says it folds where `signed` is 0; and how many evaluations it has."""

    def infer(h):
        infer.rows += len(h)
        return function(h)

    infer.rows, infer.folding = 0, Folding(signed, (Fold((0,)),))
    return infer


CURVES = {
    "size": lambda h: h.abs(),
    "angle": lambda h: (0.4 * h).abs().atan(),
    "square": lambda h: h.square(),
    "root": lambda h: (h.square() + 0.3).sqrt(),
}


@pytest.mark.parametrize("name", CURVES)
def test_increasing_functions_of_a_size(name):
    infer = declared(CURVES[name])
    places = np.array([0.0, 0.2, -0.7, 1.4, -2.5, 3.3, 3.9])
    found = propagate_distribution(infer, torch.from_numpy(places)[:, None], sigma=1.0, screen=False)
    assert infer.rows < 100 * WHOLE_VECTORS  # which 7 muons are filled up to
    for muon, x in enumerate(places):
        plain = lambda x: CURVES[name](torch.from_numpy(x)[:, None])[:, 0].numpy()  # noqa: E731
        mean, sd, ends = dense(plain, x, 1.0, P_ENDS, points=200_001)
        assert found.sd[muon].item() == pytest.approx(sd, rel=2e-4)
        assert found.mean[muon].item() == pytest.approx(mean, abs=2e-4 * sd)
        both = torch.cat([found.interval68, found.interval95], dim=2)[muon, 0]
        assert (both / sd).tolist() == pytest.approx(ends / sd, abs=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [lambda h: h + 2 * h.abs(), lambda h: (h - 0.5).abs(), lambda h: (4 * h).sin()],
    ids=["skew", "off", "wave"],
)
def test_what_does_not_fold_as_declared_is_integrated(wrong):
    hits = torch.tensor([[0.0], [0.7], [-1.2]], dtype=DOUBLE)
    said, silent = (propagate_distribution(each, hits, sigma=1.0, screen=False) for each in (declared(wrong), wrong))
    for one, other in zip(said, silent, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_signed_quantity_that_is_not_the_hit_itself():
    """sinh of the hit, which is not linear, folds into the size of the hit all the same."""
    infer = declared(lambda h: h.abs(), lambda h: h.sinh())
    hits = torch.tensor([[0.3], [-1.1]], dtype=DOUBLE)
    found = propagate_distribution(infer, hits, sigma=0.05, screen=False)
    exact = stats.foldnorm(hits[:, 0].abs() / 0.05, scale=0.05)
    np.testing.assert_allclose(found.sd[:, 0], exact.std(), rtol=0.01)


def test_hits_that_are_not_finite():
    found = propagate_distribution(declared(CURVES["size"]), torch.tensor([[0.1], [math.nan]], dtype=DOUBLE), sigma=1.0)
    assert found.sd.isnan().tolist() == [[False], [True]]
