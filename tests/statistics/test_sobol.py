"""Sobol points against the normal distribution."""

import pytest
import torch
from scipy import stats

from pullback.statistics.sobol import normal_points

DOUBLE = torch.float64


@pytest.mark.parametrize("coordinates", [2, 5, 8])
def test_points_are_normal(coordinates):
    points = normal_points(coordinates, 512, 8, 0)
    assert points.shape == (4096, coordinates)
    assert points.isfinite().all()
    assert points.mean(dim=0).abs().max() < 2e-3
    assert (points.mT.cov() - torch.eye(coordinates, dtype=DOUBLE)).abs().max() < 0.03
    for column in points.mT:
        assert stats.kstest(column.numpy(), "norm").statistic < 2e-3


def test_scramblings_differ_and_are_repeated():
    first, second = normal_points(2, 512, 8, 0), normal_points(2, 512, 8, 1)
    assert not torch.equal(first, second)
    parts = first.unflatten(0, (8, 512))
    assert len({part[0, 0].item() for part in parts}) == 8
    normal_points.cache_clear()
    assert torch.equal(normal_points(2, 512, 8, 0), first)
    assert len({normal_points(2, 4, 8, seed)[row * 4, 0].item() for seed in range(5) for row in range(8)}) == 40
