import math

import numpy as np
import pytest
import torch
from oracles import dense, linear_law_holds
from scipy import special, stats

from pullback import confidence_interval, infer_theta, propagate, propagate_distribution, quote
from pullback.config.model_schema import OneHit, Scatter, Track, Track3d
from pullback.detector.bound_model import Inference, parameters_of
from pullback.models import load_model

DOUBLE = torch.float64


def column(values):
    return torch.as_tensor(values, dtype=DOUBLE)[:, None]


def cone(h):
    return h.norm(dim=1, keepdim=True)


def exact_theta(places, sigma, dz):
    """sd and the 95 % interval of θ from that of |x|, whose distribution function is a difference of two."""
    low, high, sd = np.empty((3, len(places)))
    for index, x in enumerate(places):
        grid = np.linspace(max(0, x - 7 * sigma), x + 7 * sigma, 4001)
        below = special.ndtr((grid - x) / sigma) - special.ndtr((-grid - x) / sigma)
        low[index], high[index] = np.arctan(np.interp([0.025, 0.975], below, grid) / dz)
        sd[index] = dense(lambda each: np.arctan(abs(each) / dz), x, sigma, points=4001)[1]
    return sd, low, high


@pytest.mark.parametrize(("n_dig", "share"), [(1, 0.978), (2, 0.548)])
def test_where_the_linear_law_holds_for_theta(n_dig, share):
    """Clause 8 by an independent calculation, muon by muon, for hits evenly over 0 to 1."""
    sigma, dz = 0.01, 1.5
    places = (np.arange(2000) + 0.5) / 2000
    quoted = quote(infer_theta, column(places), covariance=sigma**2, n_dig=n_dig)
    sd, low, high = exact_theta(places, sigma, dz)
    u = sigma * dz / (dz**2 + places**2)
    expected = linear_law_holds(np.arctan(places / dz), u, sd, low, high, n_dig)
    ok = quoted.linear_valid[:, 0].numpy()
    assert expected.mean() == pytest.approx(share, abs=0.003)
    assert ok.mean() == pytest.approx(share, abs=0.003)
    assert (ok == expected).mean() >= 0.995
    np.testing.assert_allclose(quoted.sigma[:, 0], np.where(ok, u, sd), rtol=1e-3)
    assert (abs(u / sd - 1)[ok] <= 0.05).all()


@pytest.mark.parametrize("infer", [infer_theta, lambda h: h.square() + h, lambda h: (h / 2).exp()])
def test_the_short_look_judges_as_everything_integrated(infer):
    generator = np.random.default_rng(1)
    hits, sigma = column(generator.uniform(0, 1, 2000)), 10 ** generator.uniform(-4, -1, 2000)
    quoted = quote(infer, hits, covariance=torch.from_numpy(sigma**2))
    full = quote(infer, hits, covariance=torch.from_numpy(sigma**2), screen=False)
    assert (quoted.linear_valid == full.linear_valid).double().mean() >= 0.995
    assert 0.3 < quoted.linear_valid.double().mean() < 1
    torch.testing.assert_close(quoted.sigma, full.sigma, rtol=0.051, atol=0)
    torch.testing.assert_close(quoted.bias / full.sigma, full.bias / full.sigma, rtol=0, atol=1e-3)


