import math

import numpy as np
import pytest
import torch

from pullback.models.multiple_scattering import (
    angle_and_displacement,
    at_momenta,
    highland,
    layer_covariance,
    stepped_through,
)


def test_highland_by_hand():
    # 1 radiation length at β = 1: 13.6 MeV over the momentum.
    assert highland(1e4, 0.3, 0.3) == pytest.approx(13.6e-3 / 1e4, rel=1e-9)
    beta = 0.5 / math.hypot(0.5, 0.1056583755)
    expected = 13.6e-3 / (beta * 0.5) * math.sqrt(0.1) * (1 + 0.038 * math.log(0.1 / beta**2))
    assert highland(0.5, 0.03, 0.3) == pytest.approx(expected, rel=1e-12)


def test_no_material_scatters_nothing():
    assert highland(np.array([1.0, 1.0]), np.array([0.0, 1e-14]), 1.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("slices", "low"), [(10, 0.082), (40, 0.131)])
def test_slices_in_quadrature_come_out_low(slices, low):
    """Highland's logarithm makes it a law for the whole way: 10 cm of iron in slices comes out 8 to 13 % low."""
    whole = highland(3.0, 0.1, 0.01757)
    added = math.sqrt(slices) * highland(3.0, 0.1 / slices, 0.01757)
    assert 1 - added / whole == pytest.approx(low, abs=1e-3)


def test_angle_and_displacement_as_scattering_along_the_way_has_them():
    """Against muons that are followed through 400 thin slices."""
    rng, muons, slices, theta0, path = np.random.default_rng(1), 20_000, 400, 0.01, 2.0
    slope, offset = np.zeros(muons), np.zeros(muons)
    for _ in range(slices):
        kick = theta0 / math.sqrt(slices) * rng.normal(size=muons)
        offset += (slope + kick / 2) * path / slices
        slope += kick
    ones = np.ones(muons)
    arm, arm_sd = path / 2 * ones, path / math.sqrt(12) * ones
    angle, shift = angle_and_displacement(rng.normal(size=(muons, 2)), theta0 * ones, arm, arm_sd)
    np.testing.assert_allclose(np.cov(angle, shift), np.cov(slope, offset), rtol=8 / math.sqrt(muons))
    assert np.corrcoef(angle, shift)[0, 1] == pytest.approx(math.sqrt(3) / 2, abs=1 / math.sqrt(muons))


def test_layers_bend_the_line_below_them_in_whatever_order_they_are_given():
    z = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64)
    found = layer_covariance(z, 2.0)
    # The layer at 1 bends the others; that at 0.25 bends the lowest one.
    assert found.tolist() == [[4 * (1 + 0.0625), 0.0, 4 * 0.75], [0.0, 0.0, 0.0], [4 * 0.75, 0.0, 4 * 0.5625]]


def test_layers_at_one_height_bend_each_other_not_at_all():
    z = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64, requires_grad=True)
    found = layer_covariance(z, 1.0)
    assert found[2].tolist() == [0.0, 0.0, 2.0]
    assert found[:2, :2].abs().sum() == 0
    assert torch.isfinite(torch.autograd.grad(found.sum(), z)[0]).all()


@pytest.mark.parametrize("z", [[0.0, 0.3, 0.6, 1.0], [0.7, -0.2, 0.7, 0.1, 1.5]])
def test_stepping_through_the_layers_has_the_covariance_of_propagation(z):
    """Both are linear in the kicks: unit kicks give the columns of a root of the covariance."""
    theta0, heights = 2e-3, np.array(z)
    columns = stepped_through(np.eye(len(z)), heights, theta0)
    expected = layer_covariance(torch.tensor(z, dtype=torch.float64), theta0).numpy()
    np.testing.assert_allclose(columns.T @ columns, expected, rtol=1e-12, atol=1e-20)


def test_stepping_by_hand_and_with_gradients():
    """A kick in the top layer displaces the hits below by its arm, one in the lowest layer none."""
    z, theta0 = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in ([1.0, 0.5, 0.0], 0.01))
    kicks = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]], dtype=torch.float64)
    off = stepped_through(kicks, z, theta0)
    np.testing.assert_allclose(off.detach(), [[0, 0.005, 0.01], [0, 0, 0.01], [0, 0, 0]], atol=1e-17)
    by_theta0, by_z = torch.autograd.grad(off.sum(), [theta0, z])
    assert float(by_theta0) == pytest.approx(0.5 + 1.0 + 2 * 0.5)
    np.testing.assert_allclose(by_z, [0.02, 0.01, -0.03], atol=1e-17)


@pytest.mark.parametrize("of", [np.array, lambda x: torch.tensor(x, dtype=torch.float64)])
def test_the_angle_of_each_muon_is_that_of_its_momentum(of):
    """As Highland's θ0 without its logarithm; where the momentum is unknown, the stated θ0."""
    parameters = {"z": of([1.0, 0.0]), "theta0": of(0.002), "theta0_momentum": of(3.0)}
    found = at_momenta(parameters, of([3.0, math.nan, 0.2, 30.0]))
    beta = lambda p: p / math.hypot(p, 0.1056583755)  # noqa: E731
    expected = [0.002, 0.002, *(0.002 * 3 * beta(3.0) / (p * beta(p)) for p in (0.2, 30.0))]
    assert found["theta0"].shape == (4, 1)  # one for all layers of each muon
    assert found["theta0"][:, 0].tolist() == pytest.approx(expected, rel=1e-12)
    assert found["z"] is parameters["z"]
    assert at_momenta(parameters, None) is parameters


def test_unknown_momenta_leave_the_derivatives_finite():
    theta0, reference = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.002, 3.0))
    momenta = torch.tensor([1.0, math.nan], dtype=torch.float64)
    found = at_momenta({"theta0": theta0, "theta0_momentum": reference}, momenta)["theta0"]
    for muon, expected in ((0, 3.0), (1, 0.0)):
        by_angle, by_momentum = torch.autograd.grad(found[muon, 0], [theta0, reference], retain_graph=True)
        assert by_angle == pytest.approx(found[muon].item() / 0.002)
        assert bool(by_momentum) == bool(expected)
        assert math.isfinite(by_momentum)


def test_one_angle_for_each_muon_is_one_covariance_for_each():
    z, angles = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64), torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    one, two = layer_covariance(z, angles)
    assert one.tolist() == layer_covariance(z, 1.0).tolist()
    assert two.tolist() == layer_covariance(z, 2.0).tolist()
    kicks = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    both = stepped_through(kicks, z, angles)
    assert both[1].tolist() == stepped_through(kicks, z, 2.0)[1].tolist()
