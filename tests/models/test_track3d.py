import functools
import math
from types import SimpleNamespace

import jacobi
import numpy as np
import pytest
import torch
from oracles import scattered

from pullback import propagate, propagate_distribution, random_stream
from pullback.config.model_schema import Track3d
from pullback.models import load_model
from pullback.models.track3d import covariance, fitted, generate, infer_track3d, intersect_layers

COSMIC = SimpleNamespace(zenith_max=1.0, spectrum="fixed", momentum=3.0)
SOURCE = SimpleNamespace(x_min=-1.0, x_max=3.0, cosmic=COSMIC, beam=None)
Z, RESOLUTION = [1.5, 0.0, 0.4, 1.1], [100.0, 50.0, 200.0, 80.0]


def tensor(values, **options):
    return torch.tensor(values, dtype=torch.float64, **options)


def infer(z, resolution):
    return functools.partial(infer_track3d, z=z, resolution=resolution)


def test_the_direction_points_to_where_the_muon_comes_from():
    # It comes down from +x and -y: higher layers are hit further there.
    theta, phi, tx, ty = infer_track3d(tensor([[1.0, 0.0, -1.0, 0.0]]), [1.0, 0.0], [1.0, 1.0])[0].tolist()
    assert (tx, ty) == pytest.approx((1.0, -1.0))
    assert theta == pytest.approx(math.atan(math.sqrt(2)))
    assert phi == pytest.approx(-math.pi / 4)


def test_the_covariance_of_the_direction_against_the_closed_form():
    """For equal planes and θ ≠ 0: σ_θ = σ_t cos²θ across the circle of the slopes, and σ_φ = σ_t/tan θ along it."""
    layers, sigma, length = 4, 0.01, 1.5
    z = np.linspace(0, length, layers)
    hits = tensor(np.concatenate([0.3 * z, -0.4 * z]))[None]
    found = propagate(infer(z.tolist(), [1 / sigma] * layers), hits, covariance=sigma**2)
    of_slope = sigma / length * math.sqrt(12 * (layers - 1) / (layers * (layers + 1)))
    expected = np.diag([(of_slope / 1.25) ** 2, (of_slope / 0.5) ** 2])
    np.testing.assert_allclose(found.covariance[0, :2, :2], expected, rtol=1e-10, atol=1e-18)


@pytest.mark.parametrize("theta0", [0.0, 2e-3])
def test_the_covariance_against_jacobi_and_toys(theta0):
    hits = tensor([[0.5, 0.1, 0.2, 0.4, -0.9, 0.1, -0.1, -0.5]])
    full = torch.diag(tensor(2 * RESOLUTION) ** -2) + covariance(hits, Z, theta0)
    found = propagate(infer(Z, RESOLUTION), hits, covariance=full[None])
    one = lambda x: infer_track3d(tensor(x)[None], Z, RESOLUTION)[0].numpy()  # noqa: E731
    value, expected = jacobi.propagate(one, hits[0].numpy(), full.numpy())
    np.testing.assert_allclose(found.value[0], value, rtol=1e-12)
    np.testing.assert_allclose(found.covariance[0], expected, rtol=1e-6, atol=1e-6 * 1e-4)
    rng, toys, sigma = np.random.default_rng(4), 100_000, 1 / np.array(RESOLUTION)
    thrown = [scattered(rng, view.numpy(), Z, sigma, theta0, toys) for view in hits[0].split(4)]
    seen = infer_track3d(tensor(np.concatenate(thrown, axis=1)), Z, RESOLUTION).std(dim=0)
    np.testing.assert_allclose(seen, found.sigma[0], rtol=4 / math.sqrt(2 * toys))


def test_theta_folds_in_two_dimensions():
    """Rice's distribution at 0, not the half-normal of one view."""
    z, sigma = [0.0, 0.75, 1.5], 0.01
    hits = torch.zeros(1, 6, dtype=torch.float64)
    found = propagate_distribution(infer(z, [1 / sigma] * 3), hits, covariance=sigma**2)
    of_slope = sigma / 1.5 * math.sqrt(2)
    assert found.bias[0, 0].item() / of_slope == pytest.approx(math.sqrt(math.pi / 2), rel=5e-3)
    assert found.sd[0, 0].item() / of_slope == pytest.approx(math.sqrt(2 - math.pi / 2), rel=5e-3)
    law = propagate(infer(z, [1 / sigma] * 3), hits, covariance=sigma**2)
    assert law.sigma[0].tolist() == [0, 0, pytest.approx(of_slope), pytest.approx(of_slope)]


