"""Closed forms against automatic differentiation of the same models, which they share no derivative with."""

from functools import partial

import numpy as np
import pytest
import torch

from pullback import infer_theta, propagate
from pullback.models.scatter import infer_scatter
from pullback.models.track import infer_track
from pullback.models.track3d import infer_track3d
from pullback.uncertainty import jacobians
from pullback.uncertainty.closed_form import closed_form_of
from pullback.uncertainty.jacobians import value_and_jacobian

DOUBLE = torch.float64
Z, UPPER, LOWER = (0.9, -0.3, 0.0, 0.6), (1.5, 1.25, 1.0), (-1.0, -1.6)
RESOLUTION, BY_VIEW = [1e4, 5e3, 2e4, 1e4], [1e4, 5e3, 2e4, 1e4, 8e3, 9e3, 3e3, 1e3]
SCATTER = {"z_upper": UPPER, "z_lower": LOWER, "resolution": [1e4, 2e4, 3e4, 1e4, 5e3]}

MODELS = {
    "one hit": (infer_theta, 1),
    "one hit, other dz": (partial(infer_theta, dz=0.3), 1),
    "track": (partial(infer_track, z=Z, resolution=RESOLUTION), 4),
    "track, planes": (partial(infer_track, z=torch.tensor(Z, dtype=DOUBLE), resolution=RESOLUTION, at=(2.0, -1.0)), 4),
    "track3d": (partial(infer_track3d, z=Z, resolution=RESOLUTION), 8),
    "track3d, planes": (partial(infer_track3d, z=Z, resolution=BY_VIEW, at=[0.5, 3.0]), 8),
    "scatter": (partial(infer_scatter, **SCATTER), 10),
    "scatter, planes": (partial(infer_scatter, **SCATTER, at=[0.0, 0.2]), 10),
}


def hits_of(name: str, muons: int = 200) -> torch.Tensor:
    """Hits of tracks that are spread over all directions, with large angles of scattering."""
    rng = np.random.default_rng(len(name))
    count = MODELS[name][1]
    return torch.from_numpy(rng.normal(size=(muons, count)) * rng.lognormal(size=(muons, 1)))


def differentiated(infer):
    """The same function, of which nothing is known but its values."""
    return lambda hits: infer(hits)


def covariances(count: int):
    """Every kind of covariance that muons can share."""
    root = np.random.default_rng(3).normal(size=(count, count))
    return 0.01, torch.linspace(1e-4, 1e-3, count, dtype=DOUBLE), torch.from_numpy(1e-4 * root @ root.T)[None]


def assert_same(found, expected, unit, tolerance=1e-14):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert torch.equal(found.isnan(), expected.isnan())
    off = ((found - expected).abs() / unit).nan_to_num()
    assert off.max() <= tolerance, off.max()


@pytest.mark.parametrize("name", MODELS)
def test_the_values_and_the_jacobian_are_those_of_autograd(name):
    infer, _ = MODELS[name]
    hits = hits_of(name)
    assert closed_form_of(infer) is not None
    (value, jac, finite), (by_infer, by_autograd, _) = (
        value_and_jacobian(each, hits) for each in (infer, differentiated(infer))
    )
    assert finite is None
    assert_same(value, by_infer, by_infer.abs().clamp(min=1))
    assert_same(jac, by_autograd, by_autograd.abs().amax(dim=2, keepdim=True), 3e-14)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_propagated_is_the_same(name):
    infer, count = MODELS[name]
    hits = hits_of(name)
    for covariance in covariances(count):
        found, expected = (propagate(each, hits, covariance=covariance) for each in (infer, differentiated(infer)))
        assert all(each.is_contiguous() for each in found)
        assert_same(found.value, expected.value, expected.value.abs().clamp(min=1))
        assert_same(found.sigma, expected.sigma, expected.sigma, 1e-13)
        unit = expected.sigma[:, :, None] * expected.sigma[:, None]
        assert_same(found.covariance, expected.covariance, unit, 1e-13)


@pytest.mark.parametrize("name", MODELS)
def test_a_covariance_for_each_muon_is_propagated_by_the_same_jacobian(name):
    infer, count = MODELS[name]
    hits = hits_of(name, 50)
    covariance = covariances(count)[2] * torch.linspace(1, 2, 50, dtype=DOUBLE)[:, None, None]
    found, expected = (propagate(each, hits, covariance=covariance) for each in (infer, differentiated(infer)))
    assert_same(found.sigma, expected.sigma, expected.sigma, 1e-13)


@pytest.mark.parametrize("name", MODELS)
def test_at_the_folds_the_derivatives_are_zero(name):
    """A muon along z, whose tracks are parallel, among others."""
    infer, _ = MODELS[name]
    hits = hits_of(name, 5)
    hits[2] = 0.0
    found, expected = (propagate(each, hits, sigma=0.01) for each in (infer, differentiated(infer)))
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-16, equal_nan=True)
    assert (found.sigma[2] == 0).any()
    assert found.sigma[2].isnan().sum() == (3 if "scatter" in name else 0)


