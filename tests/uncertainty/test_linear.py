import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback import infer_theta, jacobian, propagate, smear
from pullback.uncertainty import linear as module

DOUBLE = torch.float64


def two_observables(hits):
    return torch.stack([hits[:, 0] * hits[:, 1], torch.sin(hits[:, 0]) + hits[:, 2] ** 3], dim=1)


def example(seed: int, muons: int = 5, coordinates: int = 3):
    """Hits, and a full covariance for each muon."""
    generator = torch.Generator().manual_seed(seed)
    hits = torch.randn(muons, coordinates, dtype=DOUBLE, generator=generator)
    root = torch.randn(muons, coordinates, coordinates, dtype=DOUBLE, generator=generator)
    return hits, root @ root.mT


def test_one_hit_against_the_closed_form():
    hits = torch.tensor([[-0.5], [0.25], [1.0]], dtype=DOUBLE)
    result = propagate(infer_theta, hits, covariance=0.01**2)
    torch.testing.assert_close(result.value, torch.arctan(hits.abs() / 1.5), rtol=1e-15, atol=0)
    torch.testing.assert_close(result.sigma, 1.5 / (1.5**2 + hits**2) * 0.01, rtol=1e-13, atol=0)
    torch.testing.assert_close(result.covariance[:, 0], result.sigma**2, rtol=1e-13, atol=0)


def test_the_linear_law_of_the_exact_cases():
    cases = json.loads(Path(__file__).parents[1].joinpath("data", "exact_theta_moments.json").read_text())["cases"]
    for case in cases:
        if case["x0_m"] == 0:
            continue  # autograd's derivative at the kink is 0; the reference takes the one beside it
        hit = torch.tensor([[case["x0_m"]]], dtype=DOUBLE)
        sigma = propagate(
            lambda h, dz=case["dz_m"]: infer_theta(h, dz), hit, covariance=case["sigma_m"] ** 2
        ).sigma.item()
        assert sigma == pytest.approx(case["linear_std_rad"], rel=1e-12)


def test_at_the_kink_the_linear_law_says_zero():
    assert propagate(infer_theta, torch.zeros(1, 1, dtype=DOUBLE), covariance=0.01**2).sigma.item() == 0.0


def test_the_printed_table_of_the_exercise():
    table = json.loads(Path(__file__).parents[1].joinpath("data", "exercise_table.json").read_text())
    hits = torch.tensor(table["reco_x"], dtype=DOUBLE)[:, None]
    result = propagate(infer_theta, hits, covariance=table["resolution"] ** -2)
    np.testing.assert_allclose(result.value[:, 0], table["theta"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(result.sigma[:, 0], table["unc_theta"], atol=1e-4, rtol=0)


@given(st.integers(0, 2**31))
@settings(deadline=None)
def test_against_the_explicit_general_jacobian(seed):
    """J Σ Jᵀ with the (muon, observable, muon, coordinate) Jacobian, and Σ of all muons at once."""
    hits, covariance = example(seed)
    x = hits.clone().requires_grad_()
    full = jacobian(two_observables(x), x).reshape(10, 15)
    expected = full @ torch.block_diag(*covariance) @ full.T
    result = propagate(two_observables, hits, covariance=covariance)
    scale = expected.abs().max().item()
    torch.testing.assert_close(torch.block_diag(*result.covariance), expected, rtol=1e-12, atol=1e-14 * scale)
    torch.testing.assert_close(result.sigma.reshape(-1), expected.diagonal().sqrt(), rtol=1e-7, atol=1e-8 * scale**0.5)


def test_every_form_of_the_covariance():
    hits, _ = example(1)
    ones = torch.ones(5, 3, dtype=DOUBLE)
    variance = torch.tensor([0.1, 0.2, 0.3], dtype=DOUBLE)
    matrix = torch.diag(variance)
    expected = propagate(
        two_observables, hits, covariance=(matrix * torch.ones(5, 1, 1, dtype=DOUBLE)).contiguous()
    ).covariance
    for form in (variance, variance[None], matrix, matrix[None], variance * ones):
        torch.testing.assert_close(
            propagate(two_observables, hits, covariance=form).covariance, expected, rtol=1e-14, atol=1e-16
        )
    expected = propagate(two_observables, hits, covariance=0.5 * torch.eye(3, dtype=DOUBLE)).covariance
    for form in (0.5, torch.tensor(0.5), 0.5 * ones[:, 0], 0.5 * ones[:, :1], 0.5 * ones):
        torch.testing.assert_close(
            propagate(two_observables, hits, covariance=form).covariance, expected, rtol=1e-14, atol=1e-16
        )


def test_a_number_for_each_muon():
    hits, _ = example(2)
    number = torch.arange(1, 6, dtype=DOUBLE)
    sigma = propagate(two_observables, hits, covariance=number).sigma
    torch.testing.assert_close(sigma, propagate(two_observables, hits, covariance=1.0).sigma * number[:, None].sqrt())


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (-1.0, "negative variance"),
        (float("nan"), "not finite"),
        (torch.tensor([0.1, -0.2, 0.3]), "coordinate 1 is a negative variance"),
        (torch.tensor([0.1, 0.2]), r"shape \(2,\)"),
        (torch.ones(4, 3), r"shape \(4, 3\)"),
        (torch.ones(5, 3, 2), "shape"),
        (torch.ones(1, 1, 1, 1), "shape"),
        (torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, 0, 1]]), "coordinate 0, coordinate 2 is not symmetric"),
        (torch.tensor([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]]), "not positive semi-definite"),
        (torch.diag(torch.tensor([1.0, -1.0, 1.0])), "coordinate 1, coordinate 1 has a negative|negative variance"),
    ],
)
def test_what_is_no_covariance_is_refused_with_its_position(covariance, message):
    with pytest.raises(ValueError, match=message):
        propagate(two_observables, example(3)[0], covariance=covariance)