def test_small_angles_keep_their_digits():
    z, tx, ty = np.array([0.0, 0.3, 1.0]), 0.6e-4, 0.8e-4
    hits = tensor(np.concatenate([0.7 + tx * z, 0.2 + ty * z]))[None]
    theta, phi, *_ = infer_track3d(hits, z.tolist(), [100.0] * 3)[0].tolist()
    assert theta == pytest.approx(math.atan(1e-4), rel=1e-10)
    assert phi == pytest.approx(math.atan2(0.8, 0.6), rel=1e-10)


def test_a_view_without_a_line_leaves_the_other_its_slope():
    hits = tensor([[0.1, 0.4, 0.5, 0.9], [0.1, 0.4, 0.5, math.nan], [math.inf, 0.4, 0.5, 0.9]], requires_grad=True)
    found = infer_track3d(hits, [0.0, 1.0], [100.0, 100.0])
    assert found.isnan().int().tolist() == [[0, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 0]]
    assert found[1, 2].item() == pytest.approx(0.3)
    for column in found.unbind(1):
        (gradient,) = torch.autograd.grad(column.sum(), hits, retain_graph=True)
        assert torch.isfinite(gradient).all()
    assert torch.autograd.grad(found[:, 2].sum(), hits)[0][1].tolist() == pytest.approx([-1, 1, 0, 0])


def test_gradients():
    inputs = [tensor([[0.1, 0.5, 0.3, 0.4, -0.3, 0.2], [0.2, 0.1, 0.9, 0.3, 0.1, 0.4]]), tensor([0.0, 0.4, 1.1])]
    inputs.append(tensor([1.0, 2.0, 1.5]))
    for each in inputs:
        each.requires_grad_()
    assert torch.autograd.gradcheck(infer_track3d, inputs)
    assert torch.autograd.gradcheck(fitted, inputs)
    assert torch.autograd.gradgradcheck(infer_track3d, inputs)
    lines = tensor([[0.3, 0.1, 0.2, -0.4]])
    assert torch.autograd.gradcheck(lambda z: intersect_layers(lines, z), inputs[1])


def test_vertical_muons_have_gradients_of_zero_to_second_order():
    hits = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    found = infer_track3d(hits, [0.0, 1.0], [1.0, 1.0])
    (first,) = torch.autograd.grad(found[:, :2].sum(), hits, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), hits)
    assert found[0].tolist() == [0.0] * 4
    assert first[0].tolist() == second[0].tolist() == [0.0] * 4


def test_true_hits_lie_on_the_true_line():
    z = (0.2, 0.5, 1.4)
    lines = generate(random_stream(1, "truth"), 1000, SOURCE)
    hits = intersect_layers(lines, z=z)
    np.testing.assert_array_equal(intersect_layers(lines, z=tensor(z)).numpy(), hits)
    theta, phi, tx, ty = infer_track3d(tensor(hits), z, [100.0, 50.0, 100.0]).numpy().T
    np.testing.assert_allclose(tx, lines[:, 2], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ty, lines[:, 3], rtol=1e-9, atol=1e-12)
    assert theta.max() < 1
    np.testing.assert_allclose(np.tan(phi), ty / tx, rtol=1e-9)
    assert lines[:, :2].min() >= -1
    assert lines[:, :2].max() < 3


def test_the_fit_predicts_both_views():
    hits = tensor(np.random.default_rng(2).normal(size=(3, 8)))
    hits[0, 0] = hits[1, 0] = hits[1, 1] = hits[1, 2] = math.nan
    found = fitted(hits, Z, RESOLUTION)
    expected = [np.polyval(np.polyfit(Z, each, 1, w=RESOLUTION), Z) for each in hits[:, 4:].numpy()]
    np.testing.assert_allclose(found[:, 4:], expected, rtol=1e-10, atol=1e-14)
    line = np.polyfit(Z[1:], hits[0, 1:4].numpy(), 1, w=RESOLUTION[1:])
    np.testing.assert_allclose(found[0, :4], np.polyval(line, Z), rtol=1e-10, atol=1e-14)
    assert found[1, :4].isnan().all()


def test_the_model_is_made_from_its_section():
    model = load_model(Track3d(z=[1.0, 0.0], theta0=1e-3))
    assert [each.name for each in model.coordinates] == ["x0", "x1", "y0", "y1"]
    assert [each.name for each in model.observables] == ["theta", "phi", "tx", "ty"]
    assert (model.observables[1].period, model.observables[1].fold) == (2 * math.pi, "theta")
    assert model.layers == (0, 1, 0, 1)
    assert model.covariance(torch.zeros(1, 4), **model.parameters).diagonal().tolist() == pytest.approx([0, 1e-6] * 2)
    assert load_model(Track3d(z=[1.0, 0.0])).covariance is None