@pytest.mark.parametrize("name", MODELS)
def test_closed_forms_are_used(name, monkeypatch):
    def refused(*_):
        raise AssertionError("differentiated")

    monkeypatch.setattr(jacobians, "differentiate", refused)
    infer, _ = MODELS[name]
    propagate(infer, hits_of(name), sigma=0.01)
    propagate(infer, hits_of(name).numpy(), sigma=0.01)
    with pytest.raises(AssertionError, match="differentiated"):
        propagate(differentiated(infer), hits_of(name), sigma=0.01)


@pytest.mark.parametrize("name", MODELS)
def test_the_bytes_of_a_muon_do_not_depend_on_how_muons_are_cut(name):
    infer, _ = MODELS[name]
    form = closed_form_of(infer)
    hits = hits_of(name, form.muons_at_a_time + 64)
    whole = propagate(infer, hits, sigma=0.01)
    for rows in (slice(0, 32), slice(32, 96), slice(form.muons_at_a_time - 32, None)):
        part = propagate(infer, hits[rows], sigma=0.01)
        assert all(torch.equal(a[rows], b) for a, b in zip(whole, part, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_hits_that_are_not_finite_are_left_to_the_general_way(name):
    infer, _ = MODELS[name]
    hits = hits_of(name, 20)
    hits[3, 0], hits[7, -1] = float("nan"), float("inf")
    found, expected = (propagate(each, hits, sigma=0.01) for each in (infer, differentiated(infer)))
    for one, two in zip(found, expected, strict=True):
        assert torch.equal(one[[3, 7]].isnan(), two[[3, 7]].isnan())
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12, equal_nan=True)


def test_hits_of_single_precision_stay_so():
    assert propagate(infer_theta, torch.tensor([[0.5]]), sigma=0.01).sigma.dtype is torch.float32


@pytest.mark.parametrize(
    ("infer", "message"),
    [
        (partial(infer_theta, dz=-1.0), "dz must be positive"),
        (partial(infer_track, z=Z, resolution=[1.0, 1, 0, 1]), "resolution must be positive"),
        (partial(infer_track, z=Z, resolution=[1.0, 1]), "resolution must have a number for each"),
        (partial(infer_track, z=Z[:3], resolution=[1.0, 1, 1]), r"hits must be a torch tensor \(muon, 3\)"),
        (partial(infer_track3d, z=Z, resolution=RESOLUTION), r"hits must be a torch tensor \(muon, 8\)"),
    ],
)
def test_what_the_models_refuse_is_refused(infer, message):
    count = 1 if infer.func is infer_theta else 4
    with pytest.raises(ValueError, match=message):
        propagate(infer, torch.ones(3, count, dtype=DOUBLE), sigma=0.01)


def test_layers_at_one_height_have_no_line():
    found = propagate(
        partial(infer_track, z=(1.0, 1.0), resolution=[1.0, 1]), torch.ones(2, 2, dtype=DOUBLE), sigma=1.0
    )
    assert found.sigma.isnan().all()


def test_parameters_that_require_a_gradient_have_it():
    dz = torch.tensor(1.5, dtype=DOUBLE, requires_grad=True)
    infer = partial(infer_theta, dz=dz)
    assert closed_form_of(infer) is None
    hits = torch.tensor([[0.5]], dtype=DOUBLE)
    (slope,) = torch.autograd.grad(propagate(infer, hits, sigma=0.01).sigma.sum(), dz)
    expected = 0.01 * (0.5**2 - 1.5**2) / (0.5**2 + 1.5**2) ** 2  # d/d(dz) of σ dz/(dz² + x²)
    assert slope.item() == pytest.approx(expected, rel=1e-12)


def test_hits_and_sigma_that_require_a_gradient_have_it():
    hits = torch.tensor([[0.5]], dtype=DOUBLE, requires_grad=True)
    sigma = torch.tensor(0.01, dtype=DOUBLE, requires_grad=True)
    assert propagate(infer_theta, hits, sigma=0.01).sigma.requires_grad
    assert propagate(infer_theta, hits.detach(), sigma=sigma).sigma.requires_grad
    with torch.no_grad():
        assert not propagate(infer_theta, hits, sigma=sigma).sigma.requires_grad


def test_numbers_that_change_in_place_are_seen():
    """A closed form is kept for its numbers, and not for the tensor that holds them."""
    dz = torch.tensor(1.5, dtype=DOUBLE)
    infer, hits = partial(infer_theta, dz=dz), torch.tensor([[0.5]], dtype=DOUBLE)
    before = propagate(infer, hits, sigma=0.01).sigma.item()
    dz += 1.5
    assert (
        propagate(infer, hits, sigma=0.01).sigma.item() == pytest.approx(0.01 * 3 / (0.5**2 + 9), rel=1e-14) != before
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_muon_has_the_same_bits_whatever_the_muons_beside_it(name):
    infer, hits = MODELS[name][0], hits_of(name)
    whole = propagate(infer, hits, sigma=0.01)
    for muons in (1, 2, 7, 31, 33, 100):
        for start in range(0, 100, 13):
            rows = slice(start, start + muons)
            for found, expected in zip(propagate(infer, hits[rows], sigma=0.01), whole, strict=True):
                assert torch.equal(found.nan_to_num(9), expected[rows].nan_to_num(9))
