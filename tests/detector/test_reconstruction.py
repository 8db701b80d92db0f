"""The best fit of each muon against a Kalman filter, closed forms, and muons that are followed from layer to layer."""

import math

import numpy as np
import pytest
import torch
from oracles import best_line, filtered

from pullback.config.model_schema import Scatter, Track, Track3d
from pullback.detector.bound_model import Inference, hit_covariance, parameters_of
from pullback.detector.known import NOTHING_KNOWN, Known
from pullback.detector.reconstruction import Reconstruction
from pullback.models import load_model
from pullback.uncertainty.linear import propagate
from pullback.uncertainty.quoting import quote

Z = [0.5, 0.0, 1.0, 0.2, 0.8]
THETA0 = [2e-3, 1e-3, 5e-4, 0.0, 3e-3]
RNG = np.random.default_rng(1)


def tensor(values):
    return torch.tensor(np.asarray(values, dtype=float))


def reconstruction(section, resolution=1000.0):
    model = load_model(section)
    return Reconstruction(model, parameters_of(model, {"resolution": resolution}), by_lines=True)


def found(of, hits, known=NOTHING_KNOWN):
    taken, covariance, _ = of.taken(tensor(hits), known)
    return propagate(of.infer, taken, covariance=covariance)


def some_hits(muons=12, lost=0.25):
    hits = RNG.normal(0, 0.3, (muons, 1)) + RNG.normal(0, 0.5, (muons, 1)) * np.array(Z)
    hits += 2e-3 * RNG.normal(size=hits.shape)
    hits[RNG.random(hits.shape) < lost] = np.nan
    return hits


@pytest.mark.parametrize("theta0", [THETA0, [0.0] * 5])
def test_the_fit_is_a_kalman_filter_with_the_errors_of_each_hit(theta0):
    hits, sigma = some_hits(), RNG.uniform(1e-4, 5e-3, (12, 5))
    law = found(reconstruction(Track(z=Z, theta0=theta0)), hits, Known(tensor(sigma**2)))
    judged = 0
    for muon in range(12):
        if np.isfinite(hits[muon]).sum() < 2:
            assert torch.isnan(law.value[muon]).all()
            continue
        state, P = filtered(hits[muon], Z, sigma[muon], theta0)
        np.testing.assert_allclose(law.value[muon, [2, 0]], state, rtol=1e-9)
        np.testing.assert_allclose(law.sigma[muon, [2, 0]], np.sqrt(np.diag(P)), rtol=1e-9)
        assert law.covariance[muon, 0, 2].item() == pytest.approx(P[0, 1], rel=1e-9)
        judged += 1
    assert judged > 8


def test_layers_scatter_each_muon_by_its_own_momentum():
    section = Track(z=Z, material=[0.1, 0.02, 0.0, 0.3, 0.01], momentum=2.0)
    hits, momentum = some_hits(lost=0.0), np.append(RNG.uniform(0.3, 9, 11), np.nan)
    law = found(reconstruction(section), hits, Known(momentum=tensor(momentum)))
    for muon, p in enumerate(np.nan_to_num(momentum, nan=2.0)):
        beta = p / math.hypot(p, 0.1056583755)
        lengths = np.array(section.material)
        log = np.log(np.where(lengths > 0, lengths, 1) / beta**2)
        theta0 = 0.0136 / (beta * p) * np.sqrt(lengths) * (1 + 0.038 * log)
        state, P = filtered(hits[muon], Z, [1e-3] * 5, theta0)
        np.testing.assert_allclose(law.value[muon, [2, 0]], state, rtol=1e-9)
        np.testing.assert_allclose(law.sigma[muon, [2, 0]], np.sqrt(np.diag(P)), rtol=1e-9)


