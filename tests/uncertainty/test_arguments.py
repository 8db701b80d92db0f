"""Hits and their uncertainty as a user gives them: sigma or covariance by keyword, torch or numpy."""

from functools import partial

import numpy as np
import pytest
import torch

from pullback import (
    MeanAccumulator,
    cross_covariance,
    infer_theta,
    linear_valid,
    mean_sigma_gradient,
    mean_uncertainty,
    muon_jacobian,
    numerical_tolerance,
    propagate,
    propagate_distribution,
    quote,
    random_stream,
    run_toys,
    second_order,
    smear,
    systematic_jacobian,
    uncertainty_budget,
)

DOUBLE = torch.float64


def some_toys(infer, hits, **uncertainty):
    return run_toys(infer, hits, **uncertainty, toys=300, rng=random_stream(1, "toys"))


FUNCTIONS = [propagate, quote, propagate_distribution, second_order, some_toys]
BY_SQUARES = FUNCTIONS[:-1]
every_function = pytest.mark.parametrize("function", FUNCTIONS)


def angles(hits):
    a, b, c = hits.unbind(1)
    return torch.stack([(a - b).atan(), (b * c).exp()], dim=1)


def hits_of(muons, coordinates=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(muons, coordinates)))


def same(found, expected):
    """Equal bit for bit, with NaN equal to NaN."""
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(torch.as_tensor(one).nan_to_num(-9), torch.as_tensor(other).nan_to_num(-9))
        assert torch.equal(torch.as_tensor(one).isnan(), torch.as_tensor(other).isnan())


# sigma and covariance


@pytest.mark.parametrize("function", BY_SQUARES)
@pytest.mark.parametrize(
    "sigma",
    [
        0.037,
        torch.tensor(0.037, dtype=DOUBLE),
        torch.tensor([0.01, 0.02, 0.03], dtype=DOUBLE),
        torch.tensor([[0.01, 0.02, 0.03]], dtype=DOUBLE),
        0.03 * torch.rand(7, generator=torch.Generator().manual_seed(1), dtype=DOUBLE),
        0.03 * torch.rand(7, 1, generator=torch.Generator().manual_seed(2), dtype=DOUBLE),
        0.03 * torch.rand(7, 3, generator=torch.Generator().manual_seed(3), dtype=DOUBLE),
    ],
    ids=lambda sigma: str(tuple(getattr(sigma, "shape", "number"))),
)
def test_sigma_is_the_covariance_of_its_square_to_a_bit(function, sigma):
    same(function(angles, hits_of(7), sigma=sigma), function(angles, hits_of(7), covariance=sigma**2))


@pytest.mark.parametrize("function", BY_SQUARES)
def test_it_is_so_in_single_precision_too(function):
    hits = hits_of(4).float()
    for sigma in (0.037, torch.rand(4, 3, dtype=DOUBLE), np.float64(0.1)):
        same(function(angles, hits, sigma=sigma), function(angles, hits, covariance=sigma**2))


