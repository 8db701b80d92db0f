import numpy as np
import pytest
import torch

from pullback.uncertainty import covariance
from pullback.uncertainty.covariance import check_covariance, cholesky

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


@pytest.mark.parametrize("muon", [0, 3, 4, 6])
def test_the_position_names_the_muon_whatever_the_number_checked_at_a_time(muon, monkeypatch):
    monkeypatch.setattr(covariance, "NUMBERS_AT_A_TIME", 2 * 9)
    good = torch.from_numpy(COVARIANCE).repeat(7, 1, 1)
    check_covariance(good)
    for entry, number, message in (
        ((0, 1), float("nan"), f"muon {muon}, coordinate 0, coordinate 1 is not finite: nan"),
        ((2, 2), -0.5, f"muon {muon}, coordinate 2 has a negative variance"),
        ((1, 2), 0.1, f"muon {muon}, coordinate 1, coordinate 2 is not symmetric: 0.1"),
        ((2, 2), 0.01, f"muon {muon} is not positive semi-definite"),
        ((2, 2), 0.0, f"muon {muon} is not positive semi-definite"),
    ):
        bad = good.clone()
        bad[muon, *entry] = number
        with pytest.raises(ValueError, match=message):
            check_covariance(bad)


def test_large_numbers_are_finite():
    check_covariance(torch.full((3, 2), 1e308, dtype=torch.float64))
    check_covariance(1e307 * torch.eye(2, dtype=torch.float64).repeat(30, 1, 1))


def test_a_coordinate_without_variance_is_possible_and_has_no_covariance():
    flat = np.insert(np.insert(COVARIANCE, 1, 0.0, axis=0), 1, 0.0, axis=1)
    check_covariance(torch.from_numpy(np.stack([flat, 0 * flat])))
    flat[1, 3] = flat[3, 1] = 1e-200
    with pytest.raises(ValueError, match="muon 1 is not positive semi-definite"):
        check_covariance(torch.from_numpy(np.stack([0 * flat, flat])))


def test_a_variance_of_one_coordinate_is_no_matrix():
    variance = torch.full((1, 1), 4.0, dtype=torch.float64)
    assert covariance.canonical(variance, torch.zeros(5, 1, dtype=torch.float64)).shape == (1, 1)
