import numpy as np
import pytest
import torch

from pullback.covariances import cholesky

COVARIANCE = np.array([[4.0, 1.2, -0.3], [1.2, 1.0, 0.2], [-0.3, 0.2, 0.5]])


def test_a_factor_of_a_regular_covariance_is_that_of_numpy():
    both = np.stack([COVARIANCE, 1e-12 * COVARIANCE])
    np.testing.assert_allclose(cholesky(torch.from_numpy(both)).numpy(), np.linalg.cholesky(both), rtol=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_a_semidefinite_covariance_has_a_factor(rank):
    rows = np.random.default_rng(rank).normal(size=(20, 5, rank)) * np.array([1, 1e-3, 1, 1e3, 1])[:, None]
    covariance = rows @ rows.swapaxes(1, 2)
    factor = cholesky(torch.from_numpy(covariance)).numpy()
    assert (np.triu(factor, 1) == 0).all()
    width = np.sqrt(np.maximum(covariance.diagonal(axis1=1, axis2=2), 1e-300))
    found = factor @ factor.swapaxes(1, 2)
    error = abs(found - covariance) / (width[:, :, None] * width[:, None, :])
    assert error.max() < 1e-12
    assert ((factor != 0).any(axis=1).sum(axis=1) == rank).all()


def test_variances_alone_have_their_roots():
    variances = torch.tensor([[4.0, 0.0, 9.0]], dtype=torch.float64)
    assert cholesky(variances)[0].tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 3]]