@pytest.mark.parametrize("n_dig", [1, 2])
def test_a_sigma_that_is_far_off_is_never_quoted(n_dig):
    """Folds and curves at all distances, and u of all first digits; in three coordinates, where sd is right to 5e-3."""
    generator = np.random.default_rng(n_dig)
    scale, bend = 10 ** generator.uniform(-1, 0, 3000), generator.uniform(0, 0.5, 3000)
    place = generator.uniform(0, 4, 3000)
    hits = torch.from_numpy(np.stack([place, scale, bend], axis=1))
    only = torch.tensor([1.0, 0.0, 0.0], dtype=DOUBLE)
    curved = lambda h: h[:, 1:2] * (h[:, :1] + h[:, 2:] * h[:, :1].square())  # noqa: E731
    folded = lambda h: h[:, 1:2] * (h[:, :1].abs() + h[:, 2:] * h[:, :1])  # noqa: E731
    for infer, variance in (
        (curved, 1 / (1 + 2 * bend * place) ** 2 * ((1 + 2 * bend * place) ** 2 + 2 * bend**2)),
        (folded, None),
    ):
        quoted = quote(infer, hits, covariance=only, n_dig=n_dig)
        if variance is not None:
            right = torch.from_numpy(scale * (1 + 2 * bend * place) * np.sqrt(variance))
        else:
            mean = stats.foldnorm(place).mean()  # Cov(|x|, x) = place · (1 - …): E|x|x - place E|x|
            cross = (1 + place**2) * (1 - 2 * special.ndtr(-place)) + 2 * place * stats.norm.pdf(place) - place * mean
            right = torch.from_numpy(scale * np.sqrt(1 + place**2 - mean**2 + bend**2 + 2 * bend * cross))
        ok = quoted.linear_valid[:, 0]
        assert (quoted.sigma[:, 0] / right - 1).abs()[~ok].max() < 6e-3
        assert (quoted.sigma[:, 0] / right - 1).abs()[ok].max() <= 0.0545
        assert ok.any()


def test_a_cone_is_linear_far_from_its_tip():
    """Clause 8 by the Rice distribution, in two coordinates with one digit."""
    generator = np.random.default_rng(1)
    far, scale, turn = generator.uniform(0, 30, 400), 10 ** generator.uniform(-1, 0, 400), generator.uniform(0, 6, 400)
    hits = torch.from_numpy((far * scale)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    quoted = quote(cone, hits, covariance=torch.from_numpy(np.stack([scale**2] * 2, axis=1)))
    exact = stats.rice(far, scale=scale)
    expected = linear_law_holds(far * scale, scale, exact.std(), exact.ppf(0.025), exact.ppf(0.975), 1)
    assert (quoted.linear_valid[:, 0].numpy() == expected).mean() >= 0.985
    assert 0.5 < expected.mean() < 0.95
    np.testing.assert_allclose(
        quoted.sigma[:, 0][~quoted.linear_valid[:, 0]], exact.std()[~quoted.linear_valid[:, 0]], rtol=5e-3
    )


def test_at_the_fold():
    quoted = quote(infer_theta, column([0.0]), covariance=0.01**2)
    assert quoted.sigma.item() == pytest.approx(0.0040185, abs=1e-6)
    assert quoted.sigma_linear.item() == 0
    assert not quoted.linear_valid.item()
    assert quoted.interval95.min() > 0


@pytest.mark.parametrize("coordinates", [1, 3])
def test_what_is_quoted_is_what_the_parts_say(coordinates):
    hits = torch.rand(300, coordinates, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)) * 8
    infer = lambda h: torch.cat([cone(h), h[:, :1]], dim=1)  # noqa: E731
    quoted, linear, right = (
        quote(infer, hits, covariance=1.0),
        propagate(infer, hits, covariance=1.0),
        propagate_distribution(infer, hits, covariance=1.0),
    )
    assert torch.equal(quoted.value, linear.value)
    assert torch.equal(quoted.sigma_linear, linear.sigma)
    for name in ("bias", "interval68", "interval95"):
        assert torch.equal(getattr(quoted, name), getattr(right, name))
    assert torch.equal(quoted.sigma, torch.where(quoted.linear_valid, linear.sigma, right.sd))
    assert quoted.linear_valid[:, 1].all()
    assert 0 < quoted.linear_valid[:, 0].sum() < 300


def test_more_digits_ask_for_more():
    hits = column(np.linspace(0, 1, 500))
    found = [quote(infer_theta, hits, covariance=0.01**2, n_dig=n_dig).linear_valid for n_dig in (1, 2, 3)]
    assert (found[0] | ~found[1]).all()
    assert (found[1] | ~found[2]).all()


@pytest.mark.parametrize("coordinates", [1, 2])
def test_a_muon_without_a_hit_is_not_linear(coordinates):
    hits = torch.full((4, coordinates), 9.0, dtype=DOUBLE)
    hits[1, 0], hits[2, -1] = math.nan, math.inf
    quoted = quote(cone, hits, covariance=0.01)
    assert quoted.linear_valid[:, 0].tolist() == [True, False, False, True]
    for each in quoted[:-1]:
        assert each.flatten(1).isnan().all(dim=1).tolist() == [False, True, True, False]
        assert each[[0, 3]].isfinite().all()


