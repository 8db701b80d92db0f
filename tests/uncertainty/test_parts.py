"""Observables part by part, against the same inference of which nothing is said about parts."""

import math

import numpy as np
import pytest
import torch

from pullback import confidence_interval, propagate_distribution, quote
from pullback.config.model_schema import MODELS
from pullback.detector.bound_model import Inference, parameters_of
from pullback.models import load_model
from pullback.uncertainty.parts import part_with, reduced

DOUBLE = torch.float64
SECTIONS = {
    "track": {"z": [0.0, 0.4, 1.0], "at": [-0.5, 2.0]},
    "track3d": {"z": [0.0, 0.4, 1.0], "at": [0.2]},
    "scatter": {"at": [0.1]},
}
SIGMA = 1e-3


def inference(name):
    model = load_model(MODELS[name](**SECTIONS[name]))
    return Inference(model, parameters_of(model, {"resolution": 1 / SIGMA})), len(model.coordinates)


def hits_of(coordinates, muons, seed=1):
    """Hits of lines that are bent by tens of σ; noise is no part of it."""
    return 0.1 * torch.randn(muons, coordinates, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def whole(infer):
    other = lambda hits: infer(hits)  # noqa: E731
    vars(other).update(folding=infer.folding, periods=infer.periods, missing=infer.missing)
    return other


def agree(found, expected, tolerance):
    """Equal to within a share of the width of the 68 % interval, with NaN at the same places.

    What is quoted jumps where linear propagation is only just valid.
    """
    width = (expected.interval68[..., 1] - expected.interval68[..., 0]) / 2
    same = found.linear_valid == expected.linear_valid
    assert same.double().mean() > 0.98
    for name, one, other in zip(found._fields, found, expected, strict=True):
        if name in ("sd_error", "linear_valid"):
            continue
        assert torch.equal(one.isnan(), other.isnan()), name
        scale = width if one.ndim == 2 else width[:, :, None]
        assert ((one - other).abs() / scale)[same].nan_to_num(0.0).max() < tolerance, name


@pytest.mark.parametrize("name", SECTIONS)
def test_the_parts_make_up_the_whole(name):
    infer, coordinates = inference(name)
    hits = hits_of(coordinates, 40)
    tolerance = 0.06 if name == "scatter" else 0.01  # by points, ends are right to 0.05 sd at worst
    agree(quote(infer, hits, sigma=SIGMA), quote(whole(infer), hits, sigma=SIGMA), tolerance)


@pytest.mark.parametrize("name", SECTIONS)
def test_an_observable_is_quoted_alone_as_it_is_among_others(name):
    infer, coordinates = inference(name)
    hits = hits_of(coordinates, 20)
    if infer.missing:
        hits[3, 1] = math.nan
    value, expected = infer(hits), quote(infer, hits, sigma=SIGMA)
    for index in range(value.shape[1]):
        some, column = part_with(infer, index)
        assert torch.equal(some(hits)[:, column].isnan(), value[:, index].isnan())
        assert torch.allclose(some(hits)[:, column], value[:, index], rtol=1e-12, atol=0, equal_nan=True)
        found = quote(some, hits, sigma=SIGMA)
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one[:, column].nan_to_num(9.0), other[:, index].nan_to_num(9.0))


def test_a_function_without_parts_is_its_own_part():
    infer = whole(inference("track")[0])
    assert part_with(infer, 1) == (infer, 1)