def test_toys_are_hits_plus_sigma_times_the_deviates():
    hits, sigma = hits_of(5), 0.1 * torch.rand(5, 3, dtype=DOUBLE)
    z = torch.from_numpy(random_stream(1, "toys").standard_normal((5, 300, 3)))
    values = angles((hits[:, None] + sigma[:, None] * z).flatten(0, 1)).unflatten(0, (5, 300))
    found = some_toys(angles, hits, sigma=sigma)
    torch.testing.assert_close(found.mean, values.mean(dim=1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.sd, values.std(dim=1), rtol=1e-10, atol=0)


def test_toys_of_a_covariance_are_thrown_by_its_cholesky_factor():
    hits = hits_of(5)
    root = 0.1 * torch.from_numpy(np.random.default_rng(3).normal(size=(5, 3, 3)))
    covariance = root @ root.mT
    z = torch.from_numpy(random_stream(1, "toys").standard_normal((5, 300, 3)))
    off = z @ torch.linalg.cholesky(covariance).mT
    values = angles((hits[:, None] + off).flatten(0, 1)).unflatten(0, (5, 300))
    found = some_toys(angles, hits, covariance=covariance)
    torch.testing.assert_close(found.mean, values.mean(dim=1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.sd, values.std(dim=1), rtol=1e-9, atol=0)


def test_toys_of_variances_are_those_of_their_roots():
    hits, sigma = hits_of(5), torch.tensor([0.25, 0.5, 0.125], dtype=DOUBLE)
    expected = some_toys(angles, hits, sigma=sigma)
    same(some_toys(angles, hits, covariance=sigma**2), expected)
    same(some_toys(angles, hits, covariance=torch.diag(sigma**2)), expected)


@every_function
def test_exactly_one_of_them_is_given(function):
    hits = hits_of(5)
    with pytest.raises(TypeError, match=r"as sigma= .* or as covariance= .*, not left out$"):
        function(angles, hits)
    with pytest.raises(TypeError, match=r"as sigma= .* or as covariance= .*, not as both$"):
        function(angles, hits, sigma=0.1, covariance=0.01)
    with pytest.raises(TypeError, match="positional"):
        function(angles, hits, 0.1)


@every_function
@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (-0.1, "sigma at coordinate 0 is negative: -0.1"),
        (float("nan"), "sigma at coordinate 0 is not finite: nan"),
        (float("inf"), "sigma at coordinate 0 is not finite: inf"),
        (torch.tensor([0.1, -0.2, 0.1]), "sigma at coordinate 1 is negative: -0.2"),
        (torch.ones(5, 3).index_fill(0, torch.tensor([3]), -1), "sigma at muon 3, coordinate 0 is negative: -1"),
        (torch.ones(4), r"sigma has shape \(4,\); for 5 muons with 3 coordinates"),
        (torch.eye(3), r"sigma has shape \(3, 3\).* give a matrix as covariance="),
        (torch.ones(5, 3, 3), r"sigma has shape \(5, 3, 3\)"),
        (1e200, "sigma is too large for its square to be finite"),
    ],
    ids=str,
)
def test_what_is_no_sigma_is_refused_with_its_position(function, sigma, message):
    with pytest.raises(ValueError, match=message):
        function(angles, hits_of(5), sigma=sigma)


def test_three_muons_of_three_coordinates_are_ambiguous_by_one_axis_only():
    hits, sigma = hits_of(3), 0.1 * torch.rand(3, 3, dtype=DOUBLE)
    with pytest.raises(ValueError, match=r"sigma of shape \(3,\) is ambiguous .* \(1, 3\) .* \(3, 1\)"):
        propagate(angles, hits, sigma=sigma[0])
    same(propagate(angles, hits, sigma=sigma), propagate(angles, hits, covariance=torch.diag_embed(sigma**2)))


def test_gradients_flow_through_sigma():
    hits, sigma = hits_of(5), torch.tensor([0.1, 0.2, 0.3], dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: propagate(angles, hits, sigma=s).sigma, sigma)
    by_sigma, by_covariance = (
        mean_sigma_gradient(angles, hits, {"sigma": sigma}, **each)
        for each in ({"sigma": sigma}, {"covariance": sigma**2})
    )
    assert torch.equal(by_sigma.gradient["sigma"], by_covariance.gradient["sigma"])
    assert (by_sigma.gradient["sigma"] != 0).any()


# Hits


@every_function
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4"])
def test_numpy_in_gives_numpy_out(function, dtype):
    hits, sigma = hits_of(5).numpy().astype(dtype), np.full((5, 3), 0.1)
    expected = function(
        angles, torch.from_numpy(hits.astype(hits.dtype.newbyteorder("="))), sigma=torch.from_numpy(sigma)
    )
    for given in (hits, np.asfortranarray(hits), np.flip(np.flip(hits, axis=0).copy(), axis=0)):
        given.flags.writeable = False
        found = function(angles, given, sigma=sigma)
        assert type(found) is type(expected)
        assert all(isinstance(part, np.ndarray) for part in found)
        same(found, expected)


@every_function
def test_a_covariance_may_be_a_numpy_array(function):
    covariance = np.array([[2.0, 1, 0], [1, 3, 0], [0, 0, 1]], dtype=">f8") / 100
    covariance.flags.writeable = False
    expected = function(angles, hits_of(5), covariance=torch.from_numpy(covariance.astype(float)))
    same(function(angles, hits_of(5), covariance=covariance), expected)


@every_function
def test_one_dimension_is_one_coordinate_a_muon(function):
    x = torch.tensor([0.0, 0.67, -0.39], dtype=DOUBLE)
    expected = function(infer_theta, x[:, None], sigma=0.01)
    same(function(infer_theta, x, sigma=0.01), expected)
    same(function(infer_theta, x.numpy(), sigma=0.01), expected)
    own = torch.tensor([0.01, 0.02, 0.03], dtype=DOUBLE)
    same(function(infer_theta, x, sigma=own), function(infer_theta, x[:, None], sigma=own[:, None]))


