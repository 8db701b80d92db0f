import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

from pullback.models import two_lines


def lines(muons=200, size=0.3):
    rng = np.random.default_rng(1)
    p = rng.normal(size=(muons, 2))
    return p, p + size * rng.normal(size=(muons, 2)), rng.normal(size=(2, muons, 2))


def columns(*arrays):
    return [torch.from_numpy(column) for array in arrays for column in array.T.copy()]


@pytest.mark.parametrize("size", [1e-5, 0.01, 1.0])
def test_the_angle_and_its_signed_parts(size):
    p, q, _ = lines(size=size)
    three = [np.concatenate([each, np.ones((len(each), 1))], axis=1) for each in (p, q)]
    cross = np.cross(*three)
    exact = np.arctan2(np.linalg.norm(cross, axis=1), (three[0] * three[1]).sum(axis=1))
    np.testing.assert_allclose(two_lines.angle(*columns(p, q)), exact, rtol=1e-10)
    np.testing.assert_allclose(torch.hypot(*two_lines.deflection(*columns(p, q))), exact, rtol=1e-8)


def test_the_turn_in_a_view():
    p, q, _ = lines(size=2.0)
    found = two_lines.turn(*columns(p[:, :1], q[:, :1]))
    np.testing.assert_allclose(found, np.arctan(q[:, 0]) - np.arctan(p[:, 0]), rtol=0, atol=1e-12)


def test_the_closest_approach_by_least_squares():
    p, q, (above, below) = lines()
    middle = 0.4
    found, scattered = two_lines.closest_approach(columns(p, q, above, below), torch.tensor(middle).double())
    assert scattered.all()
    for muon in range(len(p)):
        directions = [np.append(each[muon], 1.0) for each in (p, q)]
        starts = [np.append(each[muon], middle) for each in (above, below)]
        steps = np.linalg.lstsq(np.stack([directions[0], -directions[1]], axis=1), starts[1] - starts[0])[0]
        ends = [start + step * direction for start, step, direction in zip(starts, steps, directions, strict=True)]
        np.testing.assert_allclose([each[muon] for each in found], np.mean(ends, axis=0), rtol=1e-8, atol=1e-8)


def _backward(function, x, away):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x)
    return (gradient * away).sum(1)


def _dual(function, x, away):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(function(forward_ad.make_dual(x, away))).tangent


def _each(function):
    """A function of one muon."""
    return lambda row: function(row[None])[0]


def _by_another_number(function, x):
    """The sum of a function, as the derivative of s times it by s."""
    return torch.func.grad(lambda s: s * function(x).sum())(torch.tensor(1.0).double())


WAYS = {
    "backward": _backward,
    "forward_ad": _dual,
    "jvp": lambda function, x, away: torch.func.jvp(function, (x,), (away,))[1],
    "jacfwd": lambda function, x, away: (torch.func.vmap(torch.func.jacfwd(_each(function)))(x) * away).sum(1),
    "jacrev": lambda function, x, away: (torch.func.vmap(torch.func.jacrev(_each(function)))(x) * away).sum(1),
    "grad": lambda function, x, away: (torch.func.vmap(torch.func.grad(_each(function)))(x) * away).sum(1),
    "grad of vmap": lambda function, x, away: (
        torch.func.grad(lambda x: torch.func.vmap(_each(function))(x).sum())(x) * away
    ).sum(1),
    "jvp of vmap": lambda function, x, away: torch.func.jvp(torch.func.vmap(_each(function)), (x,), (away,))[1],
    "grad of a derivative by another number": lambda function, x, away: (
        torch.func.grad(lambda x: _by_another_number(function, x))(x) * away
    ).sum(1),
}


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch, when it first differentiates forward
@pytest.mark.parametrize("way", WAYS)
def test_derivatives_of_parallel_lines_are_finite_in_every_mode(way):
    p, q, (above, below) = lines(muons=4, size=0.1)
    q[1] = p[1]
    x = torch.from_numpy(np.concatenate([p, q, above, below], axis=1))
    away = torch.from_numpy(np.random.default_rng(3).normal(size=x.shape))

    def angle(x):
        return two_lines.angle(*x.unbind(1)[:4])

    def height(x):
        point, scattered = two_lines.closest_approach(x.unbind(1), torch.tensor(0.4).double())
        return torch.where(scattered, point[2], 0.0)

    scattered = [0, 2, 3]
    for function in (angle, height):
        found = WAYS[way](function, x, away)
        assert found[1] == 0
        ends = [function(x + sign * 1e-6 * away) for sign in (1, -1)]
        difference = (ends[0] - ends[1]) / 2e-6
        torch.testing.assert_close(found[scattered], difference[scattered], rtol=1e-6, atol=1e-6)


def test_parallel_lines_do_not_meet():
    p = np.array([[0.1, 0.2]])
    _, scattered = two_lines.closest_approach(columns(p, p, p, 2 * p), torch.tensor(0.0).double())
    assert not scattered.any()