@pytest.mark.parametrize("name", ["track", "track3d"])
def test_covariances_of_each_muon_and_missing_hits(name):
    infer, coordinates = inference(name)
    hits = hits_of(coordinates, 30)
    for muon in range(1, 20):
        hits[muon, muon % coordinates] = math.nan
    hits[20, : coordinates // 2 + 1] = math.nan
    hits[21, 1] = math.inf
    roots = SIGMA * torch.randn(30, coordinates, coordinates, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    for covariance in (SIGMA**2, roots @ roots.mT, (roots @ roots.mT).diagonal(dim1=1, dim2=2)):
        found, expected = (quote(each, hits, covariance=covariance) for each in (infer, whole(infer)))
        agree(found, expected, 0.03)
        assert found.value[21].isnan().all()
        assert not found.linear_valid[21].any()


@pytest.mark.parametrize("name", SECTIONS)
def test_parameters_have_the_covariance_of_linear_propagation(name):
    """By brute force: coefficients of the hits in each parameter come from differences."""
    infer, coordinates = inference(name)
    hits = hits_of(coordinates, 3)
    hits[1, 0] = math.nan
    root = np.random.default_rng(1).normal(size=(coordinates, coordinates))
    sigma_x = torch.from_numpy(root @ root.T)
    u, covariance = reduced(infer.reduction.parameters, hits, sigma_x[None])
    assert u.shape[1] == covariance.shape[1]
    for muon in range(3):
        shifts = hits[muon] + torch.eye(coordinates, dtype=DOUBLE)
        rows = (infer.reduction.parameters(shifts) - u[muon]).t().numpy()
        np.testing.assert_allclose(covariance[muon], rows @ sigma_x.numpy() @ rows.T, rtol=1e-9, atol=1e-9)


def test_what_is_linear_is_exact():
    infer, coordinates = inference("track")
    hits = hits_of(coordinates, 9)
    found, spread = quote(infer, hits, sigma=SIGMA), propagate_distribution(infer, hits, sigma=SIGMA)
    linear = [0, 2, 3, 4]
    assert found.linear_valid[:, linear].all()
    assert (found.bias[:, linear] == 0).all()
    assert torch.equal(found.sigma[:, linear], spread.sd[:, linear])
    half = found.interval95.diff(dim=2)[:, :, 0] / 2
    torch.testing.assert_close(half[:, linear], 1.959963984540054 * found.sigma[:, linear], rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_muon_is_the_same_in_any_company(name):
    infer, coordinates = inference(name)
    hits = hits_of(coordinates, 20)
    hits[3, 0] = math.nan
    together = quote(infer, hits, sigma=SIGMA)
    for rows in (torch.tensor([0]), torch.tensor([3, 1]), torch.arange(20).flip(0)):
        for name_, one, other in zip(together._fields, quote(infer, hits[rows], sigma=SIGMA), together, strict=True):
            torch.testing.assert_close(one, other[rows], rtol=1e-9, atol=1e-12, equal_nan=True, msg=name_)


@pytest.mark.parametrize("name", SECTIONS)
def test_no_muon(name):
    infer, coordinates = inference(name)
    nothing = torch.empty(0, coordinates, dtype=DOUBLE)
    observables = infer(hits_of(coordinates, 1)).shape[1]
    assert quote(infer, nothing, sigma=SIGMA).value.shape == (0, observables)
    assert confidence_interval(infer, nothing, sigma=SIGMA).confidence68.shape == (0, observables, 2)


def test_single_precision():
    infer, coordinates = inference("track")
    hits = hits_of(coordinates, 5).float()
    found, expected = quote(infer, hits, sigma=SIGMA), quote(infer, hits.double(), sigma=SIGMA)
    torch.testing.assert_close(found.sigma, expected.sigma, rtol=1e-5, atol=0, check_dtype=False)
    assert found.linear_valid[:, [0, 2]].all()


@pytest.mark.parametrize("name", SECTIONS)
def test_hits_that_are_shifted_alike_change_no_angle(name):
    """All hits of a view have the same error, which moves positions only."""
    infer, coordinates = inference(name)
    views = 1 if name == "track" else 2
    covariance = SIGMA**2 * np.kron(np.eye(views), np.ones((coordinates // views, coordinates // views)))
    found = quote(infer, hits_of(coordinates, 4), covariance=torch.from_numpy(covariance)[None])
    moved = {"track": [2, 3, 4], "track3d": [4, 5], "scatter": [5, 6, 8, 9, 10, 11]}[name]
    expected = torch.zeros_like(found.sigma)
    expected[:, moved] = SIGMA
    torch.testing.assert_close(found.sigma, expected, rtol=1e-9, atol=1e-12)