def test_what_is_not_finite_nearby_is_not_linear():
    quoted = quote(torch.sqrt, column([2.0, 1e4]), covariance=1.0)
    assert quoted.linear_valid[:, 0].tolist() == [False, True]
    assert quoted.sigma[:, 0].isnan().tolist() == [True, False]


def test_without_variance_the_linear_law_holds():
    quoted = quote(infer_theta, column([0.0, 0.5]), covariance=0.0)
    assert quoted.linear_valid.all()
    assert (quoted.sigma == 0).all()
    assert (quoted.interval95 == quoted.value[:, :, None]).all()


def test_derivatives_of_nan_are_not_quoted():
    """√(x²) has none at 0, and its spread is known all the same."""
    quoted = quote(lambda h: h.square().sqrt(), column([0.0]), covariance=1.0)
    assert quoted.sigma_linear.isnan().item()
    assert quoted.sigma.item() == pytest.approx(math.sqrt(1 - 2 / math.pi), rel=3e-4)
    assert not quoted.linear_valid.item()


def test_without_a_standard_deviation_there_are_intervals_only():
    ratio = lambda h: torch.cat([h[:, 1:] / h[:, :1], h[:, 1:]], dim=1)  # noqa: E731
    quoted = quote(ratio, torch.tensor([[3.0, 1.0], [40.0, 1.0]], dtype=DOUBLE), covariance=1.0)
    for each in (quoted.sigma, quoted.bias):
        assert each.isnan().tolist() == [[True, False], [False, False]]
    assert quoted.interval68.isfinite().all()
    assert quoted.interval95.isfinite().all()
    assert quoted.linear_valid.tolist() == [[False, True], [True, True]]
    # 1 < h₁/h₀ with h₀ > 0, or h₁ < h₀ < 0, and so on: by the distribution of h₁ - y h₀ on either side of h₀ = 0.
    low, high = quoted.interval95[0, 0].tolist()
    grid = np.linspace(-9, 9, 400_001) + 3.0
    weights = stats.norm.pdf(grid - 3.0) / stats.norm.pdf(grid - 3.0).sum()
    below = lambda y: (weights * special.ndtr(np.sign(grid) * (y * grid - 1.0))).sum()  # noqa: E731
    assert [below(low), below(high)] == pytest.approx([0.025, 0.975], abs=1.5e-3)


def test_the_point_of_closest_approach():
    """By toys: without a standard deviation below 4.5 σ of the scattering angle, and with the right one above."""
    z = {"z_upper": [0.6, 0.8, 1.0], "z_lower": [-0.6, -0.8, -1.0]}
    model = load_model(Scatter(**z))
    infer, sigma, muons = Inference(model, parameters_of(model, {"resolution": 1000.0})), 1e-3, 60
    generator = torch.Generator().manual_seed(1)
    p, turn = 0.5 * torch.randn(2, muons, 2, dtype=DOUBLE, generator=generator)
    # In the plane of p, which is off by 5 mm where it is scattered; σ of a slope's change is √2 σ / (0.4 m / √2).
    kink = torch.linspace(0.5, 15, muons).double()[:, None] * 5e-3 * turn / turn.norm(dim=1, keepdim=True)
    above, below = (torch.tensor(z[name], dtype=DOUBLE) for name in z)
    hits = torch.cat(
        [
            part
            for i in (0, 1)
            for part in (p[:, i, None] * above, 5e-3 * turn[:, i, None] + (p + kink)[:, i, None] * below)
        ],
        dim=1,
    )
    quoted, law = quote(infer, hits, covariance=sigma**2), propagate(infer, hits, covariance=sigma**2)
    significance = law.value[:, 4] / law.sigma[:, 4]
    without = quoted.sigma.isnan()
    assert not without[:, :5].any()
    point = without[:, 5:]
    assert point[significance < 4.5].all()
    assert not point[significance > 5.6].any()
    assert quoted.interval95.isfinite().all()
    assert not (quoted.linear_valid & without).any()
    toys = torch.randn(10_000, 12, dtype=DOUBLE, generator=generator) * sigma
    seen = torch.stack([infer(hit + toys) for hit in hits])
    ratio = (seen.std(dim=1) / quoted.sigma)[:, 5:][~point]
    assert ratio.square().mean().sqrt().item() == pytest.approx(1, abs=0.05)
    assert (ratio - 1).abs().max() < 0.1
    ends = seen.quantile(torch.tensor([0.025, 0.975], dtype=DOUBLE), dim=1).movedim(0, -1)
    off = (quoted.interval95 - ends).abs() / (ends.diff(dim=-1) / 2)
    assert off.square().mean().sqrt() < 0.05


