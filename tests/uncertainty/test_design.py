from functools import partial

import pytest
import torch

from pullback import infer_theta, mean_sigma_gradient, propagate, smear
from pullback.uncertainty.design import through_hits

DOUBLE = torch.float64


def parameter(value):
    return torch.tensor(value, dtype=DOUBLE, requires_grad=True)


def line(hits, z):
    """Angle and intercept of a straight line through layers at z."""
    away = z - z.mean()
    slope = (hits * away).sum(dim=1) / (away * away).sum()
    return torch.stack([slope.atan(), hits.mean(dim=1) - slope * z.mean()], dim=1)


class Line:
    """The same with its layers bound, and a parameter by keyword."""

    def __init__(self, z):
        self.z = z

    def __call__(self, hits):
        return self.infer(hits, z=self.z)

    @staticmethod
    def infer(hits, *, z):
        return line(hits, z)


def line_study(muons=200, seed=4):
    """Slopes and noise of muons, layers and a resolution for each layer."""
    generator = torch.Generator().manual_seed(seed)
    slope, noise = (torch.randn(muons, n, dtype=DOUBLE, generator=generator) for n in (1, 4))
    return slope, noise, parameter([0.0, 0.4, 1.1, 2.0]), parameter([50.0, 80.0, 100.0, 200.0])


def tracks(slope, noise, z, resolution):
    return slope * z + 0.1 + noise / resolution


def differences(mean, parameters, step=1e-4):
    """Central differences of `mean(**parameters)` (observable,) by every element of every parameter."""
    fixed = {name: each.detach() for name, each in parameters.items()}

    def slope(name, index):
        h = step * max(abs(fixed[name].reshape(-1)[index].item()), 1.0)
        moved = []
        for sign in (1, -1):
            value = fixed[name].clone()
            value.view(-1)[index] += sign * h
            moved.append(mean(**{**fixed, name: value}))
        return (moved[0] - moved[1]) / (2 * h)

    return {
        name: torch.stack([slope(name, i) for i in range(each.numel())], dim=1).reshape(-1, *each.shape)
        for name, each in fixed.items()
    }


def test_one_hit_by_dz_and_resolution_is_the_finite_difference():
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(1000, 1, dtype=DOUBLE, generator=generator)
    noise = torch.randn(1000, 1, dtype=DOUBLE, generator=generator)

    def mean(dz, resolution):
        return propagate(
            lambda h: infer_theta(h, dz), smear(x, resolution, noise), covariance=resolution**-2
        ).sigma.mean(dim=0)

    dz, resolution = parameter(1.5), parameter(10.0)
    hits = smear(x, resolution, noise)
    parameters = {"dz": dz, "resolution": resolution}
    sums = mean_sigma_gradient(partial(infer_theta, dz=dz), hits, covariance=resolution**-2, parameters=parameters)
    expected = differences(mean, parameters)
    for name in parameters:
        torch.testing.assert_close(sums.gradient[name], expected[name], rtol=1e-6, atol=0)
    assert sums.mean.item() == pytest.approx(mean(**parameters).item(), rel=1e-14)
    assert sums.muons.tolist() == [1000]
    held = mean_sigma_gradient(
        partial(infer_theta, dz=dz), hits.detach(), covariance=resolution**-2, parameters=parameters
    ).gradient
    assert held["resolution"].item() == pytest.approx(-sums.mean.item() / 10, rel=1e-12)
    assert abs(held["resolution"].item() / sums.gradient["resolution"].item() - 1) > 1e-3  # what moving hits do


def test_a_line_by_its_layers_and_their_resolutions_is_the_finite_difference():
    slope, noise, z, resolution = line_study()

    def mean(z, resolution):
        hits = tracks(slope, noise, z, resolution)
        return propagate(lambda h: line(h, z), hits, covariance=resolution**-2).sigma.mean(dim=0)

    parameters = {"z": z, "resolution": resolution}
    sums = mean_sigma_gradient(
        Line(z), tracks(slope, noise, z, resolution), covariance=resolution**-2, parameters=parameters
    )
    expected = differences(mean, parameters)
    for name in parameters:
        found = sums.gradient[name]
        assert found.shape == (2, 4)
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(found, expected[name], rtol=1e-6, atol=1e-8 * scale)


def test_a_full_covariance_for_each_muon_that_depends_on_a_parameter():
    slope, noise, z, _ = line_study(30)
    hits = tracks(slope, noise, z.detach(), 100.0)

    def covariance(thickness):  # what scatters in the second layer moves the hits in those behind, more so inclined
        lever = (z.detach() - z.detach()[1]).clamp(min=0)
        inclined = (1 + slope**2).sqrt()[:, :, None]
        return 1e-4 * torch.eye(4, dtype=DOUBLE) + thickness * inclined * lever[:, None] * lever

    thickness = parameter(1e-3)
    infer = partial(line, z=z.detach())
    found = mean_sigma_gradient(infer, hits, covariance=covariance(thickness), parameters={"thickness": thickness})
    h = 1e-6
    up, down = (propagate(infer, hits, covariance=covariance(1e-3 + s)).sigma.mean(dim=0) for s in (h, -h))
    torch.testing.assert_close(found.gradient["thickness"], (up - down) / (2 * h), rtol=1e-6, atol=0)