def test_the_position_names_the_muon():
    hits, covariance = example(4)
    for muon in (0, 3):
        bad = covariance.clone()
        bad[muon] = torch.tensor([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]])
        with pytest.raises(ValueError, match=f"muon {muon} is not positive semi-definite"):
            propagate(two_observables, hits, covariance=bad)
    variances = torch.ones(5, 3, dtype=DOUBLE)
    variances[2, 1] = -1e-9
    with pytest.raises(ValueError, match="muon 2, coordinate 1 is a negative variance"):
        propagate(two_observables, hits, covariance=variances)


def test_as_many_muons_as_coordinates_is_ambiguous():
    hits, _ = example(5, muons=3)
    with pytest.raises(ValueError, match="ambiguous"):
        propagate(two_observables, hits, covariance=torch.eye(3, dtype=DOUBLE))
    shared = propagate(two_observables, hits, covariance=torch.eye(3, dtype=DOUBLE)[None])
    torch.testing.assert_close(shared.sigma, propagate(two_observables, hits, covariance=1.0).sigma)


def test_singular_covariances_are_covariances():
    hits, _ = example(6)
    line = torch.ones(3, 3, dtype=DOUBLE)  # fully correlated
    result = propagate(lambda h: h[:, :1] - h[:, 1:2], hits, covariance=line)
    assert (result.sigma >= 0).all()
    assert result.sigma.abs().max() < 1e-7
    assert (propagate(two_observables, hits, covariance=torch.zeros(3, 3, dtype=DOUBLE)).sigma == 0).all()


def test_hits_that_are_not_finite_give_nan_and_spoil_no_other():
    hits = torch.tensor([[0.5], [float("nan")], [float("inf")], [-float("inf")], [0.5]], dtype=DOUBLE)
    result = propagate(infer_theta, hits, covariance=0.01**2)
    for each in result:
        assert each.reshape(5).isnan().tolist() == [False, True, True, True, False]
    assert result.sigma[0] == result.sigma[4]


@given(st.floats(1e-3, 1e3), st.integers(0, 2**31))
@settings(deadline=None)
def test_sigma_scales_with_the_covariance_and_is_never_negative(scale, seed):
    hits, covariance = example(seed)
    base, scaled = (propagate(two_observables, hits, covariance=factor * covariance) for factor in (1, scale**2))
    torch.testing.assert_close(scaled.sigma, scale * base.sigma, rtol=1e-9, atol=0)
    assert (base.sigma >= 0).all()


