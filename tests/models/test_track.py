import functools
import math
from types import SimpleNamespace

import jacobi
import numpy as np
import pytest
import torch
from oracles import scattered

from pullback import propagate, propagate_distribution, random_stream
from pullback.config.model_schema import Track
from pullback.models import load_model
from pullback.models.track import covariance, fitted, generate, infer_track, intersect_layers

COSMIC = SimpleNamespace(zenith_max=1.0, spectrum="fixed", momentum=3.0)
SOURCE = SimpleNamespace(x_min=-1.0, x_max=3.0, cosmic=COSMIC, beam=None)


def tensor(values, **options):
    return torch.tensor(values, dtype=torch.float64, **options)


def infer(z, resolution):
    return functools.partial(infer_track, z=z, resolution=resolution)


@pytest.mark.parametrize("layers", range(2, 11))
def test_the_slope_is_as_good_as_the_closed_form_for_equal_planes(layers):
    sigma, length = 0.01, 1.5
    z, hits = np.linspace(0.2, 0.2 + length, layers), 0.1 + 0.3 * np.linspace(0, 1, layers)
    found = propagate(infer(z.tolist(), [1 / sigma] * layers), tensor(hits)[None], covariance=sigma**2)
    expected = sigma / length * math.sqrt(12 * (layers - 1) / (layers * (layers + 1)))
    assert found.sigma[0, 0].item() == pytest.approx(expected, rel=1e-12)
    assert found.sigma[0, 1].item() == pytest.approx(expected / (1 + (0.3 / length) ** 2), rel=1e-12)


def test_three_planes_are_no_better_than_two():
    two, three = (
        propagate(infer(z, [100.0] * len(z)), torch.zeros(1, len(z), dtype=torch.float64), covariance=1e-4)
        .sigma[0, 0]
        .item()
        for z in ([0.0, 1.0], [0.0, 0.5, 1.0])
    )
    assert two == pytest.approx(three, rel=1e-12)


def test_the_full_covariance_against_the_normal_equations():
    z, resolution = np.array([0.0, 0.4, 1.1, 1.5]), np.array([100.0, 50.0, 200.0, 80.0])
    hits = tensor([[0.1, 0.3, 0.2, 0.4]])
    found = propagate(infer(tensor(z), tensor(resolution)), hits, covariance=tensor(1 / resolution**2))
    design = np.stack([z, np.ones(4)], axis=1)
    expected = np.linalg.inv(design.T @ np.diag(resolution**2) @ design)  # of slope and intercept
    np.testing.assert_allclose(found.covariance[0][[0, 2]][:, [0, 2]], expected, rtol=1e-10)


@pytest.mark.parametrize("theta0", [0.0, 2e-3])
def test_the_covariance_against_jacobi_and_toys(theta0):
    z, resolution = [1.5, 0.0, 0.4, 1.1], [100.0, 50.0, 200.0, 80.0]
    hits = tensor([[0.5, 0.1, 0.2, 0.4]])
    full = torch.diag(tensor(resolution) ** -2) + covariance(hits, z, theta0)
    found = propagate(infer(z, resolution), hits, covariance=full[None])
    one = lambda x: infer_track(tensor(x)[None], z, resolution)[0].numpy()  # noqa: E731
    value, expected = jacobi.propagate(one, hits[0].numpy(), full.numpy())
    np.testing.assert_allclose(found.value[0], value, rtol=1e-12)
    np.testing.assert_allclose(found.covariance[0], expected, rtol=1e-6)
    toys = 200_000
    thrown = scattered(np.random.default_rng(3), hits[0].numpy(), z, 1 / np.array(resolution), theta0, toys)
    seen = infer_track(tensor(thrown), z, resolution).std(dim=0)
    # The fit is linear and θ nearly so: 4 standard errors of the toys.
    np.testing.assert_allclose(seen, found.sigma[0], rtol=4 / math.sqrt(2 * toys))


def test_scattering_in_the_planes_widens_the_slope():
    """1.84 mrad instead of 1.34: of the fit that weighs by σ alone, with the full covariance propagated through it."""
    z, theta0, sigma = tensor([1.0, 2 / 3, 1 / 3, 0.0]), 1e-3, 1e-3
    hits = torch.zeros(1, 4, dtype=torch.float64)
    alone, full = (
        propagate(
            infer(z, [1 / sigma] * 4), hits, covariance=torch.eye(4, dtype=torch.float64)[None] * sigma**2 + extra
        )
        for extra in (0.0, covariance(hits, z, theta0))
    )
    assert alone.sigma[0, 0].item() == pytest.approx(1.3416e-3, rel=1e-4)
    # By hand: kicks at the first three layers change the fitted slope by -1, -0.7 and -0.3 of their angles.
    assert full.sigma[0, 0].item() == pytest.approx(math.sqrt(1.8 + 1 + 0.49 + 0.09) * 1e-3, rel=1e-12)
    assert round(full.sigma[0, 0].item(), 5) == 1.84e-3