@pytest.mark.parametrize("muons", [0, 1])
def test_few_muons(muons):
    quoted = quote(infer_theta, torch.ones(muons, 1, dtype=DOUBLE, requires_grad=True), covariance=1e-4)
    assert [tuple(each.shape) for each in quoted] == [(muons, 1)] * 3 + [(muons, 1, 2)] * 4 + [(muons, 1)] * 2
    assert not any(each.requires_grad for each in quoted)


@pytest.mark.parametrize("by", [quote, confidence_interval])
@pytest.mark.parametrize("infer", [infer_theta, torch.sin])
def test_a_digit_at_least(by, infer):
    with pytest.raises(ValueError, match="n_dig must be at least 1"):
        by(infer, column([0.5]), covariance=1e-4, n_dig=0)


@pytest.mark.parametrize("coordinates", [1, 2])
def test_what_is_quoted_of_the_others_beside_an_infinite_observable(coordinates):
    """1/x and cos(x)/x at x = 0: σ and intervals of x², 3 x and |x| are as without it."""

    def others(h):
        x = h.sum(dim=1)
        return torch.stack([(x + 1) ** 2, 3 * x, x.abs()], dim=1)

    hits = torch.zeros(3, coordinates, dtype=DOUBLE)
    hits[1, 0] = 0.5
    spoilt = lambda h: torch.cat([others(h), 1 / h.sum(dim=1, keepdim=True)], dim=1)  # noqa: E731
    found, expected = (quote(infer, hits, covariance=1e-4) for infer in (spoilt, others))
    for name, one, other in zip(found._fields, found, expected, strict=True):
        tolerance = {} if one.dtype == torch.bool else {"rtol": 0, "atol": 3e-4}  # Sobol points turned another way
        torch.testing.assert_close(one[:, :3], other, **tolerance, msg=name)
        if name not in ("value", "linear_valid"):
            assert one[[0, 2], 3].isnan().all(), name
    assert found.linear_valid[:, :2].all()
    assert not found.linear_valid[[0, 2], 3].any()
    np.testing.assert_allclose(found.sigma[:, 1], 3e-2 * coordinates**0.5, rtol=1e-12)


def length_of_two(h):
    return torch.hypot(h[:, :1], h[:, 1:]).arctan2(torch.ones_like(h[:, :1]))


@pytest.mark.parametrize(
    ("schema", "muons", "calls"),
    [
        (OneHit, 1001, 9),
        (Track, 1001, 9),
        (Track3d, 501, 9),
        (None, 53, 2),
        pytest.param(Scatter, 53, 20, marks=pytest.mark.slow),
    ],
)
def test_what_is_quoted_of_a_muon_does_not_depend_on_its_neighbours(schema, muons, calls):
    """The same bits in a call of all muons as in calls of 1, 3 and 17, near folds and away from them."""
    infer, coordinates, width = length_of_two, 2, 0.02
    if schema:
        model = load_model(schema())
        infer = Inference(model, parameters_of(model, {"resolution": 1 / width}))
        coordinates = len(model.coordinates)
    hits = 3 * width * torch.randn(muons, coordinates, generator=torch.Generator().manual_seed(5), dtype=DOUBLE)
    whole = quote(infer, hits, covariance=width**2)
    for some in (1, 3, 17):
        for rows in torch.arange(muons).split(some)[-calls:]:
            found = quote(infer, hits[rows], covariance=width**2)
            for name, one, other in zip(whole._fields, found, whole, strict=True):
                torch.testing.assert_close(one, other[rows], rtol=0, atol=0, equal_nan=True, msg=name)