@pytest.mark.parametrize("theta0", [0.0, 4e-3])
def test_no_other_unbiased_line_is_as_good(theta0):
    """σ by per-hit errors is at most that of the stated weights, of every muon, and much less of some."""
    hits, sigma = some_hits(200, lost=0.1), np.exp(RNG.uniform(np.log(1e-4), np.log(1e-2), (200, 5)))
    known = Known(tensor(sigma**2))
    best, plain = (
        found(reconstruction(Track(z=Z, theta0=theta0, fit=fit)), hits, known).sigma for fit in ("gls", "ols")
    )
    known = torch.isfinite(best[:, 0])
    assert known.sum() > 180
    assert (best[known] <= plain[known] * (1 + 1e-12)).all()
    ratio = (plain / best)[known][:, 0]
    assert ratio.median() > (1.3 if theta0 == 0 else 1.02)
    assert ratio.max() > 2


def test_with_stated_weights_alone_the_best_line_is_the_plain_one():
    hits, resolution = some_hits(50), [1000.0, 500.0, 2000.0, 800.0, 1000.0]
    of = reconstruction(Track(z=Z), resolution)
    plain = Inference(of.model, of.parameters)
    expected = propagate(plain, tensor(hits), covariance=hit_covariance(of.model, of.parameters, tensor(hits)))
    law = found(of, hits)
    for one, other in zip(law, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-15, equal_nan=True)


def test_correlations_between_x_and_y_are_used():
    """One line in x and one in y, fitted together, against the generalized least squares of all hits."""
    model, z = Track3d(z=[0.0, 0.4, 1.0]), np.array([0.0, 0.4, 1.0])
    hits, root = RNG.normal(0, 0.1, (7, 6)), 1e-3 * RNG.normal(size=(7, 6, 6))
    covariance = root @ root.transpose(0, 2, 1)
    law = found(reconstruction(model), hits, Known(tensor(covariance)))
    design = np.kron(np.eye(2), np.stack([np.ones(3), z], axis=1))
    for muon in range(7):
        weighted = design.T @ np.linalg.inv(covariance[muon])
        inverse = np.linalg.inv(weighted @ design)
        np.testing.assert_allclose(law.value[muon, 2:], (inverse @ weighted @ hits[muon])[[1, 3]], rtol=1e-9)
        np.testing.assert_allclose(law.covariance[muon, 2:, 2:], inverse[np.ix_([1, 3], [1, 3])], rtol=1e-8)


def test_muons_may_have_heights_of_their_own():
    hits, heights = some_hits(), np.array(Z) + RNG.normal(0, 0.02, (12, 5))
    heights[np.isnan(hits)] = np.nan  # no hit, no height
    for fit in ("gls", "ols"):
        law = found(reconstruction(Track(z=Z, theta0=0.0, fit=fit)), hits, Known(z=tensor(heights)))
        for muon in range(12):
            if np.isfinite(hits[muon]).sum() > 1:
                state, P = best_line(hits[muon], heights[muon], 1e-6 * np.eye(5))
                np.testing.assert_allclose(law.value[muon, [2, 0]], state, rtol=1e-9)
                np.testing.assert_allclose(law.sigma[muon, [2, 0]], np.sqrt(np.diag(P)), rtol=1e-9)


UPPER, LOWER = [1.0, 0.8, 0.6], [-0.5, -1.0, -0.7]


def followed(rng, muons, theta0, sigma):
    """Hits in one view of muons along z, which the layers scatter, and which the volume does not."""
    z = np.array(UPPER + LOWER)
    place, slope, at = np.zeros(muons), np.zeros(muons), z.max()
    hits = np.empty((muons, len(z)))
    for layer in np.argsort(-z):
        place, at = place + slope * (z[layer] - at), z[layer]
        hits[:, layer] = place + sigma * rng.normal(size=muons)
        slope = slope - theta0 * rng.normal(size=muons)
    return hits


