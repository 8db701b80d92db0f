import numpy as np
import pytest
import torch

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


def test_parallel_lines_do_not_meet():
    p = np.array([[0.1, 0.2]])
    _, scattered = two_lines.closest_approach(columns(p, p, p, 2 * p), torch.tensor(0.0).double())
    assert not scattered.any()
