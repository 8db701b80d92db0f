import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from pullback import propagate_distribution
from pullback.config.model_schema import MODELS
from pullback.detector.bound_model import Inference, parameters_of
from pullback.models import load_model
from pullback.statistics.angles import wrap
from pullback.statistics.quantiles import P_ENDS
from pullback.uncertainty.distribution import spread_block
from pullback.uncertainty.elementwise import WHOLE_VECTORS
from pullback.uncertainty.folds import Fold, Folding
from pullback.uncertainty.linear import linear_law

DOUBLE = torch.float64
PLACES = [0.0, 0.3, 1.0, 2.0, 3.0, 5.0, 8.0]
COVARIANCES = {
    "equal": [[1.0, 0.0], [0.0, 1.0]],
    "5 to 1": [[1.0, 0.0], [0.0, 0.04]],
    "tilted": [[1.0, 0.7], [0.7, 0.6]],
}


def folds(signed, *of, observables=None):
    """Declare the folds of an inference, counting how many hits it gets."""

    def decorate(infer):
        def counted(h):
            counted.hits += len(h)
            return infer(h)

        counted.hits = 0
        counted.periods = tuple(2 * math.pi if fold and fold.azimuth else 0.0 for fold in of)
        counted.folding = Folding(signed, of, observables)
        return counted

    return decorate


@folds(lambda h: h, Fold((0, 1)), Fold((0, 1), azimuth=True))
def polar(h):
    return torch.stack([h.norm(dim=1), torch.atan2(h[:, 1], h[:, 0])], dim=1)


def spread(infer, hits, covariance, **settings):
    """What is computed of all observables, whether they look smooth or not."""
    infer.hits = 0
    hits, covariance = (torch.as_tensor(each, dtype=DOUBLE) for each in (hits, covariance))
    return propagate_distribution(infer, hits, covariance=covariance, screen=False, **settings)


def ends_of(found):
    return torch.cat([found.interval68, found.interval95], dim=2).numpy()


def length_below(length, place, covariance):
    """P(|s| ≤ length) for s ~ N(place, C), as a sum over one of two components of strips across the other."""
    z = np.linspace(-9, 9, 40_001)
    root = np.linalg.cholesky(covariance)
    first = place[0] + root[0, 0] * z
    middle, half = place[1] + root[1, 0] * z, np.sqrt(np.maximum(length**2 - first**2, 0))
    inside = stats.norm.cdf((half - middle) / root[1, 1]) - stats.norm.cdf((-half - middle) / root[1, 1])
    return (stats.norm.pdf(z) * (z[1] - z[0])) @ np.where(abs(first) <= length, inside, 0)


@pytest.mark.parametrize("name", COVARIANCES)
@pytest.mark.parametrize("turn", [0.0, 0.9])
def test_lengths_against_sums_of_strips(name, turn):
    covariance = np.array(COVARIANCES[name])
    place = np.outer(PLACES, [math.cos(turn), math.sin(turn)])
    found = spread(polar, place, covariance)
    assert polar.hits < 100 * WHOLE_VECTORS
    for muon, s in enumerate(place):
        exact = [optimize.brentq(lambda r, s=s, p=p: length_below(r, s, covariance) - p, 1e-6, 20) for p in P_ENDS]
        sd = found.sd[muon, 0].item()
        assert ((ends_of(found)[muon, 0] - exact) / sd).tolist() == pytest.approx([0] * 4, abs=5e-3)
        # The mean square is known whatever the mean is.
        square = s @ s + np.trace(covariance)
        assert found.mean[muon, 0].item() ** 2 + sd**2 == pytest.approx(square, rel=1e-3)
    if name == "equal":
        rice = stats.rice(PLACES)
        np.testing.assert_allclose(found.mean[:, 0], rice.mean(), rtol=3e-4)
        np.testing.assert_allclose(found.sd[:, 0], rice.std(), rtol=1e-3)