@pytest.mark.parametrize("fit", ["gls", "ols"])
def test_muons_followed_through_the_layers_spread_by_the_quoted_sigma(fit):
    theta0, muons, rng = 2e-3, 40_000, np.random.default_rng(3)
    of = reconstruction(Scatter(z_upper=UPPER, z_lower=LOWER, theta0=theta0, fit=fit), 2000.0)
    tilt = np.concatenate([0.2 * np.array(UPPER + LOWER), 0.1 * np.array(UPPER + LOWER)])
    hits = np.concatenate([followed(rng, muons, theta0, 5e-4) for _ in "xy"], axis=1) + tilt
    law = found(of, hits)
    for index, true in {0: math.atan(math.hypot(0.2, 0.1)), 2: 0.0, 3: 0.0}.items():
        value, sigma = law.value[:, index].numpy(), law.sigma[:, index].mean().item()
        assert value.mean() == pytest.approx(true, abs=4 * sigma / math.sqrt(muons) + 1e-5)
        assert value.std() == pytest.approx(sigma, rel=4 / math.sqrt(2 * muons))


def test_both_arms_together_are_best():
    """Hits above the volume tell of their scattering, which deflects the line below: against fits of all parameters."""
    theta0, z = 2e-3, np.array(UPPER + LOWER)
    section = Scatter(z_upper=UPPER, z_lower=LOWER, theta0=theta0)
    of, plain = reconstruction(section, 1e4), reconstruction(section.model_copy(update={"fit": "ols"}), 1e4)
    hits = np.concatenate([followed(RNG, 5, theta0, 1e-4) for _ in "xy"], axis=1)
    law, worse = found(of, hits), found(plain, hits)
    # One parameter for the deflection in each layer, measured as 0 ± θ0; a line above, and one below.
    above, layers = z > 0, len(z)
    bends = np.maximum(z[None] - z[:, None], 0.0)
    lines = np.stack([above, above * z, ~above, ~above * z], axis=1)
    design = np.block([[lines, bends], [np.zeros((layers, 4)), np.eye(layers)]])
    weight = np.concatenate([np.full(layers, 1e8), np.full(layers, theta0**-2)])
    inverse = np.linalg.inv(design.T * weight @ design)
    for muon in range(5):
        px, _, qx, _ = (inverse @ (design.T * weight) @ np.append(hits[muon, :layers], np.zeros(layers)))[[1, 0, 3, 2]]
        assert law.value[muon, 2].item() == pytest.approx(math.atan(qx) - math.atan(px), abs=1e-9 * theta0)
    change = np.array([0, -1, 0, 1])
    expected = math.sqrt(change @ inverse[:4, :4] @ change)
    np.testing.assert_allclose(law.sigma[:, 2], expected, rtol=1e-3)  # of arctan: at slopes of mrad
    assert (law.sigma[:, 2] < 0.99 * worse.sigma[:, 2]).all()


def test_a_line_of_too_few_hits_does_not_exist_and_others_do():
    hits = RNG.normal(0, 0.1, (1, 12)).repeat(3, axis=0)
    hits[1, 4:6] = np.nan  # one hit below in x
    hits[2, 3] = np.inf
    law = found(reconstruction(Scatter(z_upper=UPPER, z_lower=LOWER, theta0=1e-3)), hits)
    assert torch.isfinite(law.value[0]).all()
    assert torch.isfinite(law.value[1]).tolist() == [True, False, False, True, False, False, False, False]
    assert torch.isfinite(law.sigma[1]).tolist() == torch.isfinite(law.value[1]).tolist()
    assert torch.isnan(law.value[2]).all()


def test_the_quoted_uncertainty_is_that_of_the_hits():
    """Positions of the line carry the whole uncertainty: the fold of θ, whose closed form is half-normal."""
    law = reconstruction(Track(z=[0.0, 1.0], theta0=0.0), 100.0)
    taken, covariance, _ = law.taken(torch.zeros(2, 2, dtype=torch.float64))
    quoted = quote(law.infer, taken, covariance=covariance)
    assert quoted.sigma[0, 1].item() == pytest.approx(math.sqrt(1 - 2 / math.pi) * 0.01 * math.sqrt(2), rel=1e-3)
    assert quoted.bias[0, 1].item() == pytest.approx(math.sqrt(2 / math.pi) * 0.01 * math.sqrt(2), rel=1e-3)
