"""Hits and their uncertainty as a user gives them: sigma or covariance by keyword, torch or numpy."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from running import PROJECT

from pullback import (
    MeanAccumulator,
    confidence_interval,
    cross_covariance,
    expanded_uncertainty,
    fit_residuals,
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
from pullback.uncertainty.arguments import hits_tensor

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
    with pytest.raises(ValueError, match=r"\(2,\) may be either: give hits\[None\] for one muon with 2 coordinates"):
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


# One dimension, and the precision, with every public function that takes hits

NEW_TOYS = partial(run_toys, sigma=0.01, toys=300)
TAKING_HITS = {
    "propagate": partial(propagate, sigma=0.01),
    "quote": partial(quote, sigma=0.01),
    "propagate_distribution": partial(propagate_distribution, sigma=0.01),
    "confidence_interval": partial(confidence_interval, sigma=0.01),
    "second_order": partial(second_order, sigma=0.01),
    "expanded_uncertainty": partial(expanded_uncertainty, sigma=0.01, freedom=9),
    "run_toys": lambda infer, hits: NEW_TOYS(infer, hits, rng=random_stream(1, "toys")),
    "mean_sigma_gradient": lambda infer, hits: (mean_sigma_gradient(infer, hits, {}, sigma=0.01).sigma,),
    "muon_jacobian": lambda infer, hits: (muon_jacobian(infer, hits),),
    "systematic_jacobian": lambda infer, hits: (
        systematic_jacobian(lambda h, eta: infer(h) * eta, hits, torch.ones(1, dtype=torch.float32)),
    ),
    "fit_residuals": lambda infer, hits: fit_residuals(lambda h: infer(h)[:, -1:].expand_as(h), hits, sigma=0.01),
}
taking_hits = pytest.mark.parametrize("function", TAKING_HITS.values(), ids=TAKING_HITS)
WEIGHTS = torch.tensor([-3.0, -1.0, 1.0, 3.0], dtype=DOUBLE) / 20
OF_ONE_MUON = {
    "difference": lambda h: h[:, -1:] - h[:, :1],
    "weighted sum": lambda h: (h * WEIGHTS.to(h)).sum(dim=1, keepdim=True),
    "matrix": lambda h: h @ WEIGHTS.to(h)[:, None],
    "mean": lambda h: h.mean(dim=1, keepdim=True),
    "chord": lambda h: h[:, :1] - 2 * h[:, h.shape[1] // 2, None] + h[:, -1:],
    "place and slope": lambda h: torch.stack([h[:, 0], h[:, -1] - h[:, 0]], dim=1),
    "hits and sum": lambda h: torch.cat([h, h.sum(dim=1, keepdim=True)], dim=1),
    "another column": lambda h: h[:, 1].arctan()[:, None],
    "unpacked": lambda h: torch.stack([d - a for a, _, _, d in [h.unbind(1)]], dim=1),
}
FOUR = {
    "different": [0.31, -0.12, 0.55, 0.74],
    "equal": [0.5, 0.5, 0.5, 0.5],
    "zero": [0.0, 0.0, 0.0, 0.0],
    "evenly spaced": [1.0, 2.0, 3.0, 4.0],
    "sum of zero": [1.0, 0.0, -1.0, 0.0],
    "missing": [0.3, float("nan"), 0.1, 0.2],
    "micrometres": [1e-6, 3e-6, 2e-6, 9e-6],
    "far": [1000.0, 1000.001, 1000.002, 1000.004],
}


@taking_hits
@pytest.mark.parametrize("infer", OF_ONE_MUON.values(), ids=OF_ONE_MUON)
def test_one_dimension_that_may_be_one_muon_is_refused(function, infer):
    given = np.array(FOUR["different"])
    with pytest.raises(
        ValueError,
        match=r"^hits must be \(muon, coordinate\), and \(4,\) may be either: give hits\[None\] for one muon with 4 "
        r"coordinates, or hits\[:, None\] for 4 muons with one coordinate each$",
    ):
        function(infer, given)
    function(infer, given[None])


@pytest.mark.parametrize("hits", FOUR.values(), ids=FOUR)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("infer", OF_ONE_MUON.values(), ids=OF_ONE_MUON)
def test_whatever_the_hits_are(infer, hits, dtype):
    with pytest.raises(ValueError, match=r"\(4,\) may be either"):
        muon_jacobian(infer, torch.tensor(hits, dtype=dtype))


def only_one_coordinate(hits):
    assert hits.shape[1] == 1
    return hits.exp()


OF_ONE_COORDINATE = {
    "exercise": lambda h: (h.abs() / 1.5).arctan(),
    "first column": lambda h: h[:, :1].sin(),
    "own": infer_theta,
    "only one coordinate": only_one_coordinate,
    "two observables": lambda h: torch.cat([h.sin(), h.cos()], dim=1),
    "of the first column": lambda h: torch.stack([h[:, 0].sin(), h[:, 0] ** 2, h[:, 0] + 2], dim=1),
    "in turn": lambda h: torch.stack([h.sin(), 1e3 * h.exp()], dim=2).flatten(1),
    "cancelling": lambda h: 1 - h.cos(),
    "with a constant": lambda h: torch.cat([h, torch.ones_like(h[:, :1]) + 0 * h[:, :1]], dim=1),
    "infinite": lambda h: 1 / (h - h.detach()[:1, :1]),
    "not a number": lambda h: (h - 0.4).sqrt(),
}


@pytest.mark.parametrize("hits", [*FOUR.values(), [0.4], [0.4, 0.7], [*np.linspace(0.1, 0.9, 64)]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", OF_ONE_COORDINATE)
def test_functions_of_one_coordinate_take_one_dimension(name, hits, dtype):
    given = torch.tensor(hits, dtype=dtype)
    assert torch.equal(hits_tensor(OF_ONE_COORDINATE[name], given).nan_to_num(9), given[:, None].nan_to_num(9))


@taking_hits
@pytest.mark.parametrize("name", [*OF_ONE_COORDINATE][:7])
def test_so_they_do_with_every_function(function, name):
    x = torch.tensor(FOUR["different"], dtype=DOUBLE)
    same(function(OF_ONE_COORDINATE[name], x), function(OF_ONE_COORDINATE[name], x[:, None]))


def test_a_long_array_is_one_coordinate_each():
    with pytest.raises(ValueError, match=r"\(64,\) may be either"):
        propagate(OF_ONE_MUON["mean"], torch.rand(64), sigma=0.1)
    assert propagate(OF_ONE_MUON["mean"], torch.rand(65), sigma=0.1).value.shape == (65, 1)


PRECISIONS = [torch.float16, torch.float32, torch.float64]


@taking_hits
@pytest.mark.parametrize("as_array", [torch.Tensor.numpy, torch.Tensor.clone], ids=["numpy", "torch"])
@pytest.mark.parametrize("constants", PRECISIONS[1:])
@pytest.mark.parametrize("hits", PRECISIONS)
def test_the_wider_precision_is_that_of_all(function, as_array, constants, hits):
    given = torch.rand(5, 4, generator=torch.Generator().manual_seed(1)).to(hits)
    weights = WEIGHTS.to(constants)
    wide = torch.float64 if torch.float64 in (constants, hits) else torch.float32
    found = function(lambda h: (h * weights).sum(dim=1, keepdim=True).arctan(), as_array(given))
    assert {torch.as_tensor(part).dtype for part in found} <= {wide, torch.bool, torch.int64}
    same(found, function(lambda h: (h * weights.to(wide)).sum(dim=1, keepdim=True).arctan(), given.to(wide)))


@taking_hits
@pytest.mark.parametrize("hits", PRECISIONS[:2])
def test_a_matrix_in_double_precision_has_hits_in_double_precision(function, hits):
    given = torch.rand(5, 4, generator=torch.Generator().manual_seed(1)).to(hits)
    infer = lambda h: (h @ WEIGHTS[:, None]).arctan()  # noqa: E731
    same(function(infer, given), function(infer, given.double()))


@pytest.mark.parametrize("function", [each for name, each in TAKING_HITS.items() if name != "fit_residuals"])
def test_a_matrix_in_single_precision_is_refused_with_hits_in_double_precision(function):
    with pytest.raises(
        ValueError,
        match=r"^infer mixes precisions: make its constants like the hits, such as weights.to\(hits\) \(.+\)$",
    ):
        function(lambda h: h @ WEIGHTS.float()[:, None], hits_of(5, 4))


@taking_hits
def test_a_function_may_return_single_precision(function):
    hits = hits_of(5, 4)
    expected = function(lambda h: (h * WEIGHTS).sum(dim=1, keepdim=True).arctan(), hits)
    found = function(lambda h: (h.float() * WEIGHTS.float()).sum(dim=1, keepdim=True).arctan(), hits)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


# What a user of numpy gives


PROPAGATED = "propagate(infer, {}, sigma={})"
ALIKE = [
    (PROPAGATED.format("hits", "pd.Series([1.0, 2, 3, 4], index=[3, 2, 0, 1])"), "np.array([1.0, 2, 3, 4])"),
    (PROPAGATED.format("hits", "(1, 2, 3, 4)"), "np.array([1.0, 2, 3, 4])"),
    *(
        (PROPAGATED.format("hits", f"np.array([20, 30, 40, 127], dtype=np.{narrow})"), "np.array([20.0, 30, 40, 127])")
        for narrow in ("uint8", "int8", "float16")  # which are squared in double precision
    ),
]
ALIKE = [
    *((given, PROPAGATED.format("hits", plain)) for given, plain in ALIKE),
    ("systematic_jacobian(shifted, hits, [0.1])", "systematic_jacobian(shifted, hits, np.array([0.1]))"),
    ("cross_covariance(G[0].tolist(), G[1], [0.1])", "cross_covariance(G[0], G[1], np.array([0.1]))"),
    ("numerical_tolerance([0.01, 2])", "numerical_tolerance(np.array([0.01, 2]))"),
    ("numerical_tolerance(pd.Series([0.01, 2]))", "numerical_tolerance(np.array([0.01, 2]))"),
]
NO_HITS = "hits must be a floating-point torch tensor or numpy array, not "
REFUSED = {
    PROPAGATED.format("hits.tolist()", 0.1): NO_HITS + "list: use np.asarray(hits, dtype=float)",
    PROPAGATED.format("pd.DataFrame(hits)", 0.1): NO_HITS + "DataFrame: use np.asarray(hits, dtype=float)",
    PROPAGATED.format("(9 * hits).astype(int)", 0.1): NO_HITS + "int64: use hits.astype(float)",
    PROPAGATED.format("np.ma.masked_equal([[1, 2]], 2)", 0.1): NO_HITS + "int64: use hits.astype(float)",
    PROPAGATED.format("hits + 1j", 0.1): NO_HITS + "complex128",
    PROPAGATED.format("hits", "np.full(4, 1j)"): "sigma must be a number or an array of numbers, not complex128",
    PROPAGATED.format(
        "hits", "torch.full((4,), 1j)"
    ): "sigma must be a number or an array of numbers, not torch.complex64",
    PROPAGATED.format("hits", "np.array(['a'] * 99)"): "sigma must be a number or an array of numbers, not <U1",
    PROPAGATED.format("hits", "np.ma.masked_equal([1, 2, 9, 4], 9)"): "sigma at coordinate 2 is not finite: nan",
    "systematic_jacobian(shifted, hits, 0.1)": "eta must have shape (systematic,), not ()",
    "systematic_jacobian(shifted, hits, np.array([1j]))": "numbers must be real, not torch.complex128",
    "cross_covariance(G[0], G[1], np.array([1j]))": "numbers must be real, not torch.complex128",
    "mean_uncertainty(np.ones(5), G, np.array([0.1]))": (
        "shared has shape (5, 1, 1); for sigma of shape (5,) it must have these axes and one of systematics"
    ),
    "jacobian(hits, hits)": "y and x must be torch tensors, not ndarray and ndarray",
    "mean_sigma_gradient(infer, hits, {'dz': 1.5}, sigma=0.1)": (
        "parameter 'dz' requires no gradient: call .requires_grad_() before it is used"
    ),
}
SCRIPT = """
import json, sys, warnings
import numpy as np, pandas as pd, torch
from pullback import *
warnings.simplefilter("error")
hits = np.linspace(0.1, 0.9, 20).reshape(5, 4) ** 2
infer = lambda h: (h * torch.tensor([1.0, -2, 3, 4], dtype=h.dtype)).sum(dim=1, keepdim=True).sin()
shifted = lambda h, eta: infer(h + eta[0])
G = systematic_jacobian(shifted, hits, np.array([0.1]))
found = {}
for call in json.load(sys.stdin):
    try:
        result = eval(call)
        found[call] = result.sigma.tolist() if isinstance(result, tuple) else result.tolist()
    except (TypeError, ValueError) as error:
        found[call] = str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def outside():
    """What calls give where nothing checks annotations: numbers, or the words of an error."""
    calls = json.dumps([*(call for pair in ALIKE for call in pair), *REFUSED])
    environment = {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=calls, capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(("given", "plain"), ALIKE)
def test_lists_columns_of_pandas_and_small_integers_are_arrays(outside, given, plain):
    assert isinstance(outside[plain], list)
    assert outside[given] == outside[plain]


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_refused_is_told_in_one_line(outside, call):
    assert outside[call] == REFUSED[call]


def test_a_masked_sigma_is_unknown():
    sigma = np.ma.masked_equal([0.1, 0.2, 9.0], 9.0)
    with pytest.raises(ValueError, match=r"^sigma at coordinate 2 is not finite: nan$"):
        propagate(angles, hits_of(5), sigma=sigma)


@pytest.mark.parametrize(
    ("infer", "found"),
    [
        (lambda h: h[:, 0], r"\(muon\)"),
        (lambda h: h.sum(), r"\(\)"),
        (lambda h: h.numpy(), "ndarray"),
        (lambda h: h[:, :0], r"\(muon, 0\)"),
    ],
)
def test_toys_of_what_is_no_observable(infer, found):
    said = rf"^infer must return a tensor \(muon, observable\), muon by muon, not {found}; a single "
    with pytest.raises(ValueError, match=said):
        some_toys(infer, hits_of(5), sigma=0.1)


def test_a_fit_must_predict_every_hit():
    for fitted, shape in (
        (lambda h: h[:, :1], r"\(5, 1\)"),
        (lambda h: h[:, 0], r"\(5,\)"),
        (torch.Tensor.numpy, "nda"),
    ):
        with pytest.raises(
            ValueError, match=rf"^fitted must return a tensor \(muon, coordinate\), \(5, 3\), not {shape}"
        ):
            fit_residuals(fitted, hits_of(5), sigma=0.1)
    with pytest.raises(ValueError, match=r"^fitted mixes precisions: .* such as weights\.to\(hits\)"):
        fit_residuals(lambda h: h @ torch.ones(3, 3), hits_of(5), sigma=0.1)


def test_the_mean_sigma_of_a_linear_function_depends_on_nothing():
    dz = torch.tensor(1.5, dtype=DOUBLE, requires_grad=True)
    found = mean_sigma_gradient(lambda h: 2 * h, hits_of(5), {"dz": dz}, sigma=0.1)
    assert torch.equal(found.gradient["dz"], torch.zeros(3, dtype=DOUBLE))
    torch.testing.assert_close(found.mean, torch.full((3,), 0.2, dtype=DOUBLE))