def test_small_angles_keep_their_digits():
    z = np.array([0.0, 0.3, 1.0])
    hits = tensor(0.7 + math.tan(1e-4) * z)[None]
    slope, theta, intercept = infer_track(hits, z.tolist(), [100.0] * 3)[0].tolist()
    assert theta == pytest.approx(1e-4, rel=1e-10)
    assert slope == pytest.approx(math.tan(1e-4), rel=1e-10)
    assert intercept == pytest.approx(0.7, rel=1e-14)


def test_theta_folds_at_zero_as_a_half_normal():
    hits = torch.zeros(1, 2, dtype=torch.float64)
    found = propagate_distribution(infer([0.0, 1.0], [100.0, 100.0]), hits, covariance=1e-4)
    sigma = 0.01 * math.sqrt(2)
    assert found.bias[0, 1].item() / sigma == pytest.approx(math.sqrt(2 / math.pi), abs=5e-3)
    assert found.sd[0, 1].item() / sigma == pytest.approx(math.sqrt(1 - 2 / math.pi), abs=5e-3)
    assert propagate(infer([0.0, 1.0], [100.0, 100.0]), hits, covariance=1e-4).sigma[0, 1] == 0


def test_gradients():
    inputs = [tensor([[0.1, 0.5, 0.3], [0.4, -0.3, 0.2]]), tensor([0.0, 0.4, 1.1]), tensor([1.0, 2.0, 1.5])]
    for each in inputs:
        each.requires_grad_()
    assert torch.autograd.gradcheck(infer_track, inputs)
    assert torch.autograd.gradcheck(fitted, inputs)
    theta0 = tensor(0.3, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, theta0: covariance(inputs[0], z, theta0), (inputs[1], theta0))
    lines = tensor([[0.3, 0.1], [0.2, -0.4]])
    assert torch.autograd.gradcheck(lambda z: intersect_layers(lines, z), inputs[1])


def test_true_hits_lie_on_the_true_line():
    z = (0.2, 0.5, 1.4)
    lines = generate(random_stream(1, "truth"), 1000, SOURCE)
    hits = intersect_layers(lines, z=z)
    assert isinstance(hits, np.ndarray)
    np.testing.assert_array_equal(intersect_layers(lines, z=tensor(z)).numpy(), hits)
    slope, theta, intercept = infer_track(tensor(hits), z, [100.0, 50.0, 100.0]).numpy().T
    np.testing.assert_allclose(slope, lines[:, 1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(intercept, lines[:, 0], rtol=1e-9, atol=1e-12)
    assert theta.max() < 1
    assert lines[:, 0].min() >= -1
    assert lines[:, 0].max() < 3
    assert np.mean(lines[:, 1] > 0) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(1000))


def test_the_fit_predicts_its_line_on_every_layer():
    z, resolution = [0.0, 0.3, 0.7, 1.0], [100.0, 50.0, 200.0, 80.0]
    hits = np.random.default_rng(2).normal(size=(5, 4))
    expected = [np.polyval(np.polyfit(z, each, 1, w=resolution), z) for each in hits]
    np.testing.assert_allclose(fitted(tensor(hits), z, resolution), expected, rtol=1e-10, atol=1e-14)
    assert load_model(Track(z=z)).heights == tuple(z)


def test_the_model_is_made_from_its_section():
    model = load_model(Track(z=[1.0, 0.0]))
    assert [each.name for each in model.coordinates] == ["x0", "x1"]
    assert [(each.name, each.unit) for each in model.observables] == [
        ("slope", "1"),
        ("theta", "rad"),
        ("intercept", "m"),
    ]
    assert model.layers == (0, 1)
    assert model.covariance is None
    scattering = load_model(Track(z=[1.0, 0.0], theta0=1e-3))
    assert scattering.covariance(torch.zeros(1, 2), **scattering.parameters).tolist() == [
        [0.0, 0.0],
        [0.0, pytest.approx(1e-6)],
    ]