@pytest.mark.parametrize("name", COVARIANCES)
@pytest.mark.parametrize("turn", [0.4, 3.0])
def test_angles_against_sums_over_lengths(name, turn):
    """Of the density in the plane, along each direction; at 3 rad across the cut at π too."""
    covariance = np.array(COVARIANCES[name])
    place = np.outer(PLACES[1:], [math.cos(turn), math.sin(turn)])
    found = spread(polar, place, covariance)
    precision = np.linalg.inv(covariance)
    off = np.linspace(-math.pi, math.pi, 20_001)
    direction = np.stack([np.cos(turn + off), np.sin(turn + off)], axis=1)
    r = np.linspace(0, 14, 1401)
    steep, cross = ((direction @ precision) * direction).sum(axis=1), direction @ precision @ place.T
    for muon, s in enumerate(place):
        chi2 = r**2 * steep[:, None] - 2 * r * cross[:, muon, None] + s @ precision @ s
        density = (r * np.exp(-chi2 / 2)).sum(axis=1)
        density /= density.sum()
        below = density.cumsum() - density / 2
        mean = density @ off
        sd = math.sqrt(density @ (off - mean) ** 2)
        assert found.bias[muon, 1].item() == pytest.approx(mean, abs=2e-3 * sd)
        assert found.sd[muon, 1].item() == pytest.approx(sd, rel=2e-3)
        exact = turn + np.interp(P_ENDS, below, off)
        assert ((ends_of(found)[muon, 1] - exact) / sd).tolist() == pytest.approx([0] * 4, abs=0.01)


@pytest.mark.parametrize("place", PLACES)
def test_one_signed_quantity_is_a_folded_normal(place):
    @folds(lambda h: h.sum(dim=1, keepdim=True), Fold((0,)))
    def infer(h):
        return (0.3 * h.sum(dim=1, keepdim=True)).abs().atan()

    found = spread(infer, [[place / 2, place / 2]], [[0.5, 0.0], [0.0, 0.5]])
    assert infer.hits < 100 * WHOLE_VECTORS
    exact = stats.foldnorm(place)
    sd = found.sd.item()
    assert (ends_of(found)[0, 0] / sd).tolist() == pytest.approx(np.arctan(0.3 * exact.ppf(P_ENDS)) / sd, abs=5e-3)
    x = np.linspace(0, place + 9, 200_001)
    weights = exact.pdf(x) * (x[1] - x[0])
    mean = weights @ np.arctan(0.3 * x)
    assert found.mean.item() == pytest.approx(mean, rel=1e-3)
    assert sd == pytest.approx(math.sqrt(weights @ (np.arctan(0.3 * x) - mean) ** 2), rel=3e-3)


def model_of(name, **section):
    model = load_model(MODELS[name](**section))
    names = [each.name for each in model.observables]
    return Inference(model, parameters_of(model, {"resolution": 1000.0})), names


def line(z, slopes):
    return torch.cat([0.1 + slopes[0] * z, -0.05 + slopes[1] * z])


def bent(z, zenith, angle):
    """Hits of a muon that is scattered by an angle at z = 0, in a plane that contains no axis."""
    before = np.array([math.sin(zenith), 0.0, math.cos(zenith)])
    side = np.cross(before, [0.3, -0.8, 0.1])
    after = before * math.cos(angle) + side / np.linalg.norm(side) * math.sin(angle)
    above, under = ((d[:2] / d[2])[:, None] for d in (before, after))
    return torch.cat([*torch.where(z > 0, torch.from_numpy(above) * z, torch.from_numpy(under) * z)])


SCATTER = {"z_upper": [0.6, 0.8, 1.0], "z_lower": [-0.6, -0.8, -1.0]}
HEIGHTS = torch.tensor(SCATTER["z_upper"] + SCATTER["z_lower"], dtype=DOUBLE)
CASES = [
    ("scatter", SCATTER, lambda: bent(HEIGHTS, 0.0, 0.001), 1.0, ("theta_msc",)),
    ("scatter", SCATTER, lambda: bent(HEIGHTS, 0.8, 0.0), 1.0, ("theta_msc",)),
    ("scatter", SCATTER, lambda: bent(HEIGHTS, 0.8, 0.004), 5.0, ("theta_msc",)),
    ("scatter", SCATTER, lambda: line(HEIGHTS, (0.001, 0.0)), 5.0, ("theta_in", "theta_out", "theta_msc")),
    ("track3d", {"z": [0.0, 0.5, 1.0]}, lambda: line(torch.tensor([0.0, 0.5, 1.0], dtype=DOUBLE), (4e-4, 3e-4)), 1.0,
     ("theta", "phi")),
    ("track3d", {"z": [0.0, 0.5, 1.0]}, lambda: line(torch.tensor([0.0, 0.5, 1.0], dtype=DOUBLE), (1e-4, 2e-4)), 5.0,
     ("theta", "phi")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "section", "hits", "wider", "wanted"), CASES)