@given(st.integers(0, 2**31))
@settings(deadline=None)
def test_permuting_muons_permutes_the_result(seed):
    hits, covariance = example(seed)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    for a, b in zip(
        propagate(two_observables, hits[order], covariance=covariance[order]),
        propagate(two_observables, hits, covariance=covariance),
        strict=True,
    ):
        torch.testing.assert_close(a, b[order], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("muons", [0, 1])
def test_few_muons(muons):
    result = propagate(infer_theta, torch.ones(muons, 1, dtype=DOUBLE), covariance=1e-4)
    assert [tuple(each.shape) for each in result] == [(muons, 1), (muons, 1, 1), (muons, 1)]


def test_blocks_change_nothing(monkeypatch):
    hits, covariance = example(7, muons=100)
    for form in (0.5, covariance, covariance.diagonal(dim1=1, dim2=2), torch.eye(3, dtype=DOUBLE)):
        whole = propagate(two_observables, hits, covariance=form)
        with monkeypatch.context() as patch:
            patch.setattr(module, "MUONS_AT_A_TIME", 7)
            blocks = propagate(two_observables, hits, covariance=form)
        for a, b in zip(whole, blocks, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-15, atol=0)


@pytest.mark.parametrize("form", ["variances", "matrix", "a matrix each"])
def test_the_bytes_of_a_muon_do_not_depend_on_how_muons_are_cut(form, monkeypatch):
    angles = lambda h: (h.cumsum(dim=1) ** 2).arctan2(h.new_tensor(1.5))  # noqa: E731
    hits, each = example(8, muons=200)
    covariance = {"variances": each[0].diagonal(), "matrix": each[0], "a matrix each": each}[form]
    whole = propagate(angles, hits, covariance=covariance)
    for cut in (slice(0, 32), slice(64, 160), slice(96, 200)):  # torch's vectors begin at multiples of 32
        part = propagate(angles, hits[cut], covariance=covariance[cut] if covariance is each else covariance)
        assert all(torch.equal(a[cut], b) for a, b in zip(whole, part, strict=True))
    monkeypatch.setattr(module, "MUONS_AT_A_TIME", 128)  # 32 of three coordinates
    blocks = propagate(angles, hits, covariance=covariance)
    assert all(torch.equal(a, b) and a.is_contiguous() for a, b in zip(whole, blocks, strict=True))


@pytest.mark.parametrize("resolution", [10.0, 100.0])
def test_gradient_by_the_resolution_is_the_finite_difference(resolution, monkeypatch):
    """d mean(σ)/d resolution, through the covariance and through the smeared hits, to 1e-6."""
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(1000, 1, dtype=DOUBLE, generator=generator)
    noise = torch.randn(1000, 1, dtype=DOUBLE, generator=generator)

    def mean_sigma(value):
        return propagate(infer_theta, smear(x, value, noise), covariance=value**-2).sigma.mean()

    at = torch.tensor(resolution, dtype=DOUBLE, requires_grad=True)
    (slope,) = torch.autograd.grad(mean_sigma(at), at)
    step = 1e-4 * resolution
    difference = (mean_sigma(at.detach() + step) - mean_sigma(at.detach() - step)) / (2 * step)
    assert slope.item() == pytest.approx(difference.item(), rel=1e-6)
    without_path = -mean_sigma(at.detach()).item() / resolution  # what is left when the hits are held fixed
    assert abs(slope.item() / without_path - 1) > 1e-5
    monkeypatch.setattr(module, "MUONS_AT_A_TIME", 300)
    (in_blocks,) = torch.autograd.grad(mean_sigma(at), at)
    assert in_blocks.item() == pytest.approx(slope.item(), rel=1e-12)


def test_gradient_survives_a_muon_at_the_kink():
    resolution = torch.tensor(100.0, dtype=DOUBLE, requires_grad=True)
    hits = torch.tensor([[0.0], [0.5]], dtype=DOUBLE)
    propagate(infer_theta, hits, covariance=resolution**-2).sigma.sum().backward()
    assert math.isfinite(resolution.grad.item())
    assert resolution.grad.item() == pytest.approx(-0.6 / 100**2, rel=1e-12)


def test_a_muon_without_a_hit_spoils_no_gradient():
    resolution = torch.tensor(100.0, dtype=DOUBLE, requires_grad=True)
    hits = torch.tensor([[0.5], [float("nan")], [float("inf")]], dtype=DOUBLE)
    smeared = smear(hits, resolution, torch.zeros(3, 1, dtype=DOUBLE))
    propagate(infer_theta, smeared, covariance=resolution**-2).sigma.nansum().backward()
    assert resolution.grad.item() == pytest.approx(-0.6 / 100**2, rel=1e-12)


def test_small_variances_are_held_to_the_same_precision():
    hits = torch.ones(5, 2, dtype=DOUBLE)
    for small, message in (
        ([[1e-14, 2e-14], [2e-14, 1e-14]], "semi-definite"),
        ([[1e-14, 1e-15], [0, 1e-14]], "symmetric"),
    ):
        matrix = torch.eye(3, dtype=DOUBLE)
        matrix[1:, 1:] = torch.tensor(small, dtype=DOUBLE)
        with pytest.raises(ValueError, match=message):
            propagate(two_observables, torch.ones(5, 3, dtype=DOUBLE), covariance=matrix)
    with pytest.raises(ValueError, match="semi-definite"):
        propagate(lambda h: h, hits, covariance=torch.tensor([[0.0, 0.1], [0.1, 1.0]], dtype=DOUBLE))


@pytest.mark.parametrize("covariance", ["a", None, 1j])
def test_what_is_no_number_is_refused(covariance):
    with pytest.raises(Exception, match="covariance"):
        propagate(infer_theta, torch.ones(5, 1, dtype=DOUBLE), covariance=covariance)


def test_float32_hits_stay_float32():
    result = propagate(infer_theta, torch.tensor([[0.5]]), covariance=1e-4)
    assert result.sigma.dtype == torch.float32
    assert result.sigma.item() == pytest.approx(0.006, rel=1e-6)


def finite_ones(hits):
    a, b = hits.unbind(1)
    return torch.stack([a - b, a * b, b.atan()], dim=1)


def with_one_infinite(hits):
    """The same, after an observable that is infinite where the hits are equal, NaN beyond 2, and steep at 0."""
    a, b = hits.unbind(1)
    infinite = torch.where(a > 2, float("nan"), 1 / (a - b) + a.abs().sqrt())
    return torch.cat([infinite[:, None], finite_ones(hits)], dim=1)


HITS = torch.tensor([[0.5, 0.5], [0.5, 0.2], [3.0, 3.0], [0.0, 0.7], [-0.4, -0.4]], dtype=DOUBLE)
SPOILT = [True, False, True, True, True]


@pytest.mark.parametrize("covariance", [1e-4, torch.tensor([[2e-4, 1e-4], [1e-4, 3e-4]], dtype=DOUBLE)])
def test_an_infinite_observable_leaves_the_others_of_its_muon_as_they_are(covariance):
    found, expected = (propagate(infer, HITS, covariance=covariance) for infer in (with_one_infinite, finite_ones))
    torch.testing.assert_close(found.sigma[:, 1:], expected.sigma, rtol=1e-14, atol=0)
    torch.testing.assert_close(found.covariance[:, 1:, 1:], expected.covariance, rtol=1e-13, atol=1e-20)
    assert (found.sigma > 0)[:, 1:].all()
    assert found.sigma[:, 0].isnan().tolist() == SPOILT
    assert found.covariance[:, 0, 0].isnan().tolist() == SPOILT
    for between in (found.covariance[:, 0, 1:], found.covariance[:, 1:, 0]):
        assert between.isnan().tolist() == [3 * [each] for each in SPOILT]


def test_a_muon_without_infinite_observables_is_the_same_to_a_bit_beside_one_with():
    good = torch.tensor([[0.5, 0.2], [1.5, 0.1], [0.3, -0.3]], dtype=DOUBLE)
    beside = propagate(with_one_infinite, torch.cat([good, HITS[:1]]), covariance=1e-4)
    alone = propagate(with_one_infinite, torch.cat([good, good[:1]]), covariance=1e-4)
    assert all(torch.equal(a[:3], b[:3]) for a, b in zip(beside, alone, strict=True))


@pytest.mark.parametrize("muons", [1, 3])
def test_a_value_of_nan_has_a_sigma_of_nan_and_not_of_zero(muons):
    """Where `where` picks the NaN, its derivative is 0."""
    hits = torch.tensor([[-0.5], [0.5], [0.0]], dtype=DOUBLE)[:muons]
    found = propagate(lambda h: torch.where(h > 0, 2 * h, float("nan")), hits, covariance=0.01)
    assert found.sigma[:, 0].isnan().tolist() == [True, False, True][:muons]
    assert found.covariance[:, 0, 0].isnan().tolist() == [True, False, True][:muons]


@pytest.mark.parametrize(
    "covariance", [torch.ones(2, dtype=DOUBLE), torch.eye(2, dtype=DOUBLE), torch.ones(2, 2, dtype=DOUBLE)]
)
def test_two_muons_of_two_coordinates_are_ambiguous_too(covariance):
    hits = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=DOUBLE)
    with pytest.raises(ValueError, match="ambiguous for 2 muons with 2 coordinates"):
        propagate(lambda h: h, hits, covariance=covariance)


def test_one_muon_of_one_coordinate_is_not_ambiguous():
    hits = torch.tensor([[0.1]], dtype=DOUBLE)
    for covariance in (torch.tensor([0.04], dtype=DOUBLE), torch.tensor([[0.04]], dtype=DOUBLE)):
        assert propagate(lambda h: 3 * h, hits, covariance=covariance).sigma.item() == pytest.approx(0.6, rel=1e-14)
