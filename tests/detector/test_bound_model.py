import math

import numpy as np
import pytest
import torch

from pullback.config.model_schema import OneHit, Track, Track3d
from pullback.detector.bound_model import Fit, Inference, hit_covariance, parameters_of
from pullback.models import load_model

PLAIN, SCATTERING = load_model(Track()), load_model(Track(theta0=0.01))
HITS = torch.tensor([[0.1, 0.25, 0.3], [0.5, math.nan, -0.1]], dtype=torch.float64)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_parameters_are_the_model_s_and_the_detector_s():
    found = parameters_of(SCATTERING, {"resolution": [100.0, 50.0, 25.0]})
    assert found["z"].tolist() == [0.0, 0.5, 1.0]
    assert found["theta0"].tolist() == 0.01
    assert found["resolution"].tolist() == [100.0, 50.0, 25.0]
    assert parameters_of(PLAIN, {"resolution": 40.0})["resolution"].tolist() == [40.0] * 3
    # Of two coordinates in each layer, the layer's: one number for both.
    assert parameters_of(load_model(Track3d()), {"resolution": 40.0})["resolution"].tolist() == [40.0] * 3
    assert all(each.dtype == torch.float64 and each.is_leaf for each in found.values())


def test_the_covariance_is_that_of_the_layers():
    parameters = parameters_of(PLAIN, {"resolution": [100.0, 50.0, 25.0]})
    torch.testing.assert_close(hit_covariance(PLAIN, parameters, HITS), tensor([[1e-4, 4e-4, 16e-4]]))
    both = load_model(Track3d())
    found = hit_covariance(both, parameters_of(both, {"resolution": [100.0, 50.0, 25.0]}), HITS[:, :1].expand(2, 6))
    torch.testing.assert_close(found, tensor([[1e-4, 4e-4, 16e-4, 1e-4, 4e-4, 16e-4]]))


def test_what_is_recorded_takes_the_place_of_the_detector_s():
    parameters = parameters_of(PLAIN, {"resolution": [100.0, 50.0, 25.0]})
    recorded = tensor([[math.nan, 9e-4, math.nan], [1e-6, 2e-6, 3e-6]])
    found = hit_covariance(PLAIN, parameters, HITS, recorded)
    torch.testing.assert_close(found, tensor([[1e-4, 9e-4, 16e-4], [1e-6, 2e-6, 3e-6]]))
    nan = math.nan
    matrix = tensor([[[nan, nan, nan], [nan, 9e-4, 1e-4], [nan, 1e-4, 4e-4]]])
    found = hit_covariance(PLAIN, parameters, HITS[:1], matrix)
    torch.testing.assert_close(found, tensor([[[1e-4, 0, 0], [0, 9e-4, 1e-4], [0, 1e-4, 4e-4]]]))


def test_what_the_model_adds_is_added():
    """By hand: of layers at 0, ½ and 1 the lowest is scattered by both above it, with arms ½ and 1."""
    parameters = parameters_of(SCATTERING, {"resolution": [100.0, 50.0, 25.0]})
    added = 1e-4 * np.array([[1.25, 0.5, 0], [0.5, 0.25, 0], [0, 0, 0]])
    expected = tensor((np.diag([1e-4, 4e-4, 16e-4]) + added)[None].tolist())
    torch.testing.assert_close(hit_covariance(SCATTERING, parameters, HITS), expected)
    without = hit_covariance(SCATTERING, parameters, HITS, added=False)
    torch.testing.assert_close(without, tensor([[1e-4, 4e-4, 16e-4]]))
    recorded = tensor([[1e-6, math.nan, 3e-6], [1e-6, 2e-6, 3e-6]])
    found = hit_covariance(SCATTERING, parameters, HITS, recorded)
    expected = torch.diag_embed(tensor([[1e-6, 4e-4, 3e-6], [1e-6, 2e-6, 3e-6]])) + tensor(added.tolist())
    torch.testing.assert_close(found, expected)


def test_the_covariance_has_slopes_by_the_design():
    leaves = {name: each.requires_grad_() for name, each in parameters_of(SCATTERING, {"resolution": 100.0}).items()}
    hit_covariance(SCATTERING, leaves, HITS).sum().backward()
    np.testing.assert_allclose(leaves["resolution"].grad, [-2e-6] * 3, rtol=1e-12)
    assert leaves["theta0"].grad.item() == pytest.approx(2 * 0.01 * 2.5, rel=1e-12)


def test_an_inference_says_what_the_library_asks():
    both = load_model(Track3d())
    infer = Inference(both, parameters_of(both, {"resolution": 100.0}))
    assert infer.missing
    assert infer.periods == (0.0, pytest.approx(2 * math.pi), 0.0, 0.0)
    one = load_model(OneHit(dz=2.0))
    infer = Inference(one, parameters_of(one, {"resolution": 100.0}))
    assert not infer.missing
    assert infer.periods is None
    assert infer(tensor([[2.0]])).item() == pytest.approx(math.pi / 4)


def test_a_fit_uses_the_resolution_of_each_layer():
    infer = Inference(PLAIN, parameters_of(PLAIN, {"resolution": [100.0, 1e-6, 100.0]}))
    assert infer(HITS)[0].tolist() == pytest.approx([0.2, math.atan(0.2), 0.1], abs=1e-9)


def test_a_fit_is_bound_to_its_parameters():
    """Of three hits by hand: the middle one is 0.05 off the line through the outer ones; (1, −2, 1)/√6 projects."""
    fit = Fit(PLAIN, parameters_of(PLAIN, {"resolution": 100.0}))
    assert fit.linear
    assert fit.missing
    assert fit.chi2(HITS) is None
    off = (HITS - fit(HITS)).square().nansum(dim=1) * 100**2
    assert off.tolist() == [pytest.approx((0.1 / math.sqrt(6) * 100) ** 2), pytest.approx(0, abs=1e-20)]