def test_angles_of_the_models_against_toys(name, section, hits, wider, wanted):
    """σ = 0.2 mm in x, and as much or five times as much in y."""
    infer, names = model_of(name, **section)
    hits = hits()
    sigma = 2e-4 * torch.tensor([1.0, wider], dtype=DOUBLE).repeat_interleave(len(hits) // 2)
    law = linear_law(infer, hits[None], sigma.square()[None])
    found = spread_block(infer, hits[None], sigma.square()[None], law, 0, True)
    generator = torch.Generator().manual_seed(2)
    toys = infer(hits + sigma * torch.randn(400_000, len(hits), generator=generator, dtype=DOUBLE))
    for observable in wanted:
        index = names.index(observable)
        off = toys[:, index] - law.value[0, index]
        if observable == "phi":
            off = wrap(off, 2 * math.pi)
        sd = off.std().item()
        # The standard error of sd is at most 0.002, that of an end of the 95 % interval 0.006.
        assert found.sd[0, index].item() == pytest.approx(sd, rel=6e-3)
        assert found.bias[0, index].item() == pytest.approx(off.mean().item(), abs=8e-3 * sd)
        ends = (ends_of(found)[0, index] - law.value[0, index].item()) / sd
        assert ends.tolist() == pytest.approx(np.quantile(off.numpy(), P_ENDS) / sd, abs=0.025)


WRONG = {
    "depends on another direction": lambda h: h[:, :2].norm(dim=1, keepdim=True) + 0.3 * h[:, 2:],
    "is no function of the length": lambda h: (h[:, :1].square() + 3 * h[:, 1:2].square()).sqrt(),
    "bends strongly": lambda h: (h[:, :2] + 0.2 * h[:, :2].square()).norm(dim=1, keepdim=True),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_follow_from_the_signed_quantities_is_integrated(name):
    wrong = folds(lambda h: h[:, :2], Fold((0, 1)))(WRONG[name])
    hits = [[0.5, 0.2, 0.1], [1.0, 0.0, 0.0]]
    found, expected = (spread(infer, hits, np.eye(3)) for infer in (wrong, folds(None, None)(WRONG[name])))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_an_azimuth_without_a_period_is_integrated():
    """It is no angle on a circle, and jumps by 2π at the cut."""
    bare = folds(lambda h: h, None, Fold((0, 1), azimuth=True))(polar)
    bare.periods = None
    plain = folds(None, None, None)(polar)
    plain.periods = None
    found, expected = (spread(infer, [[-1.0, 0.1]], np.eye(2)) for infer in (bare, plain))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert found.sd[0, 1] > 2


def test_the_error_bounds_that_of_the_sd():
    """An observable that depends weakly on another direction: to 0.01 sd."""
    infer = folds(lambda h: h[:, :2], Fold((0, 1)))(lambda h: h[:, :2].norm(dim=1, keepdim=True) + 0.005 * h[:, 2:])
    found = spread(infer, [[0.5, 0.2, 0.1]], np.eye(3))
    assert infer.hits < 100 * WHOLE_VECTORS
    right = math.hypot(stats.rice(math.hypot(0.5, 0.2)).std(), 0.005)
    assert abs(found.sd.item() - right) < found.sd_error.item() < 0.015 * right


@pytest.mark.parametrize("covariance", [np.zeros((2, 2)), np.array([[1.0, 0.0], [0.0, 0.0]])])
def test_without_variance(covariance):
    """Where the signed quantities are known, or one of them is, the points are as good as they were."""
    plain = folds(None, None, None)(polar)
    plain.periods = polar.periods
    found, expected = (spread(infer, [[0.3, 0.1], [0.0, 0.0]], covariance[None]) for infer in (polar, plain))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_a_muon_is_the_same_in_any_company():
    generator = torch.Generator().manual_seed(4)
    hits = 2 * torch.randn(1100, 2, generator=generator, dtype=DOUBLE)
    together = spread(polar, hits, COVARIANCES["tilted"])
    for first, last in ((0, 1), (500, 700), (1099, 1100)):
        some = spread(polar, hits[first:last], COVARIANCES["tilted"])
        for one, other in zip(some, together, strict=True):
            assert torch.equal(one, other[first:last])


def test_hits_that_are_not_finite_spoil_no_other():
    hits = torch.tensor([[0.3, 0.1], [math.nan, 0.0], [0.3, 0.1], [math.inf, 1.0]], dtype=DOUBLE)
    found = spread(polar, hits, np.eye(2))
    alone = spread(polar, hits[:1], np.eye(2))
    for one, other in zip(found, alone, strict=True):
        assert torch.equal(one[[0, 2]], other.expand_as(one[[0, 2]]))
        assert one[[1, 3]].isnan().all()


def test_single_precision():
    found = propagate_distribution(polar, torch.tensor([[0.5, 0.2]]), sigma=1.0, screen=False)
    assert found.sd.dtype == torch.float32
    assert found.sd[0, 0].item() == pytest.approx(stats.rice(math.hypot(0.5, 0.2)).std(), rel=1e-3)