def test_blocks_add_up_to_the_whole():
    slope, noise, z, resolution = line_study(100)
    hits, parameters = tracks(slope, noise, z, resolution), {"z": z, "resolution": resolution}
    whole = mean_sigma_gradient(Line(z), hits, covariance=resolution**-2, parameters=parameters)
    one, two, three = (
        mean_sigma_gradient(Line(z), hits[rows], covariance=(resolution**-2)[None], parameters=parameters)
        for rows in (slice(0, 4), slice(4, 90), slice(90, 100))
    )
    added = one + two + three
    assert added.muons.tolist() == whole.muons.tolist() == [100, 100]
    torch.testing.assert_close(added.mean, whole.mean, rtol=1e-13, atol=0)
    for name in parameters:
        torch.testing.assert_close(added.gradient[name], whole.gradient[name], rtol=1e-11, atol=1e-16)


def test_what_nothing_depends_on_has_a_slope_of_exactly_zero():
    spare, vector, resolution = parameter(2.0), parameter([1.0, 2.0]), parameter(100.0)
    hits = torch.tensor([[0.5], [0.7]], dtype=DOUBLE)
    parameters = {"spare": spare, "vector": vector, "resolution": resolution}
    found = mean_sigma_gradient(
        infer_theta, smear(hits, resolution, 0 * hits), covariance=resolution**-2, parameters=parameters
    )
    assert found.slopes["spare"].tolist() == [0]
    assert found.slopes["vector"].tolist() == [[0, 0]]
    assert found.gradient["resolution"].item() == pytest.approx(-found.mean.item() / 100, rel=1e-12)
    nothing = mean_sigma_gradient(infer_theta, hits, covariance=1e-4, parameters={"spare": spare})
    assert nothing.slopes["spare"].tolist() == [0]
    assert nothing.mean.item() > 0


def test_muons_without_a_usable_sigma_spoil_no_gradient():
    """A hit at the kink, one missing, hits that the geometry makes NaN with NaN slopes, and observables of NaN."""
    reach, dz = parameter(2.0), parameter(1.5)
    far = torch.tensor([0.5, 3.0, 0.8, float("nan"), 1.9], dtype=DOUBLE)

    def infer(hits):
        second = (1.8 - hits).sqrt() * dz  # NaN for the last
        return torch.cat([infer_theta(hits, dz), second], dim=1)

    def hits(reach):
        placed = (reach**2 - far**2).sqrt()[:, None]  # NaN beyond reach, and so is its slope
        return torch.cat([placed, 0.0 * reach + torch.zeros(1, 1, dtype=DOUBLE)])

    everything = hits(reach)
    assert everything.isnan()[:, 0].tolist() == [False, True, False, True, False, False]
    found = mean_sigma_gradient(infer, everything, covariance=1e-4, parameters={"reach": reach, "dz": dz})
    good = torch.tensor([0, 2, 4, 5])
    usable = propagate(infer, everything[good].detach(), covariance=1e-4).sigma
    # A muon without a usable σ of one observable may have one of the other; its gradient is not usable.
    assert usable.isnan().tolist() == [[False, True], [False, True], [False, False], [False, False]]
    assert found.muons.tolist() == [1, 2]

    def sums(reach, dz):
        x = torch.stack([(reach**2 - 1.9**2).sqrt(), 0.0 * reach])[:, None]
        theta = (dz / (dz**2 + x**2) * 0.01)[:1].sum()
        return torch.stack([theta, (dz * 0.01 / (2 * (1.8 - x).sqrt())).sum()])

    expected = torch.autograd.functional.jacobian(sums, (reach, dz))
    torch.testing.assert_close(found.slopes["reach"], expected[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(found.slopes["dz"], expected[1], rtol=1e-12, atol=0)


def test_a_missing_hit_of_a_usable_muon_moves_nothing():
    resolution = parameter(10.0)
    noise = torch.tensor([[1.0, float("nan")], [2.0, 3.0]], dtype=DOUBLE)
    by_hits = torch.tensor([[[5.0, 0.0], [7.0, 11.0]]], dtype=DOUBLE)  # of one observable
    (found,) = through_hits(noise / resolution, torch.tensor([True, True]), by_hits, [resolution])
    assert found.tolist() == pytest.approx([-(5 * 1 + 7 * 2 + 11 * 3) / 100], rel=1e-14)


@pytest.mark.parametrize("rows", [[], [float("nan")], [0.0]])
def test_no_usable_muon_at_all(rows):
    dz = parameter(1.5)
    hits = torch.tensor(rows, dtype=DOUBLE).reshape(-1, 1)
    found = mean_sigma_gradient(partial(infer_theta, dz=dz), hits, covariance=1e-4, parameters={"dz": dz})
    assert found.muons.tolist() == found.sigma.tolist() == found.slopes["dz"].tolist() == [0]
    assert found.mean.isnan()


def test_the_callers_graph_stays_usable():
    resolution = parameter(100.0)
    hits = smear(torch.rand(5, 1, dtype=DOUBLE), resolution, torch.ones(5, 1, dtype=DOUBLE))
    variance = resolution**-2
    one, two = (
        mean_sigma_gradient(infer_theta, hits, covariance=variance, parameters={"resolution": resolution})
        for _ in range(2)
    )
    assert one.slopes["resolution"].tolist() == two.slopes["resolution"].tolist()
    assert resolution.grad is None


def test_a_parameter_without_gradient_is_refused():
    with pytest.raises(ValueError, match="'dz' requires no gradient"):
        mean_sigma_gradient(
            infer_theta, torch.ones(1, 1, dtype=DOUBLE), covariance=1.0, parameters={"dz": torch.tensor(1.5)}
        )