@every_function
@pytest.mark.parametrize(
    "infer",
    [
        lambda h: (h[:, 0] + h[:, 1])[:, None],
        lambda h: torch.stack([a - b for a, b in [h.unbind(1)]], dim=1),
        lambda h: h @ torch.ones(2, 1, dtype=DOUBLE),
    ],
)
def test_one_muon_of_two_coordinates_is_not_one_dimension(function, infer):
    with pytest.raises(ValueError, match=r"hits must be \(muon, coordinate\), such as hits\[None\] of one muon"):
        function(infer, np.array([0.1, 0.2]), sigma=0.1)
    assert function(infer, np.array([0.1, 0.2])[None], sigma=0.1)[0].shape == (1, 1)


def test_other_errors_of_the_function_stay_as_they_are():
    with pytest.raises(IndexError, match="index 7"):
        propagate(lambda h: h[:, 7:8] + h[:, 7, None], hits_of(5), sigma=0.1)
    with pytest.raises(ValueError, match=r"^too far$"):
        propagate(too_far, hits_of(5), sigma=0.1)


def too_far(hits):
    raise ValueError("too far")


@every_function
def test_masked_hits_are_missing(function):
    hits = np.ma.masked_equal([0.5, -1.0, 0.7], -1.0)
    found = function(infer_theta, hits, sigma=0.01)
    assert np.isnan(found[1]).any(axis=tuple(range(1, found[1].ndim))).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "hits", [np.arange(3), np.array(0.5), np.ones((2, 1, 1)), np.ones((2, 1)) * 1j, np.array(["a"])]
)
def test_wrong_arrays_are_refused(hits):
    with pytest.raises(Exception, match="hits"):
        propagate(infer_theta, hits, sigma=0.01)


def test_every_other_public_function_gives_numpy_for_numpy():
    def at_height(hits, eta):
        return infer_theta(hits, eta[0])

    def added_up(sigma, shared, sigma_eta):
        mean = MeanAccumulator()
        mean.add(sigma, shared)
        return mean.result(sigma_eta)

    hits, eta = hits_of(5, 1).numpy().astype(">f8"), np.array([1.5])
    jac = muon_jacobian(infer_theta, hits)
    G, sigma, u = systematic_jacobian(at_height, hits, eta), np.abs(jac[:, :, 0]) * 0.01, np.array([0.02])
    quoted = quote(infer_theta, hits, sigma=0.01)
    for function, *arguments in [
        (partial(muon_jacobian, infer_theta), hits),
        (partial(systematic_jacobian, at_height), hits, eta),
        (partial(systematic_jacobian, at_height), hits[:, 0], eta),
        (cross_covariance, G[0], G[1], u),
        (mean_uncertainty, sigma, G, u),
        (mean_uncertainty, sigma, G, u, np.ones(5)),
        (added_up, sigma, G, u),
        (partial(uncertainty_budget, layers=[0]), jac, np.array([[1e-4]])),
        (lambda *given: uncertainty_budget(*given[:2], [0], *given[2:]), jac, np.array([[1e-4]]), G, u),
        (linear_valid, quoted.value, quoted.sigma, quoted.sigma, quoted.interval95),
        (numerical_tolerance, sigma),
        (lambda *given: smear(given[0], 100.0, given[1]), hits, hits),
    ]:
        found = function(*arguments)
        expected = function(*(torch.from_numpy(each.astype(each.dtype.newbyteorder("="))) for each in arguments))
        if not isinstance(found, tuple):
            found, expected = (found,), (expected,)
        assert all(isinstance(part, np.ndarray) for part in found)
        same(found, expected)


@pytest.mark.parametrize("u", [0.0067, np.float64(0.0067)])
def test_the_tolerance_of_a_number_is_a_number(u):
    assert numerical_tolerance(u) == 0.0005
    assert isinstance(numerical_tolerance(u), float)


def test_the_jacobian_of_numpy_hits_is_a_numpy_array():
    x = np.array([0.0, 1.5])
    found = muon_jacobian(infer_theta, x)
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, muon_jacobian(infer_theta, torch.from_numpy(x)[:, None]).numpy())
