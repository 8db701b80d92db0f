import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pullback import infer_theta, random_stream
from pullback.config.model_schema import OneHit
from pullback.models import load_model
from pullback.models.one_hit import generate


def test_theta_is_the_arctangent_of_the_folded_position():
    hits = torch.tensor([[0.0], [1.5], [-1.5], [1e-8]], dtype=torch.float64)
    expected = torch.tensor([[0.0], [math.pi / 4], [math.pi / 4], [1e-8 / 1.5]], dtype=torch.float64)
    torch.testing.assert_close(infer_theta(hits), expected, rtol=1e-15, atol=0)
    assert infer_theta(hits, dz=3.0)[1].item() == pytest.approx(math.atan(0.5), rel=1e-15)


@pytest.mark.parametrize("dz", [0.0, -1.0, math.nan])
def test_an_impossible_height_is_refused(dz):
    with pytest.raises(ValueError, match="dz must be positive"):
        infer_theta(torch.ones(2, 1, dtype=torch.float64), dz)


@pytest.mark.parametrize("hits", [np.ones((2, 1)), torch.ones(2), torch.ones(2, 2), [[1.0]]])
def test_wrong_hits_are_refused(hits):
    with pytest.raises(Exception, match="hits"):
        infer_theta(hits)


def test_its_gradient_is_right():
    hits = torch.tensor([[0.3], [-0.7]], dtype=torch.float64, requires_grad=True)
    dz = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(infer_theta, (hits, dz))


def test_what_is_drawn_is_uniform():
    x = generate(random_stream(1, "truth"), 100_000, SimpleNamespace(x_min=-1.0, x_max=3.0))
    assert x.shape == (100_000, 1)
    assert x.min() >= -1
    assert x.max() < 3
    assert np.mean(x) == pytest.approx(1.0, abs=4 * 4 / math.sqrt(12 * 100_000))


def test_the_model_names_its_quantities():
    model = load_model(OneHit(dz=2.0))
    assert [tuple(each)[:2] for each in model.coordinates + model.observables] == [("x", "m"), ("theta", "rad")]
    assert model.parameters == {"dz": 2.0}
    assert model.infer_uses == ("dz",)


def test_true_hits_are_drawn_without_the_height():
    model, source = load_model(SimpleNamespace(name="one_hit")), SimpleNamespace(x_min=0.0, x_max=1.0)
    assert not model.parameters
    drawn = model.generate(random_stream(1, "truth"), 5, source)
    np.testing.assert_array_equal(model.intersect_layers(drawn, **dict.fromkeys(model.intersect_uses)), drawn)
