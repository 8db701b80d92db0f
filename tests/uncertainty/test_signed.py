import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from pullback.models.scatter import infer_scatter, signed_scatter
from pullback.models.track3d import infer_track3d
from pullback.uncertainty.signed import fold_distances, squared_length, unbiased_squares

DOUBLE = torch.float64
UPPER, LOWER = [0.6, 0.8, 1.0], [-0.6, -0.8, -1.0]
SIGMA = 1e-3
INFER = partial(infer_scatter, z_upper=UPPER, z_lower=LOWER, resolution=[1 / SIGMA] * 6)


def hits_of(p, q):
    """The hits (muon, 12) of lines with slopes p above and q below that meet in the origin."""
    return np.concatenate([part[:, i, None] * z for i in (0, 1) for part, z in ((p, UPPER), (q, LOWER))], axis=1)


def bent(zenith, angle, across):
    """Slopes (1, 2) of a line at a zenith angle in the plane of x, and of one turned within that plane or across."""
    p = np.array([math.sin(zenith), 0, math.cos(zenith)])
    side = np.array([0.0, 1.0, 0.0]) if across else np.array([math.cos(zenith), 0, -math.sin(zenith)])
    q = math.cos(angle) * p + math.sin(angle) * side
    return p[None, :2] / p[2], q[None, :2] / q[2]


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("sigmas", [0, 1, 3])
def test_the_square_of_the_scattering_angle_has_no_bias(sigmas, across):
    """At a zenith angle of 0.8 rad, with σ in x three times that in y; with a standard error of 0.01 σ²."""
    generator = np.random.default_rng([1, sigmas, across])
    width = np.repeat([3 * SIGMA, SIGMA], 6)
    spread = signed_scatter(
        torch.from_numpy(hits_of(*bent(0.8, 0.0, across)) + width * generator.standard_normal((100_000, 12))),
        *(UPPER, LOWER, [1 / SIGMA] * 6),
    )[:, 4:].numpy()
    sigma = math.sqrt(np.trace(np.cov(spread.T)) / 2)
    ratio = np.linalg.eigvalsh(np.cov(spread.T))
    assert ratio[1] > 4 * ratio[0]
    angle = sigmas * sigma
    hits = hits_of(*bent(0.8, angle, across)) + width * generator.standard_normal((700_000, 12))
    found = unbiased_squares(INFER, torch.from_numpy(hits), covariance=torch.from_numpy(width**2))
    squared, error = found.squared[:, 4].numpy(), found.sigma[:, 4].numpy()
    standard_error = squared.std() / math.sqrt(len(squared))
    assert standard_error < 0.01 * sigma**2
    assert abs(squared.mean() - angle**2) < 3 * standard_error
    # The floor of the variance makes it too large near 0.
    assert 0.99 < math.sqrt(np.mean(error**2)) / squared.std() < {0: 1.45, 1: 1.3, 3: 1.02}[sigmas]


def test_squares_by_the_formulas_for_equal_widths():
    """|s|² − 2σ², with variance 4σ²θ² + 4σ⁴."""
    s, sigma = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=DOUBLE), 0.5
    squared, error = squared_length(s, sigma**2 * torch.eye(2, dtype=DOUBLE).expand(2, 2, 2))
    np.testing.assert_allclose(squared, [-2 * sigma**2, 25 - 2 * sigma**2], rtol=1e-15)
    # E s² is θ² + 2σ², so that 4σ²s² − 4σ⁴ has the mean 4σ²θ² + 4σ⁴.
    np.testing.assert_allclose(error**2, [4 * sigma**4, 4 * sigma**2 * 25 - 4 * sigma**4], rtol=1e-14)


@pytest.mark.parametrize("rho", [0, 1, 4])
def test_their_variance_is_that_of_noncentral_chi2_in_one_direction(rho):
    generator = np.random.default_rng(rho)
    s = rho + generator.standard_normal((200_000, 1))
    squared, error = squared_length(torch.from_numpy(s), torch.ones(1, 1, 1, dtype=DOUBLE))
    exact = stats.ncx2(1, rho**2) if rho else stats.chi2(1)
    assert squared.mean().item() == pytest.approx(rho**2, abs=5 * exact.std() / 200_000**0.5)
    assert squared.std().item() == pytest.approx(exact.std(), rel=0.02)
    if rho == 4:  # far from the floor the estimate of the variance has no bias
        assert error.square().mean().item() == pytest.approx(exact.var(), rel=0.01)
    assert error.min().item() == pytest.approx(2**0.5)


def test_distances_of_observables_with_a_fold():
    infer = partial(infer_track3d, z=[0.0, 1.0], resolution=[100.0, 100.0])
    hits = torch.tensor([[0.0, 0.3, 0.0, 0.4], [0.0, 0.0, 0.0, 0.0]], dtype=DOUBLE)
    found = fold_distances(infer, hits, covariance=torch.tensor([1.0, 1.0, 4.0, 4.0], dtype=DOUBLE) * 1e-4)
    expected = math.hypot(0.3 / (0.01 * 2**0.5), 0.4 / (0.02 * 2**0.5))
    np.testing.assert_allclose(found.distance[:, :2], [[expected] * 2, [0, 0]], rtol=1e-12)
    assert found.distance[:, 2:].isnan().all()


def test_muons_without_a_line_have_no_distance():
    infer = partial(infer_track3d, z=[0.0, 1.0], resolution=[100.0, 100.0])
    hits = torch.tensor([[0.0, 0.3, 0.0, 0.4], [math.nan, 0.0, 0.0, 0.0]], dtype=DOUBLE)
    for measures in (fold_distances, unbiased_squares):
        for part in measures(infer, hits, covariance=1e-4):
            assert part[0, :2].isfinite().all()
            assert part[0, 2:].isnan().all()
            assert part[1].isnan().all()
